package smtp

import (
	"bytes"
	"strconv"

	"github.com/sluice-mta/sluice/internal/mail"
)

var replyChunk = mail.Reply{Code: 501, Enhanced: "5.5.4", Text: "syntax: BDAT octets [LAST]"}

// parseChunk reads the arguments of BDAT (RFC 3030 §2).
func parseChunk(args []byte) (size int64, last, ok bool) {
	digits, rest, _ := bytes.Cut(bytes.TrimRight(args, " "), []byte(" "))
	size, ok = parseSize(digits)
	rest = bytes.TrimLeft(rest, " ")
	last = bytes.EqualFold(rest, []byte("LAST"))
	return size, last, ok && (last || len(rest) == 0)
}

// bdatCommand is the first BDAT of a message, or one out of place. The octets of a
// chunk are always taken, or what they hold would be read as commands.
func (c *ServerConn) bdatCommand(args []byte) error {
	size, last, ok := parseChunk(args)
	if !ok {
		// What follows cannot be told from commands.
		_ = c.reply(mail.StageData, replyChunk)
		return errHangUp
	}
	var refuse mail.Reply
	switch {
	case c.hidden("CHUNKING"):
		return c.reply(mail.StageData, replyNotOffered)
	case !c.inMail:
		refuse = replyNeedMail
	case c.rcpts == 0:
		refuse = replyNeedRcpt
	default:
		if r := c.session.BeforeData(); r.Code/100 > 3 {
			refuse = r
			c.resetTransaction()
		}
	}
	if refuse.Code != 0 {
		if err := c.skipChunk(size); err != nil {
			return err
		}
		return c.reply(mail.StageData, refuse)
	}
	c.content.begin(c)
	c.content.chunked = true
	c.content.chunk(size, last)
	return c.finish()
}

// skipChunk discards a chunk that is refused.
func (c *ServerConn) skipChunk(size int64) error {
	if size > discardBound(c.cfg) {
		_ = c.reply(mail.StageData, replyTooBig)
		return errHangUp
	}
	c.transfer = timeZero
	c.inContent.Store(true)
	defer c.inContent.Store(false)
	c.in.grow()
	for size > 0 {
		n := min(int64(len(c.in.unread())), size)
		c.in.consume(int(n))
		if size -= n; size == 0 {
			break
		}
		if err := c.in.fill(); err != nil {
			return err
		}
	}
	return nil
}

// chunk begins the next chunk.
func (d *Content) chunk(size int64, last bool) {
	d.left, d.last = size, last
	d.chunks++
	switch {
	case d.chunks > maxChunks:
		d.flood(ErrTooBig)
	case size > discardBound(d.conn.cfg):
		d.flood(ErrTooBig)
	case d.conn.cfg.MaxMessageSize > 0 && size > d.conn.cfg.MaxMessageSize:
		d.fail(ErrTooBig)
	}
}

// scanChunk is scan for BDAT: no dots, and between two chunks a reply and a command.
// A message that does not end its last line is given the line end.
func (d *Content) scanChunk() []byte {
	if d.left == 0 {
		return d.chunkEnd()
	}
	in := &d.conn.in
	b := in.unread()
	if int64(len(b)) > d.left {
		b = b[:d.left]
	}
	if len(b) == 0 {
		d.fill()
		return nil
	}
	if d.cr { // the CR that ended the piece before was kept back: now it is known what follows
		return d.afterCR(b[0])
	}
	n, ends := d.lines(b)
	if n == 0 { // a CR alone: its LF may be in the next chunk
		in.consume(1)
		d.left--
		d.cr = true
		return nil
	}
	d.used = n
	d.left -= int64(n)
	return d.check(b[:n], ends)
}

// afterCR gives the CR that was kept back, with the octet next behind it.
func (d *Content) afterCR(next byte) []byte {
	if next == '\n' || next == '\r' {
		d.conn.in.consume(1)
		d.left--
	}
	d.cr = next == '\r'
	if next != '\n' && !d.conn.cfg.Normalize {
		d.fail(ErrBareLine)
	}
	if d.cr { // of a run of CR the last one counts
		return nil
	}
	d.midLine, d.lineLen = false, 0
	d.check(crlf, 1)
	return crlf
}

// chunkEnd answers for a chunk that has been read and goes on to the next, or ends
// the message.
func (d *Content) chunkEnd() []byte {
	if d.last {
		if d.cr {
			return d.afterCR(0)
		}
		if d.midLine {
			d.midLine = false
			return crlf
		}
		d.end()
		return nil
	}
	if d.fault != nil || d.refused {
		// The rest of the message is refused chunk by chunk, as a failed one ends the
		// transaction (RFC 3030 §2).
		d.end()
		return nil
	}
	d.err = d.conn.nextChunk(d)
	return nil
}

// nextChunk replies to a chunk and reads commands up to the next BDAT. Commands that
// end the transaction are left for the session.
func (c *ServerConn) nextChunk(d *Content) error {
	r := mail.Reply{Code: 250, Enhanced: "2.0.0", Text: strconv.FormatInt(d.size, 10) + " octets received"}
	if err := c.reply(mail.StageData, r); err != nil {
		return err
	}
	for {
		line, err := c.in.peekLine(maxCommand)
		if err != nil {
			return err
		}
		trimmed, ok := c.trimLine(line)
		if !ok {
			c.in.consume(len(line))
			if err := c.reply(mail.StageNone, replyBareLine); err != nil {
				return err
			}
			continue
		}
		verb, args := splitVerb(trimmed)
		switch string(verb) {
		case "BDAT":
			c.in.consume(len(line))
			size, last, ok := parseChunk(args)
			if !ok {
				_ = c.reply(mail.StageData, replyChunk)
				return errHangUp
			}
			d.chunk(size, last)
			return d.err
		case "RSET", "QUIT", "EHLO", "HELO":
			return ErrAborted
		case "NOOP":
			c.in.consume(len(line))
			if err = c.countIdle(); err == nil {
				err = c.reply(mail.StageNone, replyOK)
			}
		default:
			c.in.consume(len(line))
			err = c.reply(mail.StageNone, replySequence)
		}
		if err != nil {
			return err
		}
	}
}

// discardBound is how many octets are read only to be thrown away.
func discardBound(cfg *ServerConfig) int64 {
	return max(4*cfg.MaxMessageSize, 256<<20)
}
