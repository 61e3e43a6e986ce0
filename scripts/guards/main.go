// Command guards takes the guards of the limit engine and the scheduler away, one by
// one, in a copy of the tree, and runs the tests: they must go red. It prints the result
// and writes it to docs/guards.md.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	list := flag.String("list", "scripts/guards/guards.txt", "the guards")
	page := flag.String("page", "docs/guards.md", "where the result is written; empty: nowhere")
	only := flag.String("only", "", "only guards whose name matches this `REGEXP`")
	workers := flag.Int("workers", min(2, runtime.NumCPU()), "how many at once")
	limit := flag.Duration("time", 10*time.Minute, "the most that one may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *list, *page, *only, *workers, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "guards:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, list, page, only string, workers int, limit time.Duration) error {
	guards, err := read(list)
	if err != nil {
		return err
	}
	var stale []error // all that are out of date are named before anything is run
	for _, g := range guards {
		stale = append(stale, g.fits("."))
	}
	if err := errors.Join(stale...); err != nil {
		return err
	}
	if only != "" {
		match, err := regexp.Compile(only)
		if err != nil {
			return fmt.Errorf("-only: %w", err)
		}
		guards = slices.DeleteFunc(guards, func(g *guard) bool { return !match.MatchString(g.name) })
		page = ""
	}
	todo := make(chan *guard)
	go func() {
		defer close(todo)
		for _, g := range guards {
			todo <- g
		}
	}()
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for i := range workers {
		wg.Go(func() {
			errs[i] = work(ctx, i == 0, todo, limit)
			for range todo { // the sender is not left standing
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return report(guards, page)
}

// work tries guards in a copy of the tree of its own. The first worker looks first
// whether the tests pass with every guard in place.
func work(ctx context.Context, first bool, todo <-chan *guard, limit time.Duration) error {
	dir, err := os.MkdirTemp("", "guards")
	if err != nil {
		return fmt.Errorf("make a directory for the copy: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := copyTree(dir); err != nil {
		return err
	}
	if first {
		for _, p := range allPackages {
			if red, out := test(ctx, dir, []string{p}, limit); red {
				return fmt.Errorf("the tests fail with every guard in place:\n%s", out)
			}
		}
	}
	for g := range todo {
		if g.err = g.try(ctx, dir, limit); g.err != nil {
			fmt.Println("ERROR ", g.err)
			continue
		}
		fmt.Printf("%-6s %s (%v): %s\n", g.result(), g.name, g.took.Round(time.Second), strings.Join(g.by, ", "))
	}
	return ctx.Err()
}

// copyTree copies what the tests of the inner rooms need.
func copyTree(to string) error {
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o600)
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return filepath.WalkDir("internal", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, path), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		return os.WriteFile(filepath.Join(to, path), data, 0o600)
	})
}

var allPackages = []string{"limit", "sched", "sim"}

// test runs the tests of packages and reports whether they fail. What takes too long
// has failed.
func test(ctx context.Context, dir string, packages []string, limit time.Duration) (red bool, out []byte) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := []string{"test", "-trimpath", "-vet=off", "-failfast", "-count=1", "-p=1", fmt.Sprintf("-timeout=%v", limit-5*time.Second)}
	for _, p := range packages {
		args = append(args, "./internal/"+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the test binary ends with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	return err != nil, out
}

// try takes the guard away, runs the tests, and puts it back.
func (g *guard) try(ctx context.Context, dir string, limit time.Duration) (err error) {
	start := time.Now()
	undo := map[string][]byte{}
	defer func() {
		g.took = time.Since(start)
		for path, text := range undo {
			if e := os.WriteFile(path, text, 0o600); e != nil {
				err = errors.Join(err, fmt.Errorf("%s: put back: %w", g.name, e))
			}
		}
	}()
	for _, e := range g.edits {
		path := filepath.Join(dir, e.file)
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		if undo[path] == nil {
			undo[path] = text
		}
		if err := os.WriteFile(path, bytes.Replace(text, []byte(e.old), []byte(e.new), 1), 0o600); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	// One package after the other, until one goes red.
	for _, p := range g.packages {
		red, out := test(ctx, dir, []string{p}, limit)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if bytes.Contains(out, []byte("[build failed]")) {
			return fmt.Errorf("%s: without it the code does not compile:\n%s", g.name, out)
		}
		if red {
			g.red, g.by = true, failures(p, out)
			return nil
		}
	}
	return nil
}

var failed = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)

// failures names the tests that failed, the most exact name of each.
func failures(pkg string, out []byte) (names []string) {
	for _, m := range failed.FindAllSubmatch(out, -1) {
		name := pkg + " " + string(m[1])
		if n := len(names); n > 0 && strings.HasPrefix(name, names[n-1]+"/") {
			names[n-1] = name
			continue
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		if m := regexp.MustCompile(`(?m)^panic: (.*)`).FindSubmatch(out); m != nil {
			return []string{fmt.Sprintf("%s: panic: %.80s", pkg, m[1])}
		}
		return []string{pkg + ": did not end in time"}
	}
	return names[:min(len(names), 3)]
}

func (g *guard) result() string {
	if g.red {
		return "red"
	}
	return "GREEN"
}

// report prints the sum, writes the page, and fails when too few went red.
func report(guards []*guard, page string) error {
	red := 0
	for _, g := range guards {
		if g.err != nil {
			return fmt.Errorf("%q could not be taken away", g.name)
		}
		if g.red {
			red++
		}
	}
	sum := fmt.Sprintf("For %d of %d guards the tests go red when they are taken away.", red, len(guards))
	fmt.Println(sum)
	if page != "" {
		var b strings.Builder
		fmt.Fprintf(&b, "# Guards\n\n%s\n\n%s\n\n| guard | what is done without it | the tests | first to go red |\n| --- | --- | --- | --- |\n", intro, sum)
		for _, g := range guards {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", g.name, g.what, strings.ToLower(g.result()), strings.Join(g.by, ", "))
		}
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	}
	if red*10 < len(guards)*9 {
		return fmt.Errorf("only %d of %d went red: at least nine of ten must", red, len(guards))
	}
	return nil
}

const intro = "`make guards` wrote this page. It takes the guards of the limit engine and the scheduler away, one at a time, in a copy of the tree\n" +
	"(`scripts/guards/guards.txt` says how), and runs the tests of `limit`, `sched` and `sim`: a guard that nobody misses is one that no test\nlooks at. A text that is no longer in the code, or a change that does not compile, is an error."
