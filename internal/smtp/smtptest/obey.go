package smtptest

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// content reads a message up to the lone dot.
func (p *player) content() error {
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the content ends with %q: %w", line, err)
		}
		if line == ".\r\n" {
			return nil
		}
	}
}

// chunk reads a BDAT command and its octets (RFC 3030 §2).
func (p *player) chunk() error {
	line, err := p.readLine()
	if err != nil {
		return err
	}
	return p.chunkOf(line)
}

func (p *player) chunkOf(line string) error {
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != "BDAT" {
		return fmt.Errorf("got %q", line)
	}
	n, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return fmt.Errorf("got %q", line)
	}
	_, err = io.CopyN(io.Discard, p.in, n)
	return err
}

// obey is a receiver that does all it should, until the client lets go.
func (p *player) obey() error {
	for {
		line, err := p.readLine()
		if err != nil {
			return nil
		}
		said, err := p.answer(line)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(p.conn, said); err != nil {
			return nil
		}
		if line == "QUIT" {
			return nil
		}
	}
}

func (p *player) answer(line string) (string, error) {
	verb, _, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO":
		return "250-mx.zoo.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n", nil
	case "HELO", "MAIL", "RCPT", "RSET", "NOOP":
		return "250 2.0.0 ok\r\n", nil
	case "DATA":
		if _, err := io.WriteString(p.conn, "354 go ahead\r\n"); err != nil {
			return "", nil
		}
		return "250 2.0.0 taken\r\n", p.content()
	case "BDAT":
		return "250 2.0.0 taken\r\n", p.chunkOf(line)
	case "QUIT":
		return "221 2.0.0 bye\r\n", nil
	}
	return "", errors.New("a sound receiver does not know " + strconv.Quote(line))
}
