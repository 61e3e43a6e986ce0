package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"
)

// ErrPowerLost is what every call gives once the power is off (Mem.CrashAfter).
var ErrPowerLost = errors.New("power lost")

// Mem is a file system in memory that remembers what is durable and what is not.
type Mem struct {
	mu       sync.Mutex
	names    map[string]*node // as seen now
	durable  map[string]*node // names certain after a power loss
	pending  []nameChange     // not yet made durable by SyncDir, in order
	locked   map[string]bool
	capacity int64 // octets; 0: no bound
	used     int64
	calls    int // changing calls so far
	offAfter int // the power goes at this call; 0: never
	off      bool
}

// node is a file or a directory.
type node struct {
	dir     bool
	data    []byte
	durable []byte
	pending []change // since the last Sync, in order
}

// change is a write, or a new length when data is nil.
type change struct {
	off  int64
	data []byte
}

// nameChange gives to (removed when it is nil) the name, and takes from away.
type nameChange struct {
	dir      string
	from, to string
	n        *node
}

// NewMem returns an empty file system with the directories "/" and ".".
func NewMem() *Mem {
	m := &Mem{names: map[string]*node{}, durable: map[string]*node{}, locked: map[string]bool{}}
	for _, d := range []string{"/", "."} {
		n := &node{dir: true}
		m.names[d], m.durable[d] = n, n
	}
	return m
}

// SetCapacity bounds the sum of all file lengths: beyond it calls fail with ENOSPC.
// 0: no bound.
func (m *Mem) SetCapacity(octets int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = octets
}

// Used returns the sum of all file lengths.
func (m *Mem) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Calls returns the number of changing calls so far: create, write, sync, preallocate,
// truncate, rename, remove, mkdir, sync of a directory.
func (m *Mem) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// CrashAfter turns the power off at the n-th changing call from now, n >= 1: that call
// fails, though what it wrote may be there after Crash, and so does every later one.
func (m *Mem) CrashAfter(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offAfter = m.calls + n
}

// begin counts a changing call. When power is on it returns nil; at the moment of the
// crash it returns ErrPowerLost and first=true: the caller leaves its change pending.
func (m *Mem) begin() (first bool, err error) {
	if m.off {
		return false, ErrPowerLost
	}
	m.calls++
	if m.offAfter != 0 && m.calls >= m.offAfter {
		m.off = true
		return true, ErrPowerLost
	}
	return false, nil
}

func pathError(op, name string, err error) error {
	return &os.PathError{Op: op, Path: name, Err: err}
}

// rename notes a change of names, not yet durable.
func (m *Mem) note(c nameChange) {
	apply(m.names, c)
	m.pending = append(m.pending, c)
}

func apply(names map[string]*node, c nameChange) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.n
	}
}

func (m *Mem) lookup(op, name string) (*node, error) {
	n := m.names[path.Clean(name)]
	if n == nil {
		return nil, pathError(op, name, fs.ErrNotExist)
	}
	return n, nil
}

func (m *Mem) add(op, name string, n *node) error {
	name = path.Clean(name)
	crashed, err := m.begin()
	if err != nil && !crashed {
		return pathError(op, name, err)
	}
	if m.names[name] != nil {
		return pathError(op, name, fs.ErrExist)
	}
	if p := m.names[path.Dir(name)]; p == nil || !p.dir {
		return pathError(op, name, fs.ErrNotExist)
	}
	m.note(nameChange{dir: path.Dir(name), to: name, n: n})
	if err != nil {
		return pathError(op, name, err)
	}
	return nil
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := &node{}
	if err := m.add("create", name, n); err != nil {
		return nil, err
	}
	return &memFile{m: m, n: n, name: name, write: true}, nil
}

// Mkdir implements FS.
func (m *Mem) Mkdir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.add("mkdir", dir, &node{dir: true})
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenWrite implements FS.
func (m *Mem) OpenWrite(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, write bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup("open", name)
	if err != nil {
		return nil, err
	}
	if m.off {
		return nil, pathError("open", name, ErrPowerLost)
	}
	return &memFile{m: m, n: n, name: name, write: write}, nil
}

// Rename implements FS.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to = path.Clean(from), path.Clean(to)
	n, err := m.lookup("rename", from)
	if err != nil {
		return err
	}
	if path.Dir(from) != path.Dir(to) {
		return pathError("rename", from, syscall.EXDEV)
	}
	crashed, err := m.begin()
	if err == nil || crashed {
		if old := m.names[to]; old != nil && old != n {
			m.used -= int64(len(old.data))
		}
		m.note(nameChange{dir: path.Dir(to), from: from, to: to, n: n})
	}
	if err != nil {
		return pathError("rename", from, err)
	}
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = path.Clean(name)
	n, err := m.lookup("remove", name)
	if err != nil {
		return err
	}
	crashed, err := m.begin()
	if err == nil || crashed {
		m.used -= int64(len(n.data))
		m.note(nameChange{dir: path.Dir(name), from: name})
	}
	if err != nil {
		return pathError("remove", name, err)
	}
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.lookup("list", dir); err != nil {
		return nil, err
	}
	var out []string
	for name := range m.names { // sorted below
		if path.Dir(name) == path.Clean(dir) && name != path.Clean(dir) {
			out = append(out, path.Base(name))
		}
	}
	slices.Sort(out)
	return out, nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = path.Clean(dir)
	if _, err := m.begin(); err != nil {
		return pathError("sync", dir, err)
	}
	rest := m.pending[:0]
	for _, c := range m.pending {
		if c.dir == dir {
			apply(m.durable, c)
		} else {
			rest = append(rest, c)
		}
	}
	m.pending = rest
	return nil
}

// Size implements FS.
func (m *Mem) Size(name string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup("stat", name)
	if err != nil {
		return 0, err
	}
	return int64(len(n.data)), nil
}

// Free implements FS.
func (m *Mem) Free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return -1, nil
	}
	return max(0, m.capacity-m.used), nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked[name] {
		return nil, &LockedError{Name: name, Holder: "1"}
	}
	m.locked[name] = true
	return memLock{m, name}, nil
}

type memLock struct {
	m    *Mem
	name string
}

func (l memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locked, l.name)
	return nil
}
