package policy

// view is the stanzas that a queue's options are asked for: those of its routing domain
// and those of its recipient domain. Without rollup and gateway they are the same.
type view struct {
	under, own *path
	rollup     *path    // under a gateway: the stanzas of the rollup whose domain stanza sets it; or own
	through    string   // the option gateway as written; empty: by MX
	gateway    string   // its name: then the routing domain
	set        *Setting // that of the gateway
}

// viewOf collects the stanzas that the mail of a binding to a recipient domain under a
// rollup (empty: none) falls under. A gateway takes the place of both names.
func (s *Snapshot) viewOf(binding, domain, rollup string) *view {
	own := s.queuePath(binding, domain)
	v := &view{under: &own, own: &own}
	if rollup != "" && rollup != domain {
		p := s.queuePath(binding, rollup)
		v.under = &p
	}
	v.rollup = v.under
	for _, p := range [...]*path{v.own, v.under} {
		g, _ := p.find(opt.gateway, opt.gateway.Chain)
		if g == nil {
			continue
		}
		if name, _, _, err := SplitGateway(g.Str); err == nil { // an error has been found by Parse
			p := s.queuePath(binding, name)
			v.under, v.through, v.gateway, v.set = &p, g.Str, name, g
		}
		break
	}
	return v
}

// signing is how mail is signed; nil: not at all.
func (v *view) signing() *Signing {
	key, selectors := v.value(opt.dkimKey).Str, v.value(opt.dkimSelector).List
	if !v.value(opt.dkim).Bool() || key == "" || len(selectors) == 0 {
		return nil
	}
	return &Signing{Selectors: selectors, Key: key, Domain: v.value(opt.dkimDomain).Str}
}

// find asks for an option by its chain. Options of the recipient's domain are asked for
// it; through a gateway, for the gateway's name after it at each level.
func (v *view) find(o *Option) *Setting {
	switch {
	case !o.Recipient:
		x, _ := v.under.find(o, o.Chain)
		return x
	case v.gateway == "":
		x, _ := v.own.find(o, o.Chain)
		return x
	}
	for _, l := range o.Chain {
		if x := v.own.at(o, l); x != nil {
			return x
		}
		if x := v.under.at(o, l); x != nil {
			return x
		}
	}
	return nil
}

// value finds o by its own chain, or its default.
func (v *view) value(o *Option) Value {
	if x := v.find(o); x != nil {
		return x.Value
	}
	return o.def
}

// suspended reports whether mail is held, and where that was set. What is suspended by
// any of the names that mail goes under stays where it is.
func (v *view) suspended() (bool, Origin) {
	for _, p := range [...]*path{v.own, v.rollup, v.under} {
		if x, _ := p.find(opt.suspend, opt.suspend.Chain); x != nil && x.Bool() {
			return true, x.Origin
		}
	}
	return false, Origin{}
}

func (v *view) retry() RetrySchedule {
	x := v.value(opt.retry)
	return RetrySchedule{Steps: x.Times, Doubling: x.Num == 0, Max: v.value(opt.maxRetry).Duration()}
}
