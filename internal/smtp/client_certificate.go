package smtp

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// CertificateFault says what is wrong with a receiver's certificate.
type CertificateFault uint8

const (
	CertificateMissing   CertificateFault = iota // none was shown
	CertificateUntrusted                         // no chain to a trusted root
	CertificateExpired                           // out of its time, or its issuer is
	CertificateName                              // for other names
	CertificateTLSA                              // matches no TLSA record
)

// CertificateError says why a certificate does not satisfy a TLSRequirement.
type CertificateError struct {
	Fault CertificateFault
	Host  string
	Err   error // the cause; may be nil
}

func (e *CertificateError) Error() string {
	switch e.Fault {
	case CertificateMissing:
		return e.Host + " shows no certificate"
	case CertificateTLSA:
		return "the certificate of " + e.Host + " matches none of its TLSA records"
	}
	return fmt.Sprintf("the certificate of %s: %v", e.Host, e.Err)
}

func (e *CertificateError) Unwrap() error { return e.Err }

// verify looks at the chain that a receiver shows, its own certificate first.
func (r *TLSRequirement) verify(chain []*x509.Certificate, roots *x509.CertPool) error {
	if len(chain) == 0 && r.Verify != ClientVerifyNone {
		return &CertificateError{Fault: CertificateMissing, Host: r.Host}
	}
	switch r.Verify {
	case ClientVerifyCA:
		return r.wrap(verifyChain(chain, roots))
	case ClientVerifyHost:
		if err := verifyChain(chain, roots); err != nil {
			return r.wrap(err)
		}
		return r.wrap(r.named(chain[0]))
	case ClientVerifyDANE:
		return r.verifyDANE(chain)
	case ClientVerifyNone:
		if r.Observe != nil {
			as := *r
			as.Verify = ClientVerifyHost
			r.Observe(as.verify(chain, roots))
		}
	}
	return nil
}

// wrap says what is wrong with a certificate that the library refused.
func (r *TLSRequirement) wrap(err error) error {
	if err == nil {
		return nil
	}
	e := &CertificateError{Fault: CertificateUntrusted, Host: r.Host, Err: err}
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Fault = CertificateExpired
	case errors.As(err, &name):
		e.Fault = CertificateName
		// What the certificate shows is remote text, and can be long.
		e.Err = fmt.Errorf("it is not for %s but for %s", strings.Join(r.Names, " or "), shownNames(name.Certificate))
	}
	return e
}

func shownNames(c *x509.Certificate) string {
	if len(c.DNSNames) == 0 {
		return "no name"
	}
	s := strings.Join(c.DNSNames[:min(len(c.DNSNames), 3)], ", ")
	if len(c.DNSNames) > 3 {
		s += ", ..."
	}
	return string(clip([]byte(s), 200))
}

// named reports whether the certificate shows one of the names; the error is about the
// first.
func (r *TLSRequirement) named(c *x509.Certificate) error {
	var first error
	for _, n := range r.Names {
		err := c.VerifyHostname(n)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func verifyChain(chain []*x509.Certificate, roots *x509.CertPool) error {
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(opts)
	return err
}

// verifyDANE looks for a TLSA record that the chain satisfies (RFC 7672 §3.1). The
// receiver's own certificate or key (usage 3) is enough by itself, whatever its names and
// its time; a trust anchor (usage 2) needs a chain within its time, and the name.
func (r *TLSRequirement) verifyDANE(chain []*x509.Certificate) error {
	anchors := x509.NewCertPool()
	found := false
	for i := range r.TLSA {
		t := &r.TLSA[i]
		switch t.Usage {
		case 3:
			if matches(t, chain[0]) {
				return nil
			}
		case 2:
			for _, c := range chain {
				if matches(t, c) {
					anchors.AddCert(c)
					found = true
				}
			}
			// The anchor itself may be in the record instead of the chain.
			if t.Selector == 0 && t.Matching == 0 {
				if c, err := x509.ParseCertificate(t.Data); err == nil {
					anchors.AddCert(c)
					found = true
				}
			}
		}
	}
	if !found {
		return &CertificateError{Fault: CertificateTLSA, Host: r.Host}
	}
	if err := verifyChain(chain, anchors); err != nil {
		return r.wrap(err)
	}
	return r.wrap(r.named(chain[0]))
}

// matches reports whether a record speaks of a certificate (RFC 6698 §2.1.2, §2.1.3).
func matches(t *mail.TLSA, c *x509.Certificate) bool {
	var data []byte
	switch t.Selector {
	case 0:
		data = c.Raw
	case 1:
		data = c.RawSubjectPublicKeyInfo
	default:
		return false
	}
	switch t.Matching {
	case 0:
		return bytes.Equal(t.Data, data)
	case 1:
		sum := sha256.Sum256(data)
		return bytes.Equal(t.Data, sum[:])
	case 2:
		sum := sha512.Sum512(data)
		return bytes.Equal(t.Data, sum[:])
	}
	return false
}
