package policy

import "slices"

// SameConnection reports whether a connection made for s is just what one made for o
// would be: addresses, name, timeouts, login, proxy, what it makes use of, where it may not lead. Which hosts there are, and
// what TLS each needs, is the route's to say, and is not compared.
func (s *Session) SameConnection(o *Session) bool {
	if s == o || s == nil || o == nil {
		return s == o
	}
	return s.Source4 == o.Source4 && s.Source6 == o.Source6 && s.UseIPv4 == o.UseIPv4 && s.UseIPv6 == o.UseIPv6 &&
		s.EHLO == o.EHLO && s.VERP == o.VERP && s.VERPDomain == o.VERPDomain &&
		s.TLSMinVersion == o.TLSMinVersion && s.TLSCA == o.TLSCA && s.TLSCertificate == o.TLSCertificate && s.TLSKey == o.TLSKey &&
		s.ConnectTimeout == o.ConnectTimeout && s.GreetingTimeout == o.GreetingTimeout &&
		s.EHLOTimeout == o.EHLOTimeout && s.TLSTimeout == o.TLSTimeout &&
		s.MailTimeout == o.MailTimeout && s.RcptTimeout == o.RcptTimeout &&
		s.DataTimeout == o.DataTimeout && s.DataBlockTimeout == o.DataBlockTimeout &&
		s.BodyTimeout == o.BodyTimeout && s.RsetTimeout == o.RsetTimeout && s.QuitTimeout == o.QuitTimeout &&
		s.UsePipelining == o.UsePipelining && s.UseChunking == o.UseChunking &&
		s.Auth == o.Auth && s.Proxy == o.Proxy &&
		slices.Equal(s.Prohibited, o.Prohibited)
}
