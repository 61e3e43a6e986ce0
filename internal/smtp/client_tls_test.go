package smtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

// selfSigned makes a certificate for a name and the pool that trusts it.
func selfSigned(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

const (
	beforeTLS = `
		S: 220 hi
		C: EHLO me.test
		S: 250-hi
		S: 250-SIZE 1
		S: 250 STARTTLS
		C: STARTTLS
	`
	afterTLS = `
		S: 220 go
		tls
		C: EHLO me.test
		S: 250-hi
		S: 250 PIPELINING
		C: QUIT
		S: 221 bye
		close
	`
)

func TestClientStartTLS(t *testing.T) {
	cert, pool := selfSigned(t, "mx.test")
	other, _ := selfSigned(t, "other.test")
	tests := []struct {
		name   string
		server *tls.Config
		verify ClientVerify
		host   string
		ok     bool
	}{
		{"anything", &tls.Config{Certificates: []tls.Certificate{other}}, ClientVerifyNone, "mx.test", true},
		{"TLS 1.0", &tls.Config{Certificates: []tls.Certificate{other}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, ClientVerifyNone, "mx.test", true},
		{"TLS 1.0 is too old to be verified", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, ClientVerifyHost, "mx.test", false},
		{"chain", &tls.Config{Certificates: []tls.Certificate{cert}}, ClientVerifyCA, "another-name.test", true},
		{"no chain", &tls.Config{Certificates: []tls.Certificate{other}}, ClientVerifyCA, "other.test", false},
		{"name", &tls.Config{Certificates: []tls.Certificate{cert}}, ClientVerifyHost, "mx.test", true},
		{"wrong name", &tls.Config{Certificates: []tls.Certificate{cert}}, ClientVerifyHost, "another-name.test", false},
		{"no chain for the name", &tls.Config{Certificates: []tls.Certificate{other}}, ClientVerifyHost, "other.test", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var addr net.Addr
			if tt.ok {
				addr = smtptest.ServeTLS(t, tt.server, beforeTLS+afterTLS).Addr()
			} else {
				addr = refusedHandshake(t, tt.server).Addr()
			}
			conn, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			c := NewClient(conn, patient)
			defer c.Close(true)
			_, _ = c.Greeting()
			if _, err := c.Hello("me.test"); err != nil || !c.Extensions().SizeKnown {
				t.Fatal(err)
			}
			rep, err := c.StartTLS(mustConfig(t, NewClientTLS(pool), TLSRequirement{Host: tt.host, Verify: tt.verify}))
			if !tt.ok {
				var se *SessionError
				if !errors.As(err, &se) || se.Kind != EndLost || rep.Stage != mail.StageTLS || rep.Enhanced != "4.7.5" {
					t.Errorf("got %v, %v", rep, err)
				}
				return
			}
			if err != nil || !strings.HasPrefix(c.TLS(), "TLS1.") || strings.Contains(c.TLS(), " ") {
				t.Fatalf("%v: %q", err, c.TLS())
			}
			if c.Extensions().SizeKnown {
				t.Error("what was said in clear is still believed")
			}
			if _, err := c.Hello("me.test"); err != nil || !c.Extensions().Pipelining || c.Extensions().SizeKnown {
				t.Errorf("after TLS: %v %+v", err, c.Extensions())
			}
		})
	}
}

// refusedHandshake is a receiver whose handshake the client breaks off: that is no fault
// of the receiver, so no script is held to its end.
func refusedHandshake(t *testing.T, config *tls.Config) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = smtptest.Run(conn, 'S', beforeTLS+"S: 220 go\ntls\nclose", config)
		_ = conn.Close()
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l
}

func TestClientStartTLSInjection(t *testing.T) {
	for name, more := range map[string]string{
		"a reply in the same flight": `S- 220 go\r\n250 injected\r\n`,
		"octets of anything":         `S- 220 go\r\nx`,
	} {
		t.Run(name, func(t *testing.T) {
			c := openScript(t, strings.Replace(beforeTLS, "S: 250-hi", "S: 250-mx.test", 1)+more+"\nclose", patient)
			rep, err := c.StartTLS(opportunistic(t))
			var se *SessionError
			if !errors.As(err, &se) || se.Kind != EndProtocol || rep.Stage != mail.StageSTARTTLS {
				t.Errorf("got %v, %v", rep, err)
			}
			c.Close(true)
		})
	}
}

func TestClientStartTLSRefused(t *testing.T) {
	c := openScript(t, beforeTLS+"S: 454 4.7.0 not now\nC: QUIT\nS: 221 bye\nclose", patient)
	if rep, err := c.StartTLS(opportunistic(t)); err != nil || rep.Code != 454 || c.TLS() != "" {
		t.Errorf("got %v, %v", rep, err)
	}
	c.Close(true)
}

// TestClientTLSResumption: a second session is resumed, but never one that was not
// verified by one that must be.
func TestClientTLSResumption(t *testing.T) {
	cert, pool := selfSigned(t, "mx.test")
	r := smtptest.ServeTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, beforeTLS+afterTLS)
	store := NewClientTLS(pool)
	for i, tt := range []struct {
		verify  ClientVerify
		resumed bool
	}{
		{ClientVerifyNone, false},
		{ClientVerifyNone, true},
		{ClientVerifyHost, false},
		{ClientVerifyHost, true},
		{ClientVerifyCA, false},
	} {
		conn, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(conn, patient)
		_, _ = c.Greeting()
		_, _ = c.Hello("me.test")
		if _, err := c.StartTLS(mustConfig(t, store, TLSRequirement{Host: "mx.test", Verify: tt.verify})); err != nil {
			t.Fatal(err)
		}
		if got := c.conn.(*tls.Conn).ConnectionState().DidResume; got != tt.resumed {
			t.Errorf("session %d: resumed %t, want %t", i+1, got, tt.resumed)
		}
		_, _ = c.Hello("me.test")
		c.Close(true)
	}
}

func mustConfig(t testing.TB, store *ClientTLS, r TLSRequirement) *tls.Config {
	t.Helper()
	cfg, err := store.Config(r)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func opportunistic(t testing.TB) *tls.Config {
	t.Helper()
	return mustConfig(t, NewClientTLS(nil), TLSRequirement{Host: "mx.test"})
}
