package account

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/vfs"
)

// format is one form of the records.
type format struct {
	name   string // "csv", "jsonl": the option's value and the end of file names
	header string
	encode func([]byte, *Record) []byte
}

var formats = []format{
	{"csv", header, AppendCSV},
	{"jsonl", "", AppendJSON},
}

// prefix begins the names of all files: accounting.csv is written to,
// accounting-20260102T030405.678Z.csv is done.
const prefix = "accounting"

const stampLayout = "20060102T150405.000Z"

// file is the file of one format that is written to, its rotation, and what could not
// be written yet. One goroutine uses it.
type file struct {
	format
	fs      vfs.FS
	dir     string
	maxSize int64
	maxAge  time.Duration

	open    vfs.File // nil: to be opened
	off     int64    // whole records end here
	reached int64    // the file may be longer, by a write that failed
	since   time.Time
	dirty   bool   // written since the last sync
	known   bool   // off is that of the file of this name, also when it is not open
	pending []byte // encoded, not written
	turn    bool   // to be rotated, whatever its size and age
	again   bool   // to be closed and opened by its name
}

func (f *file) path() string { return path.Join(f.dir, prefix+"."+f.name) }

// flush writes what is pending. After an error the file is as it was before, or will be
// made so before the next write; pending stays.
func (f *file) flush(now time.Time) error {
	if f.again {
		if err := f.close(); err != nil {
			return err
		}
		f.again, f.known = false, false
	}
	if f.open == nil {
		if err := f.reopen(now); err != nil {
			return err
		}
	}
	if f.due(now) {
		if err := f.rotate(now); err != nil {
			return err
		}
	}
	if f.off == 0 && f.header != "" {
		if err := f.write([]byte(f.header)); err != nil {
			return err
		}
		if err := f.sync(); err != nil { // without it the file could not be read after a loss of power
			return err
		}
	}
	if len(f.pending) == 0 {
		return nil
	}
	if err := f.write(f.pending); err != nil {
		return err
	}
	f.pending = f.pending[:0]
	return nil
}

// write puts b at the end, all of it or nothing.
func (f *file) write(b []byte) error {
	if f.reached > f.off {
		if err := f.open.Truncate(f.off); err != nil {
			f.drop()
			return fmt.Errorf("accounting: take back a half record: %w", err)
		}
		f.reached = f.off
	}
	n, err := f.open.WriteAt(b, f.off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		f.reached = f.off + int64(len(b)) // how far it came is not certain
		if terr := f.open.Truncate(f.off); terr == nil {
			f.reached = f.off
		}
		if !full(err) {
			f.drop() // the file or its directory may have been replaced
		}
		return fmt.Errorf("accounting: write: %w", err)
	}
	f.off += int64(len(b))
	f.reached, f.dirty = f.off, true
	return nil
}

// drop closes a file that gives trouble; it is opened again at the next flush.
func (f *file) drop() {
	if f.open != nil {
		_ = f.open.Close() // its trouble has been reported
		f.open = nil
	}
}

// reopen opens the file of this format, a new one if there is none. What follows the
// last whole record is cut off: a crash left it.
func (f *file) reopen(now time.Time) error {
	h, err := f.fs.OpenWrite(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return f.create(now)
	}
	if err != nil {
		return fmt.Errorf("accounting: open: %w", err)
	}
	size, err := f.fs.Size(f.path())
	if err == nil {
		err = f.fs.SyncDir(f.dir) // its name may be new, and not durable yet
	}
	if err == nil && f.known && size >= f.off {
		// Ours from before: whatever is behind off was never reported as written.
		f.open, f.reached = h, size
		return nil
	}
	var end int64
	if err == nil {
		end, err = soundEnd(h, size)
	}
	if err == nil {
		f.since, err = f.begin(h, end, now)
	}
	if err != nil {
		h.Close()
		if errors.Is(err, errOtherColumns) {
			if err = f.putAside(now); err == nil {
				return f.create(now)
			}
		}
		return fmt.Errorf("accounting: open %s: %w", f.path(), err)
	}
	f.open, f.off, f.reached, f.known = h, end, size, true
	return nil
}

var errOtherColumns = errors.New("its columns are not those of this version")

// begin returns when a file was begun: the time of its first record. A file with other
// columns is not continued.
func (f *file) begin(h vfs.File, end int64, now time.Time) (time.Time, error) {
	if end == 0 {
		return now, nil
	}
	head := make([]byte, min(end, 64<<10))
	if _, err := h.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return now, err
	}
	if !bytes.HasPrefix(head, []byte(f.header)) {
		return now, errOtherColumns
	}
	var r Record
	if err := NewDecoder(bytes.NewReader(head)).Decode(&r); err == nil && r.Logged > 0 && r.Logged < now.UnixNano() {
		return time.Unix(0, r.Logged), nil
	}
	return now, nil
}

// soundEnd returns the offset behind the last whole line. A loss of power can leave zeros in
// the place of what was written last; no record holds one, so the sound part ends there.
func soundEnd(h io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 256<<10)
	var end int64
	for off := int64(0); off < size; {
		chunk := buf[:min(size-off, int64(len(buf)))]
		if n, err := h.ReadAt(chunk, off); n < len(chunk) {
			return 0, err
		}
		hole := bytes.IndexByte(chunk, 0)
		if hole >= 0 {
			chunk = chunk[:hole]
		}
		if i := bytes.LastIndexByte(chunk, '\n'); i >= 0 {
			end = off + int64(i) + 1
		}
		if hole >= 0 {
			break
		}
		off += int64(len(chunk))
	}
	return end, nil
}

func (f *file) create(now time.Time) error {
	if err := vfs.MkdirAll(f.fs, f.dir); err != nil {
		return fmt.Errorf("accounting: make the directory: %w", err)
	}
	h, err := f.fs.Create(f.path())
	if err != nil {
		return fmt.Errorf("accounting: create: %w", err)
	}
	if err := f.fs.SyncDir(f.dir); err != nil {
		h.Close()
		f.known = false
		return fmt.Errorf("accounting: sync the directory: %w", err)
	}
	f.open, f.off, f.reached, f.since, f.known = h, 0, 0, now, true
	return nil
}

// due reports whether the file is to be rotated before more is written to it.
func (f *file) due(now time.Time) bool {
	if f.off <= int64(len(f.header)) {
		f.turn = false // there is nothing in it
		return false
	}
	return f.turn || f.maxSize > 0 && f.off+int64(len(f.pending)) > f.maxSize || f.maxAge > 0 && now.Sub(f.since) >= f.maxAge
}

// rotate gives the file its final name and begins a new one.
func (f *file) rotate(now time.Time) error {
	if err := f.close(); err != nil {
		return err
	}
	if err := f.putAside(now); err != nil {
		return fmt.Errorf("accounting: rotate: %w", err)
	}
	f.turn = false
	return f.create(now)
}

// close takes half records back, syncs and closes.
func (f *file) close() error {
	if f.open == nil {
		return nil
	}
	if f.reached > f.off {
		if err := f.open.Truncate(f.off); err != nil {
			return fmt.Errorf("accounting: take back a half record: %w", err)
		}
		f.reached = f.off
	}
	if err := f.sync(); err != nil {
		return err
	}
	err := f.open.Close()
	f.open = nil
	if err != nil {
		return fmt.Errorf("accounting: close: %w", err)
	}
	return nil
}

// sync makes what was written durable. After a failure the system may have given up what
// it could not write, and says so only once.
func (f *file) sync() error {
	if !f.dirty || f.open == nil {
		return nil
	}
	f.dirty = false
	if err := f.open.Sync(); err != nil {
		return fmt.Errorf("accounting: sync: %w", err)
	}
	return nil
}

// putAside renames the file to the first free name from now on, after all others: names
// sort in the order of the files even when the clock goes back.
func (f *file) putAside(now time.Time) error {
	names, err := f.fs.List(f.dir)
	if err != nil {
		return err
	}
	stamp := now.UTC()
	for _, n := range names {
		if at, ok := rotatedAt(n, f.name); ok && !at.Before(stamp.Truncate(time.Millisecond)) {
			stamp = at.Add(time.Millisecond)
		}
	}
	target := path.Join(f.dir, prefix+"-"+stamp.Format(stampLayout)+"."+f.name)
	if _, err := f.fs.Size(target); err == nil {
		return &fs.PathError{Op: "rename", Path: target, Err: fs.ErrExist}
	}
	if err := f.fs.Rename(f.path(), target); err != nil {
		return err
	}
	f.known = false
	return f.fs.SyncDir(f.dir)
}

// rotatedAt returns the time in the name of a rotated file.
func rotatedAt(name, format string) (time.Time, bool) {
	rest, ok := strings.CutPrefix(name, prefix+"-")
	if !ok {
		return time.Time{}, false
	}
	if rest, ok = strings.CutSuffix(rest, "."+format); !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(stampLayout, rest)
	return at, err == nil
}
