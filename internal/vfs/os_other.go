//go:build unix && !linux

package vfs

// Sync implements File: the fsync of os.File.
func (f osFile) Sync() error { return f.File.Sync() }

// Preallocate implements File.
func (f osFile) Preallocate(size int64) error { return extend(f, size) }
