package deliver

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

func TestTLSRequirements(t *testing.T) {
	// The certificate that httptest makes for example.com and 127.0.0.1.
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	cert := server.TLS.Certificates[0]
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	const (
		clear    = "S: 220 hi\nC: EHLO me.test\nS: 250 hi\n"
		offer    = "S: 220 hi\nC: EHLO me.test\nS: 250-hi\nS: 250 STARTTLS\n"
		encrypt  = offer + "C: STARTTLS\nS: 220 go\ntls\nC: EHLO me.test\nS: 250 hi\n" + quit
		notToday = offer + "C: STARTTLS\nS: 454 4.7.0 not today\n" + quit
	)
	tests := []struct {
		name, script string
		want         sched.TLS
		host         string
		tls          bool
		failed       sched.ConnectClass
	}{
		{"no", clear + quit, sched.TLSNo, "example.com", false, sched.ConnectOK},
		{"no, though offered", offer + quit, sched.TLSNo, "example.com", false, sched.ConnectOK},
		{"if available, and it is", encrypt, sched.TLSIfAvailable, "wrong.test", true, sched.ConnectOK},
		{"if available, and it is not", clear + quit, sched.TLSIfAvailable, "example.com", false, sched.ConnectOK},
		{"if available, refused", notToday, sched.TLSIfAvailable, "example.com", false, sched.ConnectTLS},
		{"required", encrypt, sched.TLSRequired, "wrong.test", true, sched.ConnectOK},
		{"required, not offered", clear + quit, sched.TLSRequired, "example.com", false, sched.ConnectTLS},
		{"required, refused", notToday, sched.TLSRequired, "example.com", false, sched.ConnectTLS},
		{"verified chain", encrypt, sched.TLSVerifyCA, "wrong.test", true, sched.ConnectOK},
		{"verified name", encrypt, sched.TLSVerifyHost, "example.com", true, sched.ConnectOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := smtptest.ServeTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, tt.script)
			w := newWorld(t, r.Addr().AddrPort())
			w.config.TLS = smtp.NewClientTLS(roots)
			w.action.TLS, w.action.Host = tt.want, tt.host
			w.start()
			if tt.failed != sched.ConnectOK {
				if got := until[sched.ConnectFailed](w, 1); got.Class != tt.failed {
					t.Errorf("got %s", tell(got))
				}
				if got := until[sched.Closed](w, 1); got.Class != tt.failed {
					t.Errorf("got %s", tell(got))
				}
				return
			}
			until[sched.Wants](w, 1)
			if got := until[sched.Connected](w, 1); got.TLS != tt.tls {
				t.Errorf("got %s", tell(got))
			}
			w.agent.Close(sched.Close{Conn: 1})
			if got := until[sched.Closed](w, 1); got.Class != sched.ConnectOK {
				t.Errorf("got %s", tell(got))
			}
		})
	}
}

// TestMailOverTLS: waking an idle connection leaves its encryption in order.
func TestMailOverTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	r := smtptest.ServeTLS(t, &tls.Config{Certificates: server.TLS.Certificates},
		"S: 220 hi\nC: EHLO me.test\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\ntls\n"+
			"C: EHLO me.test\nS: 250-hi\nS: 250 PIPELINING\n"+taken+taken+quit)
	w := newWorld(t, r.Addr().AddrPort())
	w.action.TLS = sched.TLSIfAvailable
	w.start()
	until[sched.Wants](w, 1)
	w.give(1, "hi\r\n", "x@b.test")
	until[sched.Wants](w, 2)
	w.give(2, "hi\r\n", "x@b.test")
	if a := until[sched.Attempted](w, 2).Attempt; !strings.HasPrefix(a.TLS, "TLS1.3/TLS_") || strings.Join(a.Ehlo, " ") != "PIPELINING" {
		t.Errorf("attempt: %+v", a)
	}
	until[sched.Wants](w, 3)
	w.agent.Close(sched.Close{Conn: 1})
	w.expect(`
		connected tls=true
		wants 2
		attempted 1: [0 delivered: dot: 250 2.0.0 taken]
		wants 1
		attempted 2: [0 delivered: dot: 250 2.0.0 taken]
		wants 1
		closed: ok
	`)
}

// TestTLSResults: how each handshake went is told, with what a certificate would have
// failed by that is only looked at; DANE is carried out.
func TestTLSResults(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	cert := server.Certificate()
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	good := mail.TLSA{Usage: 3, Selector: 0, Matching: 0, Data: cert.Raw}
	bad := mail.TLSA{Usage: 3, Selector: 0, Matching: 0, Data: cert.Raw[1:]}
	const (
		offer   = "S: 220 hi\nC: EHLO me.test\nS: 250-hi\nS: 250 STARTTLS\n"
		encrypt = offer + "C: STARTTLS\nS: 220 go\ntls\nC: EHLO me.test\nS: 250 hi\n" + quit
		refuse  = offer + "C: STARTTLS\nS: 454 4.7.0 not today\n" + quit
		broken  = offer + "C: STARTTLS\nS: 220 go\nclose!"
	)
	tests := []struct {
		name, script string
		want         sched.TLS
		host         string
		tlsa         []mail.TLSA
		observe      bool
		result       TLSFailure
		opens        bool
	}{
		{"well", encrypt, sched.TLSVerifyHost, "example.com", nil, false, TLSNone, true},
		{"records that match", encrypt, sched.TLSDANE, "wrong.test", []mail.TLSA{bad, good}, false, TLSNone, true},
		{"records that do not", broken, sched.TLSDANE, "example.com", []mail.TLSA{bad}, false, TLSHandshake, false},
		{"only looked at, well", encrypt, sched.TLSIfAvailable, "example.com", nil, true, TLSNone, true},
		{"only looked at, a wrong name", encrypt, sched.TLSIfAvailable, "wrong.test", nil, true, TLSName, true},
		{"not looked at", encrypt, sched.TLSIfAvailable, "wrong.test", nil, false, TLSNone, true},
		{"refused", refuse, sched.TLSRequired, "example.com", nil, false, TLSNotOffered, false},
		{"not offered", "S: 220 hi\nC: EHLO me.test\nS: 250 hi\n" + quit, sched.TLSIfAvailable, "example.com", nil, false, TLSNotOffered, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := smtptest.ServeTLS(t, &tls.Config{Certificates: server.TLS.Certificates}, tt.script)
			w := newWorld(t, r.Addr().AddrPort())
			results := make(chan TLSResult, 2)
			w.config.TLS = smtp.NewClientTLS(roots)
			w.config.Secured = func(r TLSResult) { results <- r }
			w.config.Observe = func(domain, host string) bool { return tt.observe && domain == w.action.Domain && host == tt.host }
			w.action.TLS, w.action.Host, w.action.TLSA, w.action.Names = tt.want, tt.host, tt.tlsa, []string{tt.host}
			w.start()
			if tt.opens {
				until[sched.Wants](w, 1)
				w.agent.Close(sched.Close{Conn: 1})
			} else if got := until[sched.ConnectFailed](w, 1); got.Class != sched.ConnectTLS {
				t.Errorf("got %s", tell(got))
			}
			until[sched.Closed](w, 1)
			got := <-results
			if got.Failure != tt.result || got.Host != tt.host || got.Want != tt.want || got.Address != w.action.Address || !got.Local.IsValid() ||
				(got.TLS != "") != strings.Contains(tt.script, "\ntls\n") || (got.Reason == "") != (tt.result == TLSNone) {
				t.Errorf("got %+v", got)
			}
			if len(results) > 0 {
				t.Error("told twice")
			}
		})
	}
}
