package deliver

import (
	"bytes"
	"io"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

type stored struct {
	*bytes.Reader
	env  *mail.Envelope
	text []byte
	disk bool
}

func (s stored) Envelope() *mail.Envelope { return s.env }
func (s stored) Close()                   {}
func (s stored) Bytes() []byte {
	if s.disk {
		return nil
	}
	return s.text
}

// Each recipient gets the content with its own signatures, from memory and from disk, in
// pieces of any size.
func TestContentFor(t *testing.T) {
	text := []byte("Sig: a\r\nFrom: x\r\n\r\nbody\r\n")
	env := &mail.Envelope{Head: 8, Heads: [][]byte{nil, []byte("Sig: long and other\r\n")}, Recipients: []mail.Recipient{{}, {Head: 1}, {Head: 2}, {Head: 9}}}
	want := []string{string(text), string(text[8:]), "Sig: long and other\r\n" + string(text[8:]), string(text)}
	for _, disk := range []bool{false, true} {
		for i, w := range want {
			c := contentFor(stored{bytes.NewReader(text), env, text, disk}, []int{i})
			if c.Size() != int64(len(w)) || disk == (c.Bytes() != nil) || !disk && string(c.Bytes()) != w {
				t.Errorf("recipient %d: %d octets, %q, want %q", i, c.Size(), c.Bytes(), w)
			}
			for n := 1; n <= len(w)+1; n++ {
				var got []byte
				for off := int64(0); ; {
					p := make([]byte, n)
					k, err := c.ReadAt(p, off)
					got, off = append(got, p[:k]...), off+int64(k)
					if err == io.EOF {
						break
					}
					if err != nil || k != n {
						t.Fatalf("recipient %d: read of %d at %d: %d, %v", i, n, off, k, err)
					}
				}
				if string(got) != w {
					t.Errorf("recipient %d by pieces of %d: %q, want %q", i, n, got, w)
				}
			}
		}
	}
}
