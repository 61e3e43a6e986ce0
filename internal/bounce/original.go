package bounce

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// original is what is returned of the message.
type original struct {
	contentType string
	encoding    string
	content     []byte // nil: nothing
	messageID   string // with its angle brackets; empty when there is none
}

// original reads what is to be returned: all of a message that is asked for or small,
// else its header (RFC 3461 §4.3, §6.2: RET is for failures alone; of a message that goes on always the header). A header
// returned alone is text and may be encoded, so it never needs 8BITMIME; a whole message
// with 8-bit content is returned only when RET=FULL asks for it.
func (r *report) original() original {
	if r.Content == nil {
		return original{}
	}
	size := r.Envelope.Size
	limit := int64(maxReturn)
	if r.Envelope.Ret == mail.RetFull {
		limit = maxFull
	}
	whole := r.returnsWhole() && r.Envelope.Ret != mail.RetHeaders && size <= limit
	want := int64(maxHeader)
	if whole {
		want = size
	}
	content := make([]byte, min(size, want))
	if n, err := r.Content.ReadAt(content, 0); n < len(content) || err != nil && !errors.Is(err, io.EOF) {
		return original{}
	}
	header := headerOf(content)
	o := original{messageID: messageID(header)}
	if whole && plain(content) {
		o.contentType, o.encoding, o.content = "message/rfc822", "7bit", content
		return o
	}
	if whole && r.Envelope.Ret == mail.RetFull && !r.Envelope.SMTPUTF8 && sendable(content) {
		o.contentType, o.encoding, o.content = "message/rfc822", "8bit", content
		return o
	}
	o.contentType, o.encoding, o.content = "text/rfc822-headers; charset=utf-8", "7bit", header
	if !plain(header) {
		o.encoding, o.content = "quoted-printable", appendQuotedPrintable([]byte{}, header)
	}
	return o
}

func (r *report) returnsWhole() bool { return r.Action == Failed }

// headerOf returns the header of a message, whole lines, without the empty line.
func headerOf(content []byte) []byte {
	if bytes.HasPrefix(content, []byte("\r\n")) {
		return []byte{}
	}
	if end := bytes.Index(content, []byte("\r\n\r\n")); end >= 0 {
		return content[:end+2]
	}
	return content[:bytes.LastIndexByte(content, '\n')+1]
}

// plain reports whether content can be sent as it is everywhere: ASCII without NUL, lines
// of at most 998 octets that end in CRLF.
func plain(content []byte) bool {
	for _, c := range content {
		if c >= 0x80 {
			return false
		}
	}
	return sendable(content)
}

// sendable is plain, 8-bit octets allowed.
func sendable(content []byte) bool {
	for len(content) > 0 {
		end := bytes.IndexByte(content, '\n')
		line := content
		if end >= 0 {
			line, content = content[:end], content[end+1:]
			if len(line) == 0 || line[len(line)-1] != '\r' {
				return false
			}
			line = line[:len(line)-1]
		} else {
			content = nil
		}
		if len(line) > 998 || bytes.ContainsAny(line, "\r\x00") {
			return false
		}
	}
	return true
}

// messageID returns the value of the Message-ID field when it is one word in angle
// brackets, else nothing.
func messageID(header []byte) string {
	const name = "message-id:"
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if len(line) <= len(name) || !strings.EqualFold(string(line[:len(name)]), name) {
			continue
		}
		id := strings.TrimSpace(string(line[len(name):]))
		if len(id) < 3 || len(id) > 250 || id[0] != '<' || id[len(id)-1] != '>' || !isASCII(id) || !printable(id) ||
			strings.ContainsAny(id[1:len(id)-1], " <>") {
			return ""
		}
		return id
	}
	return ""
}
