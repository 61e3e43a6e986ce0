package policy

import (
	"fmt"
	"net/netip"
	"strings"
)

// Protocol is what is spoken with a host.
type Protocol uint8

const (
	SMTP  Protocol = iota
	SMTPS          // SMTP under TLS from the first octet (RFC 8314 §3.3)
	LMTP           // RFC 2033
)

var schemes = [...]string{SMTP: "smtp", SMTPS: "smtps", LMTP: "lmtp"}

func (p Protocol) String() string { return schemes[p] }

// port is where the protocol is spoken; 0: remote_smtp_port says.
func (p Protocol) port() uint16 { return [...]uint16{SMTP: 0, SMTPS: 465, LMTP: 24}[p] }

// cutScheme takes the protocol off a host as it is written.
func cutScheme(s string) (Protocol, string) {
	for p, scheme := range schemes {
		if rest, ok := strings.CutPrefix(s, scheme+"://"); ok {
			return Protocol(p), rest
		}
	}
	return SMTP, s
}

// AuthSecurity says over what connection a login may be told.
type AuthSecurity uint8

const (
	AuthVerified  AuthSecurity = iota // TLS, and the certificate proves the host's name
	AuthEncrypted                     // TLS
	AuthAnywhere
)

// Auth is the login of a gateway or a route. The zero Auth is none.
type Auth struct {
	User     string
	Password Secret
	Security AuthSecurity
}

// ProxyKind is what is spoken with a proxy.
type ProxyKind uint8

const (
	NoProxy      ProxyKind = iota
	ProxySOCKS5            // RFC 1928, 1929
	ProxyHAProxy           // the PROXY protocol, version 2
)

// Proxy is what connections to receivers are made through. The zero Proxy is none.
type Proxy struct {
	Kind     ProxyKind
	Address  netip.AddrPort
	User     string
	Password Secret
}

// parseProxy reads socks5://ADDRESS:PORT or haproxy://ADDRESS:PORT.
func parseProxy(s string) (Proxy, error) {
	var p Proxy
	rest := ""
	switch scheme, after, _ := strings.Cut(s, "://"); strings.ToLower(scheme) {
	case "socks5":
		p.Kind, rest = ProxySOCKS5, after
	case "haproxy":
		p.Kind, rest = ProxyHAProxy, after
	default:
		return p, fmt.Errorf("%q names neither socks5:// nor haproxy://", s)
	}
	a, err := netip.ParseAddrPort(rest)
	if err != nil || a.Port() == 0 || a.Addr().Zone() != "" {
		return p, fmt.Errorf("%q: what follows must be ADDRESS:PORT", s)
	}
	p.Address = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	return p, nil
}

// auth is the login for hosts that the operator has named.
func (p *view) auth(named bool) Auth {
	user := p.value(opt.authUser).Str
	if user == "" || !named {
		return Auth{}
	}
	return Auth{User: user, Password: secretOf(p.value(opt.authPassword)), Security: AuthSecurity(p.value(opt.authSecurity).Num)}
}

func (p *view) proxy() Proxy {
	text := p.value(opt.proxy).Str
	if text == "" {
		return Proxy{}
	}
	x, err := parseProxy(text)
	if err != nil { // an error has been found by Parse
		return Proxy{}
	}
	x.User, x.Password = p.value(opt.proxyUser).Str, secretOf(p.value(opt.proxyPassword))
	return x
}

func secretOf(v Value) Secret {
	s := Secret{Value: v.Str}
	if IsReference(v.Text) {
		s.Ref = v.Text
	}
	return s
}

// checkEgress finds logins and proxies that cannot be what is meant.
func (b *builder) checkEgress(c *Scope, o *Option, v *Setting) {
	switch o {
	case opt.authUser:
		if c.Get(opt.authPassword) == nil {
			b.errorf(v.Origin, "auth_user without auth_password beside it")
		}
		if c.Get(opt.gateway) == nil && c.Get(opt.routes) == nil {
			b.warnf(v.Origin, "auth_user without a gateway or routes beside it: MX hosts are told no login")
		}
		s := c.Get(opt.authSecurity)
		if t := c.Get(opt.tls); t != nil && TLSMode(t.Num) == TLSNo && (s == nil || AuthSecurity(s.Num) != AuthAnywhere) {
			b.errorf(v.Origin, "auth_user with tls = no: a login is told over TLS only, unless auth_security = none says otherwise")
		}
	case opt.authPassword:
		if c.Get(opt.authUser) == nil {
			b.errorf(v.Origin, "auth_password without auth_user beside it")
		}
	case opt.proxyUser, opt.proxyPassword:
		if c.Get(opt.proxy) == nil {
			b.errorf(v.Origin, "%s without a proxy beside it", o.Name)
		} else if c.Get(opt.proxyUser) == nil || c.Get(opt.proxyPassword) == nil {
			b.errorf(v.Origin, "proxy_user and proxy_password belong together: one of them is missing")
		} else if p, err := parseProxy(c.Get(opt.proxy).Str); err == nil && p.Kind != ProxySOCKS5 {
			b.errorf(v.Origin, "%s: only socks5:// proxies take a login", o.Name)
		}
	}
}
