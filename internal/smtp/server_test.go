package smtp

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// message is what a testSession took.
type message struct {
	from    mail.Address
	mail    MailParams
	rcpts   []mail.Address
	params  []RcptParams
	content string
}

// testHandler keeps what it accepts, and answers by the local part of the address:
// "refuse" gets 550, "later" 451.
type testHandler struct {
	mu       sync.Mutex
	messages []message
	resets   int
	greeting mail.Reply
	logins   map[string]string
	noData   mail.Reply
	early    bool // answer without reading the content
}

type testSession struct {
	h *testHandler
	c *ServerConn
	m message
}

func (h *testHandler) NewSession(c *ServerConn) (Session, mail.Reply) {
	s := &testSession{h: h, c: c}
	if h.logins != nil {
		return loginSession{s}, h.greeting
	}
	return s, h.greeting
}

func judge(a mail.Address) mail.Reply {
	switch a.Local {
	case "refuse":
		return mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "refused"}
	case "later":
		return mail.Reply{Code: 451, Enhanced: "4.3.0", Text: "later"}
	}
	return mail.Reply{}
}

func (s *testSession) Mail(from mail.Address, p *MailParams) mail.Reply {
	s.m = message{from: from, mail: *p}
	return judge(from)
}

func (s *testSession) Rcpt(to mail.Address, p *RcptParams) mail.Reply {
	r := judge(to)
	if r.Code == 0 {
		s.m.rcpts = append(s.m.rcpts, to)
		s.m.params = append(s.m.params, *p)
	}
	return r
}

func (s *testSession) BeforeData() mail.Reply { return s.h.noData }

func (s *testSession) Data(content *Content) mail.Reply {
	if s.h.early {
		return mail.Reply{Code: 452, Enhanced: "4.3.1", Text: "no room"}
	}
	var b strings.Builder
	if _, err := content.WriteTo(&b); err != nil {
		return mail.Reply{Code: 250, Text: "the server must not send this"}
	}
	s.m.content = b.String()
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.h.messages = append(s.h.messages, s.m)
	return mail.Reply{}
}

func (s *testSession) Reset() {
	s.h.mu.Lock()
	s.h.resets++
	s.h.mu.Unlock()
}
func (s *testSession) Close() {}

type loginSession struct{ *testSession }

func (s loginSession) Auth(user, password string) mail.Reply {
	if s.h.logins[user] == password && password != "" {
		return mail.Reply{}
	}
	return mail.Reply{Code: 535, Enhanced: "5.7.8", Text: "wrong"}
}

func (h *testHandler) taken() []message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.messages
}

// start runs a server until the end of the test.
func start(t testing.TB, cfg ServerConfig, h Handler) (*Server, net.Addr) {
	t.Helper()
	if cfg.Hostname == "" {
		cfg.Hostname = "mx.test"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(cfg, h)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr()
}

// hello is the beginning of most scripts.
const hello = `
S: 220 mx.test ESMTP sluice
C: EHLO client.test
S: 250-mx.test
S: 250-**
S: 250 ENHANCEDSTATUSCODES
`

func TestOneMessage(t *testing.T) {
	h := &testHandler{}
	_, addr := start(t, ServerConfig{}, h)
	smtptest.Play(t, smtptest.Connect(t, addr), hello+`
C: MAIL FROM:<a@one.test> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=QQ+2B
S: 250 2.1.0 sender ok
C: RCPT TO:<b@two.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@two.test
S: 250 2.1.5 recipient ok
C: RCPT TO:<refuse@two.test>
S: 550 5.1.1 refused
C: DATA
S: 354 end data with <CRLF>.<CRLF>
C: Subject: x\r\n\r\n..stuffed\r\nbody\r\n.
S: 250 2.0.0 Ok
C: QUIT
S: 221 2.0.0 mx.test closing
close`)
	got := h.taken()
	if len(got) != 1 || got[0].content != "Subject: x\r\n\r\n.stuffed\r\nbody\r\n" || len(got[0].rcpts) != 1 {
		t.Fatalf("taken %+v", got)
	}
	if p := got[0].mail; p.Size != 100 || !p.EightBit || p.Ret != mail.RetHeaders || p.EnvID != "QQ+" {
		t.Errorf("MAIL parameters %+v", p)
	}
	if p := got[0].params[0]; p.Notify != mail.NotifySuccess|mail.NotifyDelay || p.ORcpt != "rfc822;b@two.test" {
		t.Errorf("RCPT parameters %+v", p)
	}
}

func TestPipelining(t *testing.T) {
	h := &testHandler{}
	_, addr := start(t, ServerConfig{}, h)
	c := smtptest.Connect(t, addr)
	var b strings.Builder
	b.WriteString("EHLO c\r\n")
	for range 200 {
		b.WriteString("MAIL FROM:<a@one.test>\r\nRCPT TO:<b@two.test>\r\nDATA\r\nA: b\r\n\r\nx\r\n.\r\n")
	}
	b.WriteString("QUIT\r\n")
	go func() { _, _ = io.WriteString(c, b.String()) }()
	all, err := io.ReadAll(c)
	if err != nil || strings.Count(string(all), "250 2.0.0 Ok\r\n") != 200 || len(h.taken()) != 200 {
		t.Fatalf("%v, %d messages, %.300q", err, len(h.taken()), all)
	}
}

func TestChunks(t *testing.T) {
	h := &testHandler{}
	_, addr := start(t, ServerConfig{}, h)
	smtptest.Play(t, smtptest.Connect(t, addr), hello+`
C: MAIL FROM:<>\r\nRCPT TO:<b@two.test>
S: 250 2.1.0 sender ok
S: 250 2.1.5 recipient ok
C- BDAT 5\r\nA: b\rBDAT 6\r\n\n\r\n.\r\nBDAT 0\r\n
S: 250 2.0.0 4 octets received
S: 250 2.0.0 11 octets received
S: 250 2.0.0 11 octets received
C: NOOP\r\nMAIL FROM:<x@y.test>
S: 250 2.0.0 Ok
S: 503 5.5.1 bad sequence of commands
C- BDAT 3 LAST\r\nend
S: 250 2.0.0 Ok
C- BDAT 3 LAST\r\nend
S: 503 5.5.1 MAIL first
`)
	if got := h.taken(); len(got) != 1 || got[0].content != "A: b\r\n\r\n.\r\nend\r\n" || !got[0].from.IsNull() {
		t.Fatalf("taken %+v", got)
	}
}

func TestShutdown(t *testing.T) {
	h := &testHandler{}
	s, addr := start(t, ServerConfig{}, h)
	idle, busy := smtptest.Connect(t, addr), smtptest.Connect(t, addr)
	smtptest.Play(t, idle, hello)
	smtptest.Play(t, busy, hello+"C: MAIL FROM:<a@one.test>\\r\\nRCPT TO:<b@two.test>\\r\\nDATA\nS: 250*\nS: 250*\nS: 354*")
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		done <- s.Shutdown(ctx)
	}()
	smtptest.Play(t, idle, "S: 421 4.3.2 mx.test is shutting down\nclose")
	smtptest.Play(t, busy, `C: A: b\r\n.
S: 250 2.0.0 Ok
S: 421 4.3.2 mx.test is shutting down
close`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestLastWordsArrive: the reply that ends a session is seen although the client has
// sent much that nobody reads.
func TestLastWordsArrive(t *testing.T) {
	_, addr := start(t, ServerConfig{MaxErrors: 2}, &testHandler{})
	c := smtptest.Connect(t, addr)
	junk := strings.Repeat("JUNK\r\n", 20000)
	go func() { _, _ = io.WriteString(c, junk) }()
	all, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(all), "421 4.7.0 mx.test too many errors\r\n") {
		t.Errorf("%v, %.300q", err, all)
	}
}

// TestAsSmtplibSpeaks is what Python's smtplib writes.
func TestAsSmtplibSpeaks(t *testing.T) {
	h := &testHandler{logins: map[string]string{"u": "p"}}
	_, addr := start(t, ServerConfig{Auth: true}, h)
	smtptest.Play(t, smtptest.Connect(t, addr), `
S: 220 mx.test ESMTP sluice
C: ehlo [127.0.0.1]
S: 250-**
S: 250 ENH*
C: AUTH PLAIN AHUAcA==
S: 235*
C: mail FROM:<a@one.test> size=20 BODY=8BITMIME SMTPUTF8
S: 250*
C: rcpt TO:<b@two.test>
S: 250*
C: data
S: 354*
C: A: b\r\n\r\n..\r\n.
S: 250*
C: rset
S: 250*
C: quit
S: 221*
close`)
	if got := h.taken(); len(got) != 1 || got[0].content != "A: b\r\n\r\n.\r\n" {
		t.Errorf("taken %+v", got)
	}
}
