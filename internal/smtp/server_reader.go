package smtp

import (
	"bytes"
	"errors"
	"sync"
)

// Sizes of a session's input buffer: an idle session holds the small one.
const (
	smallBuffer = 2 << 10
	bigBuffer   = 32 << 10
)

var bigBuffers = sync.Pool{New: func() any { return new([bigBuffer]byte) }}

var (
	errLineTooLong = errors.New("line too long")
	errIdle        = errors.New("idle")
)

// lineReader is the buffer of what the client sent. It reads when nothing usable is
// left, as much as fits; slices that it gives are valid until the next call.
type lineReader struct {
	read  func([]byte) (int, error) // blocks; flushes replies and sets deadlines
	buf   []byte
	r, w  int // buf[r:w] is unread
	small [smallBuffer]byte
	big   *[bigBuffer]byte
}

func (l *lineReader) init(read func([]byte) (int, error)) {
	l.read = read
	l.buf = l.small[:]
}

// unread returns what has arrived and was not consumed.
func (l *lineReader) unread() []byte { return l.buf[l.r:l.w] }

func (l *lineReader) consume(n int) { l.r += n }

// fill reads once more, keeping what is unread. With a full buffer it fails with
// errLineTooLong.
func (l *lineReader) fill() error {
	if l.r == l.w {
		l.r, l.w = 0, 0
	}
	if l.w == len(l.buf) {
		switch {
		case l.r > 0 && l.w-l.r < len(l.buf)/2:
			l.w = copy(l.buf, l.buf[l.r:l.w])
			l.r = 0
		case l.big == nil:
			l.grow()
		case l.r > 0:
			l.w = copy(l.buf, l.buf[l.r:l.w])
			l.r = 0
		default:
			return errLineTooLong
		}
	}
	n, err := l.read(l.buf[l.w:])
	if errors.Is(err, errIdle) { // nothing came for a while: wait on with the small buffer
		l.shrink()
		n, err = l.read(l.buf[l.w:])
	}
	if n > 0 {
		l.w += n
		return nil
	}
	return err
}

// grow takes a big buffer, for content and for bursts of commands.
func (l *lineReader) grow() {
	if l.big != nil {
		return
	}
	l.big = bigBuffers.Get().(*[bigBuffer]byte)
	l.w = copy(l.big[:], l.buf[l.r:l.w])
	l.r = 0
	l.buf = l.big[:]
}

// shrink gives a big buffer back when it is empty.
func (l *lineReader) shrink() {
	if l.big == nil || l.r != l.w {
		return
	}
	bigBuffers.Put(l.big)
	l.big, l.buf, l.r, l.w = nil, l.small[:], 0, 0
}

// line returns the next line with its LF, consumed. A line of more than max octets
// is errLineTooLong, with nothing consumed.
func (l *lineReader) line(max int) ([]byte, error) {
	b, err := l.peekLine(max)
	l.consume(len(b))
	return b, err
}

// peekLine is line without consuming it.
func (l *lineReader) peekLine(max int) ([]byte, error) {
	from := 0
	for {
		b := l.unread()
		if i := bytes.IndexByte(b[from:], '\n'); i >= 0 {
			n := from + i + 1
			if n > max {
				return nil, errLineTooLong
			}
			return b[:n], nil
		}
		if from = len(b); from >= max {
			return nil, errLineTooLong
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// skipLine discards up to the next LF, at most max octets.
func (l *lineReader) skipLine(max int) error {
	for skipped := 0; skipped < max; {
		b := l.unread()
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			l.consume(i + 1)
			return nil
		}
		skipped += len(b)
		l.consume(len(b))
		if err := l.fill(); err != nil {
			return err
		}
	}
	return errLineTooLong
}

// release gives the buffer back at the end.
func (l *lineReader) release() {
	l.r, l.w = 0, 0
	l.shrink()
}
