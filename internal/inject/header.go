package inject

import (
	"bytes"
	"errors"
	"strings"
)

// MaxHeader bounds the header block of a message, in octets.
const MaxHeader = 256 << 10

// maxHops is the number of Received fields at which a message is taken for one that
// goes round in circles (RFC 5321 §6.3).
const maxHops = 100

// maxFieldValue bounds what is used of our X- fields, in octets; longer values count
// as unknown ones.
const maxFieldValue = 255

// Errors of content.
var (
	ErrTooBig    = errors.New("message too big")
	ErrBigHeader = errors.New("header of the message too big")
)

// fields is what the header block tells us.
type fields struct {
	binding string // X-Binding, else X-Virtual-MTA
	virtual string
	tenant  string // X-Tenant
	job     string // X-Job
	envID   string // X-EnvID
	prio    string // X-Queue-Priority, where control is
	control bool   // who hands the message in may steer it
	hops    int    // Received fields

	tlsRequired string // TLS-Required (RFC 8689 §5); it stays
}

// slot returns where the value of one of our fields goes; nil for all other names, and
// for one that this client may not use: it stays. The
// names are as in a header, in any case.
func (f *fields) slot(name []byte) *string {
	if len(name) < 5 || name[0]|0x20 != 'x' || name[1] != '-' { // most are not
		return nil
	}
	switch strings.ToLower(string(name)) {
	case "x-binding":
		return &f.binding
	case "x-virtual-mta":
		return &f.virtual
	case "x-tenant":
		return &f.tenant
	case "x-job":
		return &f.job
	case "x-envid":
		return &f.envID
	case "x-queue-priority":
		if f.control {
			return &f.prio
		}
	}
	return nil
}

// headerEnd returns the length of the header block in b with the empty line that ends
// it, or -1 when that line is not there yet. It is looked for from an offset on.
func headerEnd(b []byte, from int) int {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return 2
	}
	if i := bytes.Index(b[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return -1
}

// readHeader reads the header block b[:n]: it gives keep all that stays, in order and
// byte for byte, and with the end of it what follows in b; and it notes our own fields,
// which do not stay: folded ones with all their lines. Of a field that comes more than once the first counts. Lines that are no fields stay,
// and do not end the block: whoever reads it next may see it the same way.
func (f *fields) readHeader(b []byte, n int, keep func([]byte) error) error {
	kept := 0 // b[kept:pos] stays and was not given yet
	for pos := 0; pos < n; {
		end := fieldEnd(b[:n], pos)
		name, value, isField := bytes.Cut(b[pos:end], []byte(":"))
		if !isField {
			pos = end
			continue
		}
		name = bytes.TrimRight(name, " \t")
		if len(name) == 8 && strings.EqualFold(string(name), "received") {
			f.hops++
		}
		if len(name) == 12 && f.tlsRequired == "" && strings.EqualFold(string(name), "tls-required") {
			f.tlsRequired = unfold(value)
		}
		if slot := f.slot(name); slot != nil {
			if *slot == "" {
				*slot = unfold(value)
			}
			if kept < pos {
				if err := keep(b[kept:pos]); err != nil {
					return err
				}
			}
			kept = end
		}
		pos = end
	}
	if kept < len(b) {
		return keep(b[kept:])
	}
	return nil
}

// fieldEnd returns where the field that begins at pos ends: behind the line end that
// is not followed by white space (RFC 5322 §2.2.3).
func fieldEnd(b []byte, pos int) int {
	for {
		i := bytes.IndexByte(b[pos:], '\n')
		if i < 0 {
			return len(b)
		}
		if pos += i + 1; pos == len(b) || b[pos] != ' ' && b[pos] != '\t' {
			return pos
		}
	}
}

// unfold returns the value of a field on one line, without white space around it, cut
// to one octet more than may be used. Control characters become ?.
func unfold(v []byte) string {
	v = bytes.TrimSpace(v)
	out := make([]byte, 0, min(len(v), maxFieldValue+1))
	for _, b := range v {
		if len(out) > maxFieldValue {
			break
		}
		switch {
		case b == '\r' || b == '\n':
			continue
		case b == '\t':
			b = ' '
		case b < ' ' || b == 0x7f:
			b = '?'
		}
		out = append(out, b)
	}
	return string(out)
}
