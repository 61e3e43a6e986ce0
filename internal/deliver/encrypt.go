package deliver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
)

// TLSResult tells how the encryption of one connection went.
type TLSResult struct {
	Domain  string // for which the connection was opened
	Host    string
	Address netip.Addr
	Local   netip.Addr // our source address
	Want    sched.TLS
	TLS     string // as mail.Attempt.TLS; empty: it did not come about
	Failure TLSFailure
	Reason  string // more of the failure, in words
}

// TLSFailure says why a connection is not encrypted.
type TLSFailure uint8

const (
	TLSNone       TLSFailure = iota // it is
	TLSNotOffered                   // no STARTTLS in the reply to EHLO, or refused
	TLSHandshake                    // the handshake failed before a certificate was looked at
	TLSUntrusted                    // no chain to a trusted root
	TLSExpired                      // the certificate is out of its time
	TLSName                         // the certificate is for other names
	TLSRecords                      // the certificate matches no TLSA record
)

// encrypt does what the Connect says about TLS. A failure is not made up for on this
// connection: going on in clear is a new decision of the scheduler's.
func (c *conn) encrypt(s *policy.Session) *ending {
	want := c.action.TLS
	if want == sched.TLSNo {
		return nil
	}
	if !c.client.Extensions().StartTLS {
		c.secured(TLSNotOffered, "STARTTLS is not offered")
		if want == sched.TLSIfAvailable {
			return nil
		}
		return &ending{class: sched.ConnectTLS, quit: true, reply: mail.Reply{
			Enhanced: "4.7.4", Stage: mail.StageSTARTTLS,
			Text: fmt.Sprintf("TLS is required for the host %s, and it does not offer STARTTLS", c.action.Host),
		}}
	}
	var seen error
	config, end := c.tlsConfig(&seen)
	if end != nil {
		return end
	}
	rep, err := c.client.StartTLS(config)
	if end := c.opening(rep, err); end != nil {
		c.secured(tlsFailure(rep, err), rep.String())
		return end
	}
	if seen != nil { // it would not do if the policy that is tested were enforced
		c.secured(certificateFailure(seen), seen.Error())
	} else {
		c.secured(TLSNone, "")
	}
	c.trace.note("encrypted: %s", c.client.TLS())
	rep, err = c.client.Hello(s.EHLO)
	return c.opening(rep, err)
}

// tlsConfig is what the session is encrypted with; seen is what is found wrong with a
// certificate of which nothing is asked. An ending says that a file of ours cannot be read.
func (c *conn) tlsConfig(seen *error) (*tls.Config, *ending) {
	r := requirement(&c.action)
	if r.Verify == smtp.ClientVerifyNone && c.agent.cfg.Observe != nil && c.agent.cfg.Observe(c.action.Domain, c.action.Host) {
		r.Observe = func(err error) { *seen = err }
	}
	config, err := c.agent.cfg.TLS.Config(r)
	if err != nil {
		return nil, &ending{class: sched.ConnectTLS, quit: true, reply: mail.Reply{Enhanced: "4.3.5", Stage: mail.StageSTARTTLS, Text: err.Error()}}
	}
	return config, nil
}

// requirement is what the certificate of a receiver must prove.
func requirement(a *sched.Connect) smtp.TLSRequirement {
	s := a.Policy.Session
	r := smtp.TLSRequirement{
		Host: a.Host, MinVersion: s.TLSMinVersion, CAFile: s.TLSCA, CertFile: s.TLSCertificate, KeyFile: s.TLSKey,
	}
	switch a.TLS {
	case sched.TLSVerifyCA:
		r.Verify = smtp.ClientVerifyCA
	case sched.TLSVerifyHost:
		r.Verify = smtp.ClientVerifyHost
	case sched.TLSDANE:
		r.Verify, r.TLSA, r.Names = smtp.ClientVerifyDANE, a.TLSA, a.Names
	case sched.TLSIfAvailable, sched.TLSNo, sched.TLSRequired:
	}
	return r
}

// secured reports how the encryption went.
func (c *conn) secured(failure TLSFailure, reason string) {
	if c.agent.cfg.Secured == nil {
		return
	}
	c.agent.cfg.Secured(TLSResult{
		Domain: c.action.Domain, Host: c.action.Host, Address: c.action.Address, Local: c.local,
		Want: c.action.TLS, TLS: c.client.TLS(), Failure: failure, Reason: reason,
	})
}

// tlsFailure says what was wrong when STARTTLS did not lead to encryption.
func tlsFailure(rep mail.Reply, err error) TLSFailure {
	switch f := certificateFailure(err); {
	case f != TLSNone:
		return f
	case rep.Stage == mail.StageSTARTTLS:
		return TLSNotOffered
	}
	return TLSHandshake
}

// certificateFailure says what is wrong with a certificate; TLSNone: err is not about one.
func certificateFailure(err error) TLSFailure {
	var bad *smtp.CertificateError
	if !errors.As(err, &bad) {
		return TLSNone
	}
	switch bad.Fault {
	case smtp.CertificateExpired:
		return TLSExpired
	case smtp.CertificateName:
		return TLSName
	case smtp.CertificateTLSA:
		return TLSRecords
	case smtp.CertificateMissing, smtp.CertificateUntrusted:
	}
	return TLSUntrusted
}
