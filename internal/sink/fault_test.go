package sink

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Each fault with a share of 1, as a raw client sees it.
func TestFaults(t *testing.T) {
	untilData := func(c *client) *client {
		c.hello()
		c.do("MAIL FROM:<a@b.test>", "250")
		c.do("RCPT TO:<r@one.test>", "250")
		c.do("DATA", "354")
		return c
	}
	untilDot := func(c *client) *client {
		untilData(c).send("Message-ID: <1>\r\n\r\nhello\r\n.")
		return c
	}
	for kind, see := range map[FaultKind]func(*client){
		Greeting4xx:     func(c *client) { c.want("421 4.3.2"); c.ended() },
		CloseAtGreeting: func(c *client) { c.wantEnd() },
		Mail4xx:         func(c *client) { c.hello().do("MAIL FROM:<a@b.test>", "451 4.7.1"); c.do("NOOP", "250") },
		Rcpt4xx: func(c *client) {
			c.hello().do("MAIL FROM:<a@b.test>", "250")
			c.do("RCPT TO:<r@one.test>", "450 4.2.1")
			c.do("DATA", "554 5.5.1")
			c.do("RSET", "250")
		},
		Rcpt5xx: func(c *client) {
			c.hello().do("MAIL FROM:<a@b.test>", "250")
			c.do("RCPT TO:<r@one.test>", "550 5.1.1")
			c.do("RSET", "250")
		},
		Data4xx: func(c *client) {
			c.hello().do("MAIL FROM:<a@b.test>", "250")
			c.do("RCPT TO:<r@one.test>", "250")
			c.do("DATA", "451 4.3.0")
		},
		Dot4xx:        func(c *client) { untilDot(c).want("451 4.7.1"); c.do("NOOP", "250") },
		Dot5xx:        func(c *client) { untilDot(c).want("554 5.7.1"); c.do("NOOP", "250") },
		CloseInData:   func(c *client) { untilData(c).send("Message-ID: <1>"); c.wantEnd() },
		CloseAfterDot: func(c *client) { untilDot(c).wantEnd() },
		StallGreeting: func(c *client) { c.silent() },
		StallEHLO:     func(c *client) { c.want("220"); c.send("EHLO x"); c.silent() },
		StallSTARTTLS: func(c *client) { c.hello().send("STARTTLS"); c.silent() },
		StallMail:     func(c *client) { c.hello().send("MAIL FROM:<a@b.test>"); c.silent() },
		StallRcpt: func(c *client) {
			c.hello().do("MAIL FROM:<a@b.test>", "250")
			c.send("RCPT TO:<r@one.test>")
			c.silent()
		},
		StallData: func(c *client) {
			c.hello().do("MAIL FROM:<a@b.test>", "250")
			c.do("RCPT TO:<r@one.test>", "250")
			c.send("DATA")
			c.silent()
		},
		StallBody: func(c *client) { untilData(c).fill() },
		StallDot:  func(c *client) { untilDot(c).silent() },
		StallRset: func(c *client) { c.hello().send("RSET"); c.silent() },
		StallQuit: func(c *client) { c.hello().send("QUIT"); c.silent() },
		SlowReplies: func(c *client) {
			begin := time.Now()
			c.want("220 sink.test")
			if d, least := time.Since(begin), 10*time.Millisecond; d < least {
				c.t.Errorf("the greeting took %s, want at least %s", d, least)
			}
		},
		EndlessReply: func(c *client) {
			c.want("220")
			c.send("EHLO x")
			n, err := io.CopyN(io.Discard, c.r, 1<<20)
			if n < 1<<20 {
				c.t.Errorf("endless reply ended after %d octets: %v", n, err)
			}
		},
		BareLFReply: func(c *client) {
			l, _ := c.r.ReadString('\n')
			if !strings.HasPrefix(l, "220 ") || strings.HasSuffix(l, "\r\n") {
				c.t.Errorf("greeting %q, want a bare LF", l)
			}
		},
	} {
		for _, latency := range []time.Duration{0, 2 * time.Millisecond} {
			t.Run(string(kind)+"/"+latency.String(), func(t *testing.T) {
				t.Parallel()
				s := start(t, Options{Faults: []Fault{{kind, 1}}, TLS: true, SlowEvery: time.Millisecond, Latency: latency})
				c := dial(t, s.Addr())
				see(c)
				if r := s.Report(); r.Faults[string(kind)] != 1 || r.Messages.Accepted != 0 {
					t.Errorf("report %+v", r)
				}
				_ = c.conn.Close()
				r := eventually(t, s, "the client gone", func(r Report) bool { return r.Connections.Open == 0 })
				if r.Violations != 0 || r.Connections.Accepted+r.Connections.Refused != 1 {
					t.Errorf("report %+v", r)
				}
			})
		}
	}
	if got := len(FaultKinds()); got != 23 {
		t.Errorf("%d kinds, but the table above has 23", got)
	}
}

func (c *client) wantEnd() {
	c.t.Helper()
	if l, err := c.r.ReadString('\n'); err == nil || isTimeout(err) {
		c.t.Fatalf("want the end, got %q, %v", l, err)
	}
}

// fill writes until nobody takes it any more. Its close will be a reset: an end of
// stream would wait behind what nobody reads.
func (c *client) fill() {
	c.t.Helper()
	_ = c.conn.(*net.TCPConn).SetLinger(0)
	_ = c.conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	for range 1000 {
		if _, err := c.conn.Write(make([]byte, 64<<10)); err != nil {
			if !isTimeout(err) {
				c.t.Fatalf("want a full window, got %v", err)
			}
			return
		}
	}
	c.t.Fatal("64 MB of content were read")
}

func TestRefusedMessagesAreCounted(t *testing.T) {
	for kind, want := range map[FaultKind]int{Mail4xx: 1, Rcpt4xx: 1, Rcpt5xx: 1, Data4xx: 1, Dot4xx: 1, Dot5xx: 1} {
		s := start(t, Options{Faults: []Fault{{kind, 1}}})
		c := dial(t, s.Addr()).hello()
		_, _ = io.WriteString(c.conn, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2 LAST\r\n\r\nQUIT\r\n")
		c.ended()
		if r := s.Report(); r.Messages.Refused != want || r.Messages.Accepted != 0 {
			t.Errorf("%s: report %+v, want %d refused", kind, r, want)
		}
	}
}

func TestSharesAreSeeded(t *testing.T) {
	draw := func(seed, connection uint64) string {
		d := newDice(map[FaultKind]float64{Dot4xx: 0.25, Mail4xx: 0}, seed, connection)
		var b strings.Builder
		for range 1000 {
			if d.roll(Mail4xx) {
				b.WriteByte('m')
			}
			if d.roll(Dot4xx) {
				b.WriteByte('x')
			} else {
				b.WriteByte('.')
			}
		}
		return b.String()
	}
	a := draw(1, 1)
	if a != draw(1, 1) || a == draw(1, 2) || a == draw(2, 1) {
		t.Error("the same seed and connection must draw the same, others not")
	}
	if n := strings.Count(a, "x"); n < 200 || n > 300 || strings.Contains(a, "m") {
		t.Errorf("%d of 1000 met a fault with a share of 0.25", n)
	}
}

func TestParseFault(t *testing.T) {
	for in, want := range map[string]Fault{
		"rcpt-4xx=0.05": {Rcpt4xx, 0.05}, "rcpt-4xx=5%": {Rcpt4xx, 0.05}, "stall-at-body=1": {StallBody, 1}, "dot-5xx=0": {Dot5xx, 0},
	} {
		if got, err := ParseFault(in); err != nil || got != want {
			t.Errorf("ParseFault(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "dot-4xx", "dot-4xx=", "dot-4xx=1.1", "dot-4xx=-1", "dot-4xx=NaN", "dot-4xx=101%", "stall-at-lunch=1"} {
		if got, err := ParseFault(in); err == nil {
			t.Errorf("ParseFault(%q) = %v, want an error", in, got)
		}
	}
}
