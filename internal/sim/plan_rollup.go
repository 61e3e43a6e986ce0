package sim

import "time"

// drawRollups groups receivers in some worlds: Rollup stanzas, mx_rollup at any place, and
// limits for the names that domains are counted under.
func (p *planner) drawRollups() {
	if p.IntN(2) == 0 {
		return
	}
	for i := range p.IntN(3) {
		name := []string{"roll0.test", "roll1.test"}[i]
		p.Conf.open("rollup", name).put("mx", p.drawPattern())
		if p.IntN(2) == 0 {
			a := p.limitAt(perch{p.Conf, "domain", name})
			p.Conf.open("domain", name).put(a.option, a)
		}
	}
	for range p.IntN(4) {
		p.drawMXRollup(p.rollupPlace())
	}
}

func (p *planner) drawPattern() *assign {
	return &assign{option: "mx", word: pick(p, []string{"*", "mx*.test", "mx0.*", "mx1.test", "*2.test"})}
}

// rollupPlace is a container that mx_rollup may stand in.
func (p *planner) rollupPlace() *stanza {
	g, own := p.Conf.binding(pick(p, p.bindings))
	switch n := p.IntN(6); {
	case n == 0:
		return own
	case n == 1 && g != nil:
		return g
	case n < 4:
		return p.Conf.open("domain", pick(p, append([]string{`/^d[0-3]\./`}, p.domains...)))
	}
	return p.Conf
}

func (p *planner) drawMXRollup(at *stanza) *assign {
	a := &assign{option: "mx_rollup", word: pick(p, []string{"off", "auto", "roll0.test", "roll1.test", pick(p, p.domains)})}
	at.put(a.option, a)
	return a
}

// drawRerouting has a Rollup come and go, and mx_rollup change.
func (p *planner) drawRerouting() {
	var rollups []string
	for _, s := range p.Conf.in {
		if s.kind == "rollup" {
			rollups = append(rollups, s.path)
		}
	}
	for range p.IntN(5) {
		a := act{At: p.within(time.Hour), Span: p.within(10 * time.Minute)}
		switch n := p.IntN(3); {
		case n == 0 && len(rollups) > 0:
			a.What, a.Path = "drop", pick(p, rollups)
		case n == 1 && len(rollups) > 0:
			a.What, a.Path, a.Set = "set", pick(p, rollups), p.drawPattern()
		default:
			a.What, a.Path = "set", "global"
			a.Set = &assign{option: "mx_rollup", word: pick(p, []string{"off", "auto", "roll0.test", pick(p, p.domains)})}
		}
		p.Acts = append(p.Acts, a)
	}
}
