package smtptest

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestZooReads(t *testing.T) {
	all, err := Zoo()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if len(c.About) < 10 || c.Ends == "" {
			t.Errorf("%s: it says neither what it is nor how it ends", c.Name)
		}
	}
}

func TestConversationsThatCannotBeRead(t *testing.T) {
	const fine = "expect: delivered\nS: 220 hi\n"
	for text, want := range map[string]string{
		"S: 220 hi":     "what to expect",
		"expect: taken": "none of delivered",
		"to: x y\nexpect: delivered, bounced, deferred": "3 outcomes for 2",
		"to:\nexpect: delivered":                        "nobody",
		"expect: delivered\nexpect: bounced":            "outcomes of 2 messages, and there are 1",
		"messages: many\n" + fine:                       "x line 1: messages: many",
		"mood: bad\n" + fine:                            "no such key",
		"tls: perhaps\n" + fine:                         "none of no",
		"timeout: lunch 1h\n" + fine:                    "none of connect",
		"timeout: data soon\n" + fine:                   "invalid duration",
		"# a\n\nexpect: delivered\n\nS: 1\nX":           "script line 6: X",
		fine + "repeat 0 S: x":                          "repeat wants",
		fine + "endless S-":                             "nothing is said",
		fine + "drip fast S: x":                         "invalid duration",
		fine + "drip -1s S: x":                          "not negative",
		fine + "endless talk":                           "begins with",
		fine + "tls odd":                                "no such kind",
		fine + "stall now":                              "a word of the language",
	} {
		if _, err := ParseConversation("x", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestWords plays each word of the language against a client that does what it should.
func TestWords(t *testing.T) {
	for name, c := range map[string]struct{ server, client string }{
		"repeat":   {"repeat 3 S: 250-x\nS: 250 y", "S: 250-x\nS: 250-x\nrepeat 1 S: 250-x\nS: 250 y"},
		"drip":     {"drip 1ms S: 250 drop by drop", "S: 250 drop by drop"},
		"content":  {"content\nS: 250 taken", "C: ..\nC:\nC: .\nS: 250 taken"},
		"chunk":    {"chunk\nS: 250 ok\nchunk\nS: 250 ok", `C- BDAT 3\r\na\nb` + "\nS: 250 ok\n" + `C- BDAT 0 LAST\r\n` + "\nS: 250 ok"},
		"obey":     {"obey", "C: EHLO a\nS: 250-**\nS: 250 8BITMIME\nC: MAIL FROM:<>\nS: 250*\nC: RCPT TO:<a>\nS: 250*\nC: DATA\nS: 354*\nC: x\nC: .\nS: 250*\n" + `C- BDAT 2 LAST\r\n.` + "\n" + `C- \n` + "\nS: 250*\nC: QUIT\nS: 221*\nclose"},
		"stall":    {"stall", "C: hello?\nclose!"},
		"end":      {"close!", "close"},
		"reset":    {"S: 220 hi\nC: x\nreset", "S: 220 hi\nC: x\nclose"},
		"tls":      {"tls\nS: 220 secret", "tls\nS: 220 secret"},
		"endless":  {"endless S: 250 x", "S: 250 x\nS: 250 x\nclose!"},
		"next one": {"S: 220 first\nconnection\nS: 220 second", "S: 220 first\nclose"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Serve(t, c.server)
			Play(t, Connect(t, r.Addr()), c.client)
			if name == "next one" {
				Play(t, Connect(t, r.Addr()), "S: 220 second\nclose")
				Play(t, Connect(t, r.Addr()), "S: 220 second\nclose")
			}
			for end := time.Now().Add(Patience); r.Open() > 0 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDeafUntilTheEnd(t *testing.T) {
	r := Serve(t, "deaf")
	c := Connect(t, r.Addr())
	_ = c.SetDeadline(time.Now().Add(Patience))
	if _, err := io.WriteString(c, "hello?"); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("it said something: %v", err)
	}
}

func FuzzParseConversation(f *testing.F) {
	all, err := zoo.ReadDir("zoo")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range all[:min(len(all), 40)] {
		b, err := zoo.ReadFile("zoo/" + e.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add("expect: delivered\nrepeat 9 C- \\x41\ndrip 1ns S:\nconnection\ntls old\nclose!")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConversation("x", text)
		if err != nil {
			return
		}
		if len(c.Expect) != c.Messages || len(c.connections) == 0 {
			t.Errorf("%d outcomes of %d messages, %d connections", len(c.Expect), c.Messages, len(c.connections))
		}
		for _, all := range c.Expect {
			if len(all) != len(c.To) {
				t.Errorf("%d outcomes for %d recipients", len(all), len(c.To))
			}
		}
		// Whatever it says, it can be played to somebody who has gone.
		here, there := net.Pipe()
		_ = there.Close()
		for _, steps := range c.connections {
			for i := range steps {
				if steps[i].verb == wait || steps[i].verb == deaf || steps[i].verb == sayDripping {
					return
				}
			}
			_ = play(here, 'S', steps, nil, nil)
		}
		_ = here.Close()
	})
}
