package tests

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestRealReceivers: Postfix, Exim and OpenSMTPD of Debian take messages over TLS, with DKIM
// signatures, SMTPUTF8 addresses and 8-bit bodies, with CHUNKING and without. Each passes
// them on to a receiver of ours, which has every one once, with signatures that dkimpy
// accepts even after the second hop.
//
// They need users and mounts of their own, so this runs as root only.
func TestRealReceivers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("NOT RUN: Postfix, Exim and OpenSMTPD need root")
		return
	}
	for i, peer := range []struct {
		kind, chunking, tls string
		utf8                bool
	}{
		{"postfix", "on", "required", true},
		{"postfix", "off", "required", true},
		{"exim", "on", "required", true},
		{"exim", "off", "required", true},
		// Debian's OpenSMTPD 6.8 offers STARTTLS and fails in the handshake, with RSA ("EVP
		// lib") and with ECDSA, so the mail goes in clear over new connections. It knows neither
		// CHUNKING nor SMTPUTF8, and takes a hundred messages in a session.
		{"opensmtpd", "off", "ifavailable", false},
	} {
		t.Run(fmt.Sprintf("%s/chunking-%s", peer.kind, peer.chunking), func(t *testing.T) {
			t.Parallel()
			visitPeer(t, i, peer.kind, peer.chunking, peer.tls, peer.utf8)
		})
	}
}

func visitPeer(t *testing.T, n int, kind, chunking, tls string, utf8 bool) {
	addr, next := fmt.Sprintf("127.0.5.%d", 10+n), fmt.Sprintf("127.0.5.%d", 100+n)
	port := rig.Port(t, addr, next)
	catcher := rig.Catch(t, fmt.Sprintf("%s:%d", next, port), "8BITMIME", "SMTPUTF8", "PIPELINING")
	dir := rig.Dir(t)
	hostCertificate(t, dir, "mx.peer.test")
	p := rig.Start(t, []string{
		filepath.Join(rig.Root(), "tests", "testdata", "peer.sh"), kind, dir,
		fmt.Sprintf("%s:%d", addr, port), fmt.Sprintf("%s:%d", next, port), chunking,
	})
	rig.Listening(t, p, fmt.Sprintf("%s:%d", addr, port))

	server := rig.NewServer(t, rig.Zone{MX: map[string]string{"peer.test": "mx.peer.test"}, Hosts: map[string][]string{"mx.peer.test": {addr}}}, port,
		"tls = "+tls+"\ntls_verify = "+map[string]string{"required": "host", "ifavailable": "no"}[tls]+"\nmax_outbound_connections = 4\nmax_deliveries_per_connection = 100\nretry_interval = ( 1 )\nhost_failure_retry = 1\ndkim = on\ndkim_selector = ( \"rsa\" \"ed\" )\ndkim_key = \"%s.pem\"\n")
	dkimKeys(t, server)
	server.With(rooted(filepath.Join(dir, "cert.pem"))).Start(t)
	messages := rig.Sample(1000, 12)
	sent := sendKinds(t, server, messages, utf8)
	caught := catcher.Await(t, messages, time.Duration(rig.Sample(240, 60))*time.Second)
	idle(t, server)
	got := map[string]int{}
	var sample []rig.Caught
	for i, m := range caught {
		id, _, _ := strings.Cut(m.Data[strings.Index(m.Data, "Message-ID: <")+13:], ">")
		got[id]++
		if i < 50 {
			sample = append(sample, m)
		}
	}
	for _, id := range sent {
		if got[id] != 1 {
			t.Errorf("%s arrived %d times", id, got[id])
		}
	}
	verifyAll(t, server, sample)
	server.Stop(t, 30*time.Second)
	for _, r := range deliveries(t, server) {
		if !strings.HasPrefix(r, "d ") {
			t.Errorf("an attempt that did not deliver: %s", r)
			break
		}
	}
	t.Logf("%d messages", len(caught))
}

// sendKinds sends messages in turn: plain, with an 8-bit body, and with addresses and header in
// UTF-8; where utf8 is false the last kind is left out, as nobody could take it.
func sendKinds(t *testing.T, server *rig.Server, messages int, utf8 bool) (ids []string) {
	t.Helper()
	c := dial(t, server.SMTP)
	defer c.Close()
	for i := range messages {
		id := fmt.Sprintf("%d@source.test", i)
		from, to, body, params := "ann@source.test", "u@peer.test", "a plain body\r\n..\r\n", ""
		switch {
		case i%3 == 1:
			body, params = "Gr\xc3\xbc\xc3\x9fe\r\n"+strings.Repeat("\xe9 8-bit \r\n", 500), " BODY=8BITMIME"
		case i%3 == 2 && utf8:
			from, to, params = "ann\xc3\xa4@source.test", "\xc3\xbcser@peer.test", " BODY=8BITMIME SMTPUTF8"
		}
		for _, s := range []string{"MAIL FROM:<" + from + ">" + params, "RCPT TO:<" + to + ">", "DATA"} {
			if r := c.Cmd(s); r == "" || r[0] > '3' {
				t.Fatalf("%s: %q", s, r)
			}
		}
		text := "Message-ID: <" + id + ">\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\nFrom: <" + from + ">\r\nTo: <" + to + ">\r\nSubject: message " + id +
			"\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body
		if r := c.Cmd(text + "\r\n."); !strings.HasPrefix(r, "250") {
			t.Fatalf("%s: %q", id, r)
		}
		ids = append(ids, id)
	}
	return ids
}

// deliveries is the type and diagnostic of every accounting record of an attempt.
func deliveries(t *testing.T, server *rig.Server) (out []string) {
	t.Helper()
	for _, all := range zooRecords(t, server) {
		for _, r := range all {
			out = append(out, r.kind+" "+r.diag)
		}
	}
	return out
}

// hostCertificate writes cert.pem and key.pem for a host, signed by itself.
func hostCertificate(t *testing.T, dir, host string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
