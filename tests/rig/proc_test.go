package rig

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestKillEndsTheChildrenToo(t *testing.T) {
	p := Start(t, []string{"sh", "-c", "sleep 600 & echo $!; wait"})
	Until(t, 10*time.Second, "the child's pid", func() bool { return strings.HasSuffix(p.Output(), "\n") })
	child, err := strconv.Atoi(strings.TrimSpace(p.Output()))
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	Until(t, 10*time.Second, "the child to be gone", func() bool {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
		return err != nil || strings.Contains(string(b), ") Z ")
	})
	if p.Running() {
		t.Error("the process runs after Kill")
	}
}

func TestStatus(t *testing.T) {
	if out, status := Run(t, 10*time.Second, "sh", "-c", "echo out; echo err >&2; exit 7"); status != 7 || out != "out\nerr\n" {
		t.Errorf("status %d, output %q", status, out)
	}
	p := Start(t, []string{"sleep", "600"})
	p.Signal(t, syscall.SIGTERM)
	if status := p.Wait(t, 10*time.Second); status != -1 {
		t.Errorf("status after a signal %d, want -1", status)
	}
}
