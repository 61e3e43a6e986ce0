package smtp

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

const soon = 20 * time.Millisecond

// never is so long that a test which waits for it fails by its receiver's patience.
func never() ClientTimeouts {
	const d = time.Hour
	return ClientTimeouts{Greeting: d, EHLO: d, TLS: d, Mail: d, Rcpt: d, Data: d, DataBlock: d, Body: d, Rset: d, Quit: d}
}

// session goes through everything a session has, until something fails.
func session(c *Client) error {
	if _, err := c.Greeting(); err != nil {
		return err
	}
	if _, err := c.Hello("me.test"); err != nil {
		return err
	}
	if c.Extensions().StartTLS {
		if _, err := c.StartTLS(NewClientTLS(nil).Config("mx.test", ClientVerifyNone)); err != nil {
			return err
		}
	}
	tx := transaction(inMemory("a\r\n"), "x@b.test", "y@b.test")
	if err := c.Transact(tx); err != nil {
		return err
	}
	return c.Transact(tx)
}

// TestClientTimeouts: every step has a time-out of its own. The receiver stalls exactly
// there: it waits for our end of the stream.
func TestClientTimeouts(t *testing.T) {
	const (
		mailFrom = "\nC: MAIL FROM:<sender@a.test>\n"
		rcpts    = "\nS: 250 ok\nC: RCPT TO:<x@b.test>\nS: 250 ok\nC: RCPT TO:<y@b.test>\n"
		group    = "\nC: MAIL FROM:<sender@a.test> SIZE=3\nC: RCPT TO:<x@b.test>\nC: RCPT TO:<y@b.test>\nC: DATA\n"
		startTLS = "S: 220 hi\nC: EHLO me.test\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\n"
	)
	tests := []struct {
		name, script string
		field        func(*ClientTimeouts) *time.Duration
		stage        mail.Stage
	}{
		{"greeting", "", func(c *ClientTimeouts) *time.Duration { return &c.Greeting }, mail.StageGreeting},
		{"inside the greeting", "S: 220-hi\nS- 220 the", func(c *ClientTimeouts) *time.Duration { return &c.Greeting }, mail.StageGreeting},
		{"EHLO", "S: 220 hi\nC: EHLO me.test", func(c *ClientTimeouts) *time.Duration { return &c.EHLO }, mail.StageEHLO},
		{"HELO", "S: 220 hi\nC: EHLO me.test\nS: 500 no\nC: HELO me.test", func(c *ClientTimeouts) *time.Duration { return &c.EHLO }, mail.StageEHLO},
		{"STARTTLS", startTLS, func(c *ClientTimeouts) *time.Duration { return &c.TLS }, mail.StageSTARTTLS},
		{"MAIL", plain + mailFrom, func(c *ClientTimeouts) *time.Duration { return &c.Mail }, mail.StageMail},
		{"MAIL, pipelined", pipelining + group, func(c *ClientTimeouts) *time.Duration { return &c.Mail }, mail.StageMail},
		{"RCPT", plain + mailFrom + rcpts, func(c *ClientTimeouts) *time.Duration { return &c.Rcpt }, mail.StageRcpt},
		{"RCPT, pipelined", pipelining + group + "S: 250 ok\nS: 250 ok\nS- 25", func(c *ClientTimeouts) *time.Duration { return &c.Rcpt }, mail.StageRcpt},
		{"DATA", plain + mailFrom + rcpts + "S: 250 ok\nC: DATA", func(c *ClientTimeouts) *time.Duration { return &c.Data }, mail.StageData},
		{"DATA, pipelined", pipelining + group + "S: 250 ok\nS: 250 ok\nS: 250 ok", func(c *ClientTimeouts) *time.Duration { return &c.Data }, mail.StageData},
		{"final dot", pipelining + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: a\nC: .", func(c *ClientTimeouts) *time.Duration { return &c.Body }, mail.StageDot},
		{"RSET", plain + mailFrom + "S: 550 no\nC: RSET", func(c *ClientTimeouts) *time.Duration { return &c.Rset }, mail.StageRset},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			timeouts := never()
			*tt.field(&timeouts) = soon
			c := dialScript(t, tt.script+"\nclose", timeouts)
			checkStall(t, session(c), tt.stage)
			c.Close(true)
		})
	}
}

func checkStall(t *testing.T, err error, stage mail.Stage) {
	t.Helper()
	var se *SessionError
	if !errors.As(err, &se) || se.Kind != EndTimeout || se.Reply.Stage != stage || se.Reply.Code != 0 || se.Reply.Enhanced != "4.4.2" {
		t.Errorf("got %v, want a time-out at %v", err, stage)
	}
}

// piped plays a script over a pipe, which takes nothing that is not read, and then stalls
// until the test is over.
func piped(t *testing.T, script string, timeouts ClientTimeouts) *Client {
	here, there := net.Pipe()
	over, done := make(chan struct{}), make(chan error, 1)
	go func() {
		err := smtptest.Run(there, 'S', script, nil)
		<-over
		_ = there.Close()
		done <- err
	}()
	t.Cleanup(func() {
		close(over)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return NewClient(here, timeouts)
}

func TestClientHandshakeTimeout(t *testing.T) {
	timeouts := never()
	timeouts.TLS = soon
	c := piped(t, "S: 220 hi\nC: EHLO me.test\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go", timeouts)
	checkStall(t, session(c), mail.StageTLS)
	_ = c.raw.Close()
}

func TestClientDataBlockTimeout(t *testing.T) {
	timeouts := never()
	timeouts.DataBlock = soon
	c := piped(t, pipelining+"C: MAIL FROM:<sender@a.test> SIZE=1000\nC: RCPT TO:<x@b.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go", timeouts)
	for _, step := range []func() (mail.Reply, error){c.Greeting, func() (mail.Reply, error) { return c.Hello("me.test") }} {
		if rep, err := step(); err != nil {
			t.Fatal(rep, err)
		}
	}
	tx := transaction(inMemory(strings.Repeat("x", 998)+"\r\n"), "x@b.test")
	err := c.Transact(tx)
	checkStall(t, err, mail.StageBody)
	if got := codes(tx); !strings.HasPrefix(got, "4.4.2 timed out sending the content") {
		t.Errorf("got %q", got)
	}
	_ = c.raw.Close()
}

// TestClientDrip: an octet now and then does not put the deadline of a reply off.
func TestClientDrip(t *testing.T) {
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := there.Write([]byte{'2'}); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	timeouts := never()
	timeouts.Greeting = soon
	c := NewClient(here, timeouts)
	_, err := c.Greeting()
	checkStall(t, err, mail.StageGreeting)
	_ = here.Close()
	<-done
}

func TestClientQuitTimeout(t *testing.T) {
	timeouts := never()
	timeouts.Quit = soon
	for name, script := range map[string]string{
		"no reply":          "C: QUIT\nclose",
		"no end of stream":  "C: QUIT\nS: 221 bye\nC-\nclose",
		"not even a reader": "C: QUIT\nS- 221-",
	} {
		t.Run(name, func(t *testing.T) {
			c := openScript(t, plain+script, timeouts)
			c.Close(true)
		})
	}
}

func TestClientAbort(t *testing.T) {
	for name, script := range map[string]string{
		"greeting": "close",
		"EHLO":     "S: 220 hi\nC: EHLO me.test\nclose",
		"the dot": pipelining + "C: MAIL FROM:<sender@a.test> SIZE=3\nC: RCPT TO:<x@b.test>\nC: RCPT TO:<y@b.test>\nC: DATA\n" +
			"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: a\nC: .\nclose",
	} {
		t.Run(name, func(t *testing.T) {
			c := dialScript(t, script, never())
			timer := time.AfterFunc(soon, c.Abort)
			defer timer.Stop()
			var se *SessionError
			if err := session(c); !errors.As(err, &se) || se.Kind != EndAborted {
				t.Errorf("got %v", err)
			}
			c.Close(true)
			c.Abort() // too late: does nothing
		})
	}
}
