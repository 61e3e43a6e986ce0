package spool

import (
	"encoding/binary"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Terms of transport that few messages have, each a tag and a varint. A tag that is not
// known is passed over: what it says is lost, the message is not.
const (
	termRequireTLS = iota + 1
	termTLSNotRequired
	termRelease
	termDeadline
	termByNotify
	termByTrace
	termByRelaxed
)

// appendTerms appends the terms that env has; nothing when it has none.
func appendTerms(b []byte, env *mail.Envelope) []byte {
	number := func(tag uint64, v int64) {
		if v != 0 {
			b = binary.AppendVarint(binary.AppendUvarint(b, tag), v)
		}
	}
	flag := func(tag uint64, on bool) {
		if on {
			number(tag, 1)
		}
	}
	flag(termRequireTLS, env.RequireTLS)
	flag(termTLSNotRequired, env.TLSNotRequired)
	number(termRelease, env.Release)
	number(termDeadline, env.By.Deadline)
	flag(termByNotify, env.By.Mode == mail.ByNotify)
	flag(termByTrace, env.By.Trace)
	flag(termByRelaxed, env.By.Relaxed)
	return b
}

// decodeTerms decodes what appendTerms wrote, with its length in front.
func decodeTerms(r *reader, env *mail.Envelope) {
	t := &reader{b: r.bytes()}
	for t.off < len(t.b) && !t.bad {
		tag, v := t.uvarint(), t.varint()
		switch tag {
		case termRequireTLS:
			env.RequireTLS = v != 0
		case termTLSNotRequired:
			env.TLSNotRequired = v != 0
		case termRelease:
			env.Release = v
		case termDeadline:
			env.By.Deadline = v
		case termByNotify:
			if v != 0 {
				env.By.Mode = mail.ByNotify
			}
		case termByTrace:
			env.By.Trace = v != 0
		case termByRelaxed:
			env.By.Relaxed = v != 0
		}
	}
	if t.bad {
		r.fail()
	}
}
