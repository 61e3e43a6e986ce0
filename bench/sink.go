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

// sink is Postfix's smtp-sink, one process for each address: it takes everything and
// counts it. (One listener for all addresses would overflow: its queue of connections that
// wait for accept holds 4096 at most.)
type sink struct {
	cmds   []*exec.Cmd
	counts []*os.File
}

// startSink listens on sinkPort of each address.
func startSink(o *options, addrs ...string) (*sink, error) {
	s := &sink{}
	for _, a := range addrs {
		if err := s.add(o, fmt.Sprintf("%s:%d", a, sinkPort)); err != nil {
			s.stop()
			return nil, err
		}
	}
	return s, nil
}

func (s *sink) add(o *options, addr string) error {
	out, err := os.CreateTemp(o.dir, "sink-")
	if err != nil {
		return err
	}
	s.counts = append(s.counts, out)
	cmd := exec.Command(filepath.Join(o.root, ".cache", "tools", "bin", "smtp-sink"), "-u", "nobody", "-c", "-m", "20000", addr, "4096")
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmds = append(s.cmds, cmd)
	return waitFor(addr)
}

func (s *sink) pids() []int {
	var out []int
	for _, c := range s.cmds {
		out = append(out, c.Process.Pid)
	}
	return out
}

func (s *sink) stop() {
	for _, c := range s.cmds {
		_ = c.Process.Kill() // it has no state to lose
		_ = c.Wait()         // killed: an error by nature
	}
	for _, f := range s.counts {
		f.Close()
		_ = os.Remove(f.Name()) // goes with the directory otherwise
	}
}

// messages is the number of messages taken so far.
func (s *sink) messages() int {
	sum := 0
	for _, f := range s.counts {
		sum += lastCount(f)
	}
	return sum
}

// lastCount is the last whole "mesg=N" that smtp-sink has written.
func lastCount(f *os.File) int {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	b := make([]byte, 256)
	n, err := f.ReadAt(b, max(0, info.Size()-int64(len(b))))
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
