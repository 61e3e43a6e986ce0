package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Ports inside the namespace, which is ours alone.
const (
	listenPort = 2525
	sinkPort   = 2526
)

var listenAddr = fmt.Sprintf("127.0.0.1:%d", listenPort)

// peer is a mail server that takes mail on listenPort and relays it to sinkPort.
type peer interface {
	name() string
	// start starts it over an empty directory; with hold it keeps all mail.
	start(dir string, hold bool) error
	stop() error
}

// postfix is Postfix of the Debian package, as shipped or tuned.
type postfix struct {
	root  string
	tuned bool
	// defers: mail is held back by defer_transports, not by the HOLD action.
	defers bool
	// single: one connection to the destination, which it uses again and again.
	single bool
}

func (p *postfix) name() string {
	switch {
	case p.tuned:
		return "postfix, tuned"
	case p.defers:
		return "postfix, defer_transports"
	case p.single:
		return "postfix, one connection"
	}
	return "postfix"
}

func (p *postfix) start(dir string, hold bool) error {
	variant, mode := "default", "deliver"
	if p.tuned {
		variant = "tuned"
	}
	if p.single {
		variant = "single"
	}
	switch {
	case hold && p.defers:
		mode = "defer"
	case hold:
		mode = "hold"
	}
	cmd := exec.Command(filepath.Join(p.root, "bench", "postfix.sh"), dir, fmt.Sprint(listenPort), fmt.Sprint(sinkPort), variant, mode)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("start postfix: %w: %s", err, out)
	}
	return waitFor(listenAddr)
}

func (p *postfix) stop() error {
	if out, err := exec.Command("/usr/sbin/postfix", "stop").CombinedOutput(); err != nil {
		return fmt.Errorf("stop postfix: %w: %s", err, out)
	}
	return waitGone(listenAddr)
}

// sluice is the binary that `make build` made.
type sluice struct {
	root string
	conf string // text added to the configuration
	zone string // empty: every domain of the bench at 127.0.0.1
	cmd  *exec.Cmd
	dir  string
}

func (s *sluice) name() string { return "sluice" }

func (s *sluice) start(dir string, hold bool) error {
	zone := s.zone
	if zone == "" {
		zone = "sink.test. 300 IN MX 10 mx.sink.test.\nmx.sink.test. 300 IN A 127.0.0.1\n"
	}
	s.dir = dir
	if err := os.WriteFile(filepath.Join(dir, "zone"), []byte(zone), 0o644); err != nil {
		return err
	}
	if err := s.configure(hold); err != nil {
		return err
	}
	return s.launch()
}

// configure writes the configuration: only what makes it a relay on the bench's ports.
func (s *sluice) configure(hold bool) error {
	conf := fmt.Sprintf(`hostname = "mx.bench.test"
spool { directory = "spool" }
accounting { directory = "accounting" }
ESMTP_Listener { Listen "127.0.0.1:%d" { } }
Control_Listener { Listen "unix:control.sock" { } }
dns { zone_file = "zone" }
remote_smtp_port = %d
prohibited_hosts = ( )
tls = no
suspend_delivery = %v
%s`, listenPort, sinkPort, hold, s.conf)
	return os.WriteFile(filepath.Join(s.dir, "sluice.conf"), []byte(conf), 0o644)
}

func (s *sluice) launch() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(filepath.Join(s.root, "bin", "sluice"), "serve", "--config", "sluice.conf")
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	if err := waitFor(listenAddr); err != nil {
		b, _ := os.ReadFile(log.Name()) // the first error counts
		return fmt.Errorf("%w; sluice wrote: %s", err, b)
	}
	return nil
}

// release lets a server that holds its mail deliver it.
func (s *sluice) release() error {
	if err := s.configure(false); err != nil {
		return err
	}
	return s.cmd.Process.Signal(syscall.SIGHUP)
}

func (s *sluice) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// deferred says why mail was put off: the most frequent diagnosis in the accounting.
func (s *sluice) deferred() string {
	files, _ := filepath.Glob(filepath.Join(s.dir, "accounting", "*.csv")) // the pattern is valid
	counts, most := map[string]int{}, ""
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err.Error()
		}
		for line := range strings.Lines(string(b)) {
			if fields := strings.Split(line, ","); fields[0] == "t" && len(fields) > 8 {
				why := strings.Join(fields[7:9], " ")
				if counts[why]++; most == "" || counts[why] > counts[most] {
					most = why
				}
			}
		}
	}
	if most == "" {
		return "nothing was deferred"
	}
	return fmt.Sprintf("deferred %d times: %s", counts[most], most)
}

func waitFor(addr string) error {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("nothing listens on %s", addr)
}

func waitGone(addr string) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return nil
		}
		c.Close()
	}
	return fmt.Errorf("something still listens on %s", addr)
}
