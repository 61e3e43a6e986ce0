package vfs

import (
	"io"
	"path"
	"sync"
	"syscall"
)

// Op names a call that a Faulty file system may fail.
type Op string

const (
	OpCreate      Op = "create"
	OpOpen        Op = "open"
	OpRename      Op = "rename"
	OpRemove      Op = "remove"
	OpList        Op = "list"
	OpMkdir       Op = "mkdir"
	OpSyncDir     Op = "syncdir"
	OpLock        Op = "lock"
	OpRead        Op = "read"
	OpWrite       Op = "write"
	OpSync        Op = "sync"
	OpPreallocate Op = "preallocate"
	OpTruncate    Op = "truncate"
)

// Changes reports whether the call changes what is on disk.
func (o Op) Changes() bool { return o != OpOpen && o != OpList && o != OpRead && o != OpLock }

// Call is one call about to be made.
type Call struct {
	Op   Op
	Name string // full name of the file or directory
	N    int    // number among the changing calls, from 1; 0 for the others
}

// Faulty is a file system whose calls fail when a predicate says so. A failed write
// has written its first half; a failed Sync has lost what was not synced, although a
// further one succeeds, as Linux does it.
type Faulty struct {
	inner FS
	mu    sync.Mutex
	n     int
	fail  func(Call) error
}

// NewFaulty returns inner with calls that fail with the error that fail returns for
// them. fail is called by one goroutine at a time and may be replaced with SetFail.
func NewFaulty(inner FS, fail func(Call) error) *Faulty { return &Faulty{inner: inner, fail: fail} }

// SetFail replaces the predicate; nil: nothing fails.
func (f *Faulty) SetFail(fail func(Call) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

// Calls returns the number of changing calls so far.
func (f *Faulty) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// FailNth fails the n-th changing call, from 1, with err.
func FailNth(n int, err error) func(Call) error {
	return func(c Call) error {
		if c.N == n {
			return err
		}
		return nil
	}
}

// FailFrom fails every changing call from the n-th on with err.
func FailFrom(n int, err error) func(Call) error {
	return func(c Call) error {
		if c.N >= n {
			return err
		}
		return nil
	}
}

// ReadOnly fails every changing call, and the lock, with EROFS.
func ReadOnly(c Call) error {
	if c.Op.Changes() || c.Op == OpLock {
		return syscall.EROFS
	}
	return nil
}

func (f *Faulty) check(op Op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := Call{Op: op, Name: path.Clean(name)}
	if op.Changes() {
		f.n++
		c.N = f.n
	}
	if f.fail == nil {
		return nil
	}
	if err := f.fail(c); err != nil {
		return pathError(string(op), name, err)
	}
	return nil
}

func (f *Faulty) file(op Op, name string, open func(string) (File, error)) (File, error) {
	if err := f.check(op, name); err != nil {
		return nil, err
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, name: name}, nil
}

// Create implements FS.
func (f *Faulty) Create(name string) (File, error) { return f.file(OpCreate, name, f.inner.Create) }

// Open implements FS.
func (f *Faulty) Open(name string) (File, error) { return f.file(OpOpen, name, f.inner.Open) }

// OpenWrite implements FS.
func (f *Faulty) OpenWrite(name string) (File, error) {
	return f.file(OpOpen, name, f.inner.OpenWrite)
}

// Rename implements FS.
func (f *Faulty) Rename(from, to string) error {
	if err := f.check(OpRename, from); err != nil {
		return err
	}
	return f.inner.Rename(from, to)
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	if err := f.check(OpRemove, name); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

// List implements FS.
func (f *Faulty) List(dir string) ([]string, error) {
	if err := f.check(OpList, dir); err != nil {
		return nil, err
	}
	return f.inner.List(dir)
}

// Mkdir implements FS.
func (f *Faulty) Mkdir(dir string) error {
	if err := f.check(OpMkdir, dir); err != nil {
		return err
	}
	return f.inner.Mkdir(dir)
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(dir string) error {
	if err := f.check(OpSyncDir, dir); err != nil {
		return err
	}
	return f.inner.SyncDir(dir)
}

// Size implements FS.
func (f *Faulty) Size(name string) (int64, error) { return f.inner.Size(name) }

// Free implements FS.
func (f *Faulty) Free(dir string) (int64, error) { return f.inner.Free(dir) }

// Lock implements FS.
func (f *Faulty) Lock(name string) (io.Closer, error) {
	if err := f.check(OpLock, name); err != nil {
		return nil, err
	}
	return f.inner.Lock(name)
}

type faultyFile struct {
	File
	fs   *Faulty
	name string
}

// ReadAt implements File.
func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.check(OpRead, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// WriteAt implements File.
func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.check(OpWrite, f.name); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

// Sync implements File.
func (f *faultyFile) Sync() error {
	if err := f.fs.check(OpSync, f.name); err != nil {
		if l, ok := f.File.(interface{ LoseUnsynced() }); ok {
			l.LoseUnsynced()
		}
		return err
	}
	return f.File.Sync()
}

// Preallocate implements File.
func (f *faultyFile) Preallocate(size int64) error {
	if err := f.fs.check(OpPreallocate, f.name); err != nil {
		return err
	}
	return f.File.Preallocate(size)
}

// Truncate implements File.
func (f *faultyFile) Truncate(size int64) error {
	if err := f.fs.check(OpTruncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}
