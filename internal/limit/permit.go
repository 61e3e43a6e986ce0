package limit

// CounterID names a counter inside one engine: an index into its slab. Zero is none.
type CounterID uint32

// MaxPath is the most counters that one connection can be on.
const MaxPath = 24

// Permit is the right to hold one connection. It names the counters it was taken
// on, so that a return lowers exactly those even if the configuration or the MX
// records have changed meanwhile. It is a plain value kept by the scheduler beside
// the connection; the engine takes and returns it.
type Permit struct {
	path    [MaxPath]CounterID
	since   int64  // when it was taken
	idle    uint32 // first of its nodes in the idle lists of its counters; 0: not idle
	n       uint8
	held    bool
	leaving bool
}

// Held reports whether the permit has been taken and not returned.
func (p *Permit) Held() bool { return p.held }

// Path returns the counters the permit was taken on.
func (p *Permit) Path() []CounterID { return p.path[:p.n] }
