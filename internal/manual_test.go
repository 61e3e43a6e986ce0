package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestManualNamesTests: the tests and scenarios that docs/testing.md names are there.
func TestManualNamesTests(t *testing.T) {
	page, err := os.ReadFile("../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)[A-Z]\w*)\(`)
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != ".." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(b, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w*`).FindAllString(string(page), -1)
	for _, n := range names {
		if !there[n] {
			t.Errorf("docs/testing.md names %s, which is not there", n)
		}
	}
	if len(names) < 20 {
		t.Errorf("docs/testing.md names %d tests", len(names))
	}
	for _, n := range regexp.MustCompile(`[a-z_]+\*?\.txt`).FindAllString(string(page), -1) {
		if found, err := filepath.Glob("sim/testdata/" + n); err != nil || len(found) == 0 {
			t.Errorf("docs/testing.md names %s, which is not there (%v)", n, err)
		}
	}
}
