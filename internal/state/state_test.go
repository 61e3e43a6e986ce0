package state

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-mta/sluice/internal/vfs"
)

const dir = "/var/state"

func open(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(Options{FS: fs, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, key, value string) {
	t.Helper()
	if err := s.Put(key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func all(s *Store) map[string]string {
	out := map[string]string{}
	for _, k := range s.Keys("") {
		v, _ := s.Get(k)
		out[k] = string(v)
	}
	return out
}

func TestFactsSurvive(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	put(t, s, "a", "1")
	put(t, s, "b", "")
	put(t, s, "a", "2")
	put(t, s, "c", "3")
	if err := s.Delete("c"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("never there"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "2", "b": ""}
	for range 3 {
		if got := all(s); !maps.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, fs)
	}
	put(t, s, "suspend/x", "y")
	if got := s.Keys("suspend/"); fmt.Sprint(got) != "[suspend/x]" {
		t.Error(got)
	}
}

func TestBounds(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	for _, c := range []struct{ key, value string }{{"", "x"}, {strings.Repeat("k", MaxKey+1), "x"}, {"k", strings.Repeat("v", MaxValue+1)}} {
		if err := s.Put(c.key, []byte(c.value)); !errors.Is(err, ErrFull) {
			t.Errorf("key of %d, value of %d octets: %v", len(c.key), len(c.value), err)
		}
	}
	// T5: many changes of one fact do not make the file grow.
	value := strings.Repeat("v", 10_000)
	for i := range 200 {
		put(t, s, "k", value+strconv.Itoa(i))
		if n, _ := fs.Size(dir + "/" + fileName); n > 4*s.live+slack {
			t.Fatalf("the file has %d octets, the facts %d", n, s.live)
		}
	}
	var err error
	n := 0
	for ; err == nil; n++ {
		err = s.Put(fmt.Sprint("k", n), []byte(strings.Repeat("v", MaxValue)))
	}
	if !errors.Is(err, ErrFull) || n < MaxBytes/MaxValue-2 {
		t.Fatalf("%d facts: %v", n, err)
	}
	put(t, s, "k", "shorter") // what makes room is taken
}

// A disk that fails at any call changes nothing that is read, and later changes are kept
// (T2, T4).
func TestFailures(t *testing.T) {
	for n := 1; n < 60; n++ {
		mem := vfs.NewMem()
		fs := vfs.NewFaulty(mem, nil)
		s := open(t, fs)
		put(t, s, "old", "1")
		want := map[string]string{"old": "1"}
		fs.SetFail(vfs.FailNth(fs.Calls()+n, syscall.EIO))
		failed := false
		for i := range 40 {
			key, value := fmt.Sprint("k", i%5), strings.Repeat("v", 5000)+strconv.Itoa(i)
			if err := s.Put(key, []byte(value)); err == nil {
				want[key] = value
			} else if failed = true; !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			if got := all(s); !maps.Equal(got, want) {
				t.Fatalf("call %d: after change %d: %d facts, want %d", n, i, len(got), len(want))
			}
		}
		fs.SetFail(nil)
		put(t, s, "last", "x")
		want["last"] = "x"
		if got := all(open(t, mem)); !maps.Equal(got, want) {
			t.Fatalf("call %d (failed %v): %d facts after a restart, want %d", n, failed, len(got), len(want))
		}
	}
}

// The power goes at every single call: what was acknowledged is there, the change that
// was under way is there or not, nothing else is (T1, T2).
func TestCrashAtEveryCall(t *testing.T) {
	seed := rand.Uint64() >> 1
	if v, err := strconv.ParseUint(os.Getenv("SLUICE_SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("SLUICE_SEED=%d", seed)
	for n := 1; n < 100; n++ {
		for round := range uint64(3) {
			if err := crashAt(n, rand.New(rand.NewPCG(seed, uint64(n)<<8|round))); err != nil {
				t.Fatalf("power lost at call %d, round %d: %v", n, round, err)
			}
		}
	}
}

func crashAt(n int, rng *rand.Rand) error {
	fs := vfs.NewMem()
	known := map[string]string{}
	for life := range 3 {
		fs.CrashAfter(n + life*7)
		var under [2]string // key and value of the change under way
		s, err := Open(Options{FS: fs, Dir: dir})
		for i := 0; err == nil && i < 60; i++ {
			key, value := fmt.Sprint("k", rng.IntN(6)), ""
			if rng.IntN(4) == 0 {
				under = [2]string{key, ""}
				if err = s.Delete(key); err == nil {
					delete(known, key)
				}
				continue
			}
			value = fmt.Sprint(i, strings.Repeat("v", rng.IntN(9000)))
			under = [2]string{key, value}
			if err = s.Put(key, []byte(value)); err == nil {
				known[key] = value
			}
		}
		if err == nil {
			return nil // it lived to its end
		}
		if !errors.Is(err, vfs.ErrPowerLost) {
			return err
		}
		fs = fs.Crash(rng)
		s, err = Open(Options{FS: fs, Dir: dir})
		if err != nil {
			return fmt.Errorf("open after the crash: %w", err)
		}
		got := all(s)
		if maps.Equal(got, known) {
			continue
		}
		if k := under[0]; k != "" {
			if known[k] = under[1]; under[1] == "" {
				delete(known, k)
			}
		}
		if !maps.Equal(got, known) {
			return fmt.Errorf("%d facts, want %d: a change that was acknowledged is lost, or another one came up", len(got), len(known))
		}
		if names, _ := fs.List(dir + "/" + asideDir); len(names) > 0 {
			return fmt.Errorf("a crash was taken for damage")
		}
	}
	return nil
}

// Whatever octet is damaged: the store opens, at most the record that was hit is
// forgotten, and what was damaged is set aside and named, unless it is the end (T3).
func TestDamage(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	want := map[string]string{}
	for i := range 6 {
		want[fmt.Sprint("key", i)] = fmt.Sprint("value", i)
		put(t, s, fmt.Sprint("key", i), fmt.Sprint("value", i))
	}
	size, _ := fs.Size(dir + "/" + fileName)
	last := size - recordSize("key5", []byte("value5"))
	for at := range size {
		hurt := fs.Crash(rand.New(rand.NewPCG(1, 1)))
		hurt.Corrupt(dir+"/"+fileName, at, 0x40)
		var said []string
		s, err := Open(Options{FS: hurt, Dir: dir, Log: func(_ slog.Level, text string) { said = append(said, text) }})
		if err != nil {
			t.Fatalf("octet %d: %v", at, err)
		}
		got := all(s)
		lost := 0
		for k, v := range want {
			if got[k] != v {
				lost++
			}
		}
		aside, _ := hurt.List(dir + "/" + asideDir)
		if lost > 1 || len(got) != len(want)-lost || len(said) != 1 {
			t.Fatalf("octet %d: %v; said %q", at, got, said)
		}
		if set := len(aside) == 1; set != (at < last) {
			t.Fatalf("octet %d of %d: set aside %v; said %q", at, size, aside, said)
		}
		put(t, s, "new", "x")
		if n := len(all(open(t, hurt))); n != len(got)+1 {
			t.Fatalf("octet %d: %d facts after one more, want %d", at, n, len(got)+1)
		}
	}
}

// Damage that cannot be set aside, on a full disk, stays where it is until it can.
func TestDamageOnAFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	put(t, s, "a", "1")
	put(t, s, "b", "2")
	fs.Corrupt(dir+"/"+fileName, int64(len(fileHeader))+headSize+2, 1)
	fs.SetCapacity(fs.Used())
	s = open(t, fs)
	if got := all(s); !maps.Equal(got, map[string]string{"b": "2"}) {
		t.Fatal(got)
	}
	if err := s.Put("c", []byte("3")); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	fs.SetCapacity(0)
	put(t, s, "c", "3")
	aside, _ := fs.List(dir + "/" + asideDir)
	if got := all(open(t, fs)); len(aside) == 0 || !maps.Equal(got, map[string]string{"b": "2", "c": "3"}) {
		t.Fatalf("%v, set aside %v", got, aside)
	}
}

func TestTooLargeAFile(t *testing.T) {
	fs := vfs.NewMem()
	open(t, fs)
	f, err := fs.Create(dir + "/" + fileName)
	if err == nil {
		err = f.Truncate(5*MaxBytes + slack + 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{FS: fs, Dir: dir}); err == nil || !strings.Contains(err.Error(), "octets") {
		t.Error(err)
	}
}

// FuzzParse: no octets make it panic, what it reads it writes and reads again.
func FuzzParse(f *testing.F) {
	b := appendRecord([]byte(fileHeader), opPut, "key", []byte("value"))
	f.Add(b)
	f.Add(appendRecord(b, opDelete, "key", nil))
	f.Add(append(append([]byte(nil), b...), b[5:]...))
	f.Add([]byte(mark + mark))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := parse(b)
		if p.end > len(b) {
			t.Fatalf("the end is %d of %d", p.end, len(b))
		}
		out := []byte(fileHeader)
		for k, v := range p.facts { // the order does not matter
			out = appendRecord(out, opPut, k, v)
		}
		again := parse(out)
		if len(again.damaged) != 0 || again.end != len(out) || !maps.EqualFunc(p.facts, again.facts, bytes.Equal) {
			t.Fatalf("%v became %v", p.facts, again.facts)
		}
	})
}
