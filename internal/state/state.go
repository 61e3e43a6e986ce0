package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-mta/sluice/internal/vfs"
)

const (
	fileName = "state.log"
	newName  = "state.new"
	asideDir = "damaged"

	// slack is how much of a file may be facts that have changed since, beyond three
	// quarters of it.
	slack = 64 << 10
)

// ErrFull: the facts would be more than MaxBytes, or a key or value is too long.
var ErrFull = errors.New("too much to remember")

// Options says where a Store lives.
type Options struct {
	FS  vfs.FS // nil: the real one
	Dir string // made when it is missing
	// MaxBytes bounds all facts together; 0: the constant MaxBytes.
	MaxBytes int64
	// Log is told what was found damaged or could not be done; nil: nobody is.
	Log func(level slog.Level, text string)
}

// Store keeps facts. Safe for concurrent use.
type Store struct {
	fs  vfs.FS
	dir string
	max int64
	log func(slog.Level, string)

	mu    sync.Mutex
	facts map[string][]byte
	live  int64    // octets of their records
	file  vfs.File // nil: to be written anew before anything else (T4)
	end   int64
	aside [][]byte // damaged octets that are not set aside yet
	set   int      // how many damaged pieces have a file
}

// Open reads the facts. A missing directory or file is an empty store; damage is set
// aside and logged. An error says that the directory cannot be made or read.
func Open(o Options) (*Store, error) {
	s := &Store{fs: o.FS, dir: o.Dir, log: o.Log, facts: map[string][]byte{}, max: o.MaxBytes}
	if s.max == 0 {
		s.max = MaxBytes
	}
	if s.fs == nil {
		s.fs = vfs.OS{}
	}
	if s.log == nil {
		s.log = func(slog.Level, string) {}
	}
	if err := vfs.MkdirAll(s.fs, s.dir); err != nil {
		return nil, fmt.Errorf("open the state in %s: %w", s.dir, err)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open the state in %s: %w", s.dir, err)
	}
	return s, nil
}

func (s *Store) load() error {
	names, err := s.fs.List(s.dir)
	if err != nil || !slices.Contains(names, fileName) {
		return err
	}
	content, err := s.read()
	if err != nil {
		return err
	}
	p := parse(content)
	s.facts = p.facts
	for k, v := range s.facts { // a sum: the order does not matter
		s.live += recordSize(k, v)
	}
	for _, d := range p.damaged {
		s.aside = append(s.aside, slices.Clone(content[d.from:d.to]))
	}
	torn := len(content) - p.end
	if torn > 0 {
		s.log(slog.LevelInfo, fmt.Sprintf("state: %d octets at the end of %s were never acknowledged and are dropped", torn, path.Join(s.dir, fileName)))
	}
	if len(p.damaged) == 0 && torn == 0 && len(content) > 0 {
		if s.file, err = s.fs.OpenWrite(path.Join(s.dir, fileName)); err != nil {
			return err
		}
		s.end = int64(len(content))
		return nil
	}
	// What was read is kept at once in a file without damage. If that cannot be, the next
	// change tries again.
	if err := s.renew(); err != nil {
		s.log(slog.LevelWarn, fmt.Sprintf("state: %v; the next change tries again", err))
	}
	return nil
}

func (s *Store) read() ([]byte, error) {
	name := path.Join(s.dir, fileName)
	f, err := s.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := s.fs.Size(name)
	if err != nil {
		return nil, err
	}
	if most := 5*s.max + slack; size > most { // what T5 allows, with room
		return nil, fmt.Errorf("%s has %d octets; at most %d can be", name, size, most)
	}
	content := make([]byte, size)
	if _, err := f.ReadAt(content, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return content, nil
}

// Get returns the fact under a key; false: there is none. It is not to be changed.
func (s *Store) Get(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.facts[key]
	return v, ok
}

// Keys returns the keys that begin with prefix, sorted.
func (s *Store) Keys(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, k := range slices.Sorted(maps.Keys(s.facts)) {
		if strings.HasPrefix(k, prefix) {
			out = append(out, k)
		}
	}
	return out
}

// Put keeps a fact under a key of 1 to MaxKey octets, in place of the one before, and
// returns when it is durable. ErrFull, or the error of the disk: then the one before
// stands.
func (s *Store) Put(key string, value []byte) error {
	if len(key) == 0 || len(key) > MaxKey || len(value) > MaxValue {
		return fmt.Errorf("remember %.100q: %w: keys have 1 to %d octets, values at most %d", key, ErrFull, MaxKey, MaxValue)
	}
	return s.change(opPut, key, slices.Clone(value))
}

// Delete forgets the fact under a key, and returns when that is durable.
func (s *Store) Delete(key string) error { return s.change(opDelete, key, nil) }

func (s *Store) change(op byte, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, had := s.facts[key]
	if op == opDelete && !had || op == opPut && had && string(old) == string(value) && s.file != nil {
		return nil
	}
	before := s.live
	if had {
		s.live -= recordSize(key, old)
	}
	if op == opPut {
		s.live += recordSize(key, value)
	}
	err := error(nil)
	if s.live > s.max && s.live > before {
		err = ErrFull
	} else {
		s.apply(op, key, value)
		err = s.write(op, key, value)
	}
	if err != nil {
		s.live = before
		s.apply(opDelete, key, nil)
		if had {
			s.apply(opPut, key, old)
		}
		return fmt.Errorf("remember %.100q in %s: %w", key, s.dir, err)
	}
	return nil
}

func (s *Store) apply(op byte, key string, value []byte) {
	if op == opPut {
		s.facts[key] = value
	} else {
		delete(s.facts, key)
	}
}

// write makes the change durable that facts hold already.
func (s *Store) write(op byte, key string, value []byte) error {
	if s.file == nil {
		return s.renew()
	}
	rec := appendRecord(nil, op, key, value)
	_, err := s.file.WriteAt(rec, s.end)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		s.drop()
		return err
	}
	if s.end += int64(len(rec)); s.end > s.bound() {
		if err := s.renew(); err != nil { // the change itself is there
			s.log(slog.LevelWarn, fmt.Sprintf("state: %v; the next change tries again", err))
		}
	}
	return nil
}

// drop gives up the present file: nothing may be appended to it (T4).
func (s *Store) drop() {
	if s.file != nil {
		_ = s.file.Close() // nothing more is expected of it
		s.file = nil
	}
}

// bound is the length above which a file with the present facts is written anew (T5).
func (s *Store) bound() int64 { return 4*s.live + slack }

// renew writes all facts to a new file and puts it in the place of the old one. What was
// damaged in the old one is set aside before.
func (s *Store) renew() error {
	s.drop()
	if err := s.setAside(); err != nil {
		return fmt.Errorf("set damaged octets aside: %w", err)
	}
	b := []byte(fileHeader)
	for _, k := range slices.Sorted(maps.Keys(s.facts)) {
		b = appendRecord(b, opPut, k, s.facts[k])
	}
	f, err := s.replace(b)
	if err != nil {
		return fmt.Errorf("write %s anew: %w", fileName, err)
	}
	s.file, s.end = f, int64(len(b))
	return nil
}

// replace puts a file with the content into the place of the present one, durably.
func (s *Store) replace(content []byte) (vfs.File, error) {
	from, to := path.Join(s.dir, newName), path.Join(s.dir, fileName)
	if err := s.fs.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := s.fs.Create(from)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.fs.Rename(from, to)
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// setAside writes damaged octets to files of their own and names them.
func (s *Store) setAside() error {
	if len(s.aside) == 0 {
		return nil
	}
	dir := path.Join(s.dir, asideDir)
	if err := vfs.MkdirAll(s.fs, dir); err != nil {
		return err
	}
	for len(s.aside) > 0 {
		name := path.Join(dir, fmt.Sprintf("%04d.rec", s.set))
		f, err := s.fs.Create(name)
		if errors.Is(err, fs.ErrExist) && s.set < 9999 {
			s.set++
			continue
		}
		if err != nil {
			return err
		}
		if _, err = f.WriteAt(s.aside[0], 0); err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
		if err == nil {
			err = s.fs.SyncDir(dir)
		}
		if err != nil {
			return err
		}
		s.log(slog.LevelWarn, fmt.Sprintf("state: %d damaged octets of %s are set aside in %s; what they said is forgotten", len(s.aside[0]), path.Join(s.dir, fileName), name))
		s.set++
		s.aside = s.aside[1:]
	}
	return nil
}

// Close closes the file. Everything acknowledged is durable already.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
