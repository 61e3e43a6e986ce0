package tests

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestDKIMByAnother: dkimpy, which shares no line with us, accepts every signature of every
// message: of both algorithms, several on one message, on reports, after the wire.
func TestDKIMByAnother(t *testing.T) {
	const taking, refusing = "127.0.0.41", "127.0.0.42"
	port := rig.Port(t, taking, refusing)
	catcher := rig.Catch(t, fmt.Sprintf("%s:%d", taking, port), "8BITMIME", "SMTPUTF8", "PIPELINING", "CHUNKING")
	rig.StartSink(t, port, []string{refusing}, "--fault", "rcpt-5xx=1")
	zone := rig.Zone{
		MX: map[string]string{
			"both.test": "mx.taking.test", "rsa.test": "mx.taking.test", "none.test": "mx.taking.test", "source.test": "mx.taking.test",
			"refusing.test": "mx.refusing.test",
		},
		Hosts: map[string][]string{"mx.taking.test": {taking}, "mx.refusing.test": {refusing}},
	}
	server := rig.NewServer(t, zone, port, `dkim = on
dkim_selector = ( "rsa" "ed" )
dkim_key = "%s.pem"
Domain "rsa.test" { dkim_selector = "rsa" }
Domain "none.test" { dkim = off }
`)
	dkimKeys(t, server)
	server.Start(t)
	sent := 0
	for _, body := range dkimBodies {
		c := dial(t, server.SMTP)
		for _, domain := range []string{"both.test", "rsa.test", "none.test"} {
			if r := c.Send("ann@source.test", "u@"+domain, dkimHeader+body); !strings.HasPrefix(r, "250") {
				t.Fatal(r)
			}
			sent++
		}
		c.Close()
	}
	c := dial(t, server.SMTP)
	if r := c.Send("ann@source.test", "u@refusing.test", dkimHeader+"x"); !strings.HasPrefix(r, "250") {
		t.Fatal(r)
	}
	caught := catcher.Await(t, sent+1, time.Minute) // and the report
	for i, line := range verify(t, server, caught) {
		if want := dkimWanted(t, caught[i]); line != want {
			t.Errorf("message %d for %v:\ngot  %s\nwant %s", i, caught[i].Rcpt, line, want)
		}
	}
	server.Stop(t, 20*time.Second)
}

const dkimHeader = "From: Ann <ann@source.test>\r\nTo: somebody\r\n\t<u@both.test>\r\nSubject:  =?utf-8?q?a?=  b \t c\r\nMIME-Version: 1.0\r\nContent-Type: text/plain;\r\n  charset=utf-8\r\n\r\n"

// dkimBodies are bodies that canonicalization, stuffing or blocks could get wrong.
var dkimBodies = []string{
	"x", "", "\r\n\r\n\r\n", "a  b\t \t c \r\n\r\n ended \r\n\r\n", "..dots\r\n...\r\n. \r\n", "\xc3\xbc 8-bit\r\n",
	strings.Repeat("a line that is long enough to fill a few blocks of the wire sooner or later \r\n", 3000),
	strings.Repeat("x", 990) + "\r\n" + strings.Repeat(" ", 990),
}

// verify has dkimpy look at the messages and returns what it says of each.
func verify(t *testing.T, server *rig.Server, messages []rig.Caught) []string {
	t.Helper()
	argv := []string{rig.Tool(t, "python-dkim"), filepath.Join(rig.Root(), "tests", "testdata", "dkimverify.py"), filepath.Join(server.Dir, "keys.txt")}
	for i, m := range messages {
		name := filepath.Join(server.Dir, fmt.Sprintf("%d.eml", i))
		if err := os.WriteFile(name, []byte(m.Data), 0o644); err != nil {
			t.Fatal(err)
		}
		argv = append(argv, name)
	}
	out, status := rig.Run(t, time.Minute, argv...)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if status != 0 || len(lines) != len(messages) {
		t.Fatalf("dkimpy ended with status %d, %d lines for %d messages:\n%s", status, len(lines), len(messages), out)
	}
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, argv[3+i])
	}
	return lines
}

// verifyAll wants two good signatures of source.test on each message.
func verifyAll(t *testing.T, server *rig.Server, messages []rig.Caught) {
	t.Helper()
	for i, line := range verify(t, server, messages) {
		if want := bothGood("source.test"); line != want {
			t.Errorf("message %d for %v:\ngot  %s\nwant %s", i, messages[i].Rcpt, line, want)
		}
	}
}

func bothGood(domain string) string {
	return fmt.Sprintf(" %[1]s/rsa/rsa-sha256=good %[1]s/ed/ed25519-sha256=good", domain)
}

// dkimWanted is what dkimpy must say of a message by its first recipient.
func dkimWanted(t *testing.T, m rig.Caught) string {
	t.Helper()
	to, _, _ := strings.Cut(m.Rcpt[0], ">")
	switch to {
	case "<u@both.test":
		return bothGood("source.test")
	case "<u@rsa.test":
		return " source.test/rsa/rsa-sha256=good"
	case "<u@none.test":
		return ""
	case "<ann@source.test":
		if !strings.Contains(m.Data, "multipart/report") {
			t.Errorf("not a report: %.300q", m.Data)
		}
		return bothGood("mta.test")
	}
	t.Errorf("a message for %s", m.Rcpt[0])
	return ""
}

// dkimKeys makes a key of each algorithm and the file of their records.
func dkimKeys(t *testing.T, server *rig.Server) {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(r.Public())
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]string{
		"rsa": "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(spki),
		"ed":  "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(e.Public().(ed25519.PublicKey)),
	}
	for name, key := range map[string]crypto.Signer{"rsa": r, "ed": e} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		server.Write(t, name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	}
	text := ""
	for _, domain := range []string{"source.test", "mta.test"} {
		for name, record := range records {
			text += name + "._domainkey." + domain + " " + record + "\n"
		}
	}
	server.Write(t, "keys.txt", text)
}
