package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/sluice-mta/sluice/internal/policy"
)

// checkFiles reads what a start or a connection would read, so that a check and a reload
// say now what would fail then: certificates with their keys, the zone file, the reply
// rules.
func (r *run) checkFiles() {
	r.checkClientFiles(r.root)
	if v := r.root.Get(policy.Lookup(policy.ScopeGlobal, "reply_rules")); v != nil {
		r.checkRules(v)
	}
	for _, c := range r.root.Children() {
		switch c.Kind {
		case policy.ScopeESMTP, policy.ScopeHTTP:
			for _, l := range c.Children() {
				r.checkCertificate(l)
			}
		case policy.ScopeDNS:
			if v := c.Get(policy.Lookup(c.Kind, "zone_file")); v != nil {
				if _, err := r.stat(v.Str); err != nil {
					r.errorOf(v, "zone_file = %s: %v", v.Str, reason(err))
				}
			}
		}
	}
}

// checkRules reads the file of reply rules.
func (r *run) checkRules(v *policy.Setting) {
	_, diags := r.Rules(v.Str)
	for _, d := range diags {
		if d.Line == 0 { // it cannot be read
			r.errorOf(v, "reply_rules = %s: %s", v.Str, d.Text)
			continue
		}
		r.order[v.Str] = len(r.order)
		r.add(d)
	}
}

// errorOf reports an error at the place that set a value.
func (r *run) errorOf(v *policy.Setting, format string, args ...any) {
	r.add(Diagnostic{File: v.Origin.File, Line: v.Origin.Line, Column: v.Origin.Column, Text: fmt.Sprintf(format, args...)})
}

// checkClientFiles reads what a stanza, and those inside it, say of outbound TLS.
func (r *run) checkClientFiles(c *policy.Scope) {
	if o := policy.Lookup(c.Kind, "tls_ca"); o != nil {
		if v := c.Get(o); v != nil {
			if pem, ok := r.pem(v, "tls_ca"); ok && !x509.NewCertPool().AppendCertsFromPEM(pem) {
				r.errorOf(v, "tls_ca = %s: it has no certificate in PEM", v.Str)
			}
		}
		r.checkPair(c.Get(policy.Lookup(c.Kind, "tls_certificate")), c.Get(policy.Lookup(c.Kind, "tls_key")))
	}
	for _, inner := range c.Children() {
		r.checkClientFiles(inner)
	}
}

func (r *run) checkCertificate(l *policy.Scope) {
	r.checkPair(setting(l, "tls_certificate"), setting(l, "tls_key"))
}

func (r *run) checkPair(cert, key *policy.Setting) {
	if cert == nil || key == nil { // one alone is an error of its own
		return
	}
	chain, ok := r.pem(cert, "tls_certificate")
	if !ok {
		return
	}
	private, ok := r.pem(key, "tls_key")
	if !ok {
		return
	}
	if _, err := tls.X509KeyPair(chain, private); err != nil {
		r.errorOf(cert, "tls_certificate = %s with tls_key = %s: %v", cert.Str, key.Str, err)
	}
}

func (r *run) pem(v *policy.Setting, name string) ([]byte, bool) {
	data, err := r.readFile(v.Str)
	if err != nil {
		r.errorOf(v, "%s = %s: %v", name, v.Str, reason(err))
	}
	return data, err == nil
}

// setting is what a Listen stanza, or the listener around it, sets.
func setting(l *policy.Scope, name string) *policy.Setting {
	o := policy.Lookup(l.Kind, name)
	if v := l.Get(o); v != nil {
		return v
	}
	return l.Parent.Get(o)
}
