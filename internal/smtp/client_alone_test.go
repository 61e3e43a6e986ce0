package smtp

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// alone are the steps that can be slow, as marks in the conversations below.
var alone = map[string]func(*ClientTimeouts) *time.Duration{
	"@greeting": func(c *ClientTimeouts) *time.Duration { return &c.Greeting },
	"@ehlo":     func(c *ClientTimeouts) *time.Duration { return &c.EHLO },
	"@tls":      func(c *ClientTimeouts) *time.Duration { return &c.TLS },
	"@mail":     func(c *ClientTimeouts) *time.Duration { return &c.Mail },
	"@rcpt":     func(c *ClientTimeouts) *time.Duration { return &c.Rcpt },
	"@data":     func(c *ClientTimeouts) *time.Duration { return &c.Data },
	"@block":    func(c *ClientTimeouts) *time.Duration { return &c.DataBlock },
	"@body":     func(c *ClientTimeouts) *time.Duration { return &c.Body },
	"@rset":     func(c *ClientTimeouts) *time.Duration { return &c.Rset },
	"@quit":     func(c *ClientTimeouts) *time.Duration { return &c.Quit },
}

// TestNoOtherTimeoutFires: a receiver that takes longer at one step than any other step may
// take, but not longer than this one may, does not end the session.
func TestNoOtherTimeoutFires(t *testing.T) {
	const (
		inClear = `
			@greeting
			S: 220 hi
			C: EHLO *
			@ehlo
			S: 250 hi
			C: MAIL*
			@mail
			S: 250 ok
			C: RCPT*
			@rcpt
			S: 250 ok
			C: DATA
			@data
			S: 354 go
			@block
			content
			@body
			S: 250 ok
			C: MAIL*
			S: 550 no
			C: RSET
			@rset
			S: 250 ok
			C: MAIL*
			S: 550 no
			C: QUIT
			@quit
			S: 221 bye
			close!
		`
		encrypted = `
			S: 220 hi
			C: EHLO *
			S: 250-hi
			S: 250 STARTTLS
			C: STARTTLS
			@tls
			S: 220 go
			@tls
			tls
			obey
		`
		pause = 4 * time.Second // more than soon
	)
	for step, field := range alone {
		t.Run(step[1:], func(t *testing.T) {
			script := inClear
			if step == "@tls" {
				script = encrypted
			}
			script = strings.ReplaceAll(script, step, "wait "+pause.String())
			for other := range alone {
				script = strings.ReplaceAll(script, other, "")
			}
			synctest.Test(t, func(t *testing.T) {
				var timeouts ClientTimeouts
				for _, f := range alone {
					*f(&timeouts) = soon
				}
				*field(&timeouts) = time.Hour
				c, played := piped(t, script, timeouts)
				begun := time.Now()
				aloneSession(t, c, step == "@tls")
				c.Close(step != "@tls") // over a pipe two ends of TLS cannot say good-bye at once
				if d := time.Since(begun); d < pause || d > 3*pause {
					t.Errorf("it took %v", d)
				}
				played()
			})
		})
	}
}

func aloneSession(t *testing.T, c *Client, encrypt bool) {
	t.Helper()
	if _, err := c.Greeting(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello("me.test"); err != nil {
		t.Fatal(err)
	}
	if encrypt {
		if _, err := c.StartTLS(opportunistic(t)); err != nil {
			t.Error(err)
		}
		return
	}
	tx := transaction(inMemory(strings.Repeat("a line\r\n", 100)), "x@b.test")
	for i, want := range []string{"250 ok|dot\n", "550 no|mail\n", "550 no|mail\n"} {
		if err := c.Transact(tx); err != nil || codes(tx) != want {
			t.Errorf("transaction %d: %q, %v", i+1, codes(tx), err)
		}
	}
}

// TestSlowReaderMakesProgress: the content may take as long as it likes as long as each
// block goes in time.
func TestSlowReaderMakesProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeouts := never()
		timeouts.DataBlock = soon
		blocks := strings.Repeat("C- "+strings.Repeat("x", 76)+`\r\n`+"\n", clientBlock/78)
		script := plain + "C: MAIL*\nS: 250 ok\nC: RCPT*\nS: 250 ok\nC: DATA\nS: 354 go\n" +
			strings.Repeat("wait 2s\n"+blocks, 5) + "content\nS: 250 ok\nclose"
		c, played := piped(t, script, timeouts)
		_, _ = c.Greeting()
		_, _ = c.Hello("me.test")
		begun := time.Now()
		tx := transaction(inMemory(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 5*clientBlock/78+10)), "x@b.test")
		if err := c.Transact(tx); err != nil || codes(tx) != "250 ok|dot\n" {
			t.Errorf("%q, %v", codes(tx), err)
		}
		if d := time.Since(begun); d < 10*time.Second {
			t.Errorf("it took %v", d)
		}
		c.Close(false)
		played()
	})
}
