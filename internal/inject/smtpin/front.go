// Package smtpin is the way in by SMTP: one Front for each ESMTP listener. It turns
// the calls of the wire layer into steps of inject, and its answers into replies.
//
//	listener ─(PROXY header)─> smtp.Server ──> session ──> inject.Message ──> spool
package smtpin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/sluice-mta/sluice/internal/inject"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/smtp"
)

// proxyTimeout is how long a PROXY header may take to come.
const proxyTimeout = 10 * time.Second

// Front is one ESMTP listener. Safe for concurrent use.
type Front struct {
	in       *inject.Injector
	listener atomic.Pointer[policy.Listener]
	server   *smtp.Server
	cert     atomic.Pointer[tls.Certificate]
}

// New returns the Front of one listener of in's configuration. It fails when the
// certificate cannot be read.
func New(in *inject.Injector, l *policy.Listener) (*Front, error) {
	f := &Front{in: in}
	f.server = smtp.NewServer(smtp.ServerConfig{}, f)
	if err := f.Apply(l); err != nil {
		return nil, err
	}
	return f, nil
}

// Apply takes over new settings of the listener, after a reload: its bounds, name and
// certificate for new connections, its rules for the next message of old ones too. On
// an error everything stays as it was. proxy_protocol is that of the time of Serve.
func (f *Front) Apply(l *policy.Listener) error {
	s := f.in.Settings()
	cfg := smtp.ServerConfig{
		Hostname:              s.Hostname,
		Auth:                  l.Auth != policy.AuthOff && len(s.Users) > 0,
		Normalize:             l.NormalizeLineEndings,
		MaxSessions:           l.MaxSessions,
		MaxSessionsPerAddress: l.MaxSessionsPerAddress,
		MaxMessageSize:        l.MaxMessageSize,
		MaxRecipients:         min(l.MaxRecipients, mail.MaxRecipients),
		RequireTLS:            l.RequireTLS,
		MaxHold:               l.MaxFutureRelease,
		DeliverBy:             l.DeliverBy != policy.DeliverByOff,
	}
	if l.TLSCertificate != "" {
		c, err := tls.LoadX509KeyPair(l.TLSCertificate, l.TLSKey)
		if err != nil {
			return fmt.Errorf("listener %s: tls_certificate %s, tls_key %s: %w", l.Address, l.TLSCertificate, l.TLSKey, err)
		}
		f.cert.Store(&c)
		cfg.TLS = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.cert.Load(), nil },
		}
	}
	f.listener.Store(l)
	f.server.SetConfig(cfg)
	return nil
}

// Serve takes connections from l until Shutdown or Close, and closes l; it then returns
// nil.
func (f *Front) Serve(l net.Listener) error {
	if f.listener.Load().ProxyProtocol {
		l = proxied(l)
	}
	if err := f.server.Serve(l); !errors.Is(err, smtp.ErrServerClosed) {
		return fmt.Errorf("listener %s: %w", f.listener.Load().Address, err)
	}
	return nil
}

// proxyListener is a listener whose connections begin with a PROXY header. It keeps the
// deadline, which proxyproto.Listener hides, for the server to shed load with.
type proxyListener struct {
	proxyproto.Listener
}

func proxied(l net.Listener) net.Listener {
	return &proxyListener{proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: proxyTimeout,
		ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			return proxyproto.REQUIRE, nil
		},
	}}
}

// SetDeadline is that of the listener beneath.
func (l *proxyListener) SetDeadline(t time.Time) error {
	if d, ok := l.Listener.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		return d.SetDeadline(t)
	}
	return errors.ErrUnsupported
}

// Sessions returns the number of connections open now.
func (f *Front) Sessions() int { return f.server.Sessions() }

// Shutdown stops taking connections, ends idle sessions with 421, and returns when
// messages past DATA have been answered, or with ctx's error when it cut them off.
func (f *Front) Shutdown(ctx context.Context) error { return f.server.Shutdown(ctx) }

// Close cuts off all sessions and returns when they have ended.
func (f *Front) Close() error { return f.server.Close() }

// Refused implements smtp.Refuser.
func (f *Front) Refused(mail.Reply) { f.in.RefuseSession() }

// NewSession implements smtp.Handler.
func (f *Front) NewSession(c *smtp.ServerConn) (smtp.Session, mail.Reply) {
	if r := f.in.Refuse(f.in.Pressure()); r.Code != 0 {
		return nil, mail.Reply{Code: 421, Enhanced: r.Enhanced, Text: r.Text}
	}
	return &session{front: f, conn: c}, mail.Reply{}
}
