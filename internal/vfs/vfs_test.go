package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/sluice-mta/sluice/internal/vfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, f vfs.FS, name, text string) vfs.File {
	t.Helper()
	file, err := f.Create(name)
	must(t, err)
	_, err = file.WriteAt([]byte(text), 0)
	must(t, err)
	return file
}

func read(f vfs.FS, name string) (string, error) {
	file, err := f.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	b := make([]byte, 1<<16)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(b[:n]), nil
}

// TestForms: every form does what the interface says.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		name string
		fs   vfs.FS
		dir  string
	}{
		{"OS", vfs.OS{}, t.TempDir()},
		{"Mem", vfs.NewMem(), "/x"},
		{"Faulty", vfs.NewFaulty(vfs.NewMem(), nil), "/x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := c.dir + "/a/b"
			must(t, vfs.MkdirAll(c.fs, dir))
			must(t, vfs.MkdirAll(c.fs, dir))
			if err := c.fs.Mkdir(dir); !errors.Is(err, fs.ErrExist) {
				t.Errorf("mkdir again: %v", err)
			}
			f := write(t, c.fs, dir+"/one", "hello")
			if _, err := c.fs.Create(dir + "/one"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("create again: %v", err)
			}
			must(t, f.Sync())
			must(t, f.Preallocate(100))
			if n, err := c.fs.Size(dir + "/one"); n != 100 || err != nil {
				t.Errorf("size %d, %v", n, err)
			}
			must(t, f.Truncate(4))
			must(t, f.Close())
			if s, err := read(c.fs, dir+"/one"); s != "hell" || err != nil {
				t.Errorf("read %q, %v", s, err)
			}
			must(t, c.fs.Rename(dir+"/one", dir+"/two"))
			must(t, c.fs.SyncDir(dir))
			names, err := c.fs.List(dir)
			must(t, err)
			if !slices.Equal(names, []string{"two"}) {
				t.Errorf("names %v", names)
			}
			w, err := c.fs.OpenWrite(dir + "/two")
			must(t, err)
			_, err = w.WriteAt([]byte("o there"), 4)
			must(t, err)
			must(t, w.Close())
			if s, _ := read(c.fs, dir+"/two"); s != "hello there" {
				t.Errorf("read %q", s)
			}
			must(t, c.fs.Remove(dir+"/two"))
			if _, err := c.fs.Open(dir + "/two"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open what was removed: %v", err)
			}
			if _, err := c.fs.Free(dir); err != nil {
				t.Errorf("free: %v", err)
			}
			lock, err := c.fs.Lock(dir + "/lock")
			must(t, err)
			var held *vfs.LockedError
			if _, err := c.fs.Lock(dir + "/lock"); !errors.As(err, &held) || held.Holder == "" {
				t.Errorf("second lock: %v", err)
			}
			must(t, lock.Close())
			lock, err = c.fs.Lock(dir + "/lock")
			must(t, err)
			must(t, lock.Close())
		})
	}
}

// TestCrash: what was synced is there after every crash, and what was not is there in
// some and not in others.
func TestCrash(t *testing.T) {
	m := vfs.NewMem()
	must(t, vfs.MkdirAll(m, "/d"))
	f := write(t, m, "/d/synced", "0123456789")
	must(t, f.Sync())
	must(t, m.SyncDir("/d"))
	_, err := f.WriteAt(bytes.Repeat([]byte("x"), 2000), 10)
	must(t, err)
	g := write(t, m, "/d/unnamed", "content is synced, the name is not")
	must(t, g.Sync())
	must(t, m.Rename("/d/unnamed", "/d/renamed"))
	lengths, names := map[int]bool{}, map[string]bool{}
	for seed := range uint64(300) {
		after := m.Crash(rand.New(rand.NewPCG(seed, 0)))
		s, err := read(after, "/d/synced")
		must(t, err)
		if s[:10] != "0123456789" {
			t.Fatalf("seed %d: synced content became %q", seed, s[:10])
		}
		lengths[len(s)] = true
		list, err := after.List("/d")
		must(t, err)
		for _, n := range list {
			names[n] = true
		}
	}
	if len(lengths) < 3 || !lengths[10] || !lengths[2010] {
		t.Errorf("lengths after crashes: %v", lengths)
	}
	for _, n := range []string{"synced", "renamed"} {
		if !names[n] {
			t.Errorf("%s was never there: %v", n, names)
		}
	}
}

// TestCrashAfter: from that call on everything fails.
func TestCrashAfter(t *testing.T) {
	m := vfs.NewMem()
	f := write(t, m, "/f", "a")
	m.CrashAfter(2)
	must(t, f.Sync())
	for range 2 {
		if _, err := f.WriteAt([]byte("b"), 0); !errors.Is(err, vfs.ErrPowerLost) {
			t.Errorf("write: %v", err)
		}
	}
	if err := m.SyncDir("/"); !errors.Is(err, vfs.ErrPowerLost) {
		t.Errorf("sync: %v", err)
	}
}

// TestFailedSync: what a failed sync lost does not come back with the next one.
func TestFailedSync(t *testing.T) {
	m := vfs.NewMem()
	faulty := vfs.NewFaulty(m, nil)
	f := write(t, faulty, "/f", "gone")
	must(t, faulty.SyncDir("/"))
	faulty.SetFail(vfs.FailNth(faulty.Calls()+1, syscall.EIO))
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	must(t, f.Sync())
	if s, _ := read(faulty, "/f"); s != "gone" {
		t.Errorf("before the crash: %q", s)
	}
	for seed := range uint64(20) {
		if s, _ := read(m.Crash(rand.New(rand.NewPCG(seed, 0))), "/f"); s != "" {
			t.Errorf("after a crash: %q", s)
		}
	}
}

func TestFull(t *testing.T) {
	m := vfs.NewMem()
	m.SetCapacity(10)
	f := write(t, m, "/f", "12345678")
	if _, err := f.WriteAt([]byte("90ab"), 8); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write beyond the capacity: %v", err)
	}
	if _, err := f.WriteAt([]byte("again"), 0); err != nil {
		t.Errorf("write in place: %v", err)
	}
	if free, _ := m.Free("/"); free != 2 {
		t.Errorf("%d octets free", free)
	}
	must(t, m.Remove("/f"))
	if m.Used() != 0 {
		t.Errorf("%d octets used", m.Used())
	}
}

func TestReadOnly(t *testing.T) {
	m := vfs.NewMem()
	write(t, m, "/f", "x")
	ro := vfs.NewFaulty(m, vfs.ReadOnly)
	if _, err := ro.Create("/g"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("create: %v", err)
	}
	if s, err := read(ro, "/f"); s != "x" || err != nil {
		t.Errorf("read %q, %v", s, err)
	}
}
