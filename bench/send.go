package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// send sends messages to recipients of its choice, pipelined, over sessions that stay
// open; smtp-source knows one recipient only.
func send(sessions, size, messages int, rcpt func(i int) string) error {
	line := strings.Repeat("x", 70) + "\r\n"
	body := strings.Repeat(line, size/len(line)+1)
	var next atomic.Int64
	var first error
	var once sync.Once
	var wg sync.WaitGroup
	for range sessions {
		wg.Go(func() {
			if err := sendSession(&next, messages, body, rcpt); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return first
}

func sendSession(next *atomic.Int64, messages int, body string, rcpt func(i int) string) error {
	c, err := net.Dial("tcp", listenAddr)
	if err != nil {
		return err
	}
	defer c.Close()
	r, w := bufio.NewReader(c), bufio.NewWriterSize(c, 64<<10)
	if err := expect(r, "220"); err != nil {
		return err
	}
	fmt.Fprint(w, "EHLO source.test\r\n") // an error comes up at the flush
	if err := w.Flush(); err != nil {
		return err
	}
	if err := expect(r, "250"); err != nil {
		return err
	}
	for {
		i := int(next.Add(1)) - 1
		if i >= messages {
			return nil
		}
		fmt.Fprintf(w, "MAIL FROM:<s@bench.test>\r\nRCPT TO:<%s>\r\nDATA\r\n", rcpt(i))
		if err := w.Flush(); err != nil {
			return err
		}
		for _, code := range []string{"250", "250", "354"} {
			if err := expect(r, code); err != nil {
				return err
			}
		}
		fmt.Fprintf(w, "Message-ID: <%d@bench.test>\r\nSubject: %d\r\n\r\n%s.\r\n", i, i, body)
		if err := w.Flush(); err != nil {
			return err
		}
		if err := expect(r, "250"); err != nil {
			return err
		}
	}
}

// expect reads a reply and wants its code.
func expect(r *bufio.Reader, code string) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("reply %q, want %s", strings.TrimSpace(line), code)
		}
		if len(line) < 4 || line[3] != '-' {
			return nil
		}
	}
}

// await waits until the server says that it holds n messages.
func (s *sluice) await(n int) error {
	var status struct {
		Queue struct{ Messages int } `json:"queue"`
	}
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		cmd := exec.Command(filepath.Join(s.root, "bin", "sluice"), "status", "--json", "--admin", "unix:"+filepath.Join(s.dir, "control.sock"))
		b, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("sluice status: %w", err)
		}
		if err := json.Unmarshal(b, &status); err != nil {
			return fmt.Errorf("sluice status: %w", err)
		}
		if status.Queue.Messages >= n {
			return nil
		}
	}
	return fmt.Errorf("the server holds %d of %d messages", status.Queue.Messages, n)
}
