package forecast

// agenda is what is going to happen, by time and then in the order it was set: a heap
// with four children to a node, of plain values.
type agenda struct {
	heap []happening
	seq  uint32
}

// happening is one entry: what, about which connection or question, and which use of its
// number is meant.
type happening struct {
	at   int64
	seq  uint32
	of   uint32
	gen  uint32
	what what
}

type what uint8

const (
	tick      what = iota // the machine asked for it
	written               // accounting and spool are written so far
	answered              // by the resolver
	connected             // a session is ready
	done                  // a transaction
	gone                  // the receiver has let go
)

func (x *happening) before(y *happening) bool {
	return x.at < y.at || x.at == y.at && int32(x.seq-y.seq) < 0
}

func (a *agenda) add(at int64, w what, of, gen uint32) {
	a.seq++
	x := happening{at, a.seq, of, gen, w}
	a.heap = append(a.heap, x)
	i := len(a.heap) - 1
	for i > 0 {
		p := (i - 1) / 4
		if !x.before(&a.heap[p]) {
			break
		}
		a.heap[i] = a.heap[p]
		i = p
	}
	a.heap[i] = x
}

// next is the time of what happens next; none is far away.
func (a *agenda) next() int64 {
	if len(a.heap) == 0 {
		return never
	}
	return a.heap[0].at
}

const never = int64(1) << 62

func (a *agenda) pop() happening {
	out := a.heap[0]
	last := len(a.heap) - 1
	x := a.heap[last]
	a.heap = a.heap[:last]
	i := 0
	for {
		c := 4*i + 1
		if c >= last {
			break
		}
		least := c
		for k := c + 1; k < min(c+4, last); k++ {
			if a.heap[k].before(&a.heap[least]) {
				least = k
			}
		}
		if !a.heap[least].before(&x) {
			break
		}
		a.heap[i] = a.heap[least]
		i = least
	}
	if last > 0 {
		a.heap[i] = x
	}
	return out
}
