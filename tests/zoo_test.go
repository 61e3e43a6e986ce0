package tests

import (
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
	"github.com/sluice-mta/sluice/tests/rig"
)

// cage is one receiver of the zoo with the domain that leads to it.
type cage struct {
	*smtptest.Conversation
	domain   string
	receiver *smtptest.Receiver
}

// TestZooAtOnce lets one server meet all receivers of the zoo at the same time, each under a
// domain of its own. Every recipient has the outcome that the receiver's file names, every
// permit returns, memory stays small, and what the receivers said is data in the records.
func TestZooAtOnce(t *testing.T) {
	const sound, messages = "127.0.2.250", 300
	all, err := smtptest.Zoo()
	if err != nil {
		t.Fatal(err)
	}
	zone := rig.Zone{MX: map[string]string{"sound.test": "sound.zoo.test"}, Hosts: map[string][]string{"sound.zoo.test": {sound}}}
	conf := "retry_interval = ( 1h )\nhost_failure_retry = 1h\nidle_timeout = 1\nmax_recipients_per_batch = 100\n"
	port := rig.Port(t, sound)
	var cages []*cage
	for i, c := range all {
		addr := fmt.Sprintf("127.0.2.%d", i+1)
		r, err := c.Listen(fmt.Sprintf("%s:%d", addr, port))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		g := &cage{Conversation: c, domain: c.Name + ".test", receiver: r}
		cages = append(cages, g)
		host := c.Name + ".zoo.test"
		zone.MX[g.domain], zone.Hosts[host] = host, []string{addr}
		conf += g.stanza()
	}
	sink := rig.StartSink(t, port, []string{sound})
	server := rig.NewServer(t, zone, port, conf)
	server.With(trusting(t, server)).Start(t)
	for _, g := range cages {
		g.send(t, server)
	}
	rig.Load(t, server.SMTP, messages, "u@sound.test", "")
	sink.Distinct(t, messages, time.Minute)

	var got map[string][]zooRecord
	rig.Until(t, time.Minute, "the receivers of the zoo to be done", func() bool {
		got = zooRecords(t, server)
		return !slices.ContainsFunc(cages, func(g *cage) bool { return !g.finished(got[g.domain]) })
	})
	for _, g := range cages {
		g.judge(t, got[g.domain])
	}
	rig.Until(t, 20*time.Second, "every connection to be closed", func() bool { return server.Status(t).Queue.Connections == 0 })
	if peak := peakMemory(t, server); peak > 128<<20 {
		t.Errorf("the server held %d MB at its peak", peak>>20)
	} else {
		t.Logf("%d receivers, %d MB at the peak", len(cages), peak>>20)
	}
	server.Stop(t, 20*time.Second)
	exactlyOnce(t, sink.Stop(t), messages)
}

// stanza is the configuration of the receiver's domain.
func (g *cage) stanza() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Domain %q {\n", g.domain)
	switch g.TLS {
	case "if-available":
		b.WriteString("tls = ifavailable\n")
	case "required":
		b.WriteString("tls = required\n")
	case "verified":
		b.WriteString("tls = required\ntls_verify = host\n")
	}
	names := map[string]string{"mail-from": "mailfrom", "rcpt-to": "rcptto", "data-block": "data_block"}
	for what, d := range g.Timeouts {
		name := names[what]
		if name == "" {
			name = what
		}
		fmt.Fprintf(&b, "%s_timeout = %dms\n", name, d.Milliseconds())
	}
	b.WriteString("}\n")
	return b.String()
}

// send gives the server one message for all recipients, from the null sender: nobody is told
// of its fate.
func (g *cage) send(t *testing.T, server *rig.Server) {
	t.Helper()
	c := dial(t, server.SMTP)
	defer c.Close()
	steps := []string{"MAIL FROM:<>"}
	for _, local := range g.To {
		steps = append(steps, "RCPT TO:<"+local+"@"+g.domain+">")
	}
	for _, s := range append(steps, "DATA") {
		if r := c.Cmd(s); r == "" || r[0] > '3' {
			t.Fatalf("%s: %s: %q", g.Name, s, r)
		}
	}
	line := strings.Repeat("x", 998) + "\r\n"
	if r := c.Cmd("Subject: a visit\r\n\r\n" + strings.Repeat(line, g.Size/len(line)) + "..\r\n."); !strings.HasPrefix(r, "250") {
		t.Fatalf("%s: %q", g.Name, r)
	}
}

// zooRecord is an accounting record of a delivery attempt.
type zooRecord struct{ kind, rcpt, status, diag string }

// zooRecords reads the server's CSV files strictly: by recipient domain, without receptions.
func zooRecords(t *testing.T, server *rig.Server) map[string][]zooRecord {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(server.Dir, "accounting", "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]zooRecord{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		whole := b[:1+strings.LastIndexByte(string(b), '\n')] // the last row may be under way
		rows, err := csv.NewReader(strings.NewReader(string(whole))).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, r := range rows {
			if strings.ContainsFunc(r[8], func(c rune) bool { return c < ' ' }) {
				t.Errorf("%s: a control character in %q", name, r[8])
			}
			if _, domain, ok := strings.Cut(r[4], "@"); ok && r[0] != "r" {
				out[domain] = append(out[domain], zooRecord{r[0], r[4], r[7], r[8]})
			}
		}
	}
	return out
}

// want is what the whole server makes of each recipient.
func (g *cage) want() []string {
	want := slices.Clone(g.Expect[0])
	for i := range want {
		if g.Server != "" {
			want[i] = g.Server
		}
	}
	return want
}

var zooKinds = map[string]string{"delivered": "d", "deferred": "t", "bounced": "b"}

// finished says whether every recipient that has an outcome coming has it. A connection that
// did not come about leaves no record where the mail only waits for the host.
func (g *cage) finished(records []zooRecord) bool {
	for i, w := range g.want() {
		if w == "trouble" && g.receiver.Connections() > 0 {
			continue
		}
		if !slices.ContainsFunc(records, func(r zooRecord) bool { return strings.HasPrefix(r.rcpt, g.To[i]+"@") }) {
			return false
		}
	}
	return true
}

func (g *cage) judge(t *testing.T, records []zooRecord) {
	t.Helper()
	for i, w := range g.want() {
		for _, r := range records {
			if !strings.HasPrefix(r.rcpt, g.To[i]+"@") {
				continue
			}
			if w == "trouble" && r.kind != "t" || w != "trouble" && r.kind != zooKinds[w] {
				t.Errorf("%s: %s: a record %q (%s), want %s", g.Name, r.rcpt, r.kind, r.diag, w)
			}
		}
	}
	// A script for two messages does not fit one.
	if err := g.receiver.Close(); err != nil && g.Messages == 1 {
		t.Errorf("%s: %v", g.Name, err)
	}
}

// trusting makes the server trust the authority of the zoo.
func trusting(t *testing.T, server *rig.Server) rig.Option {
	t.Helper()
	roots, err := smtptest.RootsPEM()
	if err != nil {
		t.Fatal(err)
	}
	server.Write(t, "roots.pem", string(roots))
	return rooted(filepath.Join(server.Dir, "roots.pem"))
}

// rooted makes a process trust the authorities of a file and no others.
func rooted(file string) rig.Option {
	return func(c *exec.Cmd) { c.Env = append(os.Environ(), "SSL_CERT_FILE="+file, "SSL_CERT_DIR=/nonexistent") }
}

// peakMemory is the most resident memory that the server has had, in octets.
func peakMemory(t *testing.T, server *rig.Server) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	f := strings.Fields(after)
	if len(f) == 0 {
		t.Fatal("no VmHWM in the status of the process")
	}
	kb, err := strconv.Atoi(f[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
