package policy

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Rollup is a stanza that groups receivers which count a sender's connections together.
type Rollup struct {
	Name   string   // canonical, as a domain's
	MX     []string // patterns of hosts, in lower case; * stands for any text, dots too
	Origin Origin
}

// RollupMode says by what a recipient domain may be rolled up: the option mx_rollup.
type RollupMode uint8

const (
	RollupNone    RollupMode = iota // nothing: mx_rollup is not set and there is no Rollup
	RollupStanzas                   // mx_rollup is not set: the first Rollup that the domain belongs to
	RollupOff                       // set to off: nothing
	RollupAuto                      // the first Rollup that it belongs to; else all domains with the same hosts
	RollupNamed                     // the Rollup named, and no other
	RollupDomain                    // the domain named, when its hosts are among that domain's
)

// RollupSetting is what the configuration says about rolling up a recipient domain.
type RollupSetting struct {
	Mode   RollupMode
	Name   string // of the Rollup or the domain; canonical
	Origin Origin // of mx_rollup; zero: not set
	// Apart is the option of a domain stanza that keeps the domain by itself, because rolled up
	// its value would have no effect; empty: none does.
	Apart       string
	ApartOrigin Origin // of its value
}

// UnderKind says what makes a routing domain another than the recipient's.
type UnderKind uint8

const (
	UnderNone    UnderKind = iota // it is the recipient's
	UnderRollup                   // a Rollup stanza
	UnderAuto                     // mx_rollup = auto
	UnderDomain                   // mx_rollup = DOMAIN
	UnderGateway                  // gateway
)

// Under is why a routing domain is another than the recipient's, and where that was set.
type Under struct {
	Kind   UnderKind
	Origin Origin
}

// RollupNamed returns the Rollup with the canonical name, or nil.
func (s *Snapshot) RollupNamed(name string) *Rollup {
	for i := range s.Rollups {
		if s.Rollups[i].Name == name {
			return &s.Rollups[i]
		}
	}
	return nil
}

// RollupDomains returns the domains that mx_rollup names, without repetition, in the
// order of the file: what has to be looked up beside recipients' domains.
func (s *Snapshot) RollupDomains() []string { return s.rollupDomains }

// rollupSetting resolves mx_rollup for the stanzas of a recipient domain.
func (s *Snapshot) rollupSetting(own *path) RollupSetting {
	v, _ := own.find(opt.mxRollup, opt.mxRollup.Chain)
	out := s.parseRollup(v)
	if out.Mode == RollupOff || out.Mode == RollupNone {
		return out
	}
	for _, l := range [...]Level{GroupBindingDomain, BindingDomain, GroupDomain, AnyDomain} {
		for _, c := range own[l] {
			o := apart(c)
			if o == nil || v != nil && s.sameRollup(c.Get(opt.mxRollup), out) {
				continue
			}
			out.Apart, out.ApartOrigin = o.Name, c.Get(o).Origin
			return out
		}
	}
	return out
}

// sameRollup reports whether a stanza's own value names what is in force.
func (s *Snapshot) sameRollup(v *Setting, force RollupSetting) bool {
	if v == nil {
		return false
	}
	x := s.parseRollup(v)
	return x.Mode == force.Mode && x.Name == force.Name
}

func (s *Snapshot) parseRollup(v *Setting) RollupSetting {
	switch {
	case v == nil && len(s.Rollups) == 0:
		return RollupSetting{}
	case v == nil:
		return RollupSetting{Mode: RollupStanzas}
	case strings.EqualFold(v.Str, "off"):
		return RollupSetting{Mode: RollupOff, Origin: v.Origin}
	case strings.EqualFold(v.Str, "auto"):
		return RollupSetting{Mode: RollupAuto, Origin: v.Origin}
	}
	name, err := mail.CanonicalDomain(v.Str)
	if err != nil { // an error has been found by references
		return RollupSetting{Mode: RollupOff, Origin: v.Origin}
	}
	if s.RollupNamed(name) != nil {
		return RollupSetting{Mode: RollupNamed, Name: name, Origin: v.Origin}
	}
	return RollupSetting{Mode: RollupDomain, Name: name, Origin: v.Origin}
}

// apart returns an option of a domain stanza whose effect would be lost if the domain were
// counted under another name, or nil.
func apart(c *Scope) *Option {
	for _, o := range [...]*Option{
		opt.maxOutbound, opt.scopeMax, opt.clusterMax, opt.clusterScope,
		opt.connectRate, opt.messageRate, opt.throttleConns, opt.throttleMessages,
		opt.clusterThrottleConns, opt.clusterThrottleMessages,
		opt.gateway, opt.routes, opt.suspend,
	} {
		if c.Get(o) != nil {
			return o
		}
	}
	return nil
}

// under says what gives a view its routing domain.
func (s *Snapshot) under(v *view, rollup string) Under {
	if v.gateway != "" {
		return Under{UnderGateway, v.set.Origin}
	}
	if rollup == "" {
		return Under{}
	}
	x, _ := v.own.find(opt.mxRollup, opt.mxRollup.Chain)
	set := s.parseRollup(x)
	if r := s.RollupNamed(rollup); r != nil && set.Mode != RollupDomain {
		return Under{UnderRollup, r.Origin}
	}
	if set.Mode == RollupAuto {
		return Under{UnderAuto, set.Origin}
	}
	return Under{UnderDomain, set.Origin}
}

// AppendQueueUnderKey appends a key that is equal for equal answers of QueueUnder.
func (s *Snapshot) AppendQueueUnderKey(dst []byte, binding, domain, rollup string) []byte {
	dst = s.AppendQueueKey(dst, binding, domain)
	if rollup == "" || rollup == domain {
		if rollup != "" { // it says why it is under its own name
			dst = append(dst, 1)
		}
		return dst
	}
	kind := uint32(0xffffffff) // no stanza has so high a number
	dst = binary.BigEndian.AppendUint32(dst, kind)
	for i := range s.Rollups {
		if s.Rollups[i].Name == rollup {
			kind = uint32(i)
		}
	}
	return s.AppendQueueKey(binary.BigEndian.AppendUint32(dst, kind), "", rollup)
}

// rollups takes in the Rollup stanzas and what mx_rollup names beside them.
func (b *builder) rollups() {
	for _, c := range b.root.children {
		if c.Kind == ScopeRollup {
			b.rollupStanza(c)
		}
	}
	seen := map[string]bool{}
	b.eachScope(b.root, func(c *Scope) {
		if v := c.Get(opt.mxRollup); v != nil {
			if x := b.s.parseRollup(v); x.Mode == RollupDomain && !seen[x.Name] {
				seen[x.Name] = true
				b.s.rollupDomains = append(b.s.rollupDomains, x.Name)
			}
		}
	})
}

func (b *builder) rollupStanza(c *Scope) {
	r := Rollup{Name: c.Label, Origin: c.Origin}
	v := c.Get(must(ScopeRollup, "mx"))
	if v == nil || len(v.List) == 0 {
		b.warnf(c.Origin, "rollup %q has no mx patterns: no domain belongs to it", c.Label)
	} else {
		for _, p := range v.List {
			host, err := hostPattern(p)
			if err != nil {
				b.errorf(v.Origin, "%v", err)
				continue
			}
			r.MX = append(r.MX, host)
		}
	}
	b.s.Rollups = append(b.s.Rollups, r)
}

// hostPattern is a pattern of MX hosts in the form in which hosts are compared.
func hostPattern(p string) (string, error) {
	if p == "*" {
		return p, nil
	}
	name := strings.TrimSuffix(strings.ToLower(p), ".")
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.*", rune(c)) {
			return "", fmt.Errorf("%q is not a pattern of host names; allowed: names in which * stands for any text, dots too, as *.google.com", p)
		}
	}
	if strings.Trim(name, "*.") == "" {
		return "", fmt.Errorf("%q matches hosts of all kinds; * alone is the pattern for all", p)
	}
	return name, nil
}

// checkRollups warns of what has no effect under a rollup.
func (b *builder) checkRollups() {
	b.eachScope(b.root, func(c *Scope) {
		if c.Kind != ScopeDomain || b.s.RollupNamed(c.Label) == nil {
			return
		}
		for _, o := range c.Settings() {
			if o.Recipient {
				b.warnf(c.Get(o).Origin, "%s is asked for the recipient's domain: it holds for mail to %s itself, not for the domains under the rollup of that name", o.Name, c.Label)
			}
		}
	})
}
