package smtpin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

// certificate writes a certificate and its key, and returns the files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	der2, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: der2}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	w := start(t, func(s *policy.Snapshot, l *policy.Listener) {
		withUsers(s, l)
		l.TLSCertificate, l.TLSKey = cert, key
	})
	upgrade := hello + "C: STARTTLS\nS: 220*\ntls\nC: EHLO client.test\nS: 250-**\nS: 250 ENHANCEDSTATUSCODES\n"
	smtptest.Play(t, smtptest.Connect(t, w.addr), upgrade+login("plain", "offen")+send("a@b.test", "c@d.test", `A: b\r\n\r\nx\r\n`, "250*"))
	if got := w.content(t, 0); !strings.Contains(got, " with ESMTPSA id ") {
		t.Errorf("trace %q", got)
	}
	// A login in clear counts for nothing after STARTTLS.
	smtptest.Play(t, smtptest.Connect(t, w.addr), hello+login("plain", "offen")+
		"C: STARTTLS\nS: 220*\ntls\nC: EHLO client.test\nS: 250-**\nS: 250 *\nC: MAIL FROM:<a@b.test>\nS: 250*\nC: RCPT TO:<c@d.test>\nS: 550 5.7.1*")

	broken := *w.front.listener.Load()
	broken.TLSKey = broken.TLSCertificate
	if err := w.front.Apply(&broken); err == nil || !strings.Contains(err.Error(), "tls_certificate") {
		t.Errorf("Apply with a broken key: %v", err)
	}
	smtptest.Play(t, smtptest.Connect(t, w.addr), upgrade)
}

func TestApply(t *testing.T) {
	w := start(t, nil)
	old := smtptest.Connect(t, w.addr)
	smtptest.Play(t, old, hello)
	l := *w.front.listener.Load()
	l.RelayNetworks, l.MaxMessageSize = nil, 2000
	if err := w.front.Apply(&l); err != nil {
		t.Fatal(err)
	}
	// The rules reach old sessions too, the bounds new ones.
	smtptest.Play(t, old, "C: MAIL FROM:<a@b.test>\nS: 250*\nC: RCPT TO:<c@d.test>\nS: 550 5.7.1*")
	smtptest.Play(t, smtptest.Connect(t, w.addr), "S: 220*\nC: EHLO c\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-SIZE 2000\nS: 250-**\nS: 250 *")
}
