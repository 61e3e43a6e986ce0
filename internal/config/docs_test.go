package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReferenceIsUpToDate holds docs/options.md to the option table (go generate
// ./internal/config writes it anew, or -update here).
func TestReferenceIsUpToDate(t *testing.T) {
	var b strings.Builder
	if err := Reference(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/options.md", b.String())
}

// TestManualSnippets checks every ```sluice block of the manual.
func TestManualSnippets(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatal("pages of the manual:", pages, err)
	}
	blocks := 0
	for _, page := range append(pages, "../../README.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks += checkSnippets(t, page, string(data))
	}
	if blocks < 12 {
		t.Errorf("only %d blocks", blocks)
	}
}

// checkSnippets checks the blocks of a page and returns how many there are.
func checkSnippets(t *testing.T, page, text string) (blocks int) {
	t.Helper()
	whole := text
	for {
		_, rest, ok := strings.Cut(text, "\n```sluice\n")
		if !ok {
			return blocks
		}
		block, after, ok := strings.Cut(rest, "\n```")
		if !ok {
			t.Fatalf("%s: a block is not closed", page)
		}
		line := strings.Count(whole[:len(whole)-len(rest)], "\n")
		_, diags := manualLoader().Parse(page, strings.Repeat("\n", line)+block)
		if diags.HasErrors() {
			t.Error(diags.Err())
		}
		checkFormat(t, block)
		blocks++
		text = after
	}
}

// manualLoader does what config check does, on a machine that has the files which the
// texts name.
func manualLoader() *Loader {
	stat := func(string) (fs.FileInfo, error) { return nil, nil }
	return &Loader{Hostname: "mta.test", Check: true, Stat: stat, ReadFile: func(path string) ([]byte, error) {
		if filepath.Base(path) == "site.rules" {
			return manualRules()
		}
		return os.ReadFile(path)
	}}
}

// manualRules is the file of rules that the manual shows.
func manualRules() ([]byte, error) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		return nil, err
	}
	_, block, ok := strings.Cut(string(page), "\n```\nRule ")
	if block, _, ok2 := strings.Cut(block, "\n```"); ok && ok2 {
		return []byte("Rule " + block), nil
	}
	return nil, errors.New("docs/rules.md shows no rule")
}

// TestExample holds examples/sluice.conf to what its first lines say: it is accepted, and
// nothing in it is warned of.
func TestExample(t *testing.T) {
	data, err := os.ReadFile("../../examples/sluice.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, diags := manualLoader().Parse("examples/sluice.conf", string(data))
	if len(diags) > 0 {
		t.Error(diags)
	}
	checkFormat(t, string(data))
}
