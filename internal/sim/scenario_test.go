package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			hash := uint64(0)
			for range 2 {
				f, err := os.Open(file)
				if err != nil {
					t.Fatal(err)
				}
				w, err := Scenario(f)
				_ = f.Close()
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				if hash != 0 && hash != w.Hash() {
					t.Fatalf("%s: the same seed gave another course of events", file)
				}
				hash = w.Hash()
			}
		})
	}
}
