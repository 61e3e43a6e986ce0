package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// sink is Postfix's smtp-sink: it takes everything and counts it.
type sink struct {
	cmd   *exec.Cmd
	count *os.File
}

// startSink listens on every address of the namespace, which has only loopback.
func startSink(o *options) (*sink, error) {
	out, err := os.CreateTemp(o.dir, "sink-")
	if err != nil {
		return nil, err
	}
	s := &sink{count: out}
	s.cmd = exec.Command(filepath.Join(o.root, ".cache", "tools", "bin", "smtp-sink"), "-u", "nobody", "-c", "-m", "20000",
		fmt.Sprintf(":%d", sinkPort), "4096")
	s.cmd.Stdout, s.cmd.Stderr = out, os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	return s, waitFor(sinkPort)
}

func (s *sink) pid() int { return s.cmd.Process.Pid }

func (s *sink) stop() {
	_ = s.cmd.Process.Kill() // it has no state to lose
	_ = s.cmd.Wait()         // killed: an error by nature
	s.count.Close()
}

// messages is the number of messages taken so far: the last whole "mesg=N" that smtp-sink
// has written.
func (s *sink) messages() int {
	info, err := s.count.Stat()
	if err != nil {
		return 0
	}
	b := make([]byte, 256)
	n, err := s.count.ReadAt(b, max(0, info.Size()-int64(len(b))))
	if err != nil && err != io.EOF {
		return 0
	}
	for b = b[:n]; ; {
		i := bytes.LastIndex(b, []byte("mesg="))
		if i < 0 {
			return 0
		}
		if end := bytes.IndexAny(b[i:], "\r\n"); end > 0 {
			count, _ := strconv.Atoi(string(bytes.TrimSpace(b[i+5 : i+end]))) // digits by smtp-sink's format
			return count
		}
		b = b[:i]
	}
}

// await waits until the sink has taken n messages; it gives up after a minute without a
// further one.
func (s *sink) await(n int) error {
	last, since := s.messages(), time.Now()
	for last < n {
		time.Sleep(5 * time.Millisecond)
		if now := s.messages(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > time.Minute {
			return fmt.Errorf("the receiver has %d of %d messages and gets no more", last, n)
		}
	}
	return nil
}
