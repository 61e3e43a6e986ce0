package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Root is the top of the source tree.
func Root() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(fmt.Sprintf("rig: working directory: %v", err))
	}
	for dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	panic("rig: no go.mod above the working directory")
}

// build compiles the binary once for all tests of a run, the way `make build` does.
var build = sync.OnceValues(func() (string, error) {
	out := filepath.Join(Root(), "bin", "sluice-under-test")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", out, "./cmd/sluice")
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary under test: %w\n%s", err, b)
	}
	return out, nil
})

// Sluice is the path of the binary under test.
func Sluice(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Tool is the path of a program that scripts/tools.sh fetches: smtp-source, smtp-sink
// or swaks.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(), ".cache", "tools", "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing: run `make tools`", name)
	}
	return path
}

// Soak says whether full counts are wanted (`make soak`) instead of a sample.
func Soak() bool { return os.Getenv("SLUICE_SOAK") != "" }

// Sample is full in a soak and part otherwise.
func Sample(full, part int) int {
	if Soak() {
		return full
	}
	return part
}
