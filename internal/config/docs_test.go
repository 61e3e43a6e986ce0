package config

import (
	"os"
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
	for _, page := range []string{"../../docs/configuration.md", "../../README.md"} {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := 0
		text := string(data)
		for {
			_, rest, ok := strings.Cut(text, "\n```sluice\n")
			if !ok {
				break
			}
			block, after, ok := strings.Cut(rest, "\n```")
			if !ok {
				t.Fatalf("%s: a block is not closed", page)
			}
			line := strings.Count(string(data[:len(data)-len(rest)]), "\n")
			if _, diags := (&Loader{Hostname: "mta.test", Check: true}).Parse(page, strings.Repeat("\n", line)+block); diags.HasErrors() {
				t.Error(diags.Err())
			}
			checkFormat(t, block)
			blocks++
			text = after
		}
		if strings.HasSuffix(page, "configuration.md") && blocks < 5 {
			t.Errorf("%s: %d blocks", page, blocks)
		}
	}
}
