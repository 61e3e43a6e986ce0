package account

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/sluice-mta/sluice/internal/vfs"
)

// Reader reads the records of a directory, oldest file first, and follows the file that
// is written to across rotations. It takes no lock and holds nothing up. Not safe for
// concurrent use.
type Reader struct {
	fs     vfs.FS
	dir    string
	format string

	done    string   // the newest rotated file that was read to its end
	file    vfs.File // nil: to be opened
	rotated string   // its name if it is a rotated one; empty: the one written to
	from    *section
	dec     *Decoder
}

// section reads a file from an offset on, as far as it goes at the moment.
type section struct {
	file vfs.File
	off  int64
}

func (s *section) Read(p []byte) (int, error) {
	n, err := s.file.ReadAt(p, s.off)
	s.off += int64(n)
	if n > 0 {
		return n, nil
	}
	if err == nil {
		err = io.EOF
	}
	return 0, err
}

// NewReader returns a reader of the records of a format ("csv", "jsonl") in dir.
func NewReader(fsys vfs.FS, dir, format string) *Reader {
	return &Reader{fs: fsys, dir: dir, format: format}
}

// Next reads the next record into r. io.EOF: no more for now; call again later.
// *LineError: a line is no record; call again for the next.
func (r *Reader) Next(rec *Record) error {
	for {
		if r.file == nil {
			if err := r.open(); err != nil {
				return err
			}
		}
		err := r.dec.Decode(rec)
		if !errors.Is(err, io.EOF) {
			return err
		}
		r.rewind()
		moved, err := r.movedOn()
		if err != nil {
			return err
		}
		if !moved {
			return io.EOF
		}
		// Nothing is added to a rotated file, but something may have been between the last
		// look into it and its rotation.
		if err := r.dec.Decode(rec); !errors.Is(err, io.EOF) {
			return err
		}
		r.finish()
	}
}

// rewind goes back to the beginning of a line whose end has not come: until then it may be
// taken back and another written in its place.
func (r *Reader) rewind() {
	r.from.off -= int64(len(r.dec.partial))
	r.dec.partial = r.dec.partial[:0]
}

// movedOn reports whether the open file has been rotated and will not grow; it is then
// known by its final name.
func (r *Reader) movedOn() (bool, error) {
	if r.rotated != "" {
		return true, nil
	}
	name, err := r.following()
	if err != nil || name == "" {
		return false, err
	}
	r.rotated = name // the oldest one not read yet was ours when it was written to
	return true, nil
}

// following returns the oldest rotated file that was not read, empty: there is none.
func (r *Reader) following() (string, error) {
	names, err := r.fs.List(r.dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return "", fmt.Errorf("accounting: list %s: %w", r.dir, err)
	}
	slices.Sort(names)
	for _, n := range names {
		if _, ok := rotatedAt(n, r.format); ok && n > r.done {
			return n, nil
		}
	}
	return "", nil
}

func (r *Reader) open() error {
	name, err := r.following()
	if err != nil {
		return err
	}
	r.rotated = name
	if name == "" {
		name = prefix + "." + r.format
	}
	f, err := r.fs.Open(path.Join(r.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return io.EOF // not written yet, or renamed at this moment
	}
	if err != nil {
		return fmt.Errorf("accounting: open: %w", err)
	}
	if r.rotated == "" {
		// Between the look for rotated files and this open there may have been a rotation.
		if late, err := r.following(); err != nil || late != "" {
			f.Close()
			if err != nil {
				return err
			}
			return r.open()
		}
	}
	r.file, r.from = f, &section{file: f}
	r.dec = NewDecoder(r.from)
	return nil
}

func (r *Reader) finish() {
	r.done = r.rotated
	r.Close()
}

// Close closes the open file. Next opens it again from its beginning.
func (r *Reader) Close() {
	if r.file != nil {
		_ = r.file.Close() // it was only read
		r.file, r.dec, r.from, r.rotated = nil, nil, nil, ""
	}
}
