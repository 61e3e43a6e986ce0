package smtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate; by nil: it signs itself.
func issue(t *testing.T, by *issued, life time.Duration, ca bool, names ...string) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature,
		SubjectKeyId: serial.Bytes(),
	}
	c.Subject.CommonName = "test " + serial.String()
	if ca {
		c.KeyUsage |= x509.KeyUsageCertSign
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

func record(usage, selector, matching uint8, c *x509.Certificate) mail.TLSA {
	data := c.Raw
	if selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return mail.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

// TestVerify: what each requirement makes of each chain.
func TestVerify(t *testing.T) {
	root := issue(t, nil, time.Hour, true)
	mid := issue(t, root, time.Hour, true)
	leaf := issue(t, mid, time.Hour, false, "mx.test", "*.wild.test")
	expired := issue(t, mid, -time.Minute, false, "mx.test")
	alone := issue(t, nil, time.Hour, false, "mx.test")
	other := issue(t, nil, time.Hour, true)
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	chain := []*x509.Certificate{leaf.cert, mid.cert, root.cert}
	const fine = CertificateFault(255)
	tests := []struct {
		name  string
		r     TLSRequirement
		chain []*x509.Certificate
		want  CertificateFault
	}{
		{"nothing is verified", TLSRequirement{}, []*x509.Certificate{alone.cert}, fine},
		{"ca", TLSRequirement{Verify: ClientVerifyCA, Names: []string{"elsewhere.test"}}, chain[:2], fine},
		{"ca, no chain", TLSRequirement{Verify: ClientVerifyCA}, chain[:1], CertificateUntrusted},
		{"ca, signed by itself", TLSRequirement{Verify: ClientVerifyCA}, []*x509.Certificate{alone.cert}, CertificateUntrusted},
		{"ca, expired", TLSRequirement{Verify: ClientVerifyCA}, []*x509.Certificate{expired.cert, mid.cert}, CertificateExpired},
		{"no certificate", TLSRequirement{Verify: ClientVerifyCA}, nil, CertificateMissing},
		{"host", TLSRequirement{Verify: ClientVerifyHost, Names: []string{"mx.test"}}, chain[:2], fine},
		{"host, wildcard", TLSRequirement{Verify: ClientVerifyHost, Names: []string{"a.wild.test"}}, chain[:2], fine},
		{"host, wildcard for two labels", TLSRequirement{Verify: ClientVerifyHost, Names: []string{"a.b.wild.test"}}, chain[:2], CertificateName},
		{"host, wrong name", TLSRequirement{Verify: ClientVerifyHost, Names: []string{"mx2.test"}}, chain[:2], CertificateName},
		{"host, one of the names", TLSRequirement{Verify: ClientVerifyHost, Names: []string{"mx2.test", "mx.test"}}, chain[:2], fine},
		{"host, expired and wrong", TLSRequirement{Verify: ClientVerifyHost, Names: []string{"mx2.test"}}, []*x509.Certificate{expired.cert, mid.cert}, CertificateExpired},

		{"3 0 1", dane("x.test", record(3, 0, 1, leaf.cert)), chain, fine},
		{"3 1 2, though expired", dane("x.test", record(3, 1, 2, expired.cert)), []*x509.Certificate{expired.cert}, fine},
		{"3 0 0, signed by itself", dane("x.test", record(3, 0, 0, alone.cert)), []*x509.Certificate{alone.cert}, fine},
		{"3 1 0", dane("x.test", record(3, 1, 0, leaf.cert)), chain, fine},
		{"3 1 1 of the issuer", dane("mx.test", record(3, 1, 1, mid.cert)), chain, CertificateTLSA},
		{"3 1 1 of another", dane("mx.test", record(3, 1, 1, other.cert)), chain, CertificateTLSA},
		{"another and the right one", dane("mx.test", record(3, 1, 1, other.cert), record(3, 1, 1, leaf.cert)), chain, fine},
		{"2 0 1 of the root", dane("mx.test", record(2, 0, 1, root.cert)), chain, fine},
		{"2 1 1 of the middle", dane("mx.test", record(2, 1, 1, mid.cert)), chain[:2], fine},
		{"2 0 1 of a root that is not shown", dane("mx.test", record(2, 0, 1, root.cert)), chain[:2], CertificateTLSA},
		{"2 0 0 of a root that is not shown", dane("mx.test", record(2, 0, 0, root.cert)), chain[:2], fine},
		{"2 1 1, wrong name", dane("mx2.test", record(2, 1, 1, mid.cert)), chain[:2], CertificateName},
		{"2 1 1, second name", TLSRequirement{Verify: ClientVerifyDANE, Names: []string{"mx2.test", "mx.test"}, TLSA: []mail.TLSA{record(2, 1, 1, mid.cert)}}, chain[:2], fine},
		{"2 1 1, expired", dane("mx.test", record(2, 1, 1, mid.cert)), []*x509.Certificate{expired.cert, mid.cert}, CertificateExpired},
		{"2 0 1 shown and not in the chain", dane("mx.test", record(2, 0, 1, other.cert)), []*x509.Certificate{leaf.cert, mid.cert, other.cert}, CertificateUntrusted},
		{"usages 0 and 1 say nothing", dane("mx.test", record(1, 0, 1, leaf.cert), record(0, 0, 1, root.cert)), chain, CertificateTLSA},
		{"no records", dane("mx.test"), chain, CertificateTLSA},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.Host = "mx.test"
			err := tt.r.verify(tt.chain, roots)
			var ce *CertificateError
			switch {
			case tt.want == fine && err != nil:
				t.Error(err)
			case tt.want != fine && (!errors.As(err, &ce) || ce.Fault != tt.want || err.Error() == "" || len(err.Error()) > 500):
				t.Errorf("got %v", err)
			}
		})
	}
}

func dane(name string, records ...mail.TLSA) TLSRequirement {
	return TLSRequirement{Verify: ClientVerifyDANE, Names: []string{name}, TLSA: records}
}

// TestVerifyOnTheWire: the same, in a session: the error says what was wrong.
func TestVerifyOnTheWire(t *testing.T) {
	leaf, other := issue(t, nil, time.Hour, true, "mx.test"), issue(t, nil, time.Hour, true)
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: leaf.key}}}
	for _, tt := range []struct {
		name string
		r    TLSRequirement
		text string
	}{
		{"good", dane("mx.test", record(3, 1, 1, leaf.cert)), ""},
		{"bad", dane("mx.test", record(3, 1, 1, other.cert)), "TLS handshake failed: the certificate of mx.test matches none of its TLSA records"},
		{"too old", TLSRequirement{MinVersion: tls.VersionTLS13}, "TLS handshake failed: tls: protocol version not supported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.Host = "mx.test"
			config := server
			if tt.name == "too old" {
				config = server.Clone()
				config.MaxVersion = tls.VersionTLS12
			}
			addr := ""
			if tt.text == "" {
				addr = smtptest.ServeTLS(t, config, beforeTLS+afterTLS).Addr().String()
			} else {
				addr = refusedHandshake(t, config).Addr().String()
			}
			c := openAt(t, addr)
			defer c.Close(true)
			rep, err := c.StartTLS(mustConfig(t, NewClientTLS(nil), tt.r))
			if tt.text != rep.Text && (tt.text != "" || err != nil) {
				t.Fatalf("got %v, %v", rep, err)
			}
			if tt.text == "" {
				_, _ = c.Hello("me.test")
			}
			var ce *CertificateError
			if tt.name == "bad" && (!errors.As(err, &ce) || ce.Fault != CertificateTLSA) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestClientCertificate: a receiver that asks for a certificate sees ours; files are read
// again when they change, and what was good stays while they are not.
func TestClientCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key, ca := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	changed := time.Now().Add(-time.Hour)
	write := func(path, kind string, der []byte) {
		t.Helper()
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		changed = changed.Add(time.Second) // a file system may count in seconds
		if err := os.Chtimes(path, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
	put := func(i *issued) {
		t.Helper()
		der, err := x509.MarshalPKCS8PrivateKey(i.key)
		if err != nil {
			t.Fatal(err)
		}
		write(cert, "CERTIFICATE", i.cert.Raw)
		write(key, "PRIVATE KEY", der)
	}
	store := NewClientTLS(nil)
	r := TLSRequirement{Host: "mx.test", Verify: ClientVerifyHost, CertFile: cert, KeyFile: key, CAFile: ca}
	if _, err := store.Config(r); err == nil || !strings.HasPrefix(err.Error(), "tls_ca: open ") {
		t.Errorf("without files: %v", err)
	}
	server, first, second := issue(t, nil, time.Hour, true, "mx.test"), issue(t, nil, time.Hour, true), issue(t, nil, time.Hour, true)
	write(ca, "CERTIFICATE", server.cert.Raw)
	if _, err := store.Config(r); err == nil || !strings.HasPrefix(err.Error(), "tls_certificate: open ") {
		t.Errorf("without a certificate: %v", err)
	}
	put(first)
	receiver := &tls.Config{ClientAuth: tls.RequireAnyClientCert, Certificates: []tls.Certificate{{Certificate: [][]byte{server.cert.Raw}, PrivateKey: server.key}}}
	seen := make(chan *x509.Certificate, 1)
	receiver.VerifyConnection = func(s tls.ConnectionState) error {
		seen <- s.PeerCertificates[0]
		return nil
	}
	shown := func() *x509.Certificate {
		t.Helper()
		c := openAt(t, smtptest.ServeTLS(t, receiver, beforeTLS+afterTLS).Addr().String())
		defer c.Close(true)
		if _, err := c.StartTLS(mustConfig(t, store, r)); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Hello("me.test")
		return <-seen
	}
	if !shown().Equal(first.cert) {
		t.Error("the first certificate is not shown")
	}
	put(second)
	if !shown().Equal(second.cert) {
		t.Error("the second certificate is not shown")
	}
	write(cert, "CERTIFICATE", []byte("garbage"))
	if !shown().Equal(second.cert) {
		t.Error("the certificate that was good is given up for garbage")
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if !shown().Equal(second.cert) {
		t.Error("the certificate that was good is given up with its key's file")
	}
}

// openAt opens a session with a receiver that plays beforeTLS, as far as EHLO.
func openAt(t *testing.T, addr string) *Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(conn, patient)
	if _, err := c.Greeting(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello("me.test"); err != nil {
		t.Fatal(err)
	}
	return c
}
