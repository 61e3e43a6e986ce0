package sink

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxHeaderLine bounds how much of a header line is looked at, and so an id.
const maxHeaderLine = 998

// content takes a message as it streams in: it keeps the value of the id header, the
// size, and the octets only when a dump asked for them.
type content struct {
	header string // name of the id header
	id     string // its value, unfolded; empty while not found
	size   int64
	max    int64 // octets beyond it are counted, not kept
	kept   *bytes.Buffer

	line     []byte // the header line so far
	bare     bool   // a CR or LF stood on its own
	last     byte   // the octet before the next
	pastHead bool
	inID     bool // the line before was the id header or its continuation
}

// Write takes the next octets of the content, without dot-stuffing.
func (c *content) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.size += int64(len(p))
	c.lineEnds(p)
	if c.kept != nil && c.size <= c.max {
		c.kept.Write(p)
	}
	for rest := p; !c.pastHead && len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		piece := rest
		if i >= 0 {
			piece = rest[:i+1]
		}
		rest = rest[len(piece):]
		if room := maxHeaderLine - len(c.line); room > 0 {
			c.line = append(c.line, piece[:min(len(piece), room)]...)
		}
		if i >= 0 {
			c.endHeaderLine()
		}
	}
	return len(p), nil
}

// lineEnds looks for a CR or LF on its own.
func (c *content) lineEnds(p []byte) {
	before := c.last
	c.last = p[len(p)-1]
	if c.bare {
		return
	}
	if before == '\r' && p[0] != '\n' {
		c.bare = true
		return
	}
	// Every CR but the last octet is followed by an LF, and every LF but the first octet
	// comes after a CR, exactly when the three numbers agree.
	pairs, lfs, crs := bytes.Count(p, crlf), bytes.Count(p, crlf[1:]), bytes.Count(p, crlf[:1])
	if p[0] == '\n' && before == '\r' {
		lfs--
	}
	if c.last == '\r' {
		crs--
	}
	c.bare = lfs != pairs || crs != pairs
}

var crlf = []byte("\r\n")

func (c *content) endHeaderLine() {
	l := strings.TrimRight(string(c.line), "\r\n")
	c.line = c.line[:0]
	switch {
	case l == "":
		c.pastHead = true
	case l[0] == ' ' || l[0] == '\t':
		if c.inID && len(c.id) < maxHeaderLine {
			c.id = strings.TrimSpace(c.id + " " + strings.TrimSpace(l))
		}
	default:
		name, value, ok := strings.Cut(l, ":")
		c.inID = ok && c.id == "" && strings.EqualFold(strings.TrimRight(name, " \t"), c.header)
		if c.inID {
			c.id = strings.TrimSpace(value)
		}
	}
	if len(c.id) > maxHeaderLine {
		c.id = c.id[:maxHeaderLine]
	}
}

// readDots copies DATA content from r to c up to the line that is a dot, which only
// CRLF.CRLF makes (RFC 5321 §4.1.1.4), and takes the dot-stuffing off (§4.5.2).
func readDots(r *bufio.Reader, c *content) error {
	lineStart, afterCR := true, false
	for {
		piece, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return endInside(err)
		}
		if lineStart && piece[0] == '.' {
			if len(piece) == 3 && piece[1] == '\r' && piece[2] == '\n' {
				return nil
			}
			piece = piece[1:]
		}
		n := len(piece)
		lineStart = n >= 2 && piece[n-1] == '\n' && piece[n-2] == '\r' || n == 1 && piece[0] == '\n' && afterCR
		afterCR = n > 0 && piece[n-1] == '\r'
		_, _ = c.Write(piece)
	}
}

// readChunk copies the n octets of a BDAT chunk.
func readChunk(r *bufio.Reader, c *content, n int64) error {
	_, err := io.CopyN(c, r, n)
	return endInside(err)
}

func endInside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
