package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/sluice-mta/sluice/internal/mail"
)

// lineState goes over content block by block: every LF must follow a CR and every CR be
// followed by an LF (RFC 5321 §2.3.8), and lines that begin with a dot are noticed.
type lineState struct {
	start bool // at the start of a line
	cr    bool // the last octet was a CR
	dots  bool // some line begins with a dot
}

func (s *lineState) begin() { *s = lineState{start: true} }

// check looks at one block; false: there is a bare CR or LF. It costs a fraction of a
// octet, so it is done to everything that leaves.
func (s *lineState) check(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if s.cr && b[0] != '\n' || !s.cr && b[0] == '\n' {
		return false
	}
	if s.start && b[0] == '.' {
		s.dots = true
	}
	ends := 0
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			break
		}
		i += j
		if i > 0 {
			if b[i-1] != '\r' {
				return false
			}
			ends++
		}
		if i++; i == len(b) {
			break
		}
		if b[i] == '.' {
			s.dots = true
		}
	}
	last := b[len(b)-1]
	s.start, s.cr = last == '\n', last == '\r'
	if s.cr {
		ends++ // its LF is in the next block
	}
	return bytes.Count(b, []byte{'\r'}) == ends
}

// end reports whether the content may end here.
func (s *lineState) end() bool { return !s.cr }

var errBareLineEnd = errors.New("the message has a bare CR or LF and cannot be sent")

// earlyContent is the most content, in octets, that goes before the envelope is answered:
// more would cost more, when nobody is accepted, than a turn saves.
const earlyContent = 256 << 10

// sendContent sends the content, and behind it in the same flight the envelope of the next
// transaction if there is one.
func (c *Client) sendContent(tx *Transaction) *SessionError {
	if !tx.early {
		if e := c.quiet(mail.StageBody); e != nil {
			return e
		}
	}
	tx.content = true
	// While replies are outstanding, they decide, and not that a write fails.
	c.owed = tx.early
	defer func() { c.owed = false }()
	if tx.early && tx.Content.Size() > clientBlock {
		return c.alongside(func() *SessionError { return c.putWhole(tx) })
	}
	return c.putWhole(tx)
}

func (c *Client) putWhole(tx *Transaction) *SessionError {
	put := c.putDotted
	if tx.chunked {
		put = c.putChunk
	}
	if e := put(tx); e != nil {
		return e
	}
	if c.room() < clientCommand {
		if e := c.flush(mail.StageBody, c.t.DataBlock); e != nil {
			return e
		}
	}
	c.offer(tx)
	// The receiver may have all of the content, and answer it, before the rest of this fails.
	c.owed = true
	return c.flush(mail.StageBody, c.t.DataBlock)
}

// putChunk sends the content as one chunk, as it is (RFC 3030 §2).
func (c *Client) putChunk(tx *Transaction) *SessionError {
	c.used |= Chunking
	if c.room() < clientCommand {
		if e := c.flush(mail.StageBody, c.t.DataBlock); e != nil {
			return e
		}
	}
	c.put("BDAT ")
	o := c.buffer()
	o.n = len(strconv.AppendInt(o.b[:o.n], tx.Content.Size(), 10))
	c.put(" LAST\r\n")
	if tx.scanned {
		return c.putBlocks(tx.Content.Bytes())
	}
	return c.copyContent(tx, &lineState{start: true})
}

// putDotted sends the content with the dots doubled that begin a line (RFC 5321
// §4.5.2), and the end of the data.
func (c *Client) putDotted(tx *Transaction) *SessionError {
	var s lineState
	s.begin()
	if tx.scanned {
		if e := c.putContent(tx.Content.Bytes(), true, tx.stuff); e != nil {
			return e
		}
		b := tx.Content.Bytes()
		s.start = len(b) == 0 || b[len(b)-1] == '\n'
	} else if e := c.copyContent(tx, &s); e != nil {
		return e
	}
	end := ".\r\n"
	if !s.start {
		end = "\r\n.\r\n"
	}
	if c.room() < len(end) {
		if e := c.flush(mail.StageBody, c.t.DataBlock); e != nil {
			return e
		}
	}
	c.put(end)
	return nil
}

// putContent sends b, flushing full blocks. start: b begins a line.
func (c *Client) putContent(b []byte, start, stuff bool) *SessionError {
	if !stuff {
		return c.putBlocks(b)
	}
	if start && len(b) > 0 && b[0] == '.' {
		if e := c.putBlocks(b[:1]); e != nil {
			return e
		}
	}
	for {
		i := bytes.Index(b, []byte("\n."))
		if i < 0 {
			return c.putBlocks(b)
		}
		if e := c.putBlocks(b[:i+2]); e != nil { // with the dot, which then comes again
			return e
		}
		b = b[i+1:]
	}
}

func (c *Client) putBlocks(b []byte) *SessionError {
	for len(b) > 0 {
		if c.room() == 0 {
			if e := c.flush(mail.StageBody, c.t.DataBlock); e != nil {
				return e
			}
		}
		o := c.buffer()
		n := copy(o.b[o.n:], b)
		if o.contentEnd == 0 {
			o.content = o.n
		}
		o.n += n
		o.contentEnd = o.n
		b = b[n:]
	}
	return nil
}

// copyContent sends content that is not in memory, block by block.
func (c *Client) copyContent(tx *Transaction, s *lineState) *SessionError {
	var bad *SessionError
	err := eachBlock(tx.Content, func(b []byte) bool {
		start := s.start
		s.dots = false
		if !s.check(b) {
			bad = c.unsendable(tx, errBareLineEnd)
		} else {
			bad = c.putContent(b, start, s.dots && !tx.chunked)
		}
		return bad == nil
	})
	switch {
	case bad != nil:
		return bad
	case err != nil:
		return c.unsendable(tx, err)
	case !s.end():
		return c.unsendable(tx, errBareLineEnd)
	}
	return nil
}

// unsendable ends a session inside a message: only the end of the connection tells the
// receiver that the message is not to be taken (RFC 5321 §4.1.1.4).
func (c *Client) unsendable(tx *Transaction, err error) *SessionError {
	c.drop()
	e := &SessionError{Kind: EndLocal, Err: err}
	enhanced, text := "5.6.0", err.Error()
	if !errors.Is(err, errBareLineEnd) {
		enhanced, text = tx.unreadable(err)
	}
	e.Reply = mail.Reply{Enhanced: enhanced, Text: text, Stage: mail.StageBody}
	c.over = e
	return e
}

// unreadable is the answer when our own copy cannot be read: temporary, and nobody's fault.
func (tx *Transaction) unreadable(err error) (enhanced, text string) {
	tx.Unreadable = err
	return "4.3.0", fmt.Sprintf("read the message: %v", err)
}

// eachBlock reads content in blocks and gives them to yield until it returns false.
func eachBlock(content ClientContent, yield func([]byte) bool) error {
	if b := content.Bytes(); b != nil {
		yield(b)
		return nil
	}
	block := clientBuffers.Get().(*clientBuffer)
	defer clientBuffers.Put(block)
	for off, size := int64(0), content.Size(); off < size; {
		b := block.b[:min(int64(len(block.b)), size-off)]
		n, err := content.ReadAt(b, off)
		if n < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if !yield(b) {
			return nil
		}
		off += int64(n)
	}
	return nil
}

// eightBit reports whether the content has octets above 127.
func eightBit(content ClientContent) (bool, error) {
	found := false
	err := eachBlock(content, func(b []byte) bool {
		found = !ascii(b)
		return !found
	})
	return found, err
}

// eightBitHeader reports whether the header has octets above 127.
func eightBitHeader(content ClientContent) (bool, error) {
	found := false
	var tail [3]byte // the end of the block before, where the empty line may begin
	err := eachBlock(content, func(b []byte) bool {
		end := headerEnd(tail, b)
		found = !ascii(b[:end])
		if len(b) >= 3 {
			copy(tail[:], b[len(b)-3:])
		}
		return !found && end == len(b)
	})
	return found, err
}

// headerEnd returns where in b the empty line ends the header; len(b) when it does not.
func headerEnd(tail [3]byte, b []byte) int {
	seam := append(tail[:], b[:min(3, len(b))]...)
	if i := bytes.Index(seam, []byte("\r\n\r\n")); i >= 0 {
		return i + 1 // i+4 in the seam, less the 3 octets of tail
	}
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return len(b)
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
