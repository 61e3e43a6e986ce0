package sign

import (
	"crypto/sha256"
	"hash"
)

// bodyHash takes a body in pieces, as it is, and hashes it in the relaxed form (RFC 6376
// §3.4.4): white space at the ends of lines is left out, runs of it are one space, and
// empty lines at the end do not count.
type bodyHash struct {
	h     hash.Hash
	buf   [512]byte
	n     int   // octets in buf
	blank bool  // white space was seen that counts only if something follows on its line
	cr    bool  // a CR was seen: the end of a line only when LF follows
	ends  int64 // line ends that count only if something follows
	any   bool  // something was hashed
}

func newBodyHash() *bodyHash { return &bodyHash{h: sha256.New()} }

// plain are the octets that stand for themselves.
var plain = func() (t [256]bool) {
	for i := range t {
		t[i] = true
	}
	t[' '], t['\t'], t['\r'], t['\n'] = false, false, false, false
	return t
}()

// Write implements io.Writer; it never fails.
func (b *bodyHash) Write(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if plain[p[i]] {
			j := i + 1
			for j < len(p) && plain[p[j]] {
				j++
			}
			b.flush()
			b.put(p[i:j])
			i = j
			continue
		}
		b.special(p[i])
		i++
	}
	return len(p), nil
}

func (b *bodyHash) special(c byte) {
	if b.cr && c != '\n' { // a CR that ends no line stands for itself
		b.flush()
	}
	switch c {
	case '\r':
		b.cr = true
	case '\n':
		b.cr, b.blank = false, false
		b.ends++
	default:
		b.blank = true
	}
}

// flush hashes what was held back: something follows on the line.
func (b *bodyHash) flush() {
	for ; b.ends > 0; b.ends-- {
		b.put(crlf)
	}
	if b.blank {
		b.put(space)
		b.blank = false
	}
	if b.cr {
		b.cr = false
		b.put(crlf[:1])
	}
	b.any = true
}

var (
	crlf  = []byte("\r\n")
	space = []byte(" ")
)

func (b *bodyHash) put(p []byte) {
	if len(p) > len(b.buf)-b.n {
		b.h.Write(b.buf[:b.n])
		b.n = 0
		if len(p) >= len(b.buf) {
			b.h.Write(p)
			return
		}
	}
	b.n += copy(b.buf[b.n:], p)
}

// sum ends the body.
func (b *bodyHash) sum() []byte {
	if b.cr {
		b.flush()
	}
	if b.any {
		b.put(crlf)
	}
	b.h.Write(b.buf[:b.n])
	b.n = 0
	return b.h.Sum(nil)
}
