package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
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
	if e := c.encrypt(config); e != nil {
		return e.Reply, e
	}
	return rep, nil
}

// Encrypt makes the handshake at once, before the greeting: TLS from the first octet
// (RFC 8314 §3.3). The reply says what went wrong.
func (c *Client) Encrypt(config *tls.Config) (mail.Reply, error) {
	if e := c.encrypt(config); e != nil {
		return e.Reply, e
	}
	return mail.Reply{}, nil
}

func (c *Client) encrypt(config *tls.Config) *SessionError {
	secure := tls.Client(c.raw, config)
	if err := c.arm(armBoth, c.t.TLS); err != nil {
		return c.fail(mail.StageTLS, "in the TLS handshake", err)
	}
	if err := secure.Handshake(); err != nil {
		e := c.fail(mail.StageTLS, "in the TLS handshake", err)
		if e.Kind == EndLost {
			e.Reply.Enhanced = "4.7.5"
			e.Reply.Text = fmt.Sprintf("TLS handshake failed: %v", rootCause(err))
		}
		return e
	}
	c.conn, c.tls = secure, connectionState(secure.ConnectionState())
	c.rr = NewReplyReader(clientSource{c})
	return nil
}

// ClientVerify says how far a receiver's certificate is looked at.
type ClientVerify uint8

const (
	ClientVerifyNone ClientVerify = iota // any certificate, old versions too: better than clear
	ClientVerifyCA                       // a chain to a trusted root, whatever the name
	ClientVerifyHost                     // a chain to a trusted root, for one of the names
	ClientVerifyDANE                     // what the TLSA records say (RFC 7672)

	clientVerifies = iota
)

// TLSRequirement is what an encrypted session with a receiver must be like. The zero
// value of a field is its default.
type TLSRequirement struct {
	Host   string // the receiver's name: the one that is asked for (SNI), unless Names has others
	Verify ClientVerify
	// Names are those of which the certificate must show one, for ClientVerifyHost and for
	// trust anchors of ClientVerifyDANE; the first is asked for by SNI. Default: Host alone.
	Names []string
	TLSA  []mail.TLSA // usable ones, for ClientVerifyDANE
	// Observe is told, for ClientVerifyNone, what ClientVerifyHost would say; nil: nobody is.
	Observe func(error)
	// MinVersion is the oldest version spoken (tls.VersionTLS12); default: 1.0 without
	// verification, 1.2 with.
	MinVersion uint16
	// CAFile has the trusted roots, PEM; default: those of the ClientTLS.
	CAFile string
	// CertFile and KeyFile are shown to a receiver that asks for a certificate, PEM.
	CertFile, KeyFile string
}

// ClientTLS makes TLS configurations and remembers sessions for resumption, apart for
// each degree of verification. Files are read again when they change. Safe for
// concurrent use.
type ClientTLS struct {
	roots  *x509.CertPool
	caches [clientVerifies]tls.ClientSessionCache
	files  tlsFiles
}

// NewClientTLS trusts roots; nil: those of the system.
func NewClientTLS(roots *x509.CertPool) *ClientTLS {
	t := &ClientTLS{roots: roots}
	for i := range t.caches {
		t.caches[i] = tls.NewLRUClientSessionCache(4096)
	}
	return t
}

// Config returns the configuration for a session that must be as r says: the handshake
// fails, with a *CertificateError, when the certificate is not. It serves STARTTLS and TLS
// from the first octet alike. An error says that a file of r cannot be read.
func (t *ClientTLS) Config(r TLSRequirement) (*tls.Config, error) {
	if len(r.Names) == 0 {
		r.Names = []string{r.Host}
	}
	cfg := &tls.Config{
		ServerName: serverName(r.Names[0]),
		MinVersion: tls.VersionTLS12,
		// The certificate is looked at by VerifyConnection, which is called for resumed
		// sessions, too.
		InsecureSkipVerify: true,
	}
	if r.CAFile == "" && r.CertFile == "" { // a resumed session keeps the identity that it began with
		cfg.ClientSessionCache = t.caches[r.Verify]
	}
	if r.Verify == ClientVerifyNone {
		// RFC 7435: without verification nothing is gained by refusing what is old.
		cfg.MinVersion = tls.VersionTLS10
		cfg.CipherSuites = opportunisticSuites()
	}
	if r.Verify != ClientVerifyNone || r.Observe != nil {
		roots, err := t.trusted(&r)
		if err != nil {
			return nil, err
		}
		cfg.VerifyConnection = func(s tls.ConnectionState) error { return r.verify(s.PeerCertificates, roots) }
	}
	if r.MinVersion != 0 {
		cfg.MinVersion = r.MinVersion
	}
	if r.CertFile != "" {
		pair, err := t.files.pair(r.CertFile, r.KeyFile)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{*pair}
	}
	return cfg, nil
}

func (t *ClientTLS) trusted(r *TLSRequirement) (*x509.CertPool, error) {
	if r.CAFile == "" || r.Verify == ClientVerifyDANE {
		return t.roots, nil
	}
	return t.files.pool(r.CAFile)
}

// serverName is what SNI may carry: a name, never an address (RFC 6066 §3). crypto/tls
// leaves addresses out by itself, but not in brackets.
func serverName(host string) string { return strings.Trim(host, "[]") }

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
