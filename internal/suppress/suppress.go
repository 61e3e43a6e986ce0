// Package suppress keeps the list of addresses and domains to which nothing is sent.
//
//	file of the operator ── read when it changes ──┐
//	                                               ├─> Has(address)
//	hard bounces, complaints, commands ─> store ───┘
//
// The file is the operator's alone: it is read, never written. What is added by the server
// or by a command is kept in a store that survives restarts. Entries are addresses with
// the local part in lower case and the domain canonical, or @domain.
package suppress

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// Store keeps facts over restarts.
type Store interface {
	Get(key string) ([]byte, bool)
	Put(key string, value []byte) error
	Delete(key string) error
	Keys(prefix string) []string
}

// prefix of the keys in the store.
const prefix = "suppressed\x00"

// Bounds of a file.
const (
	maxLine    = 1 << 10  // octets
	maxEntries = 20 << 20 // lines
	maxFaults  = 10       // that are named
)

// Entry is one entry and where it comes from.
type Entry struct {
	Entry  string    `json:"entry"`
	Why    string    `json:"why"`   // file, hard_bounce, complaint, or an operator's words
	By     string    `json:"by"`    // who added it; empty: the server, or the file
	Since  time.Time `json:"since"` // zero for the file's
	Detail string    `json:"detail,omitempty"`
}

// List is the suppression list. Safe for concurrent use.
type List struct {
	store Store
	now   func() time.Time
	file  atomic.Pointer[file]
	mu    sync.Mutex // one read of the file at a time
}

// file is a file as it was read.
type file struct {
	path    string
	size    int64
	changed time.Time
	entries map[string]struct{}
}

// New returns a list without a file.
func New(store Store, now func() time.Time) *List {
	l := &List{store: store, now: now}
	l.file.Store(&file{})
	return l
}

// Canonical is the form of an entry: an address or @domain.
func Canonical(s string) (string, error) {
	a, err := policy.ParseListed(strings.TrimSpace(s))
	if err != nil {
		return "", err
	}
	return a.Local + "@" + a.Domain, nil
}

// Has reports whether nothing is to be sent to an address with a canonical domain.
func (l *List) Has(a mail.Address) bool {
	_, ok := l.find(a)
	return ok
}

func (l *List) find(a mail.Address) (Entry, bool) {
	f := l.file.Load()
	for _, e := range [...]string{strings.ToLower(a.Local) + "@" + a.Domain, "@" + a.Domain} {
		if _, ok := f.entries[e]; ok {
			return Entry{Entry: e, Why: "file " + f.path}, true
		}
		if kept, ok := l.stored(e); ok {
			return kept, true
		}
	}
	return Entry{}, false
}

func (l *List) stored(entry string) (Entry, bool) {
	b, ok := l.store.Get(prefix + entry)
	if !ok {
		return Entry{}, false
	}
	e := Entry{Entry: entry}
	if json.Unmarshal(b, &e) != nil {
		e.Why = "unreadable" // the key alone says enough
	}
	e.Entry = entry
	return e, true
}

// Check finds the entry because of which nothing is sent to an address or a domain.
func (l *List) Check(s string) (Entry, bool, error) {
	a, err := policy.ParseListed(strings.TrimSpace(s))
	if err != nil {
		return Entry{}, false, err
	}
	e, ok := l.find(a)
	return e, ok, nil
}

// Add puts an entry on the list, and returns when that is durable. One that is there stays
// as it is; false.
func (l *List) Add(entry, why, by, detail string) (bool, error) {
	entry, err := Canonical(entry)
	if err != nil {
		return false, err
	}
	if _, ok := l.stored(entry); ok {
		return false, nil
	}
	b, err := json.Marshal(Entry{Why: why, By: by, Since: l.now().UTC(), Detail: detail[:min(len(detail), 500)]})
	if err != nil {
		return false, err
	}
	return true, l.store.Put(prefix+entry, b)
}

// ErrInFile: the entry stands in the operator's file, which is not written to.
var ErrInFile = errors.New("the entry is in the file suppression_list: remove it there")

// Remove takes an entry off the list; false: it was not on it.
func (l *List) Remove(entry string) (bool, error) {
	entry, err := Canonical(entry)
	if err != nil {
		return false, err
	}
	_, kept := l.stored(entry)
	if kept {
		if err := l.store.Delete(prefix + entry); err != nil {
			return false, err
		}
	}
	if _, ok := l.file.Load().entries[entry]; ok {
		return kept, ErrInFile
	}
	return kept, nil
}

// Entries lists at most n entries that were added, behind one of them ("" begins), in
// order; the file's are not among them.
func (l *List) Entries(after string, n int) []Entry {
	var out []Entry
	for _, k := range l.store.Keys(prefix) {
		entry := strings.TrimPrefix(k, prefix)
		if entry <= after {
			continue
		}
		if len(out) == n {
			break
		}
		if e, ok := l.stored(entry); ok {
			out = append(out, e)
		}
	}
	return out
}

// FileSize is how many entries the file has.
func (l *List) FileSize() int { return len(l.file.Load().entries) }

// Read reads the file when it is another one, or has changed since; empty: there is none.
// Lines that are no entry are passed over; the error names the first of them, or says why the
// file cannot be read, in which case the list stays as it was.
func (l *List) Read(path string) (read bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.file.Load()
	if path == "" {
		if now.path != "" {
			l.file.Store(&file{})
		}
		return now.path != "", nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("suppression_list: %w; the list stays as it was", err)
	}
	if now.path == path && now.size == info.Size() && now.changed.Equal(info.ModTime()) {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("suppression_list: %w; the list stays as it was", err)
	}
	defer f.Close()
	entries, faults, err := parse(f)
	if err != nil {
		return false, fmt.Errorf("suppression_list %s: %w; the list stays as it was", path, err)
	}
	l.file.Store(&file{path: path, size: info.Size(), changed: info.ModTime(), entries: entries})
	if len(faults) > 0 {
		err = fmt.Errorf("suppression_list %s: lines are passed over: %w", path, errors.Join(faults...))
	}
	return true, err
}

// parse reads entries, one on a line; # begins a comment.
func parse(r io.Reader) (map[string]struct{}, []error, error) {
	entries := map[string]struct{}{}
	var faults []error
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 4096), maxLine)
	for n := 1; s.Scan(); n++ {
		if n > maxEntries {
			return nil, nil, fmt.Errorf("more than %d lines", maxEntries)
		}
		line, _, _ := strings.Cut(s.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		e, err := Canonical(line)
		if err != nil {
			if len(faults) < maxFaults {
				faults = append(faults, fmt.Errorf("line %d: %w", n, err))
			}
			continue
		}
		entries[e] = struct{}{}
	}
	return entries, faults, s.Err()
}
