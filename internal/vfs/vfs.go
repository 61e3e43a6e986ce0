// Package vfs is the file system as the rooms with files on disk see it: only the
// calls they make, in four forms.
//
//	OS        the real one: fdatasync, fallocate, flock
//	Mem       in memory; Crash gives it as it is after a power loss: what was synced is
//	          certain, the rest is there, gone or torn, by a seeded coin
//	Faulty    another one, with calls that fail by a predicate (n-th call, EIO, EROFS, ...)
//	SetCapacity of Mem: a full disk (ENOSPC)
//
// Names are slash-separated paths. Errors are those of package os and errors.Is works
// on them with fs.ErrNotExist, fs.ErrExist and syscall.Errno.
package vfs

import (
	"fmt"
	"io"
	"path"
)

// FS is a file system. Safe for concurrent use.
type FS interface {
	// Create makes a new file of mode 0600 for reading and writing; fs.ErrExist. Its
	// name is durable only after SyncDir of its directory.
	Create(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)
	// Rename gives a file another name in the same directory, replacing what has it.
	Rename(from, to string) error
	// Remove removes a file.
	Remove(name string) error
	// List returns the names in a directory, sorted.
	List(dir string) ([]string, error)
	// Mkdir makes a directory of mode 0700; fs.ErrExist.
	Mkdir(dir string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Size returns the length of a file, or 0 for a directory; fs.ErrNotExist.
	Size(name string) (int64, error)
	// Free returns the octets that an unprivileged process may still allocate, -1 when
	// it is not known.
	Free(dir string) (int64, error)
	// Lock takes an exclusive lock on a file, made when it is missing, without waiting.
	// It is held until Close, or the end of the process. When another holds it the error
	// is a *LockedError.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt and WriteAt are safe for concurrent use.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes content and length durable (fdatasync). After an error the content
	// written since the last Sync may be lost although a further Sync succeeds.
	Sync() error
	// Preallocate reserves room for size octets and makes the file at least that long.
	Preallocate(size int64) error
	// Truncate sets the length.
	Truncate(size int64) error
}

// LockedError says that another process holds a lock.
type LockedError struct {
	Name   string
	Holder string // process id of the holder; empty when it is not known
}

func (e *LockedError) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("lock %s: held by another process", e.Name)
	}
	return fmt.Sprintf("lock %s: held by process %s", e.Name, e.Holder)
}

// MkdirAll makes a directory and its missing parents, and makes each name durable.
func MkdirAll(f FS, dir string) error {
	dir = path.Clean(dir)
	if _, err := f.Size(dir); err == nil {
		return nil
	}
	parent := path.Dir(dir)
	if parent != dir {
		if err := MkdirAll(f, parent); err != nil {
			return err
		}
	}
	if err := f.Mkdir(dir); err != nil {
		return err
	}
	return f.SyncDir(parent)
}
