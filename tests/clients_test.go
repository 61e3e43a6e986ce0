package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// clientsConf: a listener that asks for a login, and two bindings with addresses that the
// receiver can tell apart.
const clientsConf = `
ESMTP_Listener { Listen %q { relay_networks = ( "192.0.2.0/24" )  auth = on  binding_header = off  tls_certificate = "cert.pem"  tls_key = "key.pem" } }
Binding "one" { bind_address = "127.0.0.11" }
Binding "two" { bind_address = "127.0.0.12" }
User "shop" { password = "open sesame"  bindings = ( "one" "two" )  binding = "one" }
`

// TestClients: real clients log in, choose bindings, and are refused what they may not do.
func TestClients(t *testing.T) {
	port := rig.Port(t, "127.0.0.20")
	sink := rig.StartSink(t, port, []string{"127.0.0.20"})
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.20"), port, "")
	login := fmt.Sprintf("127.0.0.1:%d", rig.Port(t))
	server.Append(t, fmt.Sprintf(clientsConf, login))
	roots := certificate(t, server.Dir)
	server.Start(t)
	rig.Listening(t, server.Proc, login)

	swaks := func(to, id string, args ...string) (string, int) {
		return rig.Run(t, 30*time.Second, append([]string{
			rig.Tool(t, "swaks"), "--server", to, "--from", "a@source.test", "--to", "u@one.test",
			"--helo", "client.test", "--header", "Message-Id: <" + id + ">",
		}, args...)...)
	}
	for _, c := range []struct {
		name, to string
		args     []string
		want     string // reply that ends it
		from     string // source address at the receiver; "" : it does not arrive
	}{
		{"loopback", server.SMTP, nil, "250", "127.0.0.1"},
		{"loopback-binding", server.SMTP, []string{"--header", "X-Binding: two"}, "250", "127.0.0.12"},
		{"loopback-other-name", server.SMTP, []string{"--header", "X-Virtual-MTA: one"}, "250", "127.0.0.11"},
		{"loopback-unknown-binding", server.SMTP, []string{"--header", "X-Binding: three"}, "550 5.7.1", ""},
		{"no-login", login, nil, "550 5.7.1", ""},
		{"plain", login, []string{"--auth", "PLAIN", "--auth-user", "shop", "--auth-password", "open sesame"}, "250", "127.0.0.11"},
		{"login", login, []string{"--auth", "LOGIN", "--auth-user", "shop", "--auth-password", "open sesame"}, "250", "127.0.0.11"},
		{"login-binding", login, []string{"--auth", "LOGIN", "--auth-user", "shop", "--auth-password", "open sesame", "--header", "X-Binding: two"}, "250", "127.0.0.12"},
		{"wrong-password", login, []string{"--auth", "PLAIN", "--auth-user", "shop", "--auth-password", "open barley"}, "535 5.7.8", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := sink.Now(t).Connections.PeakBySource[c.from]
			out, status := swaks(c.to, c.name+"@source.test", c.args...)
			if (status == 0) != (c.want == "250") || !strings.Contains(out, " "+c.want) {
				t.Errorf("status %d, want a reply %s:\n%s", status, c.want, out)
			}
			if c.from == "" {
				return
			}
			arrived(t, sink, c.name+"@source.test")
			if now := sink.Now(t).Connections.PeakBySource[c.from]; before == 0 && now == 0 {
				t.Errorf("it did not come from %s: %v", c.from, sink.Now(t).Connections.PeakBySource)
			}
		})
	}
	t.Run("STARTTLS", func(t *testing.T) { overTLS(t, login, roots); arrived(t, sink, "tls@source.test") })

	idle(t, server)
	server.Stop(t, 20*time.Second)
	if r := sink.Stop(t); r.Messages.Accepted != r.Messages.Distinct {
		t.Errorf("%d messages, %d different", r.Messages.Accepted, r.Messages.Distinct)
	}
	got := sink.Received(t)
	for _, id := range []string{"loopback-unknown-binding", "no-login", "wrong-password"} {
		if got[id+"@source.test"] != 0 {
			t.Errorf("%s was delivered", id)
		}
	}
}

// arrived waits until the sink has the message.
func arrived(t *testing.T, sink *rig.Sink, id string) {
	t.Helper()
	rig.Until(t, 20*time.Second, id+" to arrive", func() bool { return sink.Received(t)[id] > 0 })
}

// overTLS sends a message by the client of Go's library, with STARTTLS and a login.
func overTLS(t *testing.T, addr string, roots *x509.CertPool) {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	steps := []func() error{
		func() error { return c.StartTLS(&tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}) },
		func() error { return c.Auth(smtp.PlainAuth("", "shop", "open sesame", "127.0.0.1")) },
		func() error { return c.Mail("a@source.test") },
		func() error { return c.Rcpt("u@one.test") },
		func() error {
			w, err := c.Data()
			if err != nil {
				return err
			}
			if _, err := w.Write([]byte("Message-ID: <tls@source.test>\r\nSubject: x\r\n\r\nx\r\n")); err != nil {
				return err
			}
			return w.Close()
		},
		c.Quit,
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}

// certificate writes cert.pem and key.pem for 127.0.0.1 and returns a pool that trusts it.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, b := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cert) {
		t.Fatal("the certificate cannot be read back")
	}
	return roots
}
