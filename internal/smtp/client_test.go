package smtp

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

// memoryContent is content in memory; diskContent the same bytes behind ReadAt alone.
type memoryContent struct{ *bytes.Reader }

func (m memoryContent) Bytes() []byte {
	b := make([]byte, m.Reader.Size())
	_, _ = m.ReadAt(b, 0)
	return b
}

type diskContent struct{ *bytes.Reader }

func (diskContent) Bytes() []byte { return nil }

func inMemory(s string) ClientContent { return memoryContent{bytes.NewReader([]byte(s))} }
func onDisk(s string) ClientContent   { return diskContent{bytes.NewReader([]byte(s))} }

func address(s string) mail.Address {
	local, domain, _ := strings.Cut(s, "@")
	return mail.Address{Local: local, Domain: domain}
}

// transaction is a message from sender@a.test to the given recipients.
func transaction(content ClientContent, to ...string) *Transaction {
	env := &mail.Envelope{Sender: address("sender@a.test")}
	tx := &Transaction{Envelope: env, Content: content}
	for i, r := range to {
		a := address(r)
		domain, _ := mail.CanonicalDomain(a.Domain)
		env.Recipients = append(env.Recipients, mail.Recipient{Address: a, Domain: domain})
		tx.Recipients = append(tx.Recipients, i)
	}
	return tx
}

// patient is for receivers that answer.
var patient = ClientTimeouts{
	Greeting: 5 * time.Second, EHLO: 5 * time.Second, TLS: 5 * time.Second, Mail: 5 * time.Second, Rcpt: 5 * time.Second,
	Data: 5 * time.Second, DataBlock: 5 * time.Second, Body: 5 * time.Second, Rset: 5 * time.Second, Quit: 5 * time.Second,
}

func dialScript(t *testing.T, script string, timeouts ClientTimeouts) *Client {
	t.Helper()
	conn, err := net.Dial("tcp", smtptest.Serve(t, script).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(conn, timeouts)
}

// open brings a session to EHLO.
func openScript(t *testing.T, script string, timeouts ClientTimeouts) *Client {
	t.Helper()
	c := dialScript(t, script, timeouts)
	if rep, err := c.Greeting(); err != nil || rep.Code != 220 {
		t.Fatalf("greeting: %v %v", rep, err)
	}
	if rep, err := c.Hello("me.test"); err != nil || rep.Code != 250 {
		t.Fatalf("hello: %v %v", rep, err)
	}
	return c
}

const pipelining = `
	S: 220 mx.test
	C: EHLO me.test
	S: 250-mx.test
	S: 250-PIPELINING
	S: 250 SIZE 1000
`

const plain = `
	S: 220 mx.test
	C: EHLO me.test
	S: 250 mx.test
`

func codes(tx *Transaction) string {
	var b strings.Builder
	for _, r := range tx.Results {
		b.WriteString(r.Reply.String() + "|" + r.Reply.Stage.String() + "\n")
	}
	return b.String()
}

func TestClientTransactions(t *testing.T) {
	const content = "Subject: x\r\n\r\nhello\r\n"
	tests := []struct {
		name    string
		script  string
		to      []string
		want    string // of codes
		content string
	}{
		{
			name: "pipelined", to: []string{"x@b.test", "y@b.test"},
			script: pipelining + `
				C: MAIL FROM:<sender@a.test> SIZE=21
				C: RCPT TO:<x@b.test>
				C: RCPT TO:<y@b.test>
				C: DATA
				S: 250 2.1.0 ok
				S: 250 2.1.5 ok
				S: 550 5.1.1 who?
				S: 354 go
				C: Subject: x
				C:
				C: hello
				C: .
				S: 250 2.0.0 queued as 1
				C: QUIT
				S: 221 bye
				close`,
			want: "250 2.0.0 queued as 1|dot\n550 5.1.1 who?|rcpt\n",
		},
		{
			name: "one by one, with HELO", to: []string{"x@b.test"},
			script: `
				S: 220 mx.test
				C: EHLO me.test
				S: 502 what?
				C: HELO me.test
				S: 250 mx.test
				C: MAIL FROM:<sender@a.test>
				S: 250 ok
				C: RCPT TO:<x@b.test>
				S: 250 ok
				C: DATA
				S: 354 go
				C- Subject: x\r\n\r\nhello\r\n.\r\n
				S: 451 4.7.1 later
				C: QUIT
				S: 221 bye
				close`,
			want: "451 4.7.1 later|dot\n",
		},
		{
			name: "dots", to: []string{"x@b.test"}, content: ".\r\n.a\r\nb.\r\n..\r\nc",
			script: pipelining + `
				C: MAIL FROM:<sender@a.test> SIZE=16
				C: RCPT TO:<x@b.test>
				C: DATA
				S: 250 ok
				S: 250 ok
				S: 354 go
				C- ..\r\n..a\r\nb.\r\n...\r\nc\r\n.\r\n
				S: 250 ok
				C: QUIT
				S: 221 bye
				close`,
			want: "250 ok|dot\n",
		},
		{
			name: "MAIL refused, everything answered", to: []string{"x@b.test"},
			script: pipelining + `
				C: MAIL FROM:<sender@a.test> SIZE=21
				C: RCPT TO:<x@b.test>
				C: DATA
				S: 550 5.7.1 not you
				S: 503 5.5.1 MAIL first
				S: 503 5.5.1 MAIL first
				C: QUIT
				S: 221 bye
				close`,
			want: "550 5.7.1 not you|mail\n",
		},
		{
			name: "nobody accepted, and 354 to nobody", to: []string{"x@b.test", "y@b.test"},
			script: pipelining + `
				C: MAIL FROM:<sender@a.test> SIZE=21
				C: RCPT TO:<x@b.test>
				C: RCPT TO:<y@b.test>
				C: DATA
				S: 250 ok
				S: 550 no
				S: 450 not now
				S: 354 go
				C: .
				S: 554 no valid recipients
				C: QUIT
				S: 221 bye
				close`,
			want: "550 no|rcpt\n450 not now|rcpt\n",
		},
		{
			name: "one by one, nobody accepted: no DATA", to: []string{"x@b.test"},
			script: plain + `
				C: MAIL FROM:<sender@a.test>
				S: 250 ok
				C: RCPT TO:<x@b.test>
				S: 550 no
				C: QUIT
				S: 221 bye
				close`,
			want: "550 no|rcpt\n",
		},
		{
			name: "DATA refused", to: []string{"x@b.test"},
			script: plain + `
				C: MAIL FROM:<sender@a.test>
				S: 250 ok
				C: RCPT TO:<x@b.test>
				S: 250 ok
				C: DATA
				S: 451 4.3.0 sorry
				C: QUIT
				S: 221 bye
				close`,
			want: "451 4.3.0 sorry|data\n",
		},
		{
			name: "too large", to: []string{"x@b.test"}, content: strings.Repeat("x", 1001) + "\r\n",
			script: pipelining + `
				C: QUIT
				S: 221 bye
				close`,
			want: "5.3.4 the message has 1003 octets, the receiver takes 1000|mail\n",
		},
		{
			name: "bare LF", to: []string{"x@b.test"}, content: "a\r\nb\nc\r\n",
			script: plain + `
				C: QUIT
				S: 221 bye
				close`,
			want: "5.6.0 the message has a bare CR or LF and cannot be sent|mail\n",
		},
		{
			name: "control characters in an address", to: []string{"x\r\nRSET@b.test", "y@b.test"},
			script: plain + `
				C: MAIL FROM:<sender@a.test>
				S: 250 ok
				C: RCPT TO:<y@b.test>
				S: 250 ok
				C: DATA
				S: 354 go
				C- Subject: x\r\n\r\nhello\r\n.\r\n
				S: 250 ok
				C: QUIT
				S: 221 bye
				close`,
			want: "5.1.3 the address cannot be sent: it is too long or malformed|rcpt\n250 ok|dot\n",
		},
		{
			name: "IDN without SMTPUTF8", to: []string{"x@bücher.test", "ü@b.test"},
			script: plain + `
				C: MAIL FROM:<sender@a.test>
				S: 250 ok
				C: RCPT TO:<x@xn--bcher-kva.test>
				S: 250 ok
				C: DATA
				S: 354 go
				C- Subject: x\r\n\r\nhello\r\n.\r\n
				S: 250 ok
				C: QUIT
				S: 221 bye
				close`,
			want: "250 ok|dot\n5.6.7 the address needs SMTPUTF8, which the receiver does not offer|rcpt\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := openScript(t, tt.script, patient)
			text := tt.content
			if text == "" {
				text = content
			}
			tx := transaction(inMemory(text), tt.to...)
			if err := c.Transact(tx); err != nil {
				t.Errorf("session: %v", err)
			}
			if got := codes(tx); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			c.Close(true)
		})
	}
}

func TestClientParameters(t *testing.T) {
	c := openScript(t, `
		S: 220 mx.test
		C: EHLO me.test
		S: 250-mx.test
		S: 250-8bitmime
		S: 250-SMTPUTF8
		S: 250-DSN
		S: 250-AUTH PLAIN LOGIN
		S: 250-LIMITS RCPTMAX=10
		S: 250 SIZE
		C: MAIL FROM:<sender@a.test> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2B2B+20c
		S: 250 ok
		C: RCPT TO:<ü@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@b.test
		S: 251 will forward
		C: RCPT TO:<y@b.test> NOTIFY=NEVER
		S: 250 ok
		C: DATA
		S: 354 go
		C- \xC3\xBC: \xC3\xBC\r\n\r\n.\r\n
		S: 250 ok
		C: QUIT
		S: 221 bye
		close`, patient)
	x := c.Extensions()
	if !x.EightBit || !x.SMTPUTF8 || !x.DSN || !x.SizeKnown || x.Size != 0 || x.Auth != "PLAIN LOGIN" || x.Limits != (Limits{Rcpt: 10}) || x.Pipelining {
		t.Errorf("extensions: %+v", x)
	}
	tx := transaction(inMemory("ü: ü\r\n\r\n"), "ü@b.test", "y@b.test")
	e := tx.Envelope
	e.EightBit, e.SMTPUTF8, e.Ret, e.EnvID = true, true, mail.RetHeaders, "a+2B c"
	e.Recipients[0].Notify = mail.NotifySuccess | mail.NotifyDelay
	e.Recipients[0].ORcpt = "rfc822;x+2By@b.test"
	e.Recipients[1].Notify = mail.NotifyNever
	if err := c.Transact(tx); err != nil {
		t.Error(err)
	}
	if got := codes(tx); got != "250 ok|dot\n250 ok|dot\n" {
		t.Errorf("got %q", got)
	}
	c.Close(true)
}

func TestAddressesThatWouldBreakACommand(t *testing.T) {
	for local, want := range map[string]bool{
		"x": true, "x+y": true, `"a b"`: true, `"a>b\"c"`: true, `""`: true, "ü": true, "": true,
		"a b": false, "x> NOTIFY=NEVER": false, "a<b": false, `"a`: false, `"a\"`: false, `"a"> X="b"`: false, `a"b`: false, "a\nb": false, "a\x00": false,
		strings.Repeat("x", maxParameter): false,
	} {
		if got := sendable(mail.Address{Local: local, Domain: "b.test"}); got != want {
			t.Errorf("%q: got %t", local, got)
		}
	}
	for _, domain := range []string{"b.test> X", "b test", "b\r\n", "<b", `"b"`} {
		if sendable(mail.Address{Local: "x", Domain: domain}) {
			t.Errorf("domain %q can be sent", domain)
		}
	}
	if !sendable(mail.Address{Local: "x", Domain: "[IPv6:::1]"}) {
		t.Error("an address literal cannot be sent")
	}
}

func TestClientWithoutWhatTheMessageNeeds(t *testing.T) {
	tests := []struct {
		name, content, want string
		change              func(*mail.Envelope)
	}{
		{"8-bit", "a: b\r\n\r\nü\r\n", "5.6.3", func(e *mail.Envelope) { e.EightBit = true }},
		{"8-bit declared, 7-bit after all", "a: b\r\n\r\nu\r\n", "250", func(e *mail.Envelope) { e.EightBit = true }},
		{"UTF-8 header", "a: ü\r\n\r\nu\r\n", "5.6.7", func(e *mail.Envelope) { e.SMTPUTF8 = true }},
		{"UTF-8 body alone", "a: u\r\n\r\nü\r\n", "250", func(e *mail.Envelope) { e.SMTPUTF8 = true }},
		{"UTF-8 sender", "a: u\r\n\r\nu\r\n", "5.6.7", func(e *mail.Envelope) { e.Sender.Local = "ü" }},
	}
	const taken = plain + `
		C: MAIL FROM:<sender@a.test>
		S: 250 ok
		C: RCPT TO:<x@b.test>
		S: 250 ok
		C: DATA
		S: 354 go
		C: a: u
		C:
		C: *
		C: .
		S: 250 ok
	`
	for _, tt := range tests {
		for _, content := range []ClientContent{inMemory(tt.content), onDisk(tt.content)} {
			t.Run(tt.name, func(t *testing.T) {
				script := plain
				if tt.want == "250" {
					script = strings.Replace(taken, "a: u", tt.content[:4], 1)
				}
				c := openScript(t, script+"\nclose", patient)
				tx := transaction(content, "x@b.test")
				tt.change(tx.Envelope)
				if err := c.Transact(tx); err != nil {
					t.Error(err)
				}
				if got := codes(tx); !strings.HasPrefix(got, tt.want) {
					t.Errorf("got %q", got)
				}
				c.Close(false)
			})
		}
	}
}

func TestClientResetsAfterAFailedTransaction(t *testing.T) {
	for name, script := range map[string]string{
		"pipelined": pipelining + `
			C: MAIL FROM:<sender@a.test> SIZE=3
			C: RCPT TO:<x@b.test>
			C: DATA
			S: 250 ok
			S: 550 no
			S: 503 nobody
			C: RSET
			C: MAIL FROM:<sender@a.test> SIZE=3
			C: RCPT TO:<x@b.test>
			C: DATA
			S: 250 reset
			S: 250 ok
			S: 250 ok
			S: 354 go
			C: a
			C: .
			S: 250 ok
			C: MAIL FROM:<sender@a.test> SIZE=3
			C: RCPT TO:<x@b.test>
			C: DATA
			S: 250 ok
			S: 550 no
			S: 503 nobody
			C: QUIT
			S: 221 bye
			close`,
		"one by one": plain + `
			C: MAIL FROM:<sender@a.test>
			S: 250 ok
			C: RCPT TO:<x@b.test>
			S: 550 no
			C: RSET
			S: 250 reset
			C: MAIL FROM:<sender@a.test>
			S: 250 ok
			C: RCPT TO:<x@b.test>
			S: 250 ok
			C: DATA
			S: 354 go
			C: a
			C: .
			S: 250 ok
			C: MAIL FROM:<sender@a.test>
			S: 250 ok
			C: RCPT TO:<x@b.test>
			S: 550 no
			C: QUIT
			S: 221 bye
			close`,
	} {
		t.Run(name, func(t *testing.T) {
			c := openScript(t, script, patient)
			tx := transaction(inMemory("a\r\n"), "x@b.test")
			for i, want := range []string{"550 no|rcpt\n", "250 ok|dot\n", "550 no|rcpt\n"} {
				if err := c.Transact(tx); err != nil {
					t.Fatal(err)
				}
				if got := codes(tx); got != want {
					t.Errorf("transaction %d: got %q, want %q", i+1, got, want)
				}
			}
			c.Close(true)
		})
	}
}
