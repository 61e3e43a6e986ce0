package smtptest

import (
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const script = `
# both sides of one conversation
S: 220 ready
C: EHLO a
S: 250-x
S: 250-y
S: 250 z
C- octets \x41\t\\\r\n
S: 250 got it \0
C: QUIT
S: 221 bye
close
`

func TestBothSidesKeepToTheScript(t *testing.T) {
	r := Serve(t, strings.ReplaceAll(script, "\nclose", "\nclose!"), "S: 554 once only\nclose!")
	loose := strings.ReplaceAll(strings.ReplaceAll(script, "S: 250-x\nS: 250-y", "S: 250-**"), "221 bye", "221 *")
	Play(t, Connect(t, r.Addr()), loose)
	Play(t, Connect(t, r.Addr()), "S: 554*\nclose")
	Play(t, Connect(t, r.Addr()), "S: 554 once only\nclose")
	if err := r.Close(); err != nil || r.Connections() != 3 {
		t.Error(err, r.Connections())
	}
}

func TestWhoDoesNotKeepToIt(t *testing.T) {
	for _, c := range []struct{ client, server, err string }{
		{"S: 220 b", "S: 220 a", `script line 1: S: 220 b: got "220 a"`},
		{"S: 220 b", "close!", "EOF"},
		{"S: 220 b", `S- 220 b\n`, "without CRLF"},
		{"close", "S: 421", `got "421\r\n"`},
		{"S- abc", "S- abd", `got "abd"`},
		{"X: what", "close!", "begins with"},
		{`C: \q`, "close!", `\q`},
		{`C: \x4`, "close!", "hexadecimal"},
		{`C: \`, "close!", "at the end"},
	} {
		ours, theirs := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- Run(theirs, 'S', c.server, nil)
			_ = theirs.Close()
		}()
		err := Run(ours, 'C', c.client, nil)
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q against %q: %v", c.client, c.server, err)
		}
		_ = ours.Close()
		<-done
	}
}

func TestReceiverTellsOfStrayClients(t *testing.T) {
	r := Serve(t, "S: 220 a\nC: EHLO b\nS: 250 c")
	c := Connect(t, r.Addr())
	Play(t, c, "S: 220*\nC: HELO b\nclose")
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), `connection 1: script line 2: C: EHLO b: got "HELO b"`) {
		t.Error(err)
	}
}
