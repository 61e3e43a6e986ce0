package limit

// A connection that is open can go on for somebody else than it was opened for. Its
// permit then passes: who may have it, and what it takes, is judged as if it had been
// returned a moment ago, but nothing is free in between.

// Heir returns who would have the turn at a counter of a held permit if the permit were
// returned now; 0: nobody. It stays in its lines.
func (e *Engine) Heir(p *Permit, id CounterID) WaiterID {
	if e.lineOf(e.at(id)).waiting == 0 {
		return 0
	}
	e.aside(p, -1)
	defer e.aside(p, 1)
	if k := e.pick(id); k != 0 {
		return e.tickets.at(k).waiter
	}
	return 0
}

// CheckPass is Check for one that would have the permit p of a connection: what it holds
// counts as free.
func (e *Engine) CheckPass(now int64, p *Permit, path []CounterID, tolls []Toll, t Turn) (Blocker, bool) {
	e.aside(p, -1)
	defer e.aside(p, 1)
	return e.Check(now, path, tolls, t)
}

// Pass puts a held permit on the path of t's waiter, as a grant to him: his turn is
// charged, the tokens of the tolls are taken and his places in lines are given up, as by
// Acquire. The permit is neither idle nor leaving any more. All or nothing: what blocks is
// returned, and false.
func (e *Engine) Pass(now int64, p *Permit, path []CounterID, tolls []Toll, t Turn) (Blocker, bool) {
	if !p.held {
		panic("limit: a permit that is not held cannot pass to another")
	}
	if b, ok := e.CheckPass(now, p, path, tolls, t); !ok {
		return b, false
	}
	e.settle(t)
	old := *p
	p.idle, p.leaving = 0, false
	e.hold(p, path) // first charge, then release: a counter on both paths lives on
	for _, id := range path {
		e.at(id).granted(1)
	}
	e.spend(tolls)
	e.Return(&old)
	return Blocker{}, true
}

// Stay takes Leave back: the permit's connection goes on.
func (e *Engine) Stay(p *Permit) {
	if !p.leaving {
		return
	}
	p.leaving = false
	for _, id := range p.Path() {
		e.lineOf(e.at(id)).closing--
	}
}

// aside lays a held permit aside (by -1) or takes it up again (1), without waking anybody.
func (e *Engine) aside(p *Permit, by int32) {
	for _, id := range p.Path() {
		e.at(id).used += by
	}
}
