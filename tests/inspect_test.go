package tests

import (
	"crypto/tls"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// listeners are what the inspectors look at: one that relays for loopback, and one that
// relays for nobody without a login.
func listeners(t *testing.T, zone rig.Zone, port int, conf string) (server *rig.Server, login string) {
	t.Helper()
	server = rig.NewServer(t, zone, port, "")
	login = fmt.Sprintf("127.0.0.1:%d", rig.Port(t))
	server.Append(t, fmt.Sprintf(clientsConf, login)+conf)
	certificate(t, server.Dir)
	server.Start(t)
	rig.Listening(t, server.Proc, login)
	return server, login
}

// TestNmap: nmap's scripts find no open relay and list the commands that there are. The same
// script finds one where loopback may relay, so it does look.
func TestNmap(t *testing.T) {
	port := rig.Port(t, "127.0.0.43")
	rig.StartSink(t, port, []string{"127.0.0.43"})
	server, login := listeners(t, oneHost("one.test", "127.0.0.43"), port, "")
	_, closed, _ := strings.Cut(login, ":")
	_, open, _ := strings.Cut(server.SMTP, ":")
	out, status := rig.Run(t, 2*time.Minute, rig.Tool(t, "nmap"), "-Pn", "-sT", "-n", "-p", closed+","+open,
		"--script", "+smtp-open-relay,+smtp-commands", "--script-args", "smtp-open-relay.domain=one.test", "127.0.0.1")
	if status != 0 {
		t.Fatalf("nmap ended with status %d:\n%s", status, out)
	}
	said := map[string]string{}
	port = 0
	for line := range strings.Lines(out) {
		if p, _, ok := strings.Cut(line, "/tcp"); ok {
			_, _ = fmt.Sscan(p, &port) // 0 otherwise
		}
		said[fmt.Sprint(port)] += line
	}
	if !strings.Contains(said[closed], "doesn't seem to be an open relay, all tests failed") {
		t.Errorf("without a login:\n%s", out)
	}
	if !strings.Contains(said[open], "Server is an open relay") {
		t.Errorf("for loopback, which may relay:\n%s", out)
	}
	for _, word := range []string{"PIPELINING", "SIZE ", "8BITMIME", "SMTPUTF8", "STARTTLS", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN"} {
		if !strings.Contains(said[closed], word) {
			t.Errorf("no %s:\n%s", word, out)
		}
	}
	server.Stop(t, 20*time.Second)
}

// TestSwaks sends every kind of content in every way that swaks knows; a sample of the
// matrix outside a soak: each way with one kind.
func TestSwaks(t *testing.T) {
	const addr = "127.0.0.44"
	port := rig.Port(t, addr)
	catcher := rig.Catch(t, fmt.Sprintf("%s:%d", addr, port), "8BITMIME", "SMTPUTF8")
	server, login := listeners(t, oneHost("one.test", addr), port, "")
	user := []string{"--server", login, "--tls", "--auth-user", "shop", "--auth-password", "open sesame"}
	ways := [][]string{
		{"--server", server.SMTP, "--protocol", "SMTP"},
		{"--server", server.SMTP},
		{"--server", server.SMTP, "--pipeline"},
		{"--server", server.SMTP, "--tls-optional"},
		slices.Concat(user, []string{"--auth", "PLAIN"}),
		slices.Concat(user, []string{"--auth", "LOGIN"}),
		slices.Concat(user, []string{"--auth", "PLAIN", "--pipeline"}),
	}
	bodies := []string{"plain", "8-bit \xc3\xbc", ".\n..\n.", strings.Repeat("long ", 5000)}
	sent := 0
	for i, way := range ways {
		for j, body := range bodies {
			if !rig.Soak() && j != i%len(bodies) {
				continue
			}
			args := slices.Concat([]string{rig.Tool(t, "swaks"), "--from", "a@source.test", "--to", "u@one.test", "--helo", "client.test", "--body", body}, way)
			if out, status := rig.Run(t, 30*time.Second, args...); status != 0 {
				t.Errorf("%q with body %d ended with status %d:\n%s", way, j, status, rig.Tail(out, 1500))
			}
			sent++
		}
	}
	idle(t, server)
	if n := len(catcher.Caught()); n != sent {
		t.Errorf("%d messages arrived, %d were sent", n, sent)
	}
	for _, m := range catcher.Caught() {
		if bare.MatchString(m.Data) {
			t.Errorf("a bare CR or LF in %.200q", m.Data)
		}
	}
	server.Stop(t, 20*time.Second)
}

// bare finds a CR or LF without the other.
var bare = regexp.MustCompile(`[^\r]\n|\r[^\n]|^\n|\r$`)

// TestNothingIsSmuggledOut: where bare line ends are turned into CRLF instead of being
// refused, what could be an end of data to somebody leaves as one message, stuffed, with
// nothing bare in it, in both ways of sending content.
func TestNothingIsSmuggledOut(t *testing.T) {
	for _, offers := range [][]string{{"PIPELINING"}, {"PIPELINING", "CHUNKING"}} {
		t.Run(strings.Join(offers, "-"), func(t *testing.T) {
			const addr = "127.0.0.45"
			port := rig.Port(t, addr)
			catcher := rig.Catch(t, fmt.Sprintf("%s:%d", addr, port), offers...)
			server := rig.NewServer(t, oneHost("one.test", addr), port, "")
			loose := fmt.Sprintf("127.0.0.1:%d", rig.Port(t))
			server.Append(t, fmt.Sprintf("ESMTP_Listener { Listen %q { normalize_line_endings = on } }\n", loose))
			server.Start(t)
			rig.Listening(t, server.Proc, loose)
			n := 0
			for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n", "\r\r\n.\r\r\n", "\r\n.\r\r\n", "\r\n\r.\r\n", "\n\r\n.\n"} {
				c := dial(t, loose)
				r := c.Send("a@source.test", "u@one.test", "Message-ID: <outer@source.test>\r\n\r\ntext"+end+strings.TrimSuffix(smuggled, ".\r\n"))
				if strings.HasPrefix(r, "250") {
					n++
				} else if !strings.HasPrefix(r, "5") {
					t.Errorf("%q: %q", end, r)
				}
				c.Close()
			}
			if n == 0 {
				t.Fatal("every one was refused")
			}
			caught := catcher.Await(t, n, time.Minute)
			idle(t, server)
			if len(catcher.Caught()) != n {
				t.Errorf("%d messages arrived, %d were sent", len(catcher.Caught()), n)
			}
			for _, m := range caught {
				if len(m.Rcpt) != 1 || !strings.Contains(m.Rcpt[0], "one.test") || !strings.Contains(m.Data, "boo") || bare.MatchString(m.Data) {
					t.Errorf("to %v: %q", m.Rcpt, m.Data)
				}
			}
			t.Logf("%d sequences left as one message each", n)
			server.Stop(t, 20*time.Second)
		})
	}
}

// TestCommandsBeforeTheHandshake: what is sent with STARTTLS, before there is any encryption,
// is neither obeyed inside it nor answered.
func TestCommandsBeforeTheHandshake(t *testing.T) {
	_, login := listeners(t, rig.Zone{}, rig.Port(t), "")
	for _, injected := range []string{"NOOP\r\n", "RSET\r\nNOOP\r\n", "EHLO evil.test\r\nAUTH PLAIN AGEAYg==\r\n", "MAIL FROM:<a@b>\r\n", "x", "\r\n", "STARTTLS\r\n"} {
		c := dial(t, login)
		if !c.Raw("STARTTLS\r\n" + injected) {
			t.Fatal("it could not be sent")
		}
		got := c.Reply()
		if strings.HasPrefix(got, "220") || got != "" && got[0] != '5' {
			t.Errorf("STARTTLS with %q behind it: %q", injected, got)
		}
		if !c.Closed() {
			t.Errorf("STARTTLS with %q behind it: the connection is still open", injected)
		}
		c.Close()
	}
}

// TestListenerTLS: the listener speaks TLS 1.2 and 1.3 and nothing older. In a soak testssl.sh,
// which takes minutes, looks for weaknesses besides.
func TestListenerTLS(t *testing.T) {
	_, login := listeners(t, rig.Zone{}, rig.Port(t), "")
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c := dial(t, login)
		if r := c.Cmd("STARTTLS"); !strings.HasPrefix(r, "220") {
			t.Fatal(r)
		}
		config := &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
		if err := tls.Client(c.Conn, config).Handshake(); (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		c.Close()
	}
	if !rig.Soak() {
		return
	}
	out, _ := rig.Run(t, 9*time.Minute, rig.Tool(t, "testssl"), "--protocols", "--vulnerable", "--std",
		"--starttls", "smtp", "--color", "0", "--warnings", "off", "--quiet", "--nodns", "none", login)
	for _, want := range []string{`SSLv2 +not offered`, `SSLv3 +not offered`, `TLS 1 +not offered`, `TLS 1\.1 +not offered`, `TLS 1\.2 +offered`, `TLS 1\.3 +offered`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "VULNERABLE (NOT ok)") || strings.Contains(out, "offered (NOT ok)") {
		t.Errorf("findings:\n%s", out)
	}
}
