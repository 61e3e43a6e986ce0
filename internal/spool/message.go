package spool

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/sluice-mta/sluice/internal/mail"
)

func readBytes(b, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read message: negative offset")
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// where is what Open needs to know of a message, taken under the lock; the segments are
// pinned.
type where struct {
	put     loc
	metaLen uint32
	seg     *segment
	chunks  []loc
	segs    []*segment // of the chunks
}

// Open implements Spool. A message in the cache is not read from disk.
func (d *Disk) Open(id mail.ID) (Message, error) {
	if m := d.cache.get(id); m != nil {
		return m, nil
	}
	at, err := d.locate(id)
	if err != nil {
		return nil, fmt.Errorf("open message %s: %w", id, err)
	}
	m, err := d.read(id, at)
	if err != nil || len(at.chunks) == 0 {
		d.release(at)
	}
	if err != nil {
		return nil, fmt.Errorf("open message %s: %w", id, err)
	}
	return m, nil
}

// Envelope implements Spool. It reads and checks the envelope alone.
func (d *Disk) Envelope(id mail.ID) (*mail.Envelope, error) {
	if m := d.cache.get(id); m != nil {
		return m.Envelope(), nil
	}
	env, err := d.readEnvelope(id)
	if err != nil {
		return nil, fmt.Errorf("read the envelope of message %s: %w", id, err)
	}
	return env, nil
}

func (d *Disk) readEnvelope(id mail.ID) (*mail.Envelope, error) {
	d.mu.Lock()
	e := d.cat.alive(id)
	if d.closed || e == nil {
		closed := d.closed
		d.mu.Unlock()
		if closed {
			return nil, ErrClosed
		}
		return nil, ErrNotFound
	}
	put, rec := e.put, make([]byte, headerSize+int(e.metaLen))
	seg := d.cat.segments[put.seg]
	seg.pins++
	d.mu.Unlock()
	defer d.unpin(seg)
	if _, err := seg.file.ReadAt(rec, int64(put.off)); err != nil && err != io.EOF {
		return nil, err
	}
	h, ok := decodeHeader(rec)
	if !ok || h.kind != kindPut || h.id != id || checksum(rec[headerSize:]) != h.metaSum {
		return nil, ErrDamaged
	}
	_, rest, err := decodePutMeta(rec[headerSize:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return decodeEnvelope(id, rest)
}

// States implements Spool.
func (d *Disk) States(id mail.ID) ([]mail.RecipientState, error) {
	d.mu.Lock()
	alive, closed := d.cat.alive(id) != nil, d.closed
	d.mu.Unlock()
	switch {
	case closed:
		return nil, fmt.Errorf("read the states of message %s: %w", id, ErrClosed)
	case !alive:
		return nil, fmt.Errorf("read the states of message %s: %w", id, ErrNotFound)
	}
	r := recoverer{d: d}
	r.read([]mail.ID{id})
	return r.out[0].States, nil
}

// locate finds a message and pins its segments.
func (d *Disk) locate(id mail.ID) (*where, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	e := d.cat.alive(id)
	if e == nil {
		return nil, ErrNotFound
	}
	h := d.cat.byID[id]
	if e.damaged || d.cat.missing(h) {
		return nil, ErrDamaged
	}
	at := &where{put: e.put, metaLen: e.metaLen, seg: d.cat.segments[e.put.seg]}
	if draft, ok := d.cat.draftOf[h]; ok {
		for _, l := range d.cat.drafts[draft].locs {
			s := d.cat.segments[l.seg]
			s.pins++
			at.chunks = append(at.chunks, l)
			at.segs = append(at.segs, s)
		}
	}
	at.seg.pins++
	return at, nil
}

func (d *Disk) release(at *where) {
	d.unpin(at.seg)
	for _, s := range at.segs {
		d.unpin(s)
	}
}

// read reads and checks the put record.
func (d *Disk) read(id mail.ID, at *where) (Message, error) {
	rec := make([]byte, at.put.n)
	if _, err := at.seg.file.ReadAt(rec, int64(at.put.off)); err != nil && err != io.EOF {
		return nil, err
	}
	env, m, body, err := parsePut(id, rec)
	if err != nil {
		return nil, d.damage(id, at.put, at.seg, rec, err)
	}
	if m.draft == 0 {
		return &cached{env: env, body: body}, nil
	}
	if m.chunks != len(at.chunks) {
		return nil, d.damage(id, at.put, at.seg, rec, errors.New("a piece of the content is missing"))
	}
	return &large{
		d: d, at: at, env: env, prefix: body[:m.prefix], tail: body[m.prefix:], middle: m.length,
	}, nil
}

// parsePut checks a whole put record and takes it apart.
func parsePut(id mail.ID, rec []byte) (*mail.Envelope, putMeta, []byte, error) {
	h, ok := decodeHeader(rec)
	if !ok || h.kind != kindPut || h.id != id || h.size() != int64(len(rec)) {
		return nil, putMeta{}, nil, errors.New("its header is not that of the message")
	}
	meta, body := rec[headerSize:headerSize+h.metaLen], rec[headerSize+h.metaLen:]
	if checksum(meta) != h.metaSum {
		return nil, putMeta{}, nil, errors.New("envelope does not match its checksum")
	}
	if checksum(body) != h.bodySum {
		return nil, putMeta{}, nil, errors.New("content does not match its checksum")
	}
	m, rest, err := decodePutMeta(meta)
	if err != nil {
		return nil, m, nil, err
	}
	env, err := decodeEnvelope(id, rest)
	if err == nil && m.prefix > len(body) {
		err = errDecode
	}
	return env, m, body, err
}

// damage quarantines a record of a message and gives the error for its reader.
func (d *Disk) damage(id mail.ID, l loc, s *segment, rec []byte, why error) error {
	d.setAside(s.epoch, int64(l.off), rec, fmt.Sprintf("message %s: %v", id, why))
	d.mu.Lock()
	if e := d.cat.alive(id); e != nil {
		e.damaged = true
	}
	d.mu.Unlock()
	return fmt.Errorf("%w: %w", ErrDamaged, why)
}

// large is a message whose content stands in chunks. One chunk at a time is in memory.
type large struct {
	d      *Disk
	at     *where
	env    *mail.Envelope
	prefix []byte
	tail   []byte
	middle int64

	mu    sync.Mutex
	index int // chunk held, valid when chunk is not nil
	chunk []byte
	once  sync.Once
}

// Envelope implements Message.
func (m *large) Envelope() *mail.Envelope { return m.env }

// Size implements Message.
func (m *large) Size() int64 { return int64(len(m.prefix)) + m.middle + int64(len(m.tail)) }

// Bytes implements Message.
func (m *large) Bytes() []byte { return nil }

// Close implements Message.
func (m *large) Close() { m.once.Do(func() { m.d.release(m.at) }) }

// ReadAt implements Message.
func (m *large) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read message: negative offset")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for n < len(p) {
		b, err := m.from(off + int64(n))
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b)
	}
	return n, nil
}

// from returns content that begins at off.
func (m *large) from(off int64) ([]byte, error) {
	if off < int64(len(m.prefix)) {
		return m.prefix[off:], nil
	}
	off -= int64(len(m.prefix))
	if off >= m.middle {
		off -= m.middle
		if off >= int64(len(m.tail)) {
			return nil, io.EOF
		}
		return m.tail[off:], nil
	}
	for i, l := range m.at.chunks {
		size := int64(l.n) - headerSize - chunkMetaSize
		if off < size {
			if err := m.load(i); err != nil {
				return nil, err
			}
			return m.chunk[off:], nil
		}
		off -= size
	}
	return nil, fmt.Errorf("read message %s: %w: content is short", m.env.ID, ErrDamaged)
}

func (m *large) load(i int) error {
	if m.chunk != nil && m.index == i {
		return nil
	}
	l, s := m.at.chunks[i], m.at.segs[i]
	rec := make([]byte, l.n)
	if _, err := s.file.ReadAt(rec, int64(l.off)); err != nil && err != io.EOF {
		return fmt.Errorf("read message %s: %w", m.env.ID, err)
	}
	h, ok := decodeHeader(rec)
	body := rec[headerSize+chunkMetaSize:]
	if !ok || h.kind != kindChunk || h.id != m.env.ID || h.size() != int64(len(rec)) || checksum(body) != h.bodySum {
		err := m.d.damage(m.env.ID, l, s, rec, errors.New("content does not match its checksum"))
		return fmt.Errorf("read message %s: %w", m.env.ID, err)
	}
	m.chunk, m.index = body, i
	return nil
}
