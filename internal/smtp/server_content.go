package smtp

import (
	"bytes"
	"errors"
	"io"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Errors of content: why a message may not be accepted. Content gives them when the
// whole of the data has been read, so that the reply comes where the client expects it.
var (
	ErrTooBig   = errors.New("message too big")
	ErrBareLine = errors.New("bare CR or LF in the message")
	ErrNUL      = errors.New("NUL in the message")
	ErrLongLine = errors.New("line of the message too long")
	ErrAborted  = errors.New("message abandoned by the client")
)

// contentReply returns the reply to a fault of content; nil for other errors.
func contentReply(err error) *mail.Reply {
	switch {
	case errors.Is(err, ErrTooBig):
		return &replyTooBig
	case errors.Is(err, ErrBareLine):
		return &mail.Reply{Code: 550, Enhanced: "5.6.11", Text: "bare CR or LF in the message: lines end in CRLF (RFC 5321 section 2.3.8)"}
	case errors.Is(err, ErrNUL):
		return &mail.Reply{Code: 550, Enhanced: "5.6.0", Text: "NUL in the message"}
	case errors.Is(err, ErrLongLine):
		return &mail.Reply{Code: 550, Enhanced: "5.6.0", Text: "line of the message too long"}
	}
	return nil
}

// Content is the content of one message on its way in: lines with CRLF, without
// dot-stuffing (RFC 5321 §4.5.2). It is good for one Session.Data call.
type Content struct {
	conn  *ServerConn
	size  int64 // octets given
	err   error // sticky: io.EOF after the end
	fault error // what is wrong with the content; it is read on and discarded

	used      int  // octets of the input that the last Next gave, consumed by the next
	midLine   bool // the last piece did not end a line
	lineLen   int  // octets of that line so far
	rest      []byte
	discarded int64
	scratch   []byte // of normalize
	flooded   bool   // so much had to be discarded that the connection must end

	// of BDAT
	chunked bool
	left    int64 // octets of the chunk to come
	last    bool
	chunks  int
	cr      bool // a CR was kept back
	refused bool // the session has refused: the chunk that is read is the last
}

func (d *Content) begin(c *ServerConn) {
	*d = Content{conn: c}
	c.in.grow()
}

// Size returns the octets given so far.
func (d *Content) Size() int64 { return d.size }

// Next returns the next piece of content, not empty, valid until the next call of any
// method; io.EOF at the end; ErrTooBig, ErrBareLine, ErrNUL or ErrLongLine when the
// message must be refused; any other error when the connection is lost.
func (d *Content) Next() ([]byte, error) {
	for d.err == nil {
		d.conn.in.consume(d.used)
		d.used = 0
		var piece []byte
		if d.chunked {
			piece = d.scanChunk()
		} else {
			piece = d.scan()
		}
		if d.fault != nil {
			d.discard(len(piece))
			continue
		}
		if len(piece) > 0 {
			d.size += int64(len(piece))
			return piece, nil
		}
	}
	return nil, d.err
}

// WriteTo writes the rest of the content to w. It implements io.WriterTo; err is nil
// at the proper end, otherwise as Next gives it, or w's.
func (d *Content) WriteTo(w io.Writer) (n int64, err error) {
	for {
		piece, err := d.Next()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		m, err := w.Write(piece)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
}

// Read implements io.Reader.
func (d *Content) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		piece, err := d.Next()
		if err != nil {
			return 0, err
		}
		d.rest = piece
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// drain reads what the session did not. nil: the content ended and was sound.
func (d *Content) drain() error {
	for {
		if _, err := d.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// discard counts what is read only to be thrown away.
func (d *Content) discard(n int) {
	if d.discarded += int64(n); d.discarded > discardBound(d.conn.cfg) {
		d.flood(d.fault)
	}
}

// flood gives up on a client that goes on and on: the connection ends after the reply.
func (d *Content) flood(err error) {
	d.fail(err)
	d.err, d.flooded = d.fault, true
}

func (d *Content) fail(err error) {
	if d.fault == nil {
		d.fault = err
	}
}

// end is reached at CRLF.CRLF.
func (d *Content) end() {
	if d.err = d.fault; d.err == nil {
		d.err = io.EOF
	}
}

// scan looks at what has arrived, reading when there is nothing usable, and returns
// the piece of it that is content up to the next stuffed dot or the end. d.used is how
// much of the input the piece and what follows it have used up.
func (d *Content) scan() []byte {
	in := &d.conn.in
	b := in.unread()
	if !d.midLine && len(b) > 0 && b[0] == '.' {
		switch {
		case len(b) >= 3 && b[1] == '\r' && b[2] == '\n':
			in.consume(3)
			d.end()
			return nil
		case len(b) >= 3 || len(b) == 2 && b[1] != '\r':
			in.consume(1) // the dot was stuffed, or must go all the same (RFC 5321 §4.5.2)
			b = b[1:]
			d.midLine = true // another dot here is content
		default:
			d.fill()
			return nil
		}
	}
	n, ends := d.lines(b)
	if n == 0 {
		d.fill()
		return nil
	}
	d.used = n
	return d.check(b[:n], ends)
}

func (d *Content) fill() {
	if err := d.conn.in.fill(); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		d.err = err
	}
}

// lines returns how much of b is content, and how many CRLF are in it: whole lines and
// the beginning of a last one, up to a line that begins with a dot. A CR at the end is
// left until what follows it is there. midLine and lineLen are brought forward.
func (d *Content) lines(b []byte) (n, ends int) {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	for n < len(b) {
		if !d.midLine && !d.chunked && b[n] == '.' {
			break
		}
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			d.midLine = true
			d.measure(len(b) - n)
			return len(b), ends
		}
		d.measure(i)
		n += i + 1
		d.lineLen = 0
		if n >= 2 && b[n-2] == '\r' {
			d.midLine = false
			ends++
			continue
		}
		// A bare LF. No line begins after it as far as dots are concerned.
		d.midLine = !d.chunked
		if !d.conn.cfg.Normalize {
			d.fail(ErrBareLine)
		}
	}
	return n, ends
}

func (d *Content) measure(n int) {
	if d.lineLen += n; d.conn.cfg.MaxLine > 0 && d.lineLen > d.conn.cfg.MaxLine+1 { // its CR is counted
		d.fail(ErrLongLine)
	}
}

// check looks for what may not be there. As each of the ends line ends has its CR and
// its LF, any more of them are bare. It returns the piece as it is to be given.
func (d *Content) check(b []byte, ends int) []byte {
	if d.fault != nil {
		return b
	}
	if bytes.IndexByte(b, 0) >= 0 {
		d.fail(ErrNUL)
	}
	if d.conn.cfg.Normalize {
		if bytes.Count(b, crByte) != ends || bytes.Count(b, lfByte) != ends {
			b = d.normalize(b)
		}
	} else if bytes.Count(b, crByte) != ends {
		d.fail(ErrBareLine)
	}
	if max := d.conn.cfg.MaxMessageSize; max > 0 && d.size+int64(len(b)) > max {
		d.fail(ErrTooBig)
	}
	return b
}

var crByte, lfByte, crlf = []byte{'\r'}, []byte{'\n'}, []byte("\r\n")

// normalize turns each bare LF and each run of CR into CRLF. Where b ends in CR another
// one follows it.
func (d *Content) normalize(b []byte) []byte {
	out := d.scratch[:0]
	for i, ch := range b {
		switch {
		case ch == '\n':
			out = append(out, crlf...)
		case ch != '\r':
			out = append(out, ch)
		case i+1 < len(b) && b[i+1] != '\r' && b[i+1] != '\n': // of a run of CR the last one counts
			out = append(out, crlf...)
		}
	}
	d.scratch = out
	return out
}
