package smtp

import (
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

const soon = 3 * time.Second // of virtual time

// never is far beyond the patience of a receiver that plays a script.
func never() ClientTimeouts {
	const d = time.Hour
	return ClientTimeouts{Greeting: d, EHLO: d, TLS: d, Mail: d, Rcpt: d, Data: d, DataBlock: d, Body: d, Rset: d, Quit: d}
}

// session goes through everything a session has, until something fails.
func session(t testing.TB, c *Client) error {
	if _, err := c.Greeting(); err != nil {
		return err
	}
	if _, err := c.Hello("me.test"); err != nil {
		return err
	}
	if c.Extensions().StartTLS {
		if _, err := c.StartTLS(opportunistic(t)); err != nil {
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
			synctest.Test(t, func(t *testing.T) {
				timeouts := never()
				*tt.field(&timeouts) = soon
				c, played := piped(t, tt.script+"\nclose", timeouts)
				begun := time.Now()
				checkStall(t, session(t, c), tt.stage)
				if d := time.Since(begun); d != soon {
					t.Errorf("it took %v", d)
				}
				c.Close(true)
				if d := time.Since(begun); d != soon+maxLinger { // the receiver never closes by itself
					t.Errorf("with the close it took %v", d)
				}
				played()
			})
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

// piped plays a script over a pipe, in a bubble of virtual time. A pipe takes nothing
// that is not read. played waits for the script to end, and fails the test by it.
func piped(t *testing.T, script string, timeouts ClientTimeouts) (c *Client, played func()) {
	here, there := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- smtptest.Run(there, 'S', script, nil) }()
	return NewClient(here, timeouts), func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = there.Close()
	}
}

func TestClientHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeouts := never()
		timeouts.TLS = soon
		c, played := piped(t, "S: 220 hi\nC: EHLO me.test\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go", timeouts)
		begun := time.Now()
		checkStall(t, session(t, c), mail.StageTLS)
		if d := time.Since(begun); d != soon {
			t.Errorf("it took %v", d)
		}
		played()
		c.Close(true)
	})
}

func TestClientDataBlockTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeouts := never()
		timeouts.DataBlock = soon
		c, played := piped(t, pipelining+"C: MAIL FROM:<sender@a.test> SIZE=1000\nC: RCPT TO:<x@b.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go", timeouts)
		_, _ = c.Greeting()
		_, _ = c.Hello("me.test")
		tx := transaction(inMemory(strings.Repeat("x", 998)+"\r\n"), "x@b.test")
		checkStall(t, c.Transact(tx), mail.StageBody)
		if got := codes(tx); !strings.HasPrefix(got, "4.4.2 timed out sending the content") {
			t.Errorf("got %q", got)
		}
		played()
		c.Close(true)
	})
}

// TestClientDrip: an octet now and then does not put the deadline of a reply off.
func TestClientDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := there.Write([]byte{'2'}); err != nil {
					return
				}
				time.Sleep(soon / 10)
			}
		}()
		timeouts := never()
		timeouts.Greeting = soon
		c := NewClient(here, timeouts)
		begun := time.Now()
		_, err := c.Greeting()
		checkStall(t, err, mail.StageGreeting)
		if d := time.Since(begun); d != soon {
			t.Errorf("it took %v", d)
		}
		c.Close(true)
		<-done
	})
}

func TestClientQuitTimeout(t *testing.T) {
	tests := []struct {
		name, script string
		quit, took   time.Duration
	}{
		{"no reply", "C: QUIT\nclose", soon, soon},
		{"half a reply", "C: QUIT\nS- 221-\nclose", soon, soon},
		{"no end of stream", "C: QUIT\nS: 221 bye\nclose", soon, soon},
		{"five seconds at most", "C: QUIT\nS: 221 bye\nclose", time.Hour, 5 * time.Second},
		{"it closes", "C: QUIT\nS: 221 bye\nclose!", time.Hour, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				timeouts := never()
				timeouts.Quit = tt.quit
				c, played := piped(t, plain+tt.script, timeouts)
				_, _ = c.Greeting()
				_, _ = c.Hello("me.test")
				begun := time.Now()
				c.Close(true)
				if d := time.Since(begun); d != tt.took {
					t.Errorf("it took %v, want %v", d, tt.took)
				}
				played()
			})
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
			synctest.Test(t, func(t *testing.T) {
				c, played := piped(t, script, never())
				time.AfterFunc(soon, c.Abort)
				var se *SessionError
				if err := session(t, c); !errors.As(err, &se) || se.Kind != EndAborted {
					t.Errorf("got %v", err)
				}
				c.Close(true)
				c.Abort() // too late: does nothing
				played()
			})
		})
	}
}

func TestClientIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, played := piped(t, plain+"S- 42\nclose", never())
		_, _ = c.Greeting()
		_, _ = c.Hello("me.test")
		c.Wake()
		if err := c.Idle(); err != nil { // woken before it began
			t.Error(err)
		}
		begun := time.Now()
		time.AfterFunc(soon, c.Wake)
		if err := c.Idle(); err != nil || time.Since(begun) != soon {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
		// Half a reply has come meanwhile: nothing can be asked any more.
		var se *SessionError
		tx := transaction(inMemory("a\r\n"), "x@b.test")
		if err := c.Transact(tx); !errors.As(err, &se) || se.Kind != EndTimeout || tx.Sent {
			t.Errorf("got %v", err)
		}
		c.Close(true)
		played()
	})
}
