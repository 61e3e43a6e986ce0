package sim

import (
	"slices"
	"time"
)

// Shrink makes a plan that fails smaller, part by part, for as long as it goes on failing,
// with at most so many trials, for about a minute.
func Shrink(p *Plan, trials int) *Plan {
	until := time.Now().Add(time.Minute)
	fails := func(x *Plan) bool {
		if trials--; time.Now().After(until) {
			trials = 0
		}
		return x.World().Settle() != nil
	}
	for before := -1; trials > 0 && p.size() != before; {
		before = p.size()
		p = fewer(p, &trials, fails, func(x *Plan) *[]act { return &x.Acts })
		p = fewer(p, &trials, fails, func(x *Plan) *[]planDomain { return &x.Domains })
		for i := range p.Receivers {
			p = fewer(p, &trials, fails, func(x *Plan) *[]planSpell { return &x.Receivers[i].Spells })
		}
		for i := range paths(p.Conf) {
			at := func(x *Plan) *stanza { return x.Conf.at(paths(p.Conf)[min(i, len(paths(p.Conf))-1)]) }
			p = fewer(p, &trials, fails, func(x *Plan) *[]assign { return &at(x).set })
		}
		for i := 0; i < len(paths(p.Conf)) && trials > 0; i++ {
			path := paths(p.Conf)[i]
			p = fewer(p, &trials, fails, func(x *Plan) *[]*stanza { return &x.Conf.at(path).in })
		}
		for i := range p.Acts {
			if p.Acts[i].What != "submit" {
				continue
			}
			for _, change := range []func(*act){func(a *act) { a.N = (a.N + 1) / 2 }, func(a *act) { a.Rcpt = 1 }, func(a *act) { a.Tenant, a.Job = "", "" }} {
				x := p.clone()
				if change(&x.Acts[i]); x.Acts[i].String() != p.Acts[i].String() && trials > 0 && fails(x) {
					p = x
				}
			}
		}
	}
	return p
}

// fewer leaves out as many of a plan's parts as it can: halves first, then single ones.
func fewer[T any](p *Plan, trials *int, fails func(*Plan) bool, of func(*Plan) *[]T) *Plan {
	for n := (len(*of(p)) + 1) / 2; n > 0; n /= 2 {
		for i := 0; i < len(*of(p)) && *trials > 0; {
			x := p.clone()
			list := of(x)
			*list = slices.Delete(*list, i, min(i+n, len(*list)))
			x.Conf.seal("")
			if fails(x) {
				p = x
				continue
			}
			i += n
		}
	}
	return p
}

func paths(s *stanza) (out []string) {
	s.all(func(c *stanza) { out = append(out, c.path) })
	return out
}

func (p *Plan) size() int {
	n := len(p.Acts) + len(p.Domains)
	p.Conf.all(func(c *stanza) { n += 1 + len(c.set) })
	for i := range p.Acts {
		n += p.Acts[i].N
	}
	for i := range p.Receivers {
		n += len(p.Receivers[i].Spells)
	}
	return n
}

func (p *Plan) clone() *Plan {
	c := *p
	c.Conf = p.Conf.clone()
	c.Acts, c.Domains, c.Receivers = slices.Clone(p.Acts), slices.Clone(p.Domains), slices.Clone(p.Receivers)
	for i := range c.Receivers {
		c.Receivers[i].Spells = slices.Clone(c.Receivers[i].Spells)
	}
	return &c
}
