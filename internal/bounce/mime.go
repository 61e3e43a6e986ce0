package bounce

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
)

// Bounds of what is read of a message from outside.
const (
	maxParts  = 32        // of a message, all levels together
	maxLevels = 4         // of multiparts and messages inside each other
	maxFields = 500       // of one header
	maxValue  = 4 << 10   // octets of a field that are looked at
	maxBody   = 256 << 10 // octets of a part that are decoded
)

// header is the fields of a header block, in order; names in lower case. It is read as
// leniently as can be: what is no field is passed over.
type header []headerField

type headerField struct{ name, value string }

// get is the first field of a name, unfolded.
func (h header) get(name string) string {
	for _, f := range h {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

// cutHeader splits a block of fields from what follows the empty line.
func cutHeader(b []byte) (header, []byte) {
	var h header
	for len(b) > 0 {
		line, rest := cutLine(b)
		if len(line) == 0 {
			return h, rest
		}
		switch name, value, ok := bytes.Cut(line, []byte(":")); {
		case line[0] == ' ' || line[0] == '\t':
			if n := len(h); n > 0 && len(h[n-1].value)+len(line) <= maxValue {
				h[n-1].value = strings.TrimSpace(h[n-1].value + " " + string(bytes.TrimSpace(line)))
			}
		case ok && len(h) < maxFields && len(name) <= 100:
			value = bytes.TrimSpace(value)
			h = append(h, headerField{strings.ToLower(string(bytes.TrimSpace(name))), string(value[:min(len(value), maxValue)])})
		}
		b = rest
	}
	return h, nil
}

// cutLine splits the first line off, without its end: LF or CRLF.
func cutLine(b []byte) (line, rest []byte) {
	line = b
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		line, rest = b[:i], b[i+1:]
	}
	return bytes.TrimSuffix(line, []byte("\r")), rest
}

// entity is one part of a message.
type entity struct {
	kind   string // media type in lower case; text/plain when it is not said
	params map[string]string
	header header
	body   []byte // as it stands; of a multipart nothing
}

// text is the body without its transfer encoding, bounded.
func (e *entity) text() []byte {
	body := e.body[:min(len(e.body), maxBody)]
	var r io.Reader
	switch strings.ToLower(e.header.get("content-transfer-encoding")) {
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(body))
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body))
	default:
		return body
	}
	out, _ := io.ReadAll(r) // what could be decoded
	return out
}

// walk takes a message apart: its own header, and its parts in order, those inside
// multiparts included, those inside messages not.
func walk(content []byte) (header, []entity) {
	h, body := cutHeader(content)
	var out []entity
	add(&out, h, body, 0)
	return h, out
}

func add(out *[]entity, h header, body []byte, level int) {
	if len(*out) >= maxParts {
		return
	}
	e := entity{header: h, body: body}
	kind, params, err := mime.ParseMediaType(h.get("content-type"))
	if err != nil && kind == "" {
		kind = "text/plain"
	}
	e.kind, e.params = kind, params
	boundary := params["boundary"]
	if !strings.HasPrefix(kind, "multipart/") || boundary == "" || level >= maxLevels {
		*out = append(*out, e)
		return
	}
	e.body = nil
	*out = append(*out, e)
	for _, part := range split(body, boundary) {
		ph, pb := cutHeader(part)
		add(out, ph, pb, level+1)
	}
}

// split cuts the body of a multipart at its boundary lines (RFC 2046 §5.1.1). A last part
// without its end counts.
func split(body []byte, boundary string) [][]byte {
	var parts [][]byte
	mark := []byte("--" + boundary)
	start := -1
	for at := 0; at < len(body) && len(parts) < maxParts; {
		line, rest := cutLine(body[at:])
		next := len(body) - len(rest)
		if bytes.HasPrefix(line, mark) {
			tail := bytes.TrimRight(line[len(mark):], " \t")
			if end := string(tail) == "--"; len(tail) == 0 || end {
				if start >= 0 {
					parts = append(parts, trimEnd(body[start:at]))
				}
				if start = next; end {
					return parts
				}
			}
		}
		at = next
	}
	if start >= 0 && start < len(body) && len(parts) < maxParts {
		parts = append(parts, body[start:])
	}
	return parts
}

// trimEnd takes the line end off that belongs to the boundary.
func trimEnd(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}

// blocksOf are the groups of fields of a delivery-status or feedback-report part, which
// stand between empty lines.
func blocksOf(b []byte) []header {
	var out []header
	for len(b) > 0 && len(out) < maxReported+1 {
		h, rest := cutHeader(b)
		if len(h) > 0 {
			out = append(out, h)
		}
		b = rest
	}
	return out
}
