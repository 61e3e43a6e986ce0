package smtp

import "crypto/tls"

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

// VerifyHost looks at the certificate of a session that r was not demanded of: for a
// chain to a trusted root, and for one of the names in it.
func (t *ClientTLS) VerifyHost(r TLSRequirement, s tls.ConnectionState) error {
	if len(r.Names) == 0 {
		r.Names = []string{r.Host}
	}
	r.Verify = ClientVerifyHost
	roots, err := t.trusted(&r)
	if err != nil {
		return err
	}
	return r.verify(s.PeerCertificates, roots)
}
