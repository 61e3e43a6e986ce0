package tests

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// letter is a message as a receiver got it.
type letter struct{ from, to, content string }

// mailbox is a receiver that keeps what it takes. It offers nothing but SMTP itself.
type mailbox struct {
	mu   sync.Mutex
	mail []letter
}

func startMailbox(t *testing.T, addr string) *mailbox {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	m := &mailbox{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { m.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close() // ends Accept
		wg.Wait()
	})
	return m
}

func (m *mailbox) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewScanner(c)
	say := func(line string) { _, _ = fmt.Fprint(c, line+"\r\n") } // who does not hear ends the session
	say("220 mailbox")
	var l letter
	content := false
	for in.Scan() {
		line := in.Text()
		verb := strings.ToUpper(line)
		switch {
		case content && line == ".":
			content = false
			m.mu.Lock()
			m.mail = append(m.mail, l)
			m.mu.Unlock()
			say("250 taken")
		case content:
			l.content += line + "\n"
		case strings.HasPrefix(verb, "MAIL FROM:"):
			l = letter{from: inside(line)}
			say("250 ok")
		case strings.HasPrefix(verb, "RCPT TO:"):
			l.to = inside(line)
			if strings.HasPrefix(l.to, "nobody@") {
				say("550 5.1.1 no such user")
				continue
			}
			say("250 ok")
		case verb == "DATA":
			content = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func inside(line string) string {
	_, rest, _ := strings.Cut(line, "<")
	a, _, _ := strings.Cut(rest, ">")
	return a
}

// got waits for mail to an address and returns the first.
func (m *mailbox) got(t *testing.T, to string) letter {
	t.Helper()
	var found letter
	rig.Until(t, 20*time.Second, "mail to "+to, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		i := slices.IndexFunc(m.mail, func(l letter) bool { return l.to == to })
		if i >= 0 {
			found = m.mail[i]
		}
		return i >= 0
	})
	return found
}

func (m *mailbox) count(to string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, l := range m.mail {
		if l.to == to {
			n++
		}
	}
	return n
}

// rows are the server's accounting records of a type, as they stand.
func rows(t *testing.T, server *rig.Server, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(server.Dir, "accounting", "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(b), "\n") {
			if strings.HasPrefix(line, kind+",") {
				out = append(out, line)
			}
		}
	}
	return out
}

func dsn(recipient string) string {
	return "From: MAILER-DAEMON@one.test\r\nSubject: failed\r\nContent-Type: multipart/report; boundary=b; report-type=delivery-status\r\n\r\n" +
		"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.one.test\r\n\r\nFinal-Recipient: rfc822; " + recipient +
		"\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n--b--"
}

func complaint(returnPath string) string {
	return "From: fbl@one.test\r\nContent-Type: multipart/report; boundary=b; report-type=feedback-report\r\n\r\n" +
		"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: fbl/1\r\nVersion: 1\r\nOriginal-Mail-From: <" + returnPath + ">\r\n\r\n" +
		"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <1@source.test>\r\n--b--"
}

const suppressionConf = `bounce_key = "a key that nobody can guess"
verp = on
verp_domain = "b.source.test"
suppress_on = ( hard_bounce complaint )
suppression_list = "list"
`

// listening gives the server's listener further options.
func listening(t *testing.T, server *rig.Server, options string) {
	t.Helper()
	b, err := os.ReadFile(server.Conf())
	if err != nil {
		t.Fatal(err)
	}
	server.Write(t, "sluice.conf", strings.Replace(string(b), "binding_header = on", "binding_header = on "+options, 1))
}

// TestReportsFromReceivers: mail carries a return path of its recipient's; reports that
// show its tag are recorded and put the recipient on the suppression list, forged ones
// change nothing, and the list outlives a restart.
func TestReportsFromReceivers(t *testing.T) {
	port := rig.Port(t, "127.0.0.41")
	box := startMailbox(t, fmt.Sprintf("127.0.0.41:%d", port))
	server := rig.NewServer(t, rig.Zone{
		MX: map[string]string{"one.test": "mx.one.test", "source.test": "mx.one.test"}, Hosts: map[string][]string{"mx.one.test": {"127.0.0.41"}},
	}, port, suppressionConf)
	listening(t, server, "bounce_addresses = ( @b.source.test )  feedback_addresses = ( fbl@source.test )  verify_reports = on")
	server.Write(t, "list", "# people who said no\n@closed.test\n")
	server.Start(t)
	send := func(from, to, content string) {
		t.Helper()
		c := dial(t, server.SMTP)
		if r := c.Send(from, to, content); !strings.HasPrefix(r, "250") {
			t.Fatalf("%s to %s: %s", from, to, r)
		}
	}
	paths := map[string]string{}
	for _, u := range []string{"u1@one.test", "u2@one.test", "u3@one.test", "nobody@one.test"} {
		send("a@source.test", u, "Subject: x\r\n\r\nx")
		if u != "nobody@one.test" {
			paths[u] = box.got(t, u).from
			if !strings.HasPrefix(paths[u], "a+"+strings.Replace(u, "@", "=", 1)+"=") || !strings.HasSuffix(paths[u], "@b.source.test") {
				t.Fatalf("return path %q", paths[u])
			}
		}
	}
	send("", paths["u1@one.test"], dsn("u1@one.test"))
	send("", "a+u2=one.test=aaaaaaaaaaaaaaa@b.source.test", dsn("u2@one.test"))
	send("fbl@one.test", "fbl@source.test", complaint(paths["u3@one.test"]))
	send("fbl@one.test", "fbl@source.test", complaint("a+u2=one.test@b.source.test"))
	listedAs := map[string]string{"u1@one.test": "hard_bounce", "u3@one.test": "complaint", "nobody@one.test": "hard_bounce", "x@closed.test": "file"}
	check := func() {
		t.Helper()
		for entry, why := range listedAs {
			rig.Until(t, 20*time.Second, entry+" on the suppression list", func() bool {
				out, status := ctlStatus(t, server, "suppression", "check", entry)
				return status == 0 && strings.Contains(out, why)
			})
		}
		if out, status := ctlStatus(t, server, "suppression", "check", "u2@one.test"); status != 1 {
			t.Errorf("forged reports put a recipient on the list: %s", out)
		}
	}
	check()
	if rb := rows(t, server, "rb"); len(rb) != 1 || !strings.Contains(rb[0], ",a@b.source.test,u1@one.test,,failed,5.1.1 ") || !strings.Contains(rb[0], ",bad-mailbox,") {
		t.Errorf("remote bounces: %q", rb)
	}
	if f := rows(t, server, "f"); len(f) != 1 || !strings.Contains(f[0], "u3@one.test") || !strings.Contains(f[0], "x-feedback;abuse") {
		t.Errorf("complaints: %q", f)
	}

	server.Stop(t, 20*time.Second)
	server.Start(t)
	check()
	send("a@source.test", "u1@one.test", "Subject: x\r\n\r\nagain")
	send("a@source.test", "x@closed.test", "Subject: x\r\n\r\nx")
	send("a@source.test", "u2@one.test", "Subject: x\r\n\r\nagain")
	rig.Until(t, 20*time.Second, "the second message to u2", func() bool { return box.count("u2@one.test") == 2 })
	idle(t, server)
	if n := box.count("u1@one.test"); n != 1 {
		t.Errorf("%d messages to a suppressed recipient", n)
	}
	suppressed := 0
	for _, b := range rows(t, server, "b") {
		if strings.Contains(b, ",suppressed,") {
			suppressed++
		}
	}
	if suppressed != 2 {
		t.Errorf("%d records of suppressed recipients, want 2", suppressed)
	}
	if n := box.count("a@source.test"); n != 1 { // of nobody@one.test, none of the suppressed
		t.Errorf("%d reports to the sender, want 1", n)
	}
	if out := server.Ctl(t, "suppression", "remove", "u1@one.test"); !strings.Contains(out, "removed") {
		t.Error(out)
	}
	send("a@source.test", "u1@one.test", "Subject: x\r\n\r\nagain")
	rig.Until(t, 20*time.Second, "mail to who was taken off the list", func() bool { return box.count("u1@one.test") == 2 })
	if out := server.Ctl(t, "suppression", "list"); !strings.Contains(out, "u3@one.test") || strings.Contains(out, "u1@one.test") {
		t.Error(out)
	}
}

// TestHeldAndReported: HOLDFOR keeps a message back, an operator's retry too; NOTIFY=SUCCESS
// brings a report of relaying when the receiver does not report by itself.
func TestHeldAndReported(t *testing.T) {
	port := rig.Port(t, "127.0.0.42")
	box := startMailbox(t, fmt.Sprintf("127.0.0.42:%d", port))
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.42"), port, "")
	listening(t, server, "max_future_release = 1d  deliver_by = on")
	server.Start(t)
	c := dial(t, server.SMTP)
	transact := func(mail, rcpt string) {
		t.Helper()
		for _, step := range []struct{ say, want string }{
			{mail, "250"}, {rcpt, "250"}, {"DATA", "354"}, {"Subject: x\r\n\r\nx\r\n.", "250"},
		} {
			if r := c.Cmd(step.say); !strings.HasPrefix(r, step.want) {
				t.Fatalf("%s: %s", step.say, r)
			}
		}
	}
	transact("MAIL FROM:<a@one.test> HOLDFOR=3600", "RCPT TO:<held@one.test>")
	transact("MAIL FROM:<late@one.test> BY=600;R", "RCPT TO:<u@one.test>")
	server.Ctl(t, "queue", "retry", "one.test")
	transact("MAIL FROM:<a@one.test> ENVID=QQ1", "RCPT TO:<now@one.test> NOTIFY=SUCCESS ORCPT=rfc822;other@one.test")
	box.got(t, "now@one.test")
	report := box.got(t, "a@one.test")
	for _, want := range []string{"Action: relayed", "Original-Envelope-Id: QQ1", "Original-Recipient: rfc822; other@one.test", "Status: 2."} {
		if !strings.Contains(report.content, want) {
			t.Errorf("%q is not in %s", want, report.content)
		}
	}
	if report.from != "" {
		t.Errorf("a report with the return path %q", report.from)
	}
	// RFC 2852 §4.1.4: the receiver does not promise anything about time.
	if late := box.got(t, "late@one.test"); !strings.Contains(late.content, "Status: 5.4.7") {
		t.Error(late.content)
	}
	if box.count("held@one.test") != 0 || server.Status(t).Queue.Messages != 1 {
		t.Errorf("held mail: %d came, %d wait", box.count("held@one.test"), server.Status(t).Queue.Messages)
	}
}

// ctlStatus runs a subcommand and returns what it says and its status.
func ctlStatus(t *testing.T, server *rig.Server, args ...string) (string, int) {
	t.Helper()
	return rig.Run(t, 30*time.Second, append(append([]string{rig.Sluice(t)}, args...), "--admin", "unix:"+server.Control)...)
}
