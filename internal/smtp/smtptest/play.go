// Package smtptest plays one side of an SMTP conversation that is written down as
// text, against a real server or a real client.
//
//	S: 220*
//	C: EHLO client.test
//	S: 250-*
//	S: 250 *
//	C: DATA\r\n.\r\n
//	C- one octet more, without a line end
//
// Each line begins with who speaks. C: sends, or expects, a line and its CRLF; C- the
// octets alone. In both \r \n \t \0 \\ and \xHH stand for octets. The other side's lines
// may end in *, which stands for anything; "250-*" repeated as often as needed is
// written "250-**". "close" expects that the connection ends, "close!" ends it, "tls"
// begins TLS, "wait 3s" lets time pass (virtual time, in a synctest bubble). Blank lines, and lines that begin with #, say nothing.
//
// Play takes the part of C: what C says is sent, what S says is expected. Serve takes
// the part of S.
package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a script waits for the other side before it fails.
const Patience = 10 * time.Second

// Play plays the client's part of script on conn, and fails the test where the server
// says something else. The connection is left open unless the script closes it.
func Play(t testing.TB, conn net.Conn, script string) {
	t.Helper()
	if err := Run(conn, 'C', script, nil); err != nil {
		t.Fatal(err)
	}
}

// PlayTLS is Play with a configuration for "tls".
func PlayTLS(t testing.TB, conn net.Conn, script string, config *tls.Config) {
	t.Helper()
	if err := Run(conn, 'C', script, config); err != nil {
		t.Fatal(err)
	}
}

// Run plays the part ('C' or 'S') of script on conn. The error names the line of the
// script that the other side did not keep to.
func Run(conn net.Conn, part byte, script string, config *tls.Config) error {
	p := player{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), part: part, config: config}
	for i, line := range strings.Split(script, "\n") {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := p.step(line); err != nil {
			return fmt.Errorf("script line %d: %s: %w", i+1, line, err)
		}
	}
	return nil
}

type player struct {
	conn   net.Conn
	in     *bufio.Reader
	part   byte
	config *tls.Config
}

func (p *player) step(line string) error {
	_ = p.conn.SetDeadline(time.Now().Add(Patience)) // on a closed connection the step itself fails
	switch strings.TrimSpace(line) {
	case "close":
		return p.expectClose()
	case "close!":
		return p.conn.Close()
	case "tls":
		return p.startTLS()
	}
	if d, ok := strings.CutPrefix(line, "wait "); ok {
		pause, err := time.ParseDuration(strings.TrimSpace(d))
		time.Sleep(pause)
		return err
	}
	if len(line) < 2 || line[0] != 'C' && line[0] != 'S' || line[1] != ':' && line[1] != '-' {
		return errors.New("a line begins with C: S: C- or S-")
	}
	text, err := unescape(strings.TrimPrefix(line[2:], " "))
	if err != nil {
		return err
	}
	whole := line[1] == ':'
	if line[0] == p.part {
		if whole {
			text += "\r\n"
		}
		_, err := io.WriteString(p.conn, text)
		return err
	}
	if whole {
		return p.expectLine(text)
	}
	return p.expect(text)
}

func (p *player) expect(text string) error {
	got := make([]byte, len(text))
	if n, err := io.ReadFull(p.in, got); err != nil {
		return fmt.Errorf("got %q, then %w", got[:n], err)
	}
	if string(got) != text {
		return fmt.Errorf("got %q", got)
	}
	return nil
}

func (p *player) expectLine(want string) error {
	if strings.HasSuffix(want, "-**") { // any number of lines
		for {
			b, err := p.in.Peek(len(want) - 2)
			if err != nil {
				return err
			}
			if string(b) != want[:len(want)-2] {
				return nil
			}
			if _, err := p.in.ReadString('\n'); err != nil {
				return err
			}
		}
	}
	got, err := p.in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("got %q, then %w", got, err)
	}
	line, ok := strings.CutSuffix(got, "\r\n")
	if !ok {
		return fmt.Errorf("got %q, without CRLF", got)
	}
	if head, any := strings.CutSuffix(want, "*"); any && strings.HasPrefix(line, head) || line == want {
		return nil
	}
	return fmt.Errorf("got %q", line)
}

func (p *player) expectClose() error {
	rest, err := io.ReadAll(io.LimitReader(p.in, 1<<10))
	if len(rest) > 0 {
		return fmt.Errorf("got %q", rest)
	}
	if err == nil || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the connection stays open")
	}
	return err
}

func (p *player) startTLS() error {
	if p.in.Buffered() > 0 {
		return fmt.Errorf("%d octets in clear before the handshake", p.in.Buffered())
	}
	var c *tls.Conn
	if p.part == 'C' {
		config := p.config
		if config == nil {
			config = &tls.Config{InsecureSkipVerify: true} // scripts test the conversation
		}
		c = tls.Client(p.conn, config)
	} else {
		c = tls.Server(p.conn, p.config)
	}
	p.conn, p.in = c, bufio.NewReaderSize(c, 64<<10)
	return c.Handshake()
}

// unescape replaces \r \n \t \0 \\ and \xHH.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", errors.New(`a \ at the end`)
		}
		switch s[i] {
		case 'r':
			b.WriteByte('\r')
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case '0':
			b.WriteByte(0)
		case '\\':
			b.WriteByte('\\')
		case 'x':
			if i+2 >= len(s) {
				return "", errors.New(`\x wants two hexadecimal digits`)
			}
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", errors.New(`\x wants two hexadecimal digits`)
			}
			b.WriteByte(byte(v))
			i += 2
		default:
			return "", fmt.Errorf(`\%c is not known`, s[i])
		}
	}
	return b.String(), nil
}
