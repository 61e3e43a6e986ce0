package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
)

// Bounds of what a configuration may be.
const (
	MaxFileSize  = 16 << 20 // octets of one file
	maxTotalSize = 64 << 20
	maxFiles     = 10_000
	maxIncludes  = 16 // depth
	maxFindings  = 1000
)

// Loader reads configurations. The zero Loader reads the file system as it is.
type Loader struct {
	// ReadFile, ReadDir and Stat replace the file system, for tests.
	ReadFile func(string) ([]byte, error)
	ReadDir  func(string) ([]fs.DirEntry, error)
	Stat     func(string) (fs.FileInfo, error)
	// Getenv replaces the environment, for tests.
	Getenv func(string) (string, bool)
	// Hostname is the machine's name; empty: asked from the system.
	Hostname string
	// Files is the open-file limit that the connection limits are compared with: the hard
	// one, because the server raises its own; 0: not compared.
	Files int
	// Check says that the configuration is only looked at: secrets that only a service
	// manager can supply (credential:) are then no error.
	Check bool
	// Partial gives what could be read although there are errors: enough to find a running
	// server by, never to run one.
	Partial bool
}

// Load reads the configuration in a file. The Snapshot is nil when there are errors.
func Load(path string) (*policy.Snapshot, Diagnostics) { return (&Loader{}).Load(path) }

// Default is the configuration of a server without a file.
func Default() *policy.Snapshot { return policy.New((&Loader{}).hostname()) }

// Load reads the configuration in a file.
func (l *Loader) Load(path string) (*policy.Snapshot, Diagnostics) {
	r := l.begin(path)
	r.file(path, r.root, nil)
	return r.finish()
}

// Parse reads the configuration from a text; path names it and its directory.
func (l *Loader) Parse(path, text string) (*policy.Snapshot, Diagnostics) {
	r := l.begin(path)
	r.text(path, text, r.root)
	return r.finish()
}

func (l *Loader) begin(path string) *run {
	return &run{Loader: l, main: path, root: policy.NewRoot(), order: map[string]int{}}
}

func (l *Loader) hostname() string {
	if l.Hostname != "" {
		return l.Hostname
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return strings.ToLower(name)
}

// run is one reading.
type run struct {
	*Loader
	main  string
	root  *policy.Scope
	diags Diagnostics
	order map[string]int // files as they were met, for the order of findings
	open  []string       // files being read, for loops
	total int
	files int

	errors, warnings int
}

func (r *run) finish() (*policy.Snapshot, Diagnostics) {
	snap, findings := policy.Build(r.root, policy.Environment{File: r.main, Hostname: r.hostname(), Directory: filepath.Dir(r.main)})
	if f := snap.FileFinding(r.Files); f != nil {
		findings = append([]policy.Finding{*f}, findings...)
	}
	for _, f := range findings {
		d := Diagnostic{File: f.Origin.File, Line: f.Origin.Line, Column: f.Origin.Column, Warning: f.Warning, Text: f.Text}
		if d.File == "" { // of the configuration as a whole
			d.File, d.Line, d.Column = r.main, 1, 1
		}
		r.add(d)
	}
	r.checkExposure(snap)
	r.checkFiles()
	if _, ok := r.order[r.main]; !ok {
		r.order[r.main] = -1
	}
	r.diags.sortBy(r.order)
	r.tooMany()
	if r.diags.HasErrors() && !r.Partial {
		return nil, r.diags
	}
	return snap, r.diags
}

// add keeps a finding; beyond maxFindings errors, and as many warnings, they are
// only counted.
func (r *run) add(d Diagnostic) {
	n := &r.errors
	if d.Warning {
		n = &r.warnings
	}
	if *n++; *n <= maxFindings {
		r.diags = append(r.diags, d)
	}
}

// tooMany says that findings were left out.
func (r *run) tooMany() {
	for _, c := range []struct {
		n       int
		what    string
		warning bool
	}{{r.warnings, "warnings", true}, {r.errors, "errors", false}} {
		if c.n > maxFindings {
			r.diags = append(r.diags, Diagnostic{
				File: r.main, Warning: c.warning,
				Text: fmt.Sprintf("%d %s more are not shown", c.n-maxFindings, c.what),
			})
		}
	}
}

// full reports whether further errors would not be shown.
func (r *run) full() bool { return r.errors > maxFindings }

// errorAt reports an error at a token of a file.
func (r *run) errorAt(file string, t token, format string, args ...any) {
	r.add(Diagnostic{File: file, Line: t.line, Column: t.col, Text: fmt.Sprintf(format, args...)})
}

// file reads one file into a scope; at is the include that names it, nil for the main
// file.
func (r *run) file(path string, into *policy.Scope, at *includeSite) {
	fail := func(format string, args ...any) {
		if at != nil {
			r.errorAt(at.file, at.tok, format, args...)
			return
		}
		r.add(Diagnostic{File: path, Text: fmt.Sprintf(format, args...)})
	}
	if slices.Contains(r.open, path) {
		fail("include %q: the file includes itself: %s", path, strings.Join(append(r.open, path), " > "))
		return
	}
	if r.files++; r.files > maxFiles || len(r.open) >= maxIncludes {
		fail("include %q: more than %d files, or more than %d deep", path, maxFiles, maxIncludes)
		return
	}
	data, err := r.readFile(path)
	if err != nil {
		fail("read %s: %v", path, reason(err))
		return
	}
	if r.total += len(data); len(data) > MaxFileSize || r.total > maxTotalSize {
		fail("read %s: larger than %d octets, or the whole configuration larger than %d", path, MaxFileSize, maxTotalSize)
		return
	}
	r.open = append(r.open, path)
	r.text(path, string(data), into)
	r.open = r.open[:len(r.open)-1]
}

// reason is the cause of a file error without the operation and path again.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func (r *run) text(path, text string, into *policy.Scope) {
	if _, ok := r.order[path]; !ok {
		r.order[path] = len(r.order)
	}
	items, _ := parse(text, func(line, col int, msg string) {
		r.add(Diagnostic{File: path, Line: line, Column: col, Text: msg})
	})
	r.items(path, items, into)
}

func (r *run) items(file string, items []*item, into *policy.Scope) {
	for _, it := range items {
		switch it.kind {
		case itemOption:
			r.option(file, it, into)
		case itemStanza:
			r.stanza(file, it, into)
		case itemInclude:
			r.include(file, it, into)
		}
	}
}

type includeSite struct {
	file string
	tok  token
}

// include reads a file, or the files of a directory in alphabetical order (hidden ones
// left out, directories in it too), relative to the directory of the including file.
func (r *run) include(file string, it *item, into *policy.Scope) {
	site := &includeSite{file, *it.label}
	path := it.label.text
	if strings.HasPrefix(path, builtinPrefix) {
		r.includeBuiltin(file, it, into)
		return
	}
	if path == "" || strings.ContainsRune(path, 0) {
		r.errorAt(file, *it.label, "include needs the path of a file or a directory")
		return
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(file), path)
	}
	info, err := r.stat(path)
	if err != nil {
		r.errorAt(file, *it.label, "include %q: %v", path, reason(err))
		return
	}
	if !info.IsDir() {
		r.file(path, into, site)
		return
	}
	entries, err := r.readDir(path)
	if err != nil {
		r.errorAt(file, *it.label, "include %q: %v", path, reason(err))
		return
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !strings.HasSuffix(e.Name(), "~") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	for _, n := range names {
		r.file(filepath.Join(path, n), into, site)
	}
}

func (r *run) readFile(path string) ([]byte, error) {
	if r.ReadFile != nil {
		return r.ReadFile(path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errors.New("is a directory")
	}
	if info.Size() > MaxFileSize {
		return nil, fmt.Errorf("larger than %d octets", MaxFileSize)
	}
	return os.ReadFile(path)
}

func (r *run) readDir(path string) ([]fs.DirEntry, error) {
	if r.ReadDir != nil {
		return r.ReadDir(path)
	}
	return os.ReadDir(path)
}

func (r *run) stat(path string) (fs.FileInfo, error) {
	if r.Stat != nil {
		return r.Stat(path)
	}
	return os.Stat(path)
}
