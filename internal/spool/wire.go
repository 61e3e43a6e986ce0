package spool

import (
	"encoding/binary"
	"errors"
)

// errDecode says that the octets of a record do not have the form of its kind although
// their checksum is right: written by another version, or made up.
var errDecode = errors.New("malformed record")

// reader takes values off a byte slice. The first failure sticks; every length is
// checked against what is there, so no input can make it allocate more than its size.
type reader struct {
	b   []byte
	off int
	bad bool
}

func (r *reader) fail() { r.bad, r.off = true, len(r.b) }

func (r *reader) byte() byte {
	if r.off >= len(r.b) {
		r.fail()
		return 0
	}
	r.off++
	return r.b[r.off-1]
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b[r.off:])
	if n <= 0 {
		r.fail()
		return 0
	}
	r.off += n
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b[r.off:])
	if n <= 0 {
		r.fail()
		return 0
	}
	r.off += n
	return v
}

// count reads a number of things of at least size octets each.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64((len(r.b)-r.off)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

// small reads a number of at most limit.
func (r *reader) small(limit uint64) int {
	n := r.uvarint()
	if n > limit {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b)-r.off {
		r.fail()
		return nil
	}
	r.off += n
	return r.b[r.off-n : r.off : r.off]
}

func (r *reader) bytes() []byte  { return r.take(r.count(1)) }
func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) err() error {
	if r.bad {
		return errDecode
	}
	return nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
