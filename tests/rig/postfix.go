package rig

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Source runs smtp-source to its end: messages of size bytes over sessions kept open, to
// rcpt. It must have been accepted whole.
func Source(t testing.TB, to string, sessions, size, messages int, rcpt string) time.Duration {
	t.Helper()
	begin := time.Now()
	Sent(t, StartSource(t, to, sessions, size, messages, rcpt))
	return time.Since(begin)
}

// StartSource is Source that does not wait; Sent does.
func StartSource(t testing.TB, to string, sessions, size, messages int, rcpt string) *Proc {
	t.Helper()
	return Start(t, []string{
		Tool(t, "smtp-source"), "-d",
		"-s", fmt.Sprint(sessions), "-l", fmt.Sprint(size), "-m", fmt.Sprint(messages),
		"-f", "sender@source.test", "-t", rcpt, to,
	})
}

// Sent waits until smtp-source has sent everything.
func Sent(t testing.TB, source *Proc) {
	t.Helper()
	if status := source.Wait(t, 5*time.Minute); status != 0 {
		t.Fatalf("smtp-source ended with status %d: %s", status, Tail(source.Output(), 1000))
	}
}

// PostfixSink is smtp-sink; it keeps every message in one file.
type PostfixSink struct {
	*Proc
	dump string
}

// StartPostfixSink listens on port of addr.
func StartPostfixSink(t testing.TB, addr string, port int) *PostfixSink {
	t.Helper()
	dir := Dir(t)
	if err := os.Chmod(dir, 0o777); err != nil { // smtp-sink gives up root before it writes
		t.Fatal(err)
	}
	s := &PostfixSink{dump: dir + "/dump"}
	argv := []string{Tool(t, "smtp-sink"), "-D", s.dump}
	if os.Geteuid() == 0 {
		argv = append(argv, "-u", "nobody")
	}
	listen := fmt.Sprintf("%s:%d", addr, port)
	s.Proc = Start(t, append(argv, listen, "1024"))
	Listening(t, s.Proc, listen)
	return s
}

// Received counts every Message-Id that smtp-sink wrote.
func (s *PostfixSink) Received(t testing.TB) map[string]int {
	t.Helper()
	ids := map[string]int{}
	f, err := os.Open(s.dump)
	if os.IsNotExist(err) {
		return ids
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.EqualFold(name, "message-id") {
			ids[strings.TrimSpace(value)]++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("read what smtp-sink wrote: %v", err)
	}
	return ids
}
