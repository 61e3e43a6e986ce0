package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCases asks the questions of testdata/cases/*.eval.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, conf := range files {
		t.Run(filepath.Base(conf), func(t *testing.T) {
			snap, diags := Load(conf)
			if diags.HasErrors() {
				t.Fatal(diags.Err())
			}
			data, err := os.ReadFile(strings.TrimSuffix(conf, ".conf") + ".eval")
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(data)), "\n")
			for i := 0; i+1 < len(lines); i += 2 {
				q, err := snap.ParseQuestion(strings.Fields(strings.TrimPrefix(lines[i], "$ ")))
				if err != nil {
					t.Errorf("%s: %v", lines[i], err)
					continue
				}
				if got := snap.Eval(q).String(); got != lines[i+1] {
					t.Errorf("%s\n got %s\nwant %s", lines[i], got, lines[i+1])
				}
			}
		})
	}
}
