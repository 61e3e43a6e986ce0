package spool

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/sluice-mta/sluice/internal/vfs"
)

// window reads a file in large pieces, for a reader that goes forward and skips.
type window struct {
	f    vfs.File
	size int64 // octets of the file that may be read
	buf  []byte
	off  int64 // of buf in the file
	unit int   // octets read at once, at least
}

const scanUnit = 1 << 20

// get returns n octets at off, fewer at the end of the file. They hold until the next
// get.
func (w *window) get(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), max(0, w.size-off)))
	if off < w.off || off+int64(n) > w.off+int64(len(w.buf)) {
		want := int(min(int64(max(n, w.unit)), w.size-off))
		if cap(w.buf) < want {
			w.buf = make([]byte, want)
		}
		w.buf = w.buf[:want]
		w.off = off
		got, err := w.f.ReadAt(w.buf, off)
		w.buf = w.buf[:got]
		if err != nil && err != io.EOF {
			w.buf = w.buf[:0]
			return nil, err
		}
		n = min(n, got)
	}
	at := off - w.off
	return w.buf[at : at+int64(n)], nil
}

// scanner finds the records of a segment, the damaged ones too. Bodies are skipped
// unless all is to be checked; those of batches are always read.
type scanner struct {
	w     window
	mark  uint64
	check bool // check the bodies of messages too
	off   int64
}

func newScanner(f vfs.File, mark uint64, size int64) *scanner {
	return &scanner{w: window{f: f, size: size, unit: scanUnit}, mark: mark}
}

// found is what stands at an offset: a record, or octets that are none.
type found struct {
	off  int64
	size int64
	ok   bool
	h    header // when the header is in order, also of a damaged record
	rec  []byte // header and meta, for a batch also the body; until the next call
	why  string // not ok
	body bool   // not ok, but only the body of a message or a piece of it
}

// next returns what comes next; io.EOF when no record follows. Then off is where the
// last one ended.
func (s *scanner) next() (found, error) {
	b, err := s.w.get(s.off, headerSize)
	if err != nil {
		return found{}, err
	}
	h, ok := decodeHeader(b)
	if !ok || h.mark != s.mark || s.off+h.size() > s.w.size {
		return s.resync()
	}
	f := found{off: s.off, size: h.size(), h: h, ok: true}
	n := headerSize + int(h.metaLen)
	if h.kind == kindBatch || s.check {
		n += int(h.bodyLen)
	}
	if f.rec, err = s.w.get(s.off, n); err != nil {
		return f, err
	}
	s.off += f.size
	f.why = faults(&h, f.rec)
	if f.why == "" && s.check && checksum(f.rec[headerSize+h.metaLen:]) != h.bodySum && h.flags&flagDamaged == 0 {
		f.why, f.body = badBody, h.kind == kindPut || h.kind == kindChunk
	}
	f.ok = f.why == ""
	return f, nil
}

const badBody = "body does not match its checksum"

// faults says what is wrong with a record but for the body of a message.
func faults(h *header, rec []byte) string {
	meta, body := rec[headerSize:headerSize+int(h.metaLen)], rec[headerSize+int(h.metaLen):]
	if checksum(meta) != h.metaSum {
		return "meta does not match its checksum"
	}
	if h.kind == kindBatch && checksum(body) != h.bodySum {
		return badBody
	}
	var err error
	switch h.kind {
	case kindPut:
		_, _, err = decodePutMeta(meta)
	case kindChunk:
		_, err = decodeChunkMeta(meta)
	case kindBatch:
		if err = decodeBatch(meta, nil); err == nil {
			err = walkNested(body, nil)
		}
	case kindSegment:
		_, err = decodeSegmentHeader(meta)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// resync looks for the next record after octets that are none. What others left in a
// segment used before, and what messages contain, does not have its mark.
func (s *scanner) resync() (found, error) {
	var mark [8]byte
	binary.LittleEndian.PutUint64(mark[:], s.mark)
	for off := s.off + 1; off+headerSize <= s.w.size; {
		b, err := s.w.get(off, scanUnit)
		if err != nil {
			return found{}, err
		}
		i := bytes.Index(b, mark[:])
		if i < 0 {
			off += int64(max(1, len(b)-len(mark)+1))
			continue
		}
		off += int64(i)
		b, err = s.w.get(off, headerSize)
		if err != nil {
			return found{}, err
		}
		if h, ok := decodeHeader(b); ok && off+h.size() <= s.w.size {
			f := found{off: s.off, size: off - s.off, why: "header does not match its checksum"}
			s.off = off
			return f, nil
		}
		off++
	}
	return found{}, io.EOF
}
