package spool

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/vfs"
)

func sampleEnvelope() *mail.Envelope {
	return &mail.Envelope{
		ID: mail.ID{1}, Sender: mail.Address{Local: "a", Domain: "b.test"}, Received: 1, Size: 2, Tenant: "t", Job: "j", EnvID: "e",
		Ret: mail.RetFull, Report: true, Priority: mail.PriorityLow,
		Source: mail.Source{Protocol: "smtp", Client: netip.MustParseAddrPort("[fe80::1%eth0]:25"), Helo: "h", Login: "l", Listener: "x"},
		Recipients: []mail.Recipient{
			{Address: mail.Address{Local: "r", Domain: "D.test"}, Domain: "d.test", Binding: "b", Group: "g", ORcpt: "rfc822;x"},
			{Address: mail.Address{Local: "r2", Domain: "d.test"}, Domain: "d.test", Binding: "b", Group: "g", Notify: mail.NotifyNever},
		},
	}
}

// FuzzEnvelope: no octets make the decoder panic, and what it takes it gives back.
func FuzzEnvelope(f *testing.F) {
	f.Add(appendEnvelope(nil, sampleEnvelope()))
	f.Add(appendEnvelope(nil, &mail.Envelope{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		env, err := decodeEnvelope(mail.ID{1}, b)
		if err != nil {
			return
		}
		again, err := decodeEnvelope(mail.ID{1}, appendEnvelope(nil, env))
		if err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		if fmt.Sprintf("%+v", env) != fmt.Sprintf("%+v", again) {
			t.Fatalf("%+v became %+v", env, again)
		}
	})
}

// FuzzState: whatever a receiver says, its reply comes back as it was and changes
// nothing around it.
func FuzzState(f *testing.F) {
	f.Add(3, 450, "4.7.1", "later\nplease", "ip-1", []byte("x"))
	f.Add(65534, 0, "", "\x00\xff\r\n", "", appendState(nil, &mail.RecipientState{Index: 4}))
	f.Fuzz(func(t *testing.T, index, code int, enhanced, text, binding string, raw []byte) {
		_, _ = decodeState(raw)
		if index < 0 || index >= mail.MaxRecipients || code < 0 || code > 999 || len(text) > mail.MaxReply {
			return
		}
		in := mail.RecipientState{Index: index, Attempts: 7, Next: -1, Binding: binding, Last: mail.Reply{Code: code, Enhanced: enhanced, Text: text, Stage: mail.StageDot}}
		out, err := decodeState(appendState(nil, &in))
		if err != nil || out != in {
			t.Fatalf("%+v became %+v, %v", in, out, err)
		}
	})
}

// FuzzBatch: no octets make the decoders of the metas panic or go on without end.
func FuzzBatch(f *testing.F) {
	b := appendChangeHead([]byte{batchVersion}, mail.ID{2}, true, []uint32{1, 300}, 0)
	f.Add(appendChangeHead(b, mail.ID{3}, false, nil, 0))
	f.Add(appendPutMeta(nil, putMeta{draft: 9, prefix: 3, chunks: 2, length: 70}, sampleEnvelope()))
	f.Add(appendPut(nil, flagNested, putMeta{}, sampleEnvelope(), []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = decodeBatch(b, func(c *change) { n += len(c.states) + len(c.segments) })
		if n > len(b) {
			t.Fatalf("%d things in %d octets", n, len(b))
		}
		_ = walkNested(b, func(int, header, []byte) {})
		_, _, _ = decodePutMeta(b)
		_, _ = decodeChunkMeta(b)
		_, _ = decodeSegmentHeader(b)
	})
}

// FuzzSegment: a segment of any octets is read to its end, and the spool starts (P5).
func FuzzSegment(f *testing.F) {
	const mark = 0x0102030405060708
	seg := appendSegmentHeader(nil, &segment{epoch: 1, mark: mark}, []limit{{1, 2, 3}})
	rec := appendPut(nil, 0, putMeta{}, sampleEnvelope(), []byte("content"))
	stamp(rec, mark, 0)
	f.Add(append(bytes.Clone(seg), rec...))
	chunk := appendChunk(nil, mail.ID{1}, chunkMeta{5, 0}, []byte("content"))
	stamp(chunk, mark, 100)
	f.Add(append(append(bytes.Clone(seg), chunk...), rec[:40]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := vfs.NewMem()
		if err := vfs.MkdirAll(mem, "/s"); err != nil {
			t.Fatal(err)
		}
		file, err := mem.Create("/s/" + segmentName(1, mark))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		d, err := OpenDisk(Options{Dir: "/s", FS: mem, SegmentSize: minSegment, CacheSize: -1, byHand: true})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.Recover(func(r Recovered) error {
			if m, err := d.Open(r.Envelope.ID); err == nil {
				m.Close()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if _, err := d.compact.once(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
