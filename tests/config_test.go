package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestEval asks every question of testdata/NAME.eval: a line "$ ARGUMENTS" and the exact
// answer under it.
func TestEval(t *testing.T) {
	files, err := filepath.Glob("testdata/*.eval")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases (%v)", err)
	}
	for _, file := range files {
		conf := strings.TrimSuffix(file, ".eval") + ".conf"
		t.Run(filepath.Base(conf), func(t *testing.T) {
			if out, status := rig.Run(t, 20*time.Second, rig.Sluice(t), "config", "check", conf); status != 0 {
				t.Errorf("config check: status %d\n%s", status, out)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(b)), "\n")
			for i := 0; i+1 < len(lines); i += 2 {
				question, ok := strings.CutPrefix(lines[i], "$ ")
				if !ok {
					t.Fatalf("%s:%d: %q is no question", file, i+1, lines[i])
				}
				argv := append([]string{rig.Sluice(t), "config", "eval", "--config", conf}, strings.Fields(question)...)
				out, status := rig.Run(t, 20*time.Second, argv...)
				if status != 0 || strings.TrimSuffix(out, "\n") != lines[i+1] {
					t.Errorf("%s:%d: %s\n got %q (status %d)\nwant %q", file, i+1, question, out, status, lines[i+1])
				}
			}
		})
	}
}
