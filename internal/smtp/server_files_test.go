package smtp

import (
	"bufio"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

// TestOutOfFiles takes all file descriptors away from the process: clients are told so,
// and served again when there are files.
func TestOutOfFiles(t *testing.T) {
	_, addr := start(t, ServerConfig{}, &testHandler{})
	smtptest.Play(t, smtptest.Connect(t, addr), "S: 220*\nC: QUIT\nS: 221*\nclose")
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal("no /proc: the open files cannot be counted, and the test needs their number")
	}
	few := before
	few.Cur = uint64(len(open) + 10)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	restore := func() {
		for _, f := range files {
			_ = f.Close()
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		files = append(files, f)
	}
	_ = files[0].Close() // for the client
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		restore()
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(smtptest.Patience))
	line, err := bufio.NewReader(c).ReadString('\n')
	restore()
	if !strings.HasPrefix(line, "421 4.3.2 ") {
		t.Errorf("%q, %v", line, err)
	}
	smtptest.Play(t, smtptest.Connect(t, addr), "S: 220*")
}
