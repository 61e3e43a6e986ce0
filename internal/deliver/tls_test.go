package deliver

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"

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
