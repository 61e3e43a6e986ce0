package smtp

import (
	"bytes"
	"fmt"
	"io"

	"github.com/sluice-mta/sluice/internal/mail"
)

const (
	// replyBuffer is what a quiet session keeps for reading; replies of more octets grow
	// the buffer up to mail.MaxReply for as long as they need it.
	replyBuffer = 2 << 10
	// maxReplyLines bounds the lines of one reply.
	maxReplyLines = 1000
)

// ProtocolError says that the receiver does not speak SMTP as RFC 5321 wants it, so
// that nothing it says further can be trusted to answer what was asked.
type ProtocolError struct{ Reason string }

func (e *ProtocolError) Error() string { return "protocol error: " + e.Reason }

func protocolError(format string, args ...any) error {
	return &ProtocolError{Reason: fmt.Sprintf(format, args...)}
}

// ReplyReader reads the replies of a receiver (RFC 5321 §4.2), each bounded by
// mail.MaxReply octets and 1000 lines. It is strict where a mistake could make one
// reply be taken for another, and tolerant elsewhere:
//
//   - A line ends at LF; a CR before it belongs to the line end. So a bare LF ends a
//     line, too: what follows it must be a reply line of its own or the reply is
//     refused, it is never taken for text.
//   - Every line begins with a three-digit code from 200 to 599 and then has "-", a
//     space, or nothing; all lines of a reply have the same code.
//   - Text is any octets, NUL and 8-bit included; a CR inside it reads as a space.
//
// Not safe for concurrent use.
type ReplyReader struct {
	src  io.Reader
	buf  []byte
	r, w int // buf[r:w] has been read and not been consumed

	code int
	last []byte // the reply that Next found, a part of buf
}

// NewReplyReader returns a reader of the replies that come from src.
func NewReplyReader(src io.Reader) *ReplyReader {
	return &ReplyReader{src: src, buf: make([]byte, replyBuffer)}
}

// Buffered returns the octets that were read ahead of the last reply. After the last
// awaited reply there must be none: an extra reply is a protocol error.
func (rr *ReplyReader) Buffered() int { return rr.w - rr.r }

// Next reads one reply and returns its code. The error is a *ProtocolError, io.EOF when
// the stream ended before the reply, io.ErrUnexpectedEOF when it ended inside it, or
// what the source gave.
func (rr *ReplyReader) Next() (int, error) {
	rr.last, rr.code = nil, 0
	if rr.r == rr.w {
		rr.r, rr.w = 0, 0
		if len(rr.buf) > replyBuffer {
			rr.buf = make([]byte, replyBuffer)
		}
	}
	end, code := 0, 0 // end: octets of the reply that have been looked at
	for lines := 1; ; lines++ {
		n, err := rr.line(end)
		if err != nil {
			return 0, err
		}
		line := trimEOL(rr.buf[rr.r+end : rr.r+n])
		c, more, ok := parseReplyLine(line)
		switch {
		case !ok:
			return 0, protocolError("not a reply: %q", clip(line, 80))
		case code != 0 && c != code:
			return 0, protocolError("the code changes from %d to %d inside a reply", code, c)
		case lines > maxReplyLines:
			return 0, protocolError("a reply of more than %d lines", maxReplyLines)
		}
		code, end = c, n
		if !more {
			break
		}
	}
	rr.code, rr.last = code, rr.buf[rr.r:rr.r+end]
	rr.r += end
	return code, nil
}

// line makes sure that a whole line stands at offset from of the reply, and returns the
// offset of its end.
func (rr *ReplyReader) line(from int) (int, error) {
	scanned := from
	for {
		if i := bytes.IndexByte(rr.buf[rr.r+scanned:rr.w], '\n'); i >= 0 {
			if scanned+i+1 > mail.MaxReply {
				return 0, protocolError("a reply of more than %d octets", mail.MaxReply)
			}
			return scanned + i + 1, nil
		}
		scanned = rr.w - rr.r
		if scanned >= mail.MaxReply {
			return 0, protocolError("a reply of more than %d octets", mail.MaxReply)
		}
		if err := rr.fill(); err != nil {
			if err == io.EOF && scanned > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
}

// fill reads more octets behind those that are buffered.
func (rr *ReplyReader) fill() error {
	if rr.w == len(rr.buf) && rr.r > 0 {
		rr.w = copy(rr.buf, rr.buf[rr.r:rr.w])
		rr.r = 0
	}
	if rr.w == len(rr.buf) {
		grown := make([]byte, min(2*len(rr.buf), mail.MaxReply+1))
		copy(grown, rr.buf)
		rr.buf = grown
	}
	return rr.readMore()
}

// soak reads until the source fails or most octets are buffered. The failure comes again at
// the next read.
func (rr *ReplyReader) soak(most int) {
	for rr.w-rr.r < most {
		if rr.w == len(rr.buf) {
			grown := make([]byte, min(2*len(rr.buf), rr.r+most))
			copy(grown, rr.buf[:rr.w])
			rr.buf = grown
		}
		if rr.readMore() != nil {
			return
		}
	}
}

// readMore reads what there is into the room behind what is buffered.
func (rr *ReplyReader) readMore() error {
	for range 100 {
		n, err := rr.src.Read(rr.buf[rr.w:])
		rr.w += n
		if n > 0 {
			return nil // an error comes again at the next read
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// Reply returns the reply that Next found.
func (rr *ReplyReader) Reply(stage mail.Stage) mail.Reply {
	rep := mail.Reply{Code: rr.code, Stage: stage}
	if rr.last == nil {
		return rep
	}
	first, rest := cutLine(rr.last)
	text := replyText(first)
	enhanced := enhancedCode(text, rr.code)
	if len(rest) == 0 && bytes.IndexByte(text, '\r') < 0 {
		all := string(text) // one allocation for both
		rep.Enhanced = all[:len(enhanced)]
		rep.Text = all[len(all)-len(trimEnhanced(text, enhanced)):]
		return rep
	}
	rep.Enhanced = string(enhanced)
	joined := make([]byte, 0, len(rr.last))
	joined = appendText(joined, trimEnhanced(text, enhanced))
	for len(rest) > 0 {
		var line []byte
		line, rest = cutLine(rest)
		joined = append(joined, '\n')
		joined = appendText(joined, trimEnhanced(replyText(line), enhanced))
	}
	rep.Text = string(joined)
	return rep
}

// parseReplyLine takes a line without its end apart (RFC 5321 §4.2: Reply-line).
func parseReplyLine(line []byte) (code int, more, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, true
	}
	return code, line[3] == '-', line[3] == '-' || line[3] == ' '
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// cutLine returns the first line of b without its end, and what follows.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	return trimEOL(b[:i+1]), b[i+1:]
}

// trimEOL takes LF, or CR LF, from the end of a line.
func trimEOL(line []byte) []byte {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

// replyText returns what follows the code and its separator.
func replyText(line []byte) []byte { return line[min(4, len(line)):] }

// appendText appends text with its stray CRs as spaces.
func appendText(dst, text []byte) []byte {
	at := len(dst)
	dst = append(dst, text...)
	for i := at; i < len(dst); i++ {
		if dst[i] == '\r' {
			dst[i] = ' '
		}
	}
	return dst
}

// enhancedCode returns the enhanced status code at the start of a reply's text (RFC
// 2034 §4), nil when there is none of the class of the reply.
func enhancedCode(text []byte, code int) []byte {
	if len(text) < 5 || int(text[0]-'0') != code/100 || text[1] != '.' {
		return nil
	}
	i := 2
	i += digits(text[i:])
	if i == 2 || i >= len(text) || text[i] != '.' {
		return nil
	}
	n := digits(text[i+1:])
	i += 1 + n
	if n == 0 || i < len(text) && text[i] != ' ' {
		return nil
	}
	return text[:i]
}

// digits counts the leading digits of b, 0 when they are more than three.
func digits(b []byte) int {
	n := 0
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	if n > 3 {
		return 0
	}
	return n
}

// trimEnhanced takes the enhanced code, which every line of a reply repeats, from text.
func trimEnhanced(text, enhanced []byte) []byte {
	if len(enhanced) == 0 || !bytes.HasPrefix(text, enhanced) {
		return text
	}
	rest := text[len(enhanced):]
	if len(rest) == 0 {
		return rest
	}
	if rest[0] != ' ' {
		return text
	}
	return rest[1:]
}

func clip(b []byte, n int) []byte { return b[:min(n, len(b))] }
