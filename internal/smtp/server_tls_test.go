package smtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

func serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func TestStartTLS(t *testing.T) {
	h := &testHandler{logins: map[string]string{"u": "p"}}
	_, addr := start(t, ServerConfig{TLS: serverTLS(t), Auth: true}, h)
	const offered = "S: 220*\nC: EHLO c\nS: 250-**\nS: 250 ENH*\n"
	const tlsUp = offered + "C: STARTTLS\nS: 220 2.0.0*\ntls\n"
	for _, c := range []struct{ name, script string }{
		{"all is forgotten", offered + "C: AUTH PLAIN AHUAcA==\nS: 235*\nC: STARTTLS\nS: 220 2.0.0*\ntls\nC: MAIL FROM:<a@b.test>\nS: 503*\nC: EHLO c\nS: 250-**\nS: 250 ENH*\nC: AUTH PLAIN AHUAcA==\nS: 235*"},
		{"not twice", tlsUp + "C: EHLO c\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-SIZE*\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250-DSN\nS: 250-AUTH PLAIN LOGIN\nS: 250 ENH*\nC: STARTTLS\nS: 503*"},
		{"not with something behind it", offered + `C: STARTTLS\r\nRSET` + "\nS: 554 5.5.1*\nclose"},
		{"no parameter", offered + "C: STARTTLS now\nS: 501*"},
		{"EHLO first", "S: 220*\nC: STARTTLS\nS: 503*"},
		{"not in a transaction", offered + "C: MAIL FROM:<a@b.test>\nS: 250*\nC: STARTTLS\nS: 503*"},
		{"no handshake", offered + "C: STARTTLS\nS: 220*\nC: EHLO c\nC: \nclose"},
		{"a message", tlsUp + `C: EHLO c\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nx\r\n.` + "\nS: 250-**\nS: 250 *\nS: 250*\nS: 250*\nS: 354*\nS: 250*\nC: QUIT\nS: 221*\nclose"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := smtptest.Connect(t, addr)
			if c.name == "no handshake" { // the server's alert is no SMTP
				smtptest.Play(t, conn, strings.TrimSuffix(c.script, "C: EHLO c\nC: \nclose"))
				_, _ = conn.Write([]byte("EHLO in clear\r\n"))
				b := make([]byte, 100)
				for {
					n, err := conn.Read(b)
					if err != nil {
						return
					}
					if strings.Contains(string(b[:n]), "250") {
						t.Fatalf("answered %q", b[:n])
					}
				}
			}
			smtptest.Play(t, conn, c.script)
		})
	}
}

func TestAuth(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	const offered = "S: 220*\nC: EHLO c\nS: 250-**\nS: 250 ENH*\n"
	for _, c := range []struct{ name, script string }{
		{"PLAIN", "C: AUTH PLAIN " + b64("\x00u\x00p") + "\nS: 235 2.7.0*\nC: AUTH PLAIN\nS: 503*"},
		{"PLAIN in two steps", "C: auth plain\nS: 334 \nC: " + b64("u\x00u\x00p") + "\nS: 235*"},
		{"LOGIN", "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: " + b64("u") + "\nS: 334 UGFzc3dvcmQ6\nC: " + b64("p") + "\nS: 235*"},
		{"LOGIN with the name", "C: AUTH LOGIN " + b64("u") + "\nS: 334 UGFzc3dvcmQ6\nC: " + b64("p") + "\nS: 235*"},
		{"wrong", "C: AUTH PLAIN " + b64("\x00u\x00x") + "\nS: 535 5.7.8*\nC: AUTH PLAIN " + b64("\x00x\x00p") + "\nS: 535*\nC: AUTH PLAIN " + b64("\x00x\x00") + "\nS: 421 4.7.0*\nclose"},
		{"abandoned", "C: AUTH LOGIN\nS: 334*\nC: *\nS: 501 5.7.0*\nC: AUTH PLAIN\nS: 334*\nC: *\nS: 501*\nC: NOOP\nS: 250*"},
		{"malformed", "C: AUTH PLAIN !\nS: 501*\nC: AUTH PLAIN =\nS: 501*\nC: AUTH PLAIN " + b64("u\x00p") + "\nS: 501*\nC: AUTH PLAIN " + b64("\x00\x00p") + "\nS: 501*\nC: AUTH  \nS: 504*\nC: AUTH\nS: 504*\nC: AUTH CRAM-MD5\nS: 504 5.5.4*"},
		{"for another", "C: AUTH PLAIN " + b64("x\x00u\x00p") + "\nS: 535*"},
		{"long", "C: AUTH PLAIN\nS: 334*\nC: " + strings.Repeat("A", 13000) + "\nS: 500 5.5.6*\nC: AUTH PLAIN " + b64("\x00u\x00"+strings.Repeat("p", 300)) + "\nS: 501*"},
		{"bare LF", "C: AUTH PLAIN\nS: 334*\n" + `C- AHUAcA==\n` + "\nS: 500*"},
		{"not in a transaction", "C: MAIL FROM:<a@b.test>\nS: 250*\nC: AUTH PLAIN\nS: 503*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &testHandler{logins: map[string]string{"u": "p"}}
			_, addr := start(t, ServerConfig{Auth: true, AuthDelay: -1}, h)
			smtptest.Play(t, smtptest.Connect(t, addr), offered+c.script)
		})
	}
	t.Run("HELO", func(t *testing.T) {
		_, addr := start(t, ServerConfig{Auth: true}, &testHandler{logins: map[string]string{"u": "p"}})
		smtptest.Play(t, smtptest.Connect(t, addr), "S: 220*\nC: HELO c\nS: 250*\nC: AUTH PLAIN AHUAcA==\nS: 503*")
	})
}

// farConn is a connection that says it comes from elsewhere.
type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:4000"))
}

func TestAuthOnlyWhereItIsSafe(t *testing.T) {
	h := &testHandler{logins: map[string]string{"u": "p"}}
	cfg := ServerConfig{TLS: serverTLS(t), Auth: true, Hostname: "mx.test"}
	s := NewServer(cfg, h)
	defer s.Close()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go s.ServeConn(farConn{theirs})
	smtptest.Play(t, ours, "S: 220*\nC: EHLO c\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-SIZE*\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250-DSN\nS: 250-STARTTLS\nS: 250 ENH*\nC: AUTH PLAIN AHUAcA==\nS: 538 5.7.11*\nC: STARTTLS\nS: 220*\ntls\nC: EHLO c\nS: 250-**\nS: 250 ENH*\nC: AUTH PLAIN AHUAcA==\nS: 235*\nC: MAIL FROM:<a@b.test>\nS: 250*")
}
