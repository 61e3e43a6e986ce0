package account

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/log"

// bench is a writer with what its callbacks were told.
type bench struct {
	t  *testing.T
	fs vfs.FS
	*Writer
	now  atomic.Int64
	seq  uint64
	mu   sync.Mutex
	cond sync.Cond
	upto uint64
	said []error
}

func open(t *testing.T, fs vfs.FS, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, fs: fs}
	b.cond.L = &b.mu
	b.now.Store(noon.UnixNano())
	c := Config{
		FS: fs, Directory: dir, Formats: []string{"csv", "jsonl"}, Queue: 64, retry: time.Millisecond, Judge: config.BuiltinRules().Judge,
		Now: func() time.Time { return time.Unix(0, b.now.Load()) },
		Recorded: func(upto uint64) {
			b.mu.Lock()
			if upto <= b.upto {
				t.Errorf("recorded %d after %d", upto, b.upto)
			}
			b.upto = upto
			b.cond.Broadcast()
			b.mu.Unlock()
		},
		Trouble: func(err error) {
			b.mu.Lock()
			b.said = append(b.said, err)
			b.cond.Broadcast()
			b.mu.Unlock()
		},
	}
	for _, f := range change {
		f(&c)
	}
	w, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Writer = w
	t.Cleanup(func() { w.Close() })
	return b
}

// put writes the next account: its job is its number.
func (b *bench) put() {
	b.t.Helper()
	b.seq++
	env := envelope(byte(b.seq))
	env.Job = fmt.Sprint(b.seq)
	err := b.Write(sched.Account{
		Seq: b.seq, Kind: sched.RecordDelivered, Message: env.ID, Binding: "ip-1", Domain: "one.test", Attempts: 1, Attempt: attempt(env),
		Outcomes: []mail.Outcome{{Recipient: 1, Class: mail.ClassDelivered, Reply: mail.Reply{Code: 250, Text: "ok"}}},
	})
	if err != nil {
		b.t.Error(err)
	}
}

// settled waits until all that was put is recorded.
func (b *bench) settled() {
	b.mu.Lock()
	for b.upto < b.seq {
		b.cond.Wait()
	}
	b.mu.Unlock()
}

// troubled waits until n changes were told.
func (b *bench) troubled(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.said) < n {
		b.cond.Wait()
	}
	return b.said[n-1]
}

// jobs reads all records of a format: every line must be a whole record.
func jobs(t *testing.T, fs vfs.FS, format string) []string {
	t.Helper()
	r := NewReader(fs, dir, format)
	defer r.Close()
	var out []string
	var rec Record
	for {
		err := r.Next(&rec)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec.Job)
	}
}

func numbers(n uint64) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(i+1))
	}
	return out
}

func (b *bench) check() {
	b.t.Helper()
	for _, f := range formats {
		if got, want := jobs(b.t, b.fs, f.name), numbers(b.seq); !slices.Equal(got, want) {
			b.t.Errorf("%s: records of %v, want %v", f.name, got, want)
		}
	}
}

func content(t *testing.T, fs vfs.FS, name string) string {
	t.Helper()
	f, err := fs.Open(path.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(&section{file: f})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func files(t *testing.T, fs vfs.FS, format string) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, "."+format) })
}

func TestWriterWrites(t *testing.T) {
	b := open(t, vfs.NewMem())
	env := envelope(1)
	if err := b.Write(sched.Account{Seq: 1, Kind: sched.RecordReceived, Message: env.ID, Envelope: env}); err != nil {
		t.Fatal(err)
	}
	b.seq = 1
	b.put()
	b.settled()
	lines := strings.Split(content(t, b.fs, "accounting.csv"), "\n")
	if len(lines) != 5 || lines[0]+"\n" != header || !strings.HasPrefix(lines[1], "r,") || !strings.Contains(lines[2], ",b@One.Test,") || !strings.HasPrefix(lines[3], "d,") {
		t.Errorf("%q", lines)
	}
	if n := strings.Count(content(t, b.fs, "accounting.jsonl"), "\n"); n != 3 {
		t.Errorf("%d JSON lines", n)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Write(sched.Account{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := b.Pressure(); err != nil {
		t.Error(err)
	}
}

// An envelope that the account does not carry is asked for.
func TestEnvelopeIsAsked(t *testing.T) {
	env := envelope(1)
	b := open(t, vfs.NewMem(), func(c *Config) {
		c.Envelope = func(id mail.ID) *mail.Envelope {
			if id == env.ID {
				return env
			}
			return nil
		}
	})
	for i, id := range []mail.ID{env.ID, {}} {
		b.seq++
		_ = b.Write(sched.Account{Seq: uint64(i + 1), Kind: sched.RecordBounced, Message: id, Domain: "one.test", Binding: "x", Outcomes: []mail.Outcome{{Class: mail.ClassRefused}}})
	}
	b.settled()
	lines := strings.Split(content(t, b.fs, "accounting.csv"), "\n")
	if !strings.Contains(lines[1], "a@one.test") || !strings.HasPrefix(lines[2], "b,") {
		t.Errorf("%q", lines)
	}
}

func TestRotation(t *testing.T) {
	fs := vfs.NewMem()
	b := open(t, fs, func(c *Config) { c.MaxSize, c.MaxAge = 4096, time.Hour })
	for range 100 {
		b.put()
	}
	b.settled()
	b.check()
	names := files(t, fs, "csv")
	if len(names) < 3 {
		t.Errorf("not rotated by size: %v", names)
	}
	for _, n := range names {
		if c := content(t, fs, n); len(c) > 4096 || !strings.HasPrefix(c, header) || !strings.HasSuffix(c, "\n") {
			t.Errorf("%s: %d octets", n, len(c))
		}
	}
	before := len(names)
	b.now.Add(int64(2 * time.Hour))
	b.put()
	b.settled()
	if n := len(files(t, fs, "csv")); n != before+1 {
		t.Errorf("not rotated by age: %d files, %d before", n, before)
	}
	b.now.Add(-int64(5 * time.Hour)) // the names go on rising
	b.Rotate()
	b.put()
	b.settled()
	if n := len(files(t, fs, "csv")); n != before+2 {
		t.Errorf("not rotated on demand: %d files", n)
	}
	b.check()
}

// The clock of a file's age is its first record's, also after a restart.
func TestAgeOutlivesRestart(t *testing.T) {
	fs := vfs.NewMem()
	b := open(t, fs, func(c *Config) { c.MaxAge = time.Hour })
	b.put()
	b.Close()
	again := open(t, fs, func(c *Config) { c.MaxAge = time.Hour })
	again.now.Add(int64(59 * time.Minute))
	again.seq = 1
	again.put()
	again.settled()
	if n := len(files(t, fs, "csv")); n != 1 {
		t.Errorf("%d files", n)
	}
	again.now.Add(int64(2 * time.Minute))
	again.put()
	again.settled()
	if n := len(files(t, fs, "csv")); n != 2 {
		t.Errorf("%d files", n)
	}
	again.check()
}

func TestHalfRecordAtStartIsCut(t *testing.T) {
	fs := vfs.NewMem()
	b := open(t, fs)
	b.put()
	b.Close()
	for _, f := range formats {
		name := path.Join(dir, "accounting."+f.name)
		h, err := fs.OpenWrite(name)
		if err != nil {
			t.Fatal(err)
		}
		size, _ := fs.Size(name)
		if _, err := h.WriteAt([]byte("d,2026-01-02 half a rec"), size); err != nil {
			t.Fatal(err)
		}
		h.Close()
	}
	again := open(t, fs)
	again.seq = 1
	again.put()
	again.settled()
	again.check()
}

func TestOtherColumnsArePutAside(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.Mkdir(dir); err != nil {
		t.Fatal(err)
	}
	h, err := fs.Create(dir + "/accounting.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.WriteAt([]byte("type,timeLogged\nd,\n"), 0); err != nil {
		t.Fatal(err)
	}
	h.Close()
	b := open(t, fs)
	b.put()
	b.settled()
	if n := files(t, fs, "csv"); len(n) != 2 || !strings.HasPrefix(content(t, fs, "accounting.csv"), header) {
		t.Errorf("%v", n)
	}
}

func TestOneWriterForADirectory(t *testing.T) {
	fs := vfs.NewMem()
	b := open(t, fs)
	if w, err := Open(Config{FS: fs, Directory: dir, Formats: []string{"csv"}}); err == nil {
		w.Close()
		t.Error("two writers")
	}
	b.Close()
	if _, err := Open(Config{FS: fs, Directory: dir, Formats: []string{"xml"}}); err == nil {
		t.Error("format xml")
	}
}

func TestReopen(t *testing.T) {
	fs := vfs.NewMem()
	b := open(t, fs)
	b.put()
	b.settled()
	if err := fs.Rename(dir+"/accounting.csv", dir+"/moved.txt"); err != nil {
		t.Fatal(err)
	}
	b.Reopen()
	b.put()
	b.settled()
	if c := content(t, fs, "accounting.csv"); strings.Count(c, "\n") != 2 || !strings.Contains(c, ",2,e-1,") {
		t.Errorf("%q", c)
	}
	if c := content(t, fs, "moved.txt"); strings.Count(c, "\n") != 2 {
		t.Errorf("%q", c)
	}
}

// A full disk: nothing is dropped, no half row stays, Pressure says so and ends (A3).
func TestFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	b := open(t, fs)
	b.put()
	b.settled()
	fs.SetCapacity(fs.Used() + 300) // the first row of the next fits in one file only
	for range 10 {
		b.put()
	}
	if err := b.troubled(1); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	if err := b.Pressure(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("pressure: %v", err)
	}
	for _, f := range formats {
		if c := content(t, fs, "accounting."+f.name); !strings.HasSuffix(c, "\n") {
			t.Errorf("half a record: %q", c[max(0, len(c)-40):])
		}
	}
	fs.SetCapacity(0)
	if err := b.troubled(2); err != nil {
		t.Errorf("%v", err)
	}
	b.settled()
	if err := b.Pressure(); err != nil {
		t.Error(err)
	}
	b.check()
}

// Any single call that fails: nothing is lost, nothing is written twice.
func TestEveryCallFails(t *testing.T) {
	for _, errno := range []error{syscall.EIO, syscall.ENOSPC} {
		for n := 1; n <= 60; n++ {
			mem := vfs.NewMem()
			fs := vfs.NewFaulty(mem, nil)
			b := open(t, fs, func(c *Config) { c.MaxSize = 4096 })
			fs.SetFail(vfs.FailNth(fs.Calls()+n, errno))
			for i := range 40 {
				b.put()
				if i%8 == 7 {
					b.settled()
				}
			}
			b.settled()
			b.Close()
			b.fs = mem
			b.check()
			if t.Failed() {
				t.Fatalf("call %d fails with %v", n, errno)
			}
		}
	}
}

// Write waits when the queue is full, and Close sets it free.
func TestQueueIsBounded(t *testing.T) {
	mem := vfs.NewMem()
	fs := vfs.NewFaulty(mem, nil)
	b := open(t, fs, func(c *Config) { c.Queue = 4 })
	fs.SetFail(func(c vfs.Call) error {
		if c.Op == vfs.OpWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	ended := make(chan int)
	go func() {
		n := 0
		for i := range uint64(1000) {
			if b.Write(sched.Account{Seq: i + 1, Kind: sched.RecordReceived, Envelope: envelope(1)}) != nil {
				break
			}
			n++
		}
		ended <- n
	}()
	_ = b.troubled(1)
	fs.SetFail(nil)
	if n := <-ended; n != 1000 {
		t.Errorf("%d of 1000 taken", n)
	}
	b.Close()
	if n := strings.Count(content(t, mem, "accounting.csv"), "\n"); n != 2001 {
		t.Errorf("%d lines", n)
	}
}

// Power lost at any moment: what is there after it is whole records once the writer has
// opened the files again.
func TestPowerLoss(t *testing.T) {
	for n := 1; n <= 40; n++ {
		fs := vfs.NewMem()
		b := open(t, fs, func(c *Config) { c.MaxSize, c.closeWait = 4096, time.Nanosecond })
		fs.CrashAfter(n)
		for range 30 {
			b.put()
		}
		_ = b.troubled(1)
		b.Close()
		after := fs.Crash(rand.New(rand.NewPCG(uint64(n), 0)))
		again := open(t, after, func(c *Config) { c.MaxSize = 4096 })
		again.Close()
		for _, f := range formats {
			got := jobs(t, after, f.name)
			if !slices.Equal(got, numbers(uint64(len(got)))) {
				t.Fatalf("power lost at call %d: %s has %v", n, f.name, got)
			}
		}
	}
}

// A reader follows while the writer rotates, and sees every record once, in order.
func TestReaderFollows(t *testing.T) {
	fs := vfs.NewMem()
	b := open(t, fs, func(c *Config) { c.MaxSize = 4096 })
	readers := map[string]*Reader{"csv": NewReader(fs, dir, "csv"), "jsonl": NewReader(fs, dir, "jsonl")}
	got := map[string][]string{}
	read := func() {
		for format, r := range readers { // apart from each other: the order does not matter
			var rec Record
			for {
				err := r.Next(&rec)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got[format] = append(got[format], rec.Job)
			}
		}
	}
	for i := range 300 {
		b.put()
		if i%7 == 0 {
			read()
		}
		if i%50 == 0 {
			b.Rotate()
		}
	}
	b.settled()
	read()
	for format, r := range readers {
		r.Close()
		if !slices.Equal(got[format], numbers(300)) {
			t.Errorf("%s: %d records: %v", format, len(got[format]), got[format])
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	w, err := Open(Config{FS: vfs.OS{}, Directory: b.TempDir(), Formats: []string{"csv"}, MaxSize: 100 << 20})
	if err != nil {
		b.Fatal(err)
	}
	env := envelope(1)
	a := sched.Account{
		Kind: sched.RecordDelivered, Message: env.ID, Binding: "ip-1", Domain: "one.test", Attempts: 1, Attempt: attempt(env),
		Outcomes: []mail.Outcome{{Class: mail.ClassDelivered, Reply: mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "OK queued as 4711"}}},
	}
	b.ReportAllocs()
	for b.Loop() {
		a.Seq++
		if err := w.Write(a); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
