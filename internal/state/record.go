package state

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A record is a mark, the length of the body and the CRC-32C of the body, 4 octets each,
// little endian; then the body: an octet for what it does, the length of the key as
// uvarint, the key, and the rest is the value.
const (
	fileHeader = "sluice-state  1\n"
	mark       = "\xf5SLR"
	headSize   = 12

	opPut    = 1
	opDelete = 2
)

// MaxKey and MaxValue bound a fact, in octets; MaxBytes bounds all facts together.
const (
	MaxKey   = 1 << 10
	MaxValue = 64 << 10
	MaxBytes = 16 << 20
)

const maxBody = 1 + binary.MaxVarintLen16 + MaxKey + MaxValue

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends a record to b; the value is left out when a key is deleted.
func appendRecord(b []byte, op byte, key string, value []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, headSize)...)
	b = append(b, op)
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = append(b, key...)
	b = append(b, value...)
	body := b[start+headSize:]
	copy(b[start:], mark)
	binary.LittleEndian.PutUint32(b[start+4:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+8:], crc32.Checksum(body, castagnoli))
	return b
}

// recordSize is how many octets a fact takes in the file.
func recordSize(key string, value []byte) int64 {
	return int64(headSize + 1 + len(binary.AppendUvarint(nil, uint64(len(key)))) + len(key) + len(value))
}

type record struct {
	op    byte
	key   string
	value []byte
}

// cutRecord takes a record off the beginning of b and returns its length; 0: there is
// none.
func cutRecord(b []byte) (record, int) {
	if len(b) < headSize || string(b[:4]) != mark {
		return record{}, 0
	}
	n := int64(binary.LittleEndian.Uint32(b[4:]))
	if n > maxBody || n > int64(len(b)-headSize) {
		return record{}, 0
	}
	body := b[headSize : headSize+n]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[8:]) || n == 0 {
		return record{}, 0
	}
	size, k := binary.Uvarint(body[1:])
	if k <= 0 || size > MaxKey || size == 0 || int64(size) > n-1-int64(k) {
		return record{}, 0
	}
	rest := body[1+k:]
	r := record{op: body[0], key: string(rest[:size]), value: rest[size:]}
	if r.op != opPut && r.op != opDelete || len(r.value) > MaxValue {
		return record{}, 0
	}
	return r, headSize + int(n)
}

// span is damaged octets of the file.
type span struct{ from, to int }

// parsed is what a file says.
type parsed struct {
	facts   map[string][]byte
	damaged []span // before the last record
	end     int    // of the last record: what follows is torn
}

// parse reads a file. It goes on behind damage.
func parse(b []byte) parsed {
	p := parsed{facts: map[string][]byte{}}
	at := 0
	if bytes.HasPrefix(b, []byte(fileHeader)) {
		at = len(fileHeader)
		p.end = at
	}
	bad := at // what lies between here and the next record is damaged
	for at < len(b) {
		r, n := cutRecord(b[at:])
		if n == 0 {
			next := bytes.Index(b[at+1:], []byte(mark))
			if next < 0 {
				break
			}
			at += 1 + next
			continue
		}
		if bad < at {
			p.damaged = append(p.damaged, span{bad, at})
		}
		if r.op == opDelete {
			delete(p.facts, r.key)
		} else {
			p.facts[r.key] = bytes.Clone(r.value)
		}
		at += n
		bad, p.end = at, at
	}
	return p
}
