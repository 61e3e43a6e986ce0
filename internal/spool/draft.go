package spool

import (
	"fmt"
	"sync"

	"github.com/sluice-mta/sluice/internal/mail"
)

// headroom is left before the content for the prefix of Commit, so that both stand
// together without being copied.
const headroom = 1 << 9

// diskDraft is a message being received. Content beyond ChunkSize goes to the log at
// once, in chunks.
type diskDraft struct {
	d     *Disk
	id    mail.ID
	buf   []byte // headroom, then content; the first chunk takes the headroom away
	room  int    // octets of headroom in buf
	meta  putMeta
	err   error
	ended bool
}

// Create implements Spool.
func (d *Disk) Create(id mail.ID) Draft { return &diskDraft{d: d, id: id} }

// Write implements Draft.
func (f *diskDraft) Write(p []byte) (int, error) {
	if f.ended {
		return 0, fmt.Errorf("write message %s: %w", f.id, ErrClosed)
	}
	if f.err != nil {
		return 0, f.err
	}
	if f.buf == nil && len(p) > 0 {
		f.room = headroom
		f.buf = make([]byte, headroom, headroom+max(len(p), 1<<10))
	}
	written := 0
	for len(p) > 0 {
		n := min(len(p), f.d.opt.ChunkSize-(len(f.buf)-f.room))
		f.buf = append(f.buf, p[:n]...)
		p = p[n:]
		if len(p) > 0 {
			if err := f.spill(); err != nil {
				f.err = err
				return written, err
			}
		}
		written += n
	}
	return written, nil
}

// spill writes the buffer as a chunk.
func (f *diskDraft) spill() error {
	if f.meta.draft == 0 {
		f.meta.draft = f.d.newDraft(f.id)
	}
	data := f.buf[f.room:]
	o := getOp(opChunk)
	o.rec = appendChunk(o.rec, f.id, chunkMeta{f.meta.draft, f.meta.chunks}, data)
	if err := f.d.wait(o); err != nil {
		return err
	}
	f.meta.chunks++
	f.meta.length += int64(len(data))
	f.buf, f.room = f.buf[:0], 0
	return nil
}

// Commit implements Draft.
func (f *diskDraft) Commit(env *mail.Envelope, prefix []byte) error {
	if f.ended {
		return fmt.Errorf("store message %s: %w", f.id, ErrClosed)
	}
	f.ended = true
	err := f.commit(env, prefix)
	if err != nil {
		f.drop()
	}
	return err
}

func (f *diskDraft) commit(env *mail.Envelope, prefix []byte) error {
	if f.err != nil {
		return f.err
	}
	if env.ID != f.id {
		return fmt.Errorf("store message %s: its envelope is of %s", f.id, env.ID)
	}
	body := f.body(prefix)
	if len(body) > maxRecord {
		return fmt.Errorf("store message %s: a prefix of %d octets", f.id, len(prefix))
	}
	o := getOp(opPut)
	f.meta.prefix = len(prefix)
	o.id, o.env, o.body = f.id, env, body
	if f.meta.draft != 0 {
		o.env = nil // not in one piece: not for the cache
	}
	o.rec = appendPutHead(o.rec, 0, f.meta, env, body)
	return f.d.wait(o)
}

// body returns prefix and buffered content in one piece.
func (f *diskDraft) body(prefix []byte) []byte {
	if len(prefix) <= f.room {
		start := f.room - len(prefix)
		copy(f.buf[start:], prefix)
		return f.buf[start:]
	}
	b := make([]byte, 0, len(prefix)+len(f.buf)-f.room)
	b = append(b, prefix...)
	return append(b, f.buf[f.room:]...)
}

// Abort implements Draft.
func (f *diskDraft) Abort() {
	if !f.ended {
		f.ended = true
		f.drop()
	}
}

func (f *diskDraft) drop() {
	f.buf = nil
	if f.meta.draft == 0 {
		return
	}
	f.d.mu.Lock()
	f.d.cat.dropDraft(f.meta.draft)
	f.d.mu.Unlock()
	f.meta.draft = 0
}

var ops = sync.Pool{New: func() any { return &op{result: make(chan error, 1)} }}

// getOp returns an op whose buffer may be used again.
func getOp(k opKind) *op {
	o := ops.Get().(*op)
	o.kind = k
	return o
}

// wait hands an op from getOp to the committer and waits for its result.
func (d *Disk) wait(o *op) error {
	var err error
	if d.enqueue(o) {
		err = <-o.result
	} else {
		err = fmt.Errorf("%s: %w", opNames[o.kind], ErrClosed)
	}
	if cap(o.rec) <= keepRecord {
		rec, result := o.rec[:0], o.result
		*o = op{rec: rec, result: result}
		ops.Put(o)
	}
	return err
}

// keepRecord is the largest buffer of an op that is used again.
const keepRecord = 512 << 10
