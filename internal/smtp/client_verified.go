package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// trust is what is known of a receiver's certificate beyond what the session demanded.
type trust struct {
	check func(tls.ConnectionState) error
	known bool
	ok    bool
}

// SetTrust says how Verified finds out whether the receiver's certificate proves that it
// is the host that was meant, where the session itself did not demand it. Before the first
// Transact.
func (c *Client) SetTrust(check func(tls.ConnectionState) error) { c.trust = trust{check: check} }

// Verified reports whether the session is under TLS with a certificate that proves the
// host: what mail with REQUIRETLS needs (RFC 8689 §4.2.1). It is found out when it is first
// asked.
func (c *Client) Verified() bool {
	secure, ok := c.conn.(*tls.Conn)
	if !ok {
		return false
	}
	if !c.trust.known {
		c.trust.known = true
		c.trust.ok = c.trust.check != nil && c.trust.check(secure.ConnectionState()) == nil
	}
	return c.trust.ok
}

// VerifyHost looks for a chain from the certificate of a session to a trusted root, and
// for the host's name in it.
func (t *ClientTLS) VerifyHost(host string, s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the receiver shows no certificate")
	}
	opts := x509.VerifyOptions{Roots: t.roots, Intermediates: x509.NewCertPool(), DNSName: host}
	for _, cert := range s.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := s.PeerCertificates[0].Verify(opts)
	return err
}
