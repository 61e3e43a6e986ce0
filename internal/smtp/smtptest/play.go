package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a script waits for the other side before it fails.
const Patience = 10 * time.Second

// maxEndless bounds "endless", in octets: far more than the buffers of both systems hold.
const maxEndless = 64 << 20

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
	steps, err := parseScript(script, 1)
	if err != nil {
		return err
	}
	return play(conn, part, steps, config, nil)
}

// play plays steps; done ends "deaf".
func play(conn net.Conn, part byte, steps []step, config *tls.Config, done <-chan struct{}) error {
	p := player{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), part: part, config: config, done: done}
	for i := range steps {
		if err := p.step(&steps[i]); err != nil {
			return steps[i].fault(err)
		}
	}
	return nil
}

type player struct {
	conn   net.Conn
	in     *bufio.Reader
	part   byte
	config *tls.Config
	done   <-chan struct{}
}

func (p *player) step(s *step) error {
	_ = p.conn.SetDeadline(time.Now().Add(Patience)) // on a closed connection the step itself fails
	switch s.verb {
	case say, sayEndless, sayDripping:
		return p.speech(s)
	case wait:
		time.Sleep(s.pause)
	case stall:
		return p.stall()
	case deaf:
		return p.deaf()
	case content:
		return p.content()
	case chunk:
		return p.chunk()
	case obey:
		return p.obey()
	case startTLS:
		return p.startTLS(s.kind)
	case expectEnd:
		return p.expectClose()
	case end:
		return p.conn.Close()
	case reset:
		return p.reset()
	default:
		return errors.New("it has no place here")
	}
	return nil
}

func (p *player) speech(s *step) error {
	text := s.data
	if s.who != p.part {
		if s.verb != say {
			return errors.New("this is for the side that is played")
		}
		for range s.times {
			if err := p.hear(text, s.whole); err != nil {
				return err
			}
		}
		return nil
	}
	if s.whole {
		text += "\r\n"
	}
	switch s.verb {
	case sayEndless:
		return p.endless(text)
	case sayDripping:
		return p.drip(text, s.pause)
	}
	_, err := io.WriteString(p.conn, strings.Repeat(text, s.times))
	if err != nil && s.times > 1 {
		return gone(err)
	}
	return err
}

func (p *player) hear(text string, whole bool) error {
	if whole {
		return p.expectLine(text)
	}
	return p.expect(text)
}

// endless says text again and again; that the other side lets go is what is wanted.
func (p *player) endless(text string) error {
	block := strings.Repeat(text, 1+(32<<10)/len(text))
	for n := 0; n < maxEndless; n += len(block) {
		if _, err := io.WriteString(p.conn, block); err != nil {
			return gone(err)
		}
	}
	return fmt.Errorf("the other side takes %d octets and more", maxEndless)
}

func (p *player) drip(text string, pause time.Duration) error {
	for i := range len(text) {
		if _, err := io.WriteString(p.conn, text[i:i+1]); err != nil {
			return gone(err)
		}
		time.Sleep(pause)
	}
	return nil
}

// gone tells that the other side has let go, which is fine, from its not reading.
func gone(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the other side neither reads nor lets go")
	}
	return nil
}

func (p *player) stall() error {
	_ = p.conn.SetReadDeadline(time.Now().Add(3 * Patience)) // a time-out may be what is waited for
	_, err := io.Copy(io.Discard, p.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the connection stays open")
	}
	return nil
}

func (p *player) deaf() error {
	select {
	case <-p.done:
	case <-time.After(3 * Patience):
		return errors.New("nobody ended the conversation")
	}
	return nil
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
	line, err := p.readLine()
	if err != nil {
		return err
	}
	if head, any := strings.CutSuffix(want, "*"); any && strings.HasPrefix(line, head) || line == want {
		return nil
	}
	return fmt.Errorf("got %q", line)
}

// readLine reads a line and its CRLF.
func (p *player) readLine() (string, error) {
	got, err := p.in.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("got %q, then %w", got, err)
	}
	line, ok := strings.CutSuffix(got, "\r\n")
	if !ok {
		return "", fmt.Errorf("got %q, without CRLF", got)
	}
	return line, nil
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

func (p *player) reset() error {
	c := p.conn
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // what is closed so sends RST
	}
	return c.Close()
}

func (p *player) startTLS(kind string) error {
	if p.in.Buffered() > 0 {
		return fmt.Errorf("%d octets in clear before the handshake", p.in.Buffered())
	}
	config, err := p.tlsConfig(kind)
	if err != nil {
		return err
	}
	var c *tls.Conn
	if p.part == 'C' {
		c = tls.Client(p.conn, config)
	} else {
		c = tls.Server(p.conn, config)
	}
	p.conn, p.in = c, bufio.NewReaderSize(c, 64<<10)
	err = c.Handshake()
	if certificateKinds[kind] {
		return nil // the client may well turn away
	}
	return err
}

func (p *player) tlsConfig(kind string) (*tls.Config, error) {
	switch {
	case p.config != nil && kind == "":
		return p.config, nil
	case p.part == 'C':
		return &tls.Config{InsecureSkipVerify: true}, nil // scripts test the conversation
	}
	return serverConfig(kind)
}
