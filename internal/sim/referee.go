package sim

// referee counts connections by names, from Connect to Closed, without the engine.
type referee struct {
	open map[string]int
	Peak map[string]int
}

func (r *referee) reset() { r.open, r.Peak = map[string]int{}, map[string]int{} }

func (r *referee) opened(w *World, c *conn) {
	held := 0
	for _, o := range w.conns {
		if o != c && o.Binding == c.Binding && o.Domain == c.Domain {
			held++
		}
	}
	for _, name := range []string{"server", c.Binding, c.Domain, c.Host, c.Binding + "/" + c.Domain, c.Binding + "/" + c.Host, c.Address.String()} {
		r.add(c, name)
	}
	for _, k := range w.rules.ceilings(w, c) {
		r.add(c, k.key)
		most := k.max
		if held == 0 {
			most += k.reserve
		}
		if n := r.open[k.key]; n > most {
			w.fail("%v is connection %d on %s, whose limit is %d", c, n, k.key, most)
		}
	}
}

func (r *referee) add(c *conn, name string) {
	c.keys = append(c.keys, name)
	r.open[name]++
	r.Peak[name] = max(r.Peak[name], r.open[name])
}

func (r *referee) closed(c *conn) {
	for _, name := range c.keys {
		r.open[name]--
	}
}
