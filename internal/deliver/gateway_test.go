package deliver

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

const (
	offersPlain = "S: 220 hi\nC: EHLO me.test\nS: 250-hi\nS: 250 AUTH CRAM-MD5 PLAIN LOGIN\n"
	offersLogin = "S: 220 hi\nC: EHLO me.test\nS: 250-hi\nS: 250 AUTH login\n"
	// us, secret
	tellsPlain = "C: AUTH PLAIN AHVzAHNlY3JldA==\nS: 235 2.7.0 welcome\n"
	tellsLogin = "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dXM=\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 2.7.0 welcome\n"
)

// TestGatewayLogin: TLS from the first octet, and who is told the login.
func TestGatewayLogin(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for _, tt := range []struct {
		name, script string
		protocol     policy.Protocol
		tls          sched.TLS
		security     policy.AuthSecurity
		host         string
		failed       string // empty: it is connected
	}{
		{"smtps, plain", "tls\n" + offersPlain + tellsPlain + quit, policy.SMTPS, sched.TLSVerifyHost, policy.AuthVerified, "example.com", ""},
		{"smtps, login", "tls\n" + offersLogin + tellsLogin + quit, policy.SMTPS, sched.TLSVerifyHost, policy.AuthVerified, "example.com", ""},
		{"starttls", "S: 220 hi\nC: EHLO me.test\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\ntls\n" + strings.TrimPrefix(offersPlain, "S: 220 hi\n") + tellsPlain + quit, policy.SMTP, sched.TLSVerifyHost, policy.AuthVerified, "example.com", ""},
		{"not verified", "tls\n" + offersPlain + quit, policy.SMTPS, sched.TLSRequired, policy.AuthVerified, "example.com", "host: auth: 4.7.0 the login is not told"},
		{"not verified, and asked for so", "tls\n" + offersPlain + tellsPlain + quit, policy.SMTPS, sched.TLSRequired, policy.AuthEncrypted, "example.com", ""},
		{"in clear", offersPlain + quit, policy.SMTP, sched.TLSIfAvailable, policy.AuthEncrypted, "example.com", "host: auth: 4.7.0 the login is not told"},
		{"in clear, and asked for so", offersPlain + tellsPlain + quit, policy.SMTP, sched.TLSNo, policy.AuthAnywhere, "example.com", ""},
		{"wrong", offersPlain + "C: AUTH PLAIN AHVzAHNlY3JldA==\nS: 535 5.7.8 no\n" + quit, policy.SMTP, sched.TLSNo, policy.AuthAnywhere, "example.com", "host: auth: 535 5.7.8 no"},
		{"no mechanism", "S: 220 hi\nC: EHLO me.test\nS: 250-hi\nS: 250 AUTH CRAM-MD5\n" + quit, policy.SMTP, sched.TLSNo, policy.AuthAnywhere, "example.com", "host: auth: 4.7.0 a login is set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := smtptest.ServeTLS(t, &tls.Config{Certificates: server.TLS.Certificates}, tt.script)
			w := newWorld(t, r.Addr().AddrPort())
			w.config.TLS = smtp.NewClientTLS(roots)
			w.config.Tracer = new(Tracer)
			seen := watch(t, w.config.Tracer, TraceFilter{Body: true})
			w.action.TLS, w.action.Host, w.action.Protocol = tt.tls, tt.host, tt.protocol
			w.action.Policy.Session.Gateway = tt.host
			w.action.Policy.Session.Auth = policy.Auth{User: "us", Password: policy.Secret{Value: "secret"}, Security: tt.security}
			w.start()
			if tt.failed != "" {
				got := until[sched.ConnectFailed](w, 1)
				if text := got.Class.String() + ": " + got.Reply.Stage.String() + ": " + got.Reply.String(); !strings.HasPrefix(text, tt.failed) {
					t.Errorf("got %s", text)
				}
				until[sched.Closed](w, 1)
				return
			}
			until[sched.Wants](w, 1)
			if c := until[sched.Connected](w, 1); c.TLS != (tt.tls != sched.TLSNo) {
				t.Errorf("encrypted: %v", c.TLS)
			}
			w.agent.Close(sched.Close{Conn: 1})
			until[sched.Closed](w, 1)
			if all := told(seen); strings.Contains(all, "c2VjcmV0") || strings.Contains(all, "AHVz") || strings.Contains(all, "secret") || !strings.Contains(all, "***") {
				t.Errorf("the trace tells the login:\n%s", all)
			}
		})
	}
}

// A handshake that fails at once is the host's, and never made up for in clear.
func TestImplicitTLSFails(t *testing.T) {
	w := scripted(t, "S: 220 in clear\nclose!")
	w.action.Protocol, w.action.TLS = policy.SMTPS, sched.TLSRequired
	w.start()
	if got := until[sched.ConnectFailed](w, 1); got.Class != sched.ConnectTLS || got.Reply.Stage != mail.StageTLS {
		t.Errorf("got %s", tell(got))
	}
	until[sched.Closed](w, 1)
}

// TestLMTP: one reply for each recipient that was accepted, after the content (RFC 2033).
func TestLMTP(t *testing.T) {
	const lhlo = "S: 220 store LMTP\nC: LHLO me.test\nS: 250-hi\nS: 250-PIPELINING\nS: 250 CHUNKING\n"
	const envelope = "C: MAIL FROM:<s@a.test>\nC: RCPT TO:<x@b.test>\nC: RCPT TO:<y@b.test>\nC: RCPT TO:<z@b.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 550 5.1.1 who\nS: 250 ok\nS: 354 go\nC: hi\nC: .\n"
	for name, tt := range map[string]struct{ script, want string }{
		"each its own": {
			lhlo + envelope + "S: 250 2.1.5 in the box\nS: 452 4.2.2 full\n" + quit,
			"[0 delivered: dot: 250 2.1.5 in the box] [1 refused: rcpt: 550 5.1.1 who] [2 deferred: dot: 452 4.2.2 full]",
		},
		"lost between the replies": {
			lhlo + envelope + "S: 250 2.1.5 in the box\nclose!",
			"[0 delivered: dot: 250 2.1.5 in the box] [1 refused: rcpt: 550 5.1.1 who] [2 deferred: dot: 4.4.2 the receiver closed",
		},
		"nobody": {
			lhlo + strings.ReplaceAll(strings.Replace(strings.Split(envelope, "S: 354")[0], "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 who\nS: 250 ok\n", "S: 250 ok\nS: 550 5.1.1 who\nS: 550 5.1.1 who\nS: 550 5.1.1 who\nS: 503 5.5.1 nobody\n", 1), "x", "x") + quit,
			"[0 refused: rcpt: 550 5.1.1 who] [1 refused: rcpt: 550 5.1.1 who] [2 refused: rcpt: 550 5.1.1 who]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := scripted(t, tt.script)
			w.action.Protocol = policy.LMTP
			w.start()
			until[sched.Wants](w, 1)
			w.give(1, "hi\r\n", "x@b.test", "y@b.test", "z@b.test")
			if got := tell(until[sched.Attempted](w, 1)); !strings.Contains(got, tt.want) {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
			w.agent.Close(sched.Close{Conn: 1})
			until[sched.Closed](w, 1)
		})
	}
}
