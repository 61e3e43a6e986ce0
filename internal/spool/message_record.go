package spool

import (
	"encoding/binary"
	"fmt"

	"github.com/sluice-mta/sluice/internal/mail"
)

// putMeta is the meta of a put before its envelope: where the content is. Content is
// body[:prefix], then the chunks of that draft in order, then body[prefix:].
type putMeta struct {
	prefix int    // octets
	draft  uint64 // names the chunks; 0: there are none
	chunks int
	length int64 // octets in all chunks
}

const putVersion = 1

func appendPutMeta(b []byte, m putMeta, env *mail.Envelope) []byte {
	b = append(b, putVersion)
	b = binary.AppendUvarint(b, m.draft)
	if m.draft != 0 {
		b = binary.AppendUvarint(b, uint64(m.prefix))
		b = binary.AppendUvarint(b, uint64(m.chunks))
		b = binary.AppendUvarint(b, uint64(m.length))
	}
	return appendEnvelope(b, env)
}

// decodePutMeta returns the meta and the encoded envelope after it.
func decodePutMeta(b []byte) (putMeta, []byte, error) {
	r := &reader{b: b}
	if v := r.byte(); v != putVersion {
		return putMeta{}, nil, fmt.Errorf("message version %d: %w", v, errDecode)
	}
	m := putMeta{draft: r.uvarint()}
	if m.draft != 0 {
		m.prefix = r.small(maxRecord)
		m.chunks = r.small(1 << 31)
		m.length = int64(r.small(1 << 50))
	}
	return m, b[r.off:], r.err()
}

// appendPut appends a whole put record, without the mark of a segment.
func appendPut(b []byte, flags uint8, m putMeta, env *mail.Envelope, body []byte) []byte {
	return append(appendPutHead(b, flags, m, env, body), body...)
}

// appendPutHead appends header and meta of a put; body is to follow.
func appendPutHead(b []byte, flags uint8, m putMeta, env *mail.Envelope, body []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, headerSize)...)
	b = appendPutMeta(b, m, env)
	h := header{kind: kindPut, flags: flags, id: env.ID, metaLen: uint32(len(b) - start - headerSize), bodyLen: uint32(len(body))}
	h.metaSum = checksum(b[start+headerSize:])
	h.bodySum = checksum(body)
	h.encode(b[start:])
	return b
}

// chunkMeta names a chunk: which draft, and its place.
type chunkMeta struct {
	draft uint64
	index int
}

const chunkMetaSize = 12

func (m chunkMeta) encode() []byte {
	b := make([]byte, 0, chunkMetaSize)
	b = binary.LittleEndian.AppendUint64(b, m.draft)
	return binary.LittleEndian.AppendUint32(b, uint32(m.index))
}

func decodeChunkMeta(b []byte) (chunkMeta, error) {
	if len(b) != chunkMetaSize {
		return chunkMeta{}, fmt.Errorf("chunk: %w", errDecode)
	}
	return chunkMeta{draft: binary.LittleEndian.Uint64(b), index: int(binary.LittleEndian.Uint32(b[8:]))}, nil
}

// appendChunk appends a whole chunk record, without the mark of a segment.
func appendChunk(b []byte, id mail.ID, m chunkMeta, data []byte) []byte {
	start := len(b)
	meta := m.encode()
	h := header{
		kind: kindChunk, id: id, metaLen: chunkMetaSize, bodyLen: uint32(len(data)),
		metaSum: checksum(meta), bodySum: checksum(data),
	}
	b = append(b, make([]byte, headerSize)...)
	b = append(b, meta...)
	b = append(b, data...)
	h.encode(b[start:])
	return b
}
