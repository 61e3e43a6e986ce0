package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/sluice-mta/sluice/internal/mail"
)

// StartTLS asks for encryption and makes the handshake (RFC 3207). When the reply is not
// a 2xx the session is still in clear. After it everything the receiver said in clear is
// forgotten: Hello must follow. Octets that came with the reply would be injected into
// the encrypted session, so they end it.
func (c *Client) StartTLS(config *tls.Config) (mail.Reply, error) {
	rep, err := c.command(mail.StageSTARTTLS, c.t.TLS, "STARTTLS", "")
	if err != nil || rep.Class() != 2 {
		return rep, err
	}
	if c.rr.Buffered() > 0 {
		e := c.fail(mail.StageSTARTTLS, "before the handshake", protocolError("octets in clear after the reply to STARTTLS"))
		return e.Reply, e
	}
	c.ext = Extensions{}
	secure := tls.Client(c.raw, config)
	if err := c.arm(armBoth, c.t.TLS); err != nil {
		e := c.fail(mail.StageTLS, "in the TLS handshake", err)
		return e.Reply, e
	}
	if err := secure.Handshake(); err != nil {
		e := c.fail(mail.StageTLS, "in the TLS handshake", err)
		if e.Kind == EndLost {
			e.Reply.Enhanced = "4.7.5"
			e.Reply.Text = fmt.Sprintf("TLS handshake failed: %v", rootCause(err))
		}
		return e.Reply, e
	}
	c.conn, c.tls = secure, connectionState(secure.ConnectionState())
	c.rr = NewReplyReader(clientSource{c})
	return rep, nil
}

// ClientVerify says how far a receiver's certificate is looked at.
type ClientVerify uint8

const (
	ClientVerifyNone ClientVerify = iota // any certificate, old versions too: better than clear
	ClientVerifyCA                       // a chain to a trusted root, whatever the name
	ClientVerifyHost                     // a chain to a trusted root, for the MX host's name
)

// ClientTLS makes TLS configurations and remembers sessions for resumption, apart for
// each degree of verification. Safe for concurrent use.
type ClientTLS struct {
	roots  *x509.CertPool
	caches [3]tls.ClientSessionCache
}

// NewClientTLS trusts roots; nil: those of the system.
func NewClientTLS(roots *x509.CertPool) *ClientTLS {
	t := &ClientTLS{roots: roots}
	for i := range t.caches {
		t.caches[i] = tls.NewLRUClientSessionCache(4096)
	}
	return t
}

// Config returns the configuration for a session with host.
func (t *ClientTLS) Config(host string, verify ClientVerify) *tls.Config {
	cfg := &tls.Config{
		ServerName:         host,
		RootCAs:            t.roots,
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: t.caches[verify],
	}
	switch verify {
	case ClientVerifyNone:
		// RFC 7435: without verification nothing is gained by refusing what is old.
		cfg.InsecureSkipVerify = true
		cfg.MinVersion = tls.VersionTLS10
		cfg.CipherSuites = opportunisticSuites()
	case ClientVerifyCA:
		cfg.InsecureSkipVerify = true // VerifyConnection does it, without the name
		cfg.VerifyConnection = t.verifyChain
	case ClientVerifyHost:
	}
	return cfg
}

// verifyChain looks for a chain from the certificate to a trusted root. It is called for
// resumed sessions, too.
func (t *ClientTLS) verifyChain(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return fmt.Errorf("the receiver %s shows no certificate", s.ServerName)
	}
	opts := x509.VerifyOptions{Roots: t.roots, Intermediates: x509.NewCertPool()}
	for _, cert := range s.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := s.PeerCertificates[0].Verify(opts); err != nil {
		return fmt.Errorf("verify the certificate of %s: %w", s.ServerName, err)
	}
	return nil
}

// opportunisticSuites is everything but RC4.
var opportunisticSuites = sync.OnceValue(func() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	for _, s := range tls.InsecureCipherSuites() {
		switch s.ID {
		case tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA:
		default:
			ids = append(ids, s.ID)
		}
	}
	return ids
})
