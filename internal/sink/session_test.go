package sink

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func (c *client) startTLS() {
	c.t.Helper()
	c.do("STARTTLS", "220")
	conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is made at start
	if err := conn.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.r = conn, bufio.NewReader(conn)
	c.do("EHLO client.test", "250")
}

func TestConversation(t *testing.T) {
	s := start(t, Options{MaxSize: 1000})
	for _, tt := range []struct {
		name   string
		script string // "> command" and "< reply prefix"
	}{
		{"order", "> MAIL FROM:<a@b>\n< 503\n> EHLO x\n< 250\n> RCPT TO:<a@b>\n< 503\n> DATA\n< 503\n> BDAT 3 LAST\r\nabc\n< 503\n> QUIT\n< 221"},
		{"helo", "> HELO x\n< 250\n> HELO\n< 501\n> EHLO\n< 501\n> NOOP\n< 250\n> VRFY a\n< 252\n> HELP\n< 214\n> FOO\n< 500\n> AUTH PLAIN\n< 500\n> STARTTLS\n< 502"},
		{"paths", "> EHLO x\n< 250\n> MAIL FROM:a@b\n< 501\n> MAIL FROM:<a@b> FOO=1\n< 555\n> MAIL FROM:<a@b> SIZE=x\n< 501\n> MAIL FROM:<a@b> SIZE=2000\n< 552\n" +
			"> mail from:<> size=5 body=8bitmime\n< 250\n> MAIL FROM:<>\n< 503\n> RCPT TO:<>\n< 501\n> RCPT TO:<\"a>b\"@c.test> NOTIFY=NEVER\n< 250\n> RCPT TO:<x@y\n< 501\n> RCPT TO:<@>\n< 501\n> RSET\n< 250"},
		{"data", "> EHLO x\n< 250\n> MAIL FROM:<a@b>\n< 250\n> DATA\n< 554\n> RCPT TO:<c@d>\n< 250\n> DATA x\n< 501\n> DATA\n< 354\n> Message-Id: 1\r\n\r\n..\r\n.\n< 250 2.0.0 accepted\n> DATA\n< 503"},
		{"too big", "> EHLO x\n< 250\n> MAIL FROM:<a@b>\n< 250\n> RCPT TO:<c@d>\n< 250\n> DATA\n< 354\n> " + strings.Repeat("x", 1001) + "\r\n.\n< 552"},
		{"bdat", "> EHLO x\n< 250\n> MAIL FROM:<a@b>\n< 250\n> BDAT 2\r\nab\n< 554\n> RCPT TO:<c@d>\n< 250\n> BDAT 16\r\nMessage-ID: 2\r\n\r\n< 250\n> DATA\n< 503\n> BDAT 2\r\nab\n< 250\n> BDAT 0 LAST\n< 250"},
		{"bdat syntax", "> EHLO x\n< 250\n> BDAT x\n< 501"},
		{"long line", "> NOOP " + strings.Repeat("x", 5000) + "\n< 500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, s.Addr())
			c.want("220 sink.test ESMTP")
			for step := range strings.SplitSeq(tt.script, "\n> ") {
				step = strings.TrimPrefix(step, "> ")
				command, want, _ := strings.Cut(step, "\n< ")
				if strings.HasPrefix(command, "BDAT") && !strings.HasSuffix(command, "T") && strings.Contains(command, "\r\n") {
					_, _ = c.conn.Write([]byte(command)) // octets, no line end
					c.want(want)
					continue
				}
				if rest, body, ok := strings.Cut(command, "BDAT 3 LAST\r\n"); ok {
					_, _ = fmt.Fprintf(c.conn, "%sBDAT 3 LAST\r\n%s", rest, body)
					c.want(want)
					continue
				}
				c.do(command, want)
			}
		})
	}
}

func TestSmuggling(t *testing.T) {
	s := start(t, Options{})
	c := dial(t, s.Addr()).hello()
	c.do("MAIL FROM:<a@b>", "250")
	c.do("RCPT TO:<c@d>", "250")
	c.do("DATA", "354")
	// None of these ends the content: LF.LF, LF.CRLF, CRLF.LF, CR.CR, CRLF.CR.
	c.send("Message-ID: <s>\r\n\r\na\n.\nb\n.\r\nc\r\n.\nd\r.\re\r\n.\rMAIL FROM:<evil@b>\r\nend\r\n.")
	c.want("250")
	c.do("QUIT", "221")
	if r := s.Report(); r.Messages.Accepted != 1 || r.Messages.Distinct != 1 || r.Messages.BareLineEnds != 1 || r.Mistakes != 0 {
		t.Errorf("report %+v", r)
	}
}

func TestBareLineEnds(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "a": false, "a\r\n": false, "\r\n\r\na\r\n": false, "a\n": true, "\n": true, "a\rb\r\n": true, "\r\r\n": true,
		"\r\n\n": true, "\n\r": true, "a\r\n\rb\r\n\n": true,
	} {
		for step := 1; step <= len(text); step++ {
			c := &content{pastHead: true}
			for chunk := range slices.Chunk([]byte(text), step) {
				_, _ = c.Write(chunk)
			}
			if c.bare != want {
				t.Errorf("%q in pieces of %d: bare %t, want %t", text, step, c.bare, want)
			}
		}
	}
}

func TestPipelining(t *testing.T) {
	s := start(t, Options{})
	c := dial(t, s.Addr()).hello()
	var b strings.Builder
	for i := range 50 {
		fmt.Fprintf(&b, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 20 LAST\r\nMessage-ID: <%04d>\r\nRSET\r\n", i)
	}
	_, _ = io.WriteString(c.conn, b.String())
	for range 200 {
		c.want("250")
	}
	if r := s.Report(); r.Messages.Accepted != 50 || r.Messages.WithoutID+r.Messages.Distinct != 50 {
		t.Errorf("report %+v", r)
	}
}

func TestIDHeader(t *testing.T) {
	for _, tt := range []struct{ header, content, want string }{
		{"Message-ID", "Message-ID: <a@b>\r\n\r\n", "<a@b>"},
		{"Message-ID", "message-id  :\t <a@b> \r\nX: y\r\n\r\n", "<a@b>"},
		{"Message-ID", "X: y\r\nMessage-ID:\r\n <a@b>\r\n\r\n", "<a@b>"},
		{"X-Key", "Message-ID: <a>\r\nX-Key: k\r\n l\r\nX-Key: second\r\n", "k l"},
		{"Message-ID", "X: y\r\n\r\nMessage-ID: <in the body>\r\n", ""},
		{"Message-ID", "Message-ID <no colon>\r\n\r\n", ""},
		{"Message-ID", "Message-ID: <lf>\n\n", "<lf>"},
		{"Message-ID", "Message-ID: " + strings.Repeat("x", 3000) + "\r\n\r\n", strings.Repeat("x", maxHeaderLine-12)},
	} {
		for _, step := range []int{1, 3, len(tt.content)} {
			c := &content{header: tt.header}
			for chunk := range slices.Chunk([]byte(tt.content), step) {
				_, _ = c.Write(chunk)
			}
			if c.id != tt.want || c.size != int64(len(tt.content)) {
				t.Errorf("%q in pieces of %d: id %q, size %d, want %q, %d", tt.content, step, c.id, c.size, tt.want, len(tt.content))
			}
		}
	}
}

func FuzzReadDots(f *testing.F) {
	for _, s := range []string{".\r\n", "a\r\n.\r\n", "..\r\n.\r\n", "\n.\n\r.\r\r\n.\r\n", "Message-ID: x\r\n y\r\n\r\n.a\r\n.\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &content{header: "Message-ID"}
		err := readDots(bufio.NewReaderSize(strings.NewReader(string(b)), 16), c)
		// The plain definition of where content ends.
		end := strings.Index("\r\n"+string(b), "\r\n.\r\n")
		if (err == nil) != (end >= 0) {
			t.Fatalf("%q: error %v, but the end is at %d", b, err, end)
		}
		if err != nil {
			return
		}
		plain := strings.ReplaceAll("\r\n"+string(b[:end]), "\r\n.", "\r\n")
		if c.size != int64(len(plain)-2) {
			t.Fatalf("%q: size %d, want %d", b, c.size, len(plain)-2)
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"FROM:<a@b.test>", "FROM:<> SIZE=1", `FROM:<"a>b"@c> BODY=8BITMIME`, "from: <a@b>", "FROM:<a@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePath("FROM:", s)
		if err == nil && (!strings.Contains(s, "<"+p.address+">") || p.size < 0) {
			t.Fatalf("%q: %+v", s, p)
		}
		_ = parseCommand(s)
		if n, _, err := parseBDAT(s); err == nil && n < 0 {
			t.Fatalf("BDAT %q: %d", s, n)
		}
	})
}

func TestLedgerAndDump(t *testing.T) {
	dir := t.TempDir()
	o := Options{Ledger: filepath.Join(dir, "ledger"), Dump: filepath.Join(dir, "dump"), DumpMax: 1, TLS: true}
	s := start(t, o)
	c := dial(t, s.Addr()).hello()
	c.startTLS()
	for i := range 3 {
		c.message(fmt.Sprintf("<%d>", i), "r@one.test", "250")
		b, err := os.ReadFile(o.Ledger) // before the next message, with the sink running
		if err != nil || !strings.HasSuffix(string(b), fmt.Sprintf("<%d>\n", i)) {
			t.Fatalf("ledger %q, %v", b, err)
		}
	}
	eml, err := os.ReadFile(filepath.Join(o.Dump, "1.eml"))
	if err != nil || string(eml) != "Message-ID: <0>\r\n\r\nhello\r\n" {
		t.Errorf("dump %q, %v", eml, err)
	}
	var e dumped
	b, err := os.ReadFile(filepath.Join(o.Dump, "1.json"))
	if err != nil || json.Unmarshal(b, &e) != nil || e.From != "a@b.test" || e.ID != "<0>" || !e.TLS || fmt.Sprint(e.Recipients) != "[r@one.test]" {
		t.Errorf("envelope %s, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(o.Dump, "2.eml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("second message: %v, want none", err)
	}
}

func TestLedgerTroubleRefuses(t *testing.T) {
	s, err := Start(Options{Ledger: "/dev/full"})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, s.Addr()).hello()
	c.message("<1>", "r@one.test", "451 4.3.0")
	if r := s.Report(); r.Messages.Accepted != 0 || r.Messages.Refused != 1 {
		t.Errorf("report %+v", r)
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "ledger") {
		t.Errorf("close: %v, want the trouble with the ledger", err)
	}
}

func TestStatusAndNames(t *testing.T) {
	s := start(t, Options{Status: "127.0.0.1:0", Seed: 7})
	c := dial(t, s.Addr()).hello()
	c.message("<1>", "r@one.test", "250")
	transport := &http.Transport{DisableKeepAlives: true}
	get := func(method string) (int, string) {
		req, _ := http.NewRequest(method, "http://"+s.StatusAddr()+"/any/path", nil)
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	code, body := get(http.MethodGet)
	want := `{"connections":{"open":1,"peak":1,"peak_by_source":{"127.0.0.1":1},"peak_by_listener":{"ADDR":1},"accepted":1,"refused":0,"refused_by_reason":{},` +
		`"open_by_source":{"127.0.0.1":1},"open_by_listener":{"ADDR":1},"accepted_by_source":{"127.0.0.1":1},"accepted_by_listener":{"ADDR":1}},` +
		`"messages":{"accepted":1,"refused":0,"distinct":1},"recipients":{"accepted":1,"refused":0,"by_domain":{"one.test":1}},"violations":0,"seed":7}` + "\n"
	if want = strings.ReplaceAll(want, "ADDR", s.Addr()); code != 200 || body != want {
		t.Errorf("status %d\n got %s want %s", code, body, want)
	}
	if code, _ := get(http.MethodPost); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", code)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{
		{MaxConnections: -1},
		{MaxConnectionsPerIP: -1},
		{Over: "shout"},
		{Latency: -1},
		{Think: -1},
		{IDHeader: "a:b"},
		{Hostname: "a b"},
		{Faults: []Fault{{"no-such", 0.5}}},
		{Faults: []Fault{{Dot4xx, 2}}},
		{Faults: []Fault{{Dot4xx, 0.1}, {Dot4xx, 0.1}}},
		{Listen: []string{"127.0.0.1:0", "nonsense"}},
		{Status: "nonsense"},
		{Ledger: "/nowhere/at/all"},
	} {
		if s, err := Start(o); err == nil {
			_ = s.Close()
			t.Errorf("Start(%+v): want an error", o)
		}
	}
	if s := start(t, SandboxOptions()); s.Seed() == 0 {
		t.Error("no seed was chosen")
	}
}

func TestCloseEndsEverything(t *testing.T) {
	s, err := Start(Options{Latency: time.Hour, Faults: []Fault{{StallMail, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, s.Addr()) // its greeting is under way for half an hour
	plain, err := Start(Options{Faults: []Fault{{StallEHLO, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, plain.Addr())
	p.want("220")
	p.send("EHLO x")
	if err := errors.Join(s.Close(), plain.Close(), plain.Close()); err != nil {
		t.Error(err)
	}
	c.ended()
	p.ended()
	if r := plain.Report(); r.Connections.Accepted != 1 || r.Connections.Open != 0 {
		t.Errorf("report after close %+v", r)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
