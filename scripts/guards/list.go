package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// guard is one thing that keeps the engine right, and how to take it away.
type guard struct {
	name, what string
	packages   []string // whose tests look at it, the likeliest first
	edits      []edit

	err  error // it could not be taken away
	red  bool
	by   []string
	took time.Duration
}

type edit struct{ file, old, new string }

// read reads a list of guards:
//
//	== name
//	what is done without it
//	tests limit sched sim
//	in internal/limit/path.go
//	<<<
//	text that is there exactly once
//	===
//	text that takes its place
//	>>>
//
// Lines that begin with # are comments. A guard may have several edits.
func read(path string) ([]*guard, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the guards: %w", err)
	}
	var all []*guard
	var g *guard
	file, old, now, in := "", []string{}, []string{}, 0
	for n, line := range strings.Split(string(data), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case in == 1 && line == "===":
			in = 2
		case in == 1:
			old = append(old, line)
		case in == 2 && line == ">>>":
			g.edits = append(g.edits, edit{file, strings.Join(old, "\n"), strings.Join(now, "\n")})
			old, now, in = nil, nil, 0
		case in == 2:
			now = append(now, line)
		case word == "==":
			g = &guard{name: rest, packages: allPackages}
			all = append(all, g)
		case line == "" || word == "#":
		case g == nil:
			return nil, fmt.Errorf("%s:%d: a guard begins with == and its name", path, n+1)
		case line == "<<<":
			in = 1
		case word == "tests":
			g.packages = strings.Fields(rest)
		case word == "in":
			file = rest
		case g.what == "":
			g.what = line
		default:
			return nil, fmt.Errorf("%s:%d: %q is not understood", path, n+1, line)
		}
	}
	if in != 0 {
		return nil, fmt.Errorf("%s: the last text has no end", path)
	}
	return all, nil
}

// fits reports whether every text to be replaced is there exactly once.
func (g *guard) fits(dir string) error {
	if len(g.edits) == 0 || g.what == "" {
		return fmt.Errorf("guard %q has no text or takes nothing away", g.name)
	}
	texts := map[string]string{}
	for _, e := range g.edits {
		if _, ok := texts[e.file]; !ok {
			data, err := os.ReadFile(filepath.Join(dir, e.file))
			if err != nil {
				return fmt.Errorf("guard %q: %w", g.name, err)
			}
			texts[e.file] = string(data)
		}
		if n := strings.Count(texts[e.file], e.old); n != 1 {
			return fmt.Errorf("guard %q: %s has this text %d times, not once: bring scripts/guards/guards.txt up to date\n%s", g.name, e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(texts[e.file], e.old, e.new, 1)
	}
	return nil
}
