package spool

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/sluice-mta/sluice/internal/mail"
)

// The record is the unit of the log: a header, then meta, then body. The header's own
// checksum lets a scan skip bodies without reading them; meta and body have one each.
// docs/spool-format.md has every byte.

// kind is the type of a record. Kinds that are not known are skipped and kept.
type kind uint8

const (
	kindSegment kind = 1 // first records of a segment: epoch, limits of other segments
	kindPut     kind = 2 // a message
	kindChunk   kind = 3 // a piece of the content of a large message
	kindBatch   kind = 4 // changes, and the reports that came with them
	kindSeal    kind = 5 // last record of a segment that was ended in order
	kindMark    kind = 6 // says how far the segment was synced; else empty
)

const (
	headerSize = 52
	// sealSize is kept free at the end of a segment.
	sealSize = headerSize
	// maxRecord bounds meta and body of a record, in octets each.
	maxRecord = 1 << 30
)

// Flags of a record.
const (
	flagNested    = 1 << iota // a put inside the body of a batch; its mark is 0
	flagDamaged               // the body is known to be damaged and has been quarantined
	flagCopy                  // written by compaction
	flagKnown     = flagNested | flagDamaged | flagCopy
	maskRecovered = flagDamaged | flagCopy
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(parts ...[]byte) uint32 {
	var sum uint32
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// header stands at the beginning of every record.
type header struct {
	mark    uint64 // random number of the segment: what another segment left here does not pass
	kind    kind
	flags   uint8
	metaLen uint32
	bodyLen uint32
	metaSum uint32
	bodySum uint32
	synced  uint32 // octets of the segment known to be durable when this was written
	id      mail.ID
}

// size returns the octets of the whole record.
func (h *header) size() int64 { return headerSize + int64(h.metaLen) + int64(h.bodyLen) }

func (h *header) encode(b []byte) {
	_ = b[headerSize-1]
	le := binary.LittleEndian
	le.PutUint64(b, h.mark)
	b[8], b[9], b[10], b[11] = byte(h.kind), h.flags, 0, 0
	le.PutUint32(b[12:], h.metaLen)
	le.PutUint32(b[16:], h.bodyLen)
	le.PutUint32(b[20:], h.metaSum)
	le.PutUint32(b[24:], h.bodySum)
	le.PutUint32(b[28:], h.synced)
	copy(b[32:48], h.id[:])
	le.PutUint32(b[48:], checksum(b[:48]))
}

// decodeHeader reads a header and reports whether its checksum and bounds hold.
func decodeHeader(b []byte) (header, bool) {
	if len(b) < headerSize {
		return header{}, false
	}
	le := binary.LittleEndian
	if le.Uint32(b[48:]) != checksum(b[:48]) {
		return header{}, false
	}
	h := header{
		mark: le.Uint64(b), kind: kind(b[8]), flags: b[9],
		metaLen: le.Uint32(b[12:]), bodyLen: le.Uint32(b[16:]),
		metaSum: le.Uint32(b[20:]), bodySum: le.Uint32(b[24:]),
		synced: le.Uint32(b[28:]), id: mail.ID(b[32:48]),
	}
	return h, h.kind != 0 && h.metaLen <= maxRecord && h.bodyLen <= maxRecord
}

// stamp gives an encoded record the segment it is about to be written to.
func stamp(rec []byte, mark uint64, synced int64) {
	le := binary.LittleEndian
	le.PutUint64(rec, mark)
	le.PutUint32(rec[28:], uint32(synced))
	le.PutUint32(rec[48:], checksum(rec[:48]))
}
