package spool

import (
	"encoding/binary"
	"fmt"

	"github.com/sluice-mta/sluice/internal/mail"
)

// The meta of a batch record is a list of changes; its body holds the reports, each as
// a nested put record.
//
//	batch  = version *change
//	change = id flags [segments] states
//	states = count *( length state )
//
// A finished message names every segment in which a put of it may stand, so that
// compaction knows how long the word must be kept.

const batchVersion = 1

const changeFinish = 1

// change is a Change as it stands in a record.
type change struct {
	id       mail.ID
	finish   bool
	segments []uint32 // epochs; only when finish
	states   []rawState
}

// rawState is one encoded state: octets [off, off+len(b)) of the meta.
type rawState struct {
	index int // recipient
	off   int
	b     []byte
}

func appendState(b []byte, s *mail.RecipientState) []byte {
	b = binary.AppendUvarint(b, uint64(s.Index))
	b = append(b, byte(s.Status), byte(s.Last.Stage))
	b = binary.AppendUvarint(b, uint64(s.Attempts))
	b = binary.AppendVarint(b, s.Next)
	b = binary.AppendUvarint(b, uint64(s.Last.Code))
	b = appendString(b, s.Last.Enhanced)
	b = appendString(b, bounded(s.Last.Text))
	b = appendString(b, s.Binding)
	return appendString(b, s.Group)
}

// bounded cuts a reply's text to mail.MaxReply.
func bounded(s string) string { return s[:min(len(s), mail.MaxReply)] }

func decodeState(b []byte) (mail.RecipientState, error) {
	r := &reader{b: b}
	s := mail.RecipientState{Index: r.small(mail.MaxRecipients - 1)}
	s.Status = mail.Status(r.byte())
	s.Last.Stage = mail.Stage(r.byte())
	s.Attempts = r.small(1 << 31)
	s.Next = r.varint()
	s.Last.Code = r.small(999)
	s.Last.Enhanced = r.string()
	s.Last.Text = r.string()
	s.Binding, s.Group = r.string(), r.string()
	if r.off != len(b) {
		r.fail()
	}
	if err := r.err(); err != nil {
		return s, fmt.Errorf("recipient state: %w", err)
	}
	return s, nil
}

func appendChangeHead(b []byte, id mail.ID, finish bool, segments []uint32, states int) []byte {
	b = append(b, id[:]...)
	if finish {
		b = append(b, changeFinish)
		b = binary.AppendUvarint(b, uint64(len(segments)))
		for _, s := range segments {
			b = binary.AppendUvarint(b, uint64(s))
		}
	} else {
		b = append(b, 0)
	}
	return binary.AppendUvarint(b, uint64(states))
}

// decodeBatch calls fn for every change. The slices of the change are used again after
// fn returns. With a nil fn it only checks.
func decodeBatch(meta []byte, fn func(*change)) error {
	r := &reader{b: meta}
	if v := r.byte(); v != batchVersion {
		return fmt.Errorf("batch version %d: %w", v, errDecode)
	}
	var c change
	for r.off < len(meta) {
		c.id = mail.ID{}
		copy(c.id[:], r.take(16))
		flags := r.byte()
		c.finish = flags&changeFinish != 0
		c.segments = c.segments[:0]
		if c.finish {
			for k := r.count(1); k > 0; k-- {
				c.segments = append(c.segments, uint32(r.small(1<<32-1)))
			}
		}
		c.states = c.states[:0]
		for k := r.count(1); k > 0; k-- {
			size := r.count(1)
			off := r.off
			b := r.take(size)
			index, n := binary.Uvarint(b)
			if n <= 0 || index >= mail.MaxRecipients {
				r.fail()
				break
			}
			c.states = append(c.states, rawState{index: int(index), off: off, b: b})
		}
		if r.bad {
			break
		}
		if fn != nil {
			fn(&c)
		}
	}
	if err := r.err(); err != nil {
		return fmt.Errorf("batch: %w", err)
	}
	return nil
}

// walkNested calls fn for every put in the body of a batch, with its place there.
func walkNested(body []byte, fn func(off int, h header, rec []byte)) error {
	for off := 0; off < len(body); {
		h, ok := decodeHeader(body[off:])
		if !ok || h.size() > int64(len(body)-off) {
			return fmt.Errorf("report in a batch: %w", errDecode)
		}
		if fn != nil && h.kind == kindPut && h.flags&flagNested != 0 {
			fn(off, h, body[off:off+int(h.size())])
		}
		off += int(h.size())
	}
	return nil
}
