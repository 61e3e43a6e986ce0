package stalwart

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
)

var (
	errExpression = errors.New("an expression has no counterpart")
	errDuration   = errors.New("not a duration")
)

// remote is a host that next-hop may name.
type remote struct{ address, port, protocol, implicit string }

// remotesOf collects the remote hosts: next-hop may come before them.
func remotesOf(entries []entry) map[string]*remote {
	out := map[string]*remote{}
	for i := range entries {
		name, field, ok := remoteField(entries[i].key)
		if !ok {
			continue
		}
		r := out[name]
		if r == nil {
			r = &remote{}
			out[name] = r
		}
		text := entries[i].value.text
		switch field {
		case "address":
			r.address = text
		case "port":
			r.port = text
		case "protocol":
			r.protocol = text
		case "tls.implicit":
			r.implicit = text
		}
	}
	return out
}

func remoteField(key string) (name, field string, ok bool) {
	rest, ok := strings.CutPrefix(key, "remote.")
	if !ok {
		return "", "", false
	}
	for _, f := range [...]string{".address", ".port", ".protocol", ".tls.implicit"} {
		if name, ok := strings.CutSuffix(rest, f); ok && name != "" {
			return name, f[1:], true
		}
	}
	return "", "", false
}

// nextHop turns the name of a remote host into a gateway; false and 'mx' are delivery by
// MX, which needs none.
func (im *importer) nextHop(v value) (policy.Raw, error) {
	if on, ok := boolean(v); ok && !on {
		return policy.Raw{}, nil
	}
	name, ok := literal(v)
	if !ok {
		return policy.Raw{}, errExpression
	}
	if name == "mx" {
		return policy.Raw{}, nil
	}
	r := im.remotes[name]
	if r == nil || r.address == "" {
		return policy.Raw{}, fmt.Errorf("the next hop %q is no remote host of this file", name)
	}
	return policy.Raw{Text: r.gateway()}, nil
}

// gateway writes the host as the option gateway takes it. TLS is implicit there unless it
// says otherwise.
func (r *remote) gateway() string {
	host := r.address
	if strings.Contains(host, ":") {
		host = "[" + strings.Trim(host, "[]") + "]"
	}
	if r.port != "" {
		host += ":" + r.port
	}
	switch {
	case r.protocol == "lmtp":
		return "lmtp://" + host
	case r.implicit != "false":
		return "smtps://" + host
	}
	return host
}

// remoteKey notes what of a remote host is not in its gateway.
func (im *importer) remoteKey(e *entry) {
	_, field, ok := remoteField(e.key)
	switch {
	case ok && field == "protocol" && e.value.text != "smtp" && e.value.text != "lmtp":
		im.w.Note(e.line, e.column, "%s: the protocol %q has no counterpart", e.key, e.value.text)
	case ok:
	case strings.Contains(e.key, ".auth."):
		im.w.Note(e.line, e.column, "%s: set auth_user and auth_password where the gateway is set", e.key)
	case strings.HasSuffix(e.key, ".tls.allow-invalid-certs"):
		im.w.Note(e.line, e.column, "%s: set tls_verify where the gateway is set", e.key)
	default:
		im.w.Note(e.line, e.column, "%s has no counterpart", e.key)
	}
}
