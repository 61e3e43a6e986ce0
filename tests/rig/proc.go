package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Proc is a child process in a process group of its own. It is gone when the test ends,
// and when the test binary itself is killed.
type Proc struct {
	Name   string
	cmd    *exec.Cmd
	out    string // file with standard output and error
	exited chan struct{}
	state  *os.ProcessState
}

// starter starts every child from one thread that lives as long as the test binary:
// Pdeathsig is sent when the thread that made the child ends.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// Option changes a command before it starts.
type Option func(*exec.Cmd)

// As runs the child as an ordinary user when the tests run as root, for whom file
// permissions mean nothing.
func As(uid int) Option {
	return func(c *exec.Cmd) {
		if os.Geteuid() == 0 {
			c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
		}
	}
}

// In sets the working directory.
func In(dir string) Option { return func(c *exec.Cmd) { c.Dir = dir } }

// Start runs argv. Its output goes to a file that is printed when the test fails.
func Start(t testing.TB, argv []string, opts ...Option) *Proc {
	t.Helper()
	name := filepath.Base(argv[0])
	if len(argv) > 1 {
		name += "-" + argv[1]
	}
	f, err := os.CreateTemp(t.TempDir(), strings.ReplaceAll(name, "/", "_")+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &Proc{Name: strings.Join(argv, " "), cmd: exec.Command(argv[0], argv[1:]...), out: f.Name(), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	for _, o := range opts {
		o(p.cmd)
	}
	started := make(chan error)
	starter() <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", p.Name, err)
	}
	go func() {
		_ = p.cmd.Wait() // the state tells all
		p.state = p.cmd.ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.Name, Tail(p.Output(), 4000))
		}
	})
	return p
}

// Run runs argv to its end and returns its output and exit status.
func Run(t testing.TB, limit time.Duration, argv ...string) (string, int) {
	t.Helper()
	p := Start(t, argv)
	status := p.Wait(t, limit)
	return p.Output(), status
}

// Pid is the process id.
func (p *Proc) Pid() int { return p.cmd.Process.Pid }

// Output is what the process has written so far.
func (p *Proc) Output() string {
	b, err := os.ReadFile(p.out)
	if err != nil {
		return fmt.Sprintf("(output lost: %v)", err)
	}
	return string(b)
}

// Signal sends sig to the process alone.
func (p *Proc) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("signal %v to %s: %v", sig, p.Name, err)
	}
}

// Kill kills the process and its children with SIGKILL and waits for its end.
func (p *Proc) Kill() {
	if p.Running() {
		_ = syscall.Kill(-p.Pid(), syscall.SIGKILL) // it may have ended just now
	}
	<-p.exited
}

// Running says whether the process has not ended yet.
func (p *Proc) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Wait waits for the end and returns the exit status; -1 after a signal.
func (p *Proc) Wait(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.state.ExitCode()
	case <-time.After(limit):
		t.Fatalf("%s still runs after %v; it wrote:\n%s", p.Name, limit, Tail(p.Output(), 4000))
		return -1
	}
}

// Tail is the end of s, at most n bytes.
func Tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
