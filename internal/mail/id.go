package mail

import (
	"errors"
	"fmt"
)

// ID names one message everywhere: in the 250 reply, the Received header, logs,
// accounting records, reports, commands and the API. It is 128 bits: a
// millisecond timestamp (48 bits) and 80 random bits, so that IDs sort by time and
// are unique over restarts and nodes. Its text is the 26 characters of a ULID
// (Crockford's base 32).
type ID [16]byte

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewID composes an ID from a wall time in milliseconds and 80 random bits.
func NewID(ms int64, random [10]byte) ID {
	var id ID
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	copy(id[6:], random[:])
	return id
}

// Millis returns the wall time in milliseconds at which the ID was made.
func (id ID) Millis() int64 {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return ms
}

// IsZero reports whether id is the zero ID, which names no message.
func (id ID) IsZero() bool { return id == ID{} }

// Compare orders IDs as their texts sort: -1, 0 or 1.
func (id ID) Compare(other ID) int {
	for i := range id {
		if id[i] != other[i] {
			if id[i] < other[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// AppendTo appends the 26 characters of the ID to dst.
func (id ID) AppendTo(dst []byte) []byte {
	// 128 bits in 26 characters of 5 bits: the first carries only 3 bits.
	var acc uint32
	bits := 2 // two leading zero bits make 130
	for _, b := range id {
		acc = acc<<8 | uint32(b)
		bits += 8
		for bits >= 5 {
			bits -= 5
			dst = append(dst, crockford[acc>>bits&31])
		}
	}
	return dst
}

func (id ID) String() string { return string(id.AppendTo(make([]byte, 0, 26))) }

// MarshalText returns the text of the ID.
func (id ID) MarshalText() ([]byte, error) { return id.AppendTo(nil), nil }

// UnmarshalText parses the text of an ID.
func (id *ID) UnmarshalText(text []byte) error {
	v, err := ParseID(string(text))
	if err == nil {
		*id = v
	}
	return err
}

var errID = errors.New("a message id has 26 characters of 0-9 and A-Z without I, L, O and U")

// ParseID reads the 26 characters that String writes, in either case.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 26 {
		return id, fmt.Errorf("parse message id %q: %w", s, errID)
	}
	var acc uint32
	bits, n := -2, 0
	for i := range len(s) {
		v := decodeDigit(s[i])
		if v < 0 || i == 0 && v > 7 {
			return ID{}, fmt.Errorf("parse message id %q: %w", s, errID)
		}
		acc = acc<<5 | uint32(v)
		bits += 5
		if bits >= 8 {
			bits -= 8
			id[n] = byte(acc >> bits)
			n++
		}
	}
	return id, nil
}

func decodeDigit(c byte) int {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	for i := range len(crockford) {
		if crockford[i] == c {
			return i
		}
	}
	return -1
}
