package sign

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Spec asks for one signature.
type Spec struct {
	Key      string // file or pattern, see Path
	Selector string
	Domain   string // d=; empty: the domain of the From header
}

// Message is a message to be signed: its header block, then its body by Write. Not safe
// for concurrent use.
type Message struct {
	fields []field
	from   string
	body   *bodyHash
	hash   []byte // of the body, once Fields has been called
}

// NewMessage takes the header block, with or without the empty line that ends it. The
// block must not change until Fields has been called.
func NewMessage(header []byte) *Message {
	m := &Message{fields: parseHeader(header), body: newBodyHash()}
	m.from = fromDomain(m.fields)
	return m
}

// From is the domain of the From header, by which keys are found; empty if there is none.
func (m *Message) From() string { return m.from }

// Write takes the next piece of the body, CRLF line ends, without dot-stuffing. It never
// fails.
func (m *Message) Write(p []byte) (int, error) { return m.body.Write(p) }

// Fields returns the header fields that sign the message, one for each spec, CRLF line
// ends, to be put before the header. A spec without a key (ErrNoKey) and one whose key
// cannot be used are left out and named in the error; the others hold all the same. The
// body is at its end.
func (m *Message) Fields(keys *Keys, specs []Spec, now time.Time) ([]byte, error) {
	if m.hash == nil {
		m.hash = m.body.sum()
	}
	var (
		out   []byte
		first error
	)
	for i := range specs {
		f, err := m.field(keys, &specs[i], now)
		if err != nil && first == nil {
			first = err
		}
		out = append(out, f...)
	}
	return out, first
}

func (m *Message) field(keys *Keys, s *Spec, now time.Time) ([]byte, error) {
	domain := s.Domain
	if domain == "" {
		domain = m.from
	}
	if domain == "" {
		return nil, fmt.Errorf("%w: the message has no From address that could name its domain", ErrNoKey)
	}
	ascii, err := mail.CanonicalDomain(domain)
	if err != nil {
		return nil, fmt.Errorf("%w: the domain %q of the From address is malformed", ErrNoKey, domain)
	}
	key, err := keys.get(Path(s.Key, ascii, s.Selector))
	if err != nil {
		return nil, err
	}
	names, chosen := choose(m.fields)
	out := newFolded("DKIM-Signature")
	out.add("v=1;")
	out.add("a=" + key.algorithm + ";")
	out.add("c=relaxed/relaxed;")
	out.add("d=" + ascii + ";")
	out.add("s=" + s.Selector + ";")
	out.add("t=" + strconv.FormatInt(now.Unix(), 10) + ";")
	out.list("h=", names, ":")
	out.long("bh=", base64.StdEncoding.EncodeToString(m.hash), ";")
	out.add("b=")

	var canonical []byte
	for _, f := range chosen {
		canonical = appendRelaxed(canonical, f)
	}
	// The signature's own field comes last, with an empty b= and without a line end.
	canonical = appendRelaxed(canonical, field{"dkim-signature", out.b})
	digest := sha256.Sum256(canonical[:len(canonical)-2])
	raw, err := key.Sign(rand.Reader, digest[:], key.opts)
	if err != nil {
		return nil, fmt.Errorf("sign with DKIM key of %s: %w", ascii, err)
	}
	out.long("", base64.StdEncoding.EncodeToString(raw), "")
	return append(out.b, '\r', '\n'), nil
}

// width is the longest line of a folded field, in octets, where it can be.
const width = 76

// folded is a field being written, folded at white space between its tags.
type folded struct {
	b   []byte
	col int // where the line ends, a tab counted as eight
}

func newFolded(name string) *folded {
	return &folded{b: append([]byte(name), ':'), col: len(name) + 1}
}

func (f *folded) newLine() {
	f.b = append(f.b, "\r\n\t"...)
	f.col = 8
}

// add appends a word behind white space.
func (f *folded) add(word string) {
	if f.col+1+len(word) > width {
		f.newLine()
	} else {
		f.b = append(f.b, ' ')
		f.col++
	}
	f.b = append(f.b, word...)
	f.col += len(word)
}

// list appends names joined by sep, folded between them.
func (f *folded) list(tag string, names []string, sep string) {
	for i, n := range names {
		if i == 0 {
			n = tag + n
		}
		if i < len(names)-1 {
			n += sep
		} else {
			n += ";"
		}
		if i == 0 {
			f.add(n)
		} else {
			f.glue(n)
		}
	}
}

// glue appends text to what stands before, on a new line if it does not fit: folding
// white space may stand there (RFC 6376 §3.2).
func (f *folded) glue(text string) {
	if f.col+len(text) > width {
		f.newLine()
	}
	f.b = append(f.b, text...)
	f.col += len(text)
}

// long appends base64 in pieces that fit.
func (f *folded) long(tag, text, end string) {
	if tag != "" {
		f.add(tag)
	}
	for len(text) > 0 {
		n := min(len(text), max(width-f.col, 16))
		f.glue(text[:n])
		text = text[n:]
	}
	f.b = append(f.b, end...)
	f.col += len(end)
}

// Describe names a spec, for logs and checks.
func (s Spec) Describe() string {
	d := s.Domain
	if d == "" {
		d = "%d"
	}
	return strings.Join([]string{s.Selector, "_domainkey", d}, ".")
}
