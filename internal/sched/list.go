package sched

// list is the ends of a doubly linked list whose links lie in the records.
type list struct{ head, tail, n uint32 }

// links is a list together with the way to its records' links.
type links struct {
	l  *list
	at func(h uint32) (prev, next *uint32)
}

func (x links) push(h uint32) {
	prev, next := x.at(h)
	*prev, *next = x.l.tail, 0
	if x.l.tail != 0 {
		_, n := x.at(x.l.tail)
		*n = h
	} else {
		x.l.head = h
	}
	x.l.tail = h
	x.l.n++
}

func (x links) pushFront(h uint32) {
	prev, next := x.at(h)
	*prev, *next = 0, x.l.head
	if x.l.head != 0 {
		p, _ := x.at(x.l.head)
		*p = h
	} else {
		x.l.tail = h
	}
	x.l.head = h
	x.l.n++
}

func (x links) remove(h uint32) {
	prev, next := x.at(h)
	if *prev != 0 {
		_, n := x.at(*prev)
		*n = *next
	} else {
		x.l.head = *next
	}
	if *next != 0 {
		p, _ := x.at(*next)
		*p = *prev
	} else {
		x.l.tail = *prev
	}
	*prev, *next = 0, 0
	x.l.n--
}
