package tests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// exchange is what a client sends as it is, and how the reply must begin; "" is the end of
// the connection.
type exchange struct{ say, want string }

// open begins a transaction up to 354.
var open = []exchange{
	{"MAIL FROM:<a@source.test>\r\n", "250 2.1.0"},
	{"RCPT TO:<u@one.test>\r\n", "250 2.1.5"},
	{"DATA\r\n", "354"},
}

// smuggled is what an attacker hides behind something that is no end of data.
const smuggled = "MAIL FROM:<a@source.test>\r\nRCPT TO:<u@smuggled.test>\r\nDATA\r\nMessage-ID: <smuggled@source.test>\r\n\r\nboo\r\n.\r\n"

// data is a transaction whose content is c, with the reply to it.
func data(c, want string) []exchange {
	return append(append([]exchange{}, open...), exchange{c, want}, exchange{"NOOP\r\n", "250"})
}

type inputCase struct {
	name  string
	steps []exchange
}

// inputCases is the table of what clients send and should not.
func inputCases() []inputCase {
	cases := []inputCase{
		{"NUL in content", data("Subject: x\r\n\r\na\x00b\r\n.\r\n", "550 5.6.0")},
		{"10 MB line of content", data("Subject: x\r\n\r\n"+strings.Repeat("x", 10<<20)+"\r\n.\r\n", "550 5.6.0")},
		{"content over max_message_size", data("Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 70)+"\r\n", 17<<20/72)+".\r\n", "552 5.3.4")},
		{"dots at the beginning of lines", data("Message-ID: <dots@source.test>\r\n\r\n..\r\n...\r\n.a\r\n.\r\n", "250 2.")},
		{"hundred hops", data(strings.Repeat("Received: from a by b; Sat, 21 Nov 2026 18:00:00 +0000\r\n", 101)+"\r\nx\r\n.\r\n", "554 5.4.6")},
		{"10 MB command", []exchange{{"NOOP " + strings.Repeat("x", 10<<20) + "\r\n", "500 5.5.6"}, {"NOOP\r\n", "250"}}},
		{"NUL in a command", []exchange{{"NO\x00OP\r\n", "500 5.5.2"}, {"NOOP\r\n", "250"}}},
		{"command with a bare LF", []exchange{{"NOOP\nNOOP\r\n", "500 5.5.2"}, {"NOOP\r\n", "250"}}},
		{"command with a bare CR", []exchange{{"NOOP\rNOOP\r\n", "500 5.5.2"}, {"NOOP\r\n", "250"}}},
		{"unknown command", []exchange{{"BREW coffee\r\n", "500 5.5.2"}, {"NOOP\r\n", "250"}}},
		{"RCPT before MAIL", []exchange{{"RCPT TO:<u@one.test>\r\n", "503 5.5.1"}}},
		{"DATA before RCPT", []exchange{{"MAIL FROM:<a@source.test>\r\n", "250"}, {"DATA\r\n", "503 5.5.1"}}},
		{"MAIL twice", []exchange{{"MAIL FROM:<a@source.test>\r\n", "250"}, {"MAIL FROM:<b@source.test>\r\n", "503 5.5.1"}}},
		{"MAIL without brackets' end", []exchange{{"MAIL FROM:<a@source.test\r\n", "553 5.1.7"}}},
		{"sender that is no address", []exchange{{"MAIL FROM:<a b@source.test>\r\n", "5"}, {"NOOP\r\n", "250"}}},
		{"recipient with a control character", []exchange{{"MAIL FROM:<a@source.test>\r\n", "250"}, {"RCPT TO:<u\x01@one.test>\r\n", "5"}}},
		{"eight bits without SMTPUTF8", []exchange{{"MAIL FROM:<\u00fc@source.test>\r\n", "553 5.6.7"}}},
		{"SIZE over the limit", []exchange{{"MAIL FROM:<a@source.test> SIZE=99999999999\r\n", "552 5.3.4"}}},
		{"SIZE beyond numbers", []exchange{{"MAIL FROM:<a@source.test> SIZE=999999999999999999999999999\r\n", "501 5.5.4"}}},
		{"unknown parameter", []exchange{{"MAIL FROM:<a@source.test> COLOUR=blue\r\n", "555 5.5.4"}}},
		{"BDAT beyond numbers", []exchange{open[0], open[1], {"BDAT 99999999999999999999999\r\n", "501 5.5.4"}}},
		{"BDAT below zero", []exchange{open[0], open[1], {"BDAT -1\r\n", "501 5.5.4"}}},
		{"BDAT with a bare LF", []exchange{open[0], open[1], {"BDAT 17 LAST\r\nSubject: x\n\r\nab\r\n", "550 5.6.11"}, {"NOOP\r\n", "250"}}},
		{"too many errors", append(repeat(exchange{"BREW\r\n", "500"}, 21), exchange{"", "421 4.7.0"}, exchange{"", ""})},
	}
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n", "\r\r\n.\r\r\n", "\r\n.\r\r\n", "\r\n\r.\r\n", "\n\r\n.\n"} {
		cases = append(cases, inputCase{
			fmt.Sprintf("smuggling by %q", end),
			data("Message-ID: <outer@source.test>\r\n\r\ntext"+end+smuggled, "550 5.6.11"),
		})
	}
	for _, end := range []string{"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\n\x00.\n"} {
		cases = append(cases, inputCase{
			fmt.Sprintf("smuggling by %q", end),
			data("Message-ID: <outer@source.test>\r\n\r\ntext"+end+smuggled, "550 5.6."),
		})
	}
	return cases
}

func repeat(e exchange, n int) []exchange {
	out := make([]exchange, n)
	for i := range out {
		out[i] = e
	}
	return out
}

// TestMalformedInput: each has its clear reply, the server goes on, and of all of it only
// the sound messages arrive.
func TestMalformedInput(t *testing.T) {
	port := rig.Port(t, "127.0.0.25")
	sink := rig.StartSink(t, port, []string{"127.0.0.25"})
	zone := oneHost("one.test", "127.0.0.25")
	zone.MX["smuggled.test"] = "mx.one.test"
	server := rig.NewServer(t, zone, port, eight).Start(t)
	for _, c := range inputCases() {
		t.Run(c.name, func(t *testing.T) { converse(t, server.SMTP, c.steps) })
	}
	// A line that never ends is cut off at some point, whatever the client does.
	t.Run("endless command", func(t *testing.T) {
		c := dial(t, server.SMTP)
		block := strings.Repeat("x", 1<<20)
		sent := 0
		for sent < 200 && c.Raw(block) {
			sent++
		}
		if sent == 200 {
			t.Error("200 MB of one command line were taken")
		}
	})
	t.Run("connections closed at every stage", func(t *testing.T) {
		steps := append(append([]exchange{}, open...), exchange{"Subject: x\r\n\r\nhalf a mess", ""})
		for n := range len(steps) + 1 {
			c := dial(t, server.SMTP)
			for _, s := range steps[:n] {
				c.Raw(s.say)
			}
			c.Close()
		}
	})

	sound := rig.StartSender(t, server.SMTP, "u@one.test", 2, 1000, 50).Wait()
	if len(sound) != 50 {
		t.Errorf("%d of 50 sound messages were accepted afterwards", len(sound))
	}
	idle(t, server)
	server.Stop(t, 30*time.Second)
	r := sink.Stop(t)
	got := sink.Received(t)
	for _, id := range sound {
		if got[id] != 1 {
			t.Errorf("%s arrived %d times", id, got[id])
		}
	}
	if got["dots@source.test"] != 1 || got["outer@source.test"] != 0 || got["smuggled@source.test"] != 0 || r.Recipients.ByDomain["smuggled.test"] != 0 {
		t.Errorf("want the one with dots and nothing smuggled; the receiver has %d messages, by domain %v", r.Messages.Accepted, r.Recipients.ByDomain)
	}
	if want := len(sound) + 1; r.Messages.Accepted != want {
		t.Errorf("the receiver has %d messages, want %d", r.Messages.Accepted, want)
	}
}

// TestSlowClients: clients that send a byte now and then do not hold up others.
func TestSlowClients(t *testing.T) {
	port := rig.Port(t, "127.0.0.26")
	sink := rig.StartSink(t, port, []string{"127.0.0.26"})
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.26"), port, eight).Start(t)
	stop := make(chan struct{})
	for range 50 {
		c := dial(t, server.SMTP)
		go func() {
			for _, b := range []byte("MAIL FROM:<a@source.test>\r\n") {
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Millisecond):
					c.Raw(string(b))
				}
			}
		}()
	}
	accepted := rig.StartSender(t, server.SMTP, "u@one.test", 10, 2048, 500).Wait()
	close(stop)
	sink.Distinct(t, len(accepted), time.Minute)
	if len(accepted) != 500 {
		t.Errorf("%d of 500 messages were accepted", len(accepted))
	}
	server.Stop(t, 30*time.Second)
	exactlyOnce(t, sink.Stop(t), 500)
}

// dial opens a connection and says EHLO.
func dial(t *testing.T, addr string) *rig.Client {
	t.Helper()
	c, err := rig.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if r := c.Greet("client.test"); !strings.HasPrefix(r, "250") {
		t.Fatalf("EHLO: %q", r)
	}
	return c
}

func converse(t *testing.T, addr string, steps []exchange) {
	t.Helper()
	c := dial(t, addr)
	for _, s := range steps {
		c.Raw(s.say) // a server that closed already shows in its reply
		if s.want == "" {
			if !c.Closed() {
				t.Errorf("after %q the connection is still open", rig.Tail(s.say, 60))
			}
			return
		}
		if got := c.Reply(); !strings.HasPrefix(got, s.want) {
			t.Fatalf("after %q: %q, want %s", rig.Tail(s.say, 60), got, s.want)
		}
	}
}
