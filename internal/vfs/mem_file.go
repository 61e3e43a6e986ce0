package vfs

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
)

type memFile struct {
	m      *Mem
	n      *node
	name   string
	write  bool
	closed bool
}

// ReadAt implements File.
func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return 0, pathError("read", f.name, fs.ErrClosed)
	}
	if f.m.off {
		return 0, pathError("read", f.name, ErrPowerLost)
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements File.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.change("write", change{off: off, data: slices.Clone(p)}, off+int64(len(p)), false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Preallocate implements File.
func (f *memFile) Preallocate(size int64) error {
	return f.change("preallocate", change{off: size}, size, false)
}

// Truncate implements File.
func (f *memFile) Truncate(size int64) error {
	return f.change("truncate", change{off: size}, size, true)
}

// change applies c, after which the file is at least (exactly: when cut) size long.
func (f *memFile) change(op string, c change, size int64, cut bool) error {
	m := f.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.closed {
		return pathError(op, f.name, fs.ErrClosed)
	}
	if !f.write {
		return pathError(op, f.name, syscall.EBADF)
	}
	crashed, err := m.begin()
	if err != nil && !crashed {
		return pathError(op, f.name, err)
	}
	now := int64(len(f.n.data))
	if !cut {
		size = max(size, now)
	}
	if c.data == nil {
		c.off = size
	}
	if grow := size - now; grow > 0 && m.capacity > 0 && m.used+grow > m.capacity {
		return pathError(op, f.name, syscall.ENOSPC)
	}
	m.used += size - now
	f.n.data = c.apply(f.n.data)
	f.n.pending = append(f.n.pending, c)
	if err != nil {
		return pathError(op, f.name, err)
	}
	return nil
}

// apply returns b with the change made; b may be used for it.
func (c change) apply(b []byte) []byte {
	if c.data == nil {
		return resize(b, c.off)
	}
	if end := c.off + int64(len(c.data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[c.off:], c.data)
	return b
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size] // what is cut off must not come back with a later growth
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// Sync implements File.
func (f *memFile) Sync() error {
	m := f.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.closed {
		return pathError("sync", f.name, fs.ErrClosed)
	}
	if _, err := m.begin(); err != nil {
		return pathError("sync", f.name, err)
	}
	for _, c := range f.n.pending {
		f.n.durable = c.apply(f.n.durable)
	}
	f.n.pending = nil
	return nil
}

// LoseUnsynced makes what was written since the last Sync never durable, although it
// can still be read and a later Sync succeeds: what Linux does after a failed fsync.
func (f *memFile) LoseUnsynced() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.pending = nil
}

// Close implements File.
func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}
