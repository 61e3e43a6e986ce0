package sink

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCounts(t *testing.T) {
	s := start(t, Options{Listen: []string{"127.0.0.1:0", "127.0.0.2:0"}})
	a := dialFrom(t, "127.0.0.11", s.Addrs()[0]).hello()
	b := dialFrom(t, "127.0.0.11", s.Addrs()[1]).hello()
	c := dialFrom(t, "127.0.0.12", s.Addrs()[1]).hello()
	a.message("<1>", "x@One.test", "250")
	b.message("<2>", "y@two.test", "250")
	c.message("<2>", "z@two.test.", "250")
	c.do("QUIT", "221")
	c.ended()
	r := s.Report()
	if got, want := r.Connections, (Connections{Open: 2, Peak: 3, Accepted: 3}); got.Open != want.Open || got.Peak != want.Peak || got.Accepted != want.Accepted {
		t.Errorf("connections %+v, want %+v", got, want)
	}
	wantMap(t, "peak by source", r.Connections.PeakBySource, map[string]int{"127.0.0.11": 2, "127.0.0.12": 1})
	wantMap(t, "open by source", r.Connections.OpenBySource, map[string]int{"127.0.0.11": 2, "127.0.0.12": 0})
	wantMap(t, "peak by listener", r.Connections.PeakByListener, map[string]int{s.Addrs()[0]: 1, s.Addrs()[1]: 2})
	wantMap(t, "by domain", r.Recipients.ByDomain, map[string]int{"one.test": 1, "two.test": 2})
	if r.Messages.Accepted != 3 || r.Messages.Distinct != 2 || r.Recipients.Accepted != 3 || r.Violations != 0 {
		t.Errorf("report %+v", r)
	}
}

func wantMap(t *testing.T, what string, got, want map[string]int) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// A client that closes and connects again at once has never two connections, however
// far the sink is behind with its reading.
func TestNoFalsePeak(t *testing.T) {
	for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
		t.Run(latency.String(), func(t *testing.T) {
			s := start(t, Options{MaxConnections: 4, MaxConnectionsPerIP: 1, Latency: latency})
			var clients sync.WaitGroup
			for i := range 4 {
				clients.Go(func() {
					d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(20+i))}}
					for range 300 {
						c, err := d.Dial("tcp", s.Addr())
						if err != nil {
							t.Error(err)
							return
						}
						// Something unread before the end of stream: an end that is seen only by
						// reading would be seen late.
						_, _ = c.Write([]byte("NOOP\r\nNOOP\r\n"))
						_ = c.Close()
					}
				})
			}
			clients.Wait()
			r := eventually(t, s, "all connections", func(r Report) bool { return r.Connections.Accepted == 1200 })
			if r.Connections.Peak > 4 || r.Violations != 0 || r.Connections.Refused != 0 {
				t.Errorf("peak %d, violations %d %v, refused %v: want at most 4, 0, none", r.Connections.Peak, r.Violations, r.ViolationsByReason, r.Connections.RefusedByReason)
			}
			for source, peak := range r.Connections.PeakBySource {
				if peak != 1 {
					t.Errorf("peak of %s is %d, want 1", source, peak)
				}
			}
		})
	}
}

// A client that opens its next connection before it closes the last has two, every
// time.
func TestNoMissedPeak(t *testing.T) {
	s := start(t, Options{MaxConnectionsPerIP: 1})
	c := dial(t, s.Addr())
	c.want("220")
	for range 50 {
		next := dial(t, s.Addr())
		next.want("421 4.7.0")
		next.ended()
		_ = next.conn.Close()
	}
	r := s.Report()
	if r.Violations != 50 || r.Connections.Peak != 2 || r.Connections.Refused != 50 || r.ViolationsByReason["max-connections-per-ip"] != 50 {
		t.Errorf("report %+v", r)
	}
}

// When the sink closes first, the count is lowered before the client can know.
func TestSinkCloseLowersFirst(t *testing.T) {
	for _, o := range []Options{{}, {Latency: 2 * time.Millisecond}, {TLS: true}, {TLS: true, Latency: 2 * time.Millisecond}} {
		t.Run(fmt.Sprintf("latency=%s,tls=%t", o.Latency, o.TLS), func(t *testing.T) {
			o.MaxConnectionsPerIP = 1
			s := start(t, o)
			var held []*client // open on our side: only the sink's own closing may lower the count
			for range 60 {
				c := dial(t, s.Addr()).hello()
				if o.TLS {
					c.startTLS()
				}
				c.do("QUIT", "221")
				c.ended()
				held = append(held, c)
			}
			if r := s.Report(); r.Connections.Peak != 1 || r.Violations != 0 || len(held) != r.Connections.Accepted {
				t.Errorf("report %+v", r)
			}
		})
	}
}

func TestOverLimit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opts   Options
		second string // source of the second connection
		reason string
	}{
		{"all, reply", Options{MaxConnections: 1, Over: OverReply}, "127.0.0.12", "max-connections"},
		{"all, drop", Options{MaxConnections: 1, Over: OverDrop}, "127.0.0.12", "max-connections"},
		{"source, reply", Options{MaxConnectionsPerIP: 1, Over: OverReply}, "127.0.0.11", "max-connections-per-ip"},
		{"source, drop", Options{MaxConnectionsPerIP: 1, Over: OverDrop}, "127.0.0.11", "max-connections-per-ip"},
		{"source, reply on a line", Options{MaxConnectionsPerIP: 1, Latency: 2 * time.Millisecond}, "127.0.0.11", "max-connections-per-ip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tt.opts)
			first := dialFrom(t, "127.0.0.11", s.Addr()).hello()
			second := dialFrom(t, tt.second, s.Addr())
			if tt.opts.Over == OverDrop {
				if l, err := second.r.ReadString('\n'); err == nil {
					t.Errorf("dropped connection said %q", l)
				}
			} else {
				second.want("421 4.7.0 too many")
				second.ended()
			}
			_ = second.conn.Close()
			r := eventually(t, s, "the second gone", func(r Report) bool { return r.Connections.Open == 1 })
			if r.Violations != 1 || r.ViolationsByReason[tt.reason] != 1 || r.Connections.RefusedByReason[tt.reason] != 1 ||
				r.Connections.Refused != 1 || r.Connections.Accepted != 1 || r.Connections.Peak != 2 {
				t.Errorf("report %+v", r)
			}
			first.message("<after>", "a@b.test", "250") // the first is not disturbed
			_ = first.conn.Close()
			third := dialFrom(t, tt.second, s.Addr()).hello()
			third.message("<third>", "a@b.test", "250")
		})
	}
}

func TestConnRate(t *testing.T) {
	s := start(t, Options{ConnRate: Rate{Events: 1, Per: time.Hour}})
	for range 2 { // one, and the one of slack
		dial(t, s.Addr()).want("220")
	}
	dial(t, s.Addr()).want("421 4.7.0")
	if r := s.Report(); r.Violations != 1 || r.ViolationsByReason["conn-rate"] != 1 || r.Connections.RefusedByReason["conn-rate"] != 1 {
		t.Errorf("report %+v", r)
	}
}

func TestMsgRate(t *testing.T) {
	for _, over := range []Over{OverReply, OverDrop} {
		s := start(t, Options{MsgRate: Rate{Events: 2, Per: time.Hour, Burst: 2}, Over: over})
		c := dial(t, s.Addr()).hello()
		for i := range 3 {
			c.message(fmt.Sprintf("<%d>", i), "a@b.test", "250")
		}
		c.send("MAIL FROM:<a@b.test>")
		if over == OverReply {
			c.want("421 4.7.0")
		}
		c.ended()
		if r := s.Report(); r.Violations != 1 || r.ViolationsByReason["msg-rate"] != 1 || r.Messages.Refused != 1 || r.Messages.Accepted != 3 {
			t.Errorf("over %s: report %+v", over, r)
		}
	}
}

func TestJudge(t *testing.T) {
	at := func(ms ...int) (out []time.Duration) {
		for _, m := range ms {
			out = append(out, time.Duration(m)*time.Millisecond)
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		rate   Rate
		events []time.Duration
		over   string // one character an event: . conforms, x does not
	}{
		{"none", Rate{}, at(0, 0, 0), "..."},
		{"one and one of slack", Rate{Events: 1, Per: time.Second}, at(0, 0, 0, 1), "..xx"},
		{"on time for ever", Rate{Events: 1, Per: time.Second}, at(0, 1000, 2000, 3000), "...."},
		{"slack is not gained again", Rate{Events: 1, Per: time.Second}, at(0, 0, 989, 990, 990), "..x.x"},
		{"10 ms early every time", Rate{Events: 10, Per: time.Second}, at(0, 90, 180, 270, 360), "....."},
		{"burst of 5 and one", Rate{Events: 10, Per: time.Second, Burst: 5}, at(0, 0, 0, 0, 0, 0, 0), "......x"},
		{"what is over is not held against the next", Rate{Events: 1, Per: time.Second}, at(0, 0, 500, 500, 500, 1000), "..xxx."},
		{"11 % too fast", Rate{Events: 1, Per: time.Second}, at(0, 900, 1800, 2700, 3600, 4500, 5400, 6300, 7200, 8100, 9000, 9800), "...........x"},
	} {
		j := newJudge(tt.rate, 1)
		var got strings.Builder
		base := time.Now()
		for _, e := range tt.events {
			if j.conforms(base.Add(e)) {
				got.WriteByte('.')
			} else {
				got.WriteByte('x')
			}
		}
		if got.String() != tt.over {
			t.Errorf("%s: %s, want %s", tt.name, got.String(), tt.over)
		}
	}
}

func TestParseRate(t *testing.T) {
	for in, want := range map[string]Rate{
		"10": {Events: 10, Per: time.Second}, "60/3": {Events: 60, Per: 3 * time.Second}, "50/h": {Events: 50, Per: time.Hour},
		"83/5s": {Events: 83, Per: 5 * time.Second}, "10/s,burst=5": {Events: 10, Per: time.Second, Burst: 5},
		"1/2min": {Events: 1, Per: 2 * time.Minute}, "0": {}, "": {}, "unlimited": {}, "7/day": {Events: 7, Per: 24 * time.Hour},
	} {
		if got, err := ParseRate(in); err != nil || got != want {
			t.Errorf("ParseRate(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"x", "-1", "1/", "1/0s", "1/x", "1/2fortnights", "1,burst=0", "1,burst=", "1/-3", "99999999999", "1/999999999d", "1.5"} {
		if got, err := ParseRate(in); err == nil {
			t.Errorf("ParseRate(%q) = %v, want an error", in, got)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"10", "60/3", "83/5s,burst=2", "1/d", "unlimited", "1/,", ",burst=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil || r.IsZero() {
			return
		}
		if r.Events < 1 || r.Per <= 0 || r.Burst < 0 {
			t.Fatalf("ParseRate(%q) = %+v", s, r)
		}
		again, err := ParseRate(r.String())
		if err != nil || again != r {
			t.Fatalf("ParseRate(%q) = %v, printed %q, read back %v, %v", s, r, r.String(), again, err)
		}
	})
}
