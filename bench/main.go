// Command bench measures sluice beside Postfix on one machine in one run, so that what
// counts are ratios: messages a second from the first connection to the last message at
// the receiver, messages a second accepted while delivery is held back, and CPU time a
// message of all the server's processes. It runs inside the namespaces of bench/run.sh.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

type options struct {
	only     string
	reps     int
	messages int
	sizes    string
	sessions string
	domains  int
	spread   int
	million  int
	queues   int
	pairs    int
	write    string
	root     string
	dir      string
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "relay,accept,spread,memory,limits,views,turns,zoo,dkim", "parts to run")
	flag.IntVar(&o.reps, "reps", 3, "runs of each row; the tables show the median and the range")
	flag.IntVar(&o.messages, "messages", 20000, "messages of a run through sluice; Postfix gets a fifth of it")
	flag.StringVar(&o.sizes, "sizes", "2048,20480", "octets of a message")
	flag.StringVar(&o.sessions, "sessions", "20,100", "client sessions")
	flag.IntVar(&o.domains, "domains", 10000, "domains of the spread part")
	flag.IntVar(&o.spread, "spread", 200000, "messages of the spread part")
	flag.IntVar(&o.million, "queued", 1000000, "messages queued in the memory and views parts")
	flag.IntVar(&o.queues, "queues", 100000, "queues of the views part")
	flag.IntVar(&o.pairs, "pairs", 10, "pairs of runs of the views part")
	flag.StringVar(&o.write, "write", "", "also write the tables into this file")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if os.Getppid() != 1 { // a shell is the first process there
		return fmt.Errorf("start it by bench/run.sh: it needs namespaces of its own")
	}
	var err error
	if o.root, err = os.Getwd(); err != nil {
		return err
	}
	if err := prepare(); err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	if err := os.Chmod(o.dir, 0o755); err != nil { // Postfix's users walk through it
		return err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s, %s\n\n", machine(), time.Now().UTC().Format(time.DateOnly))
	parts := map[string]func(*options, *strings.Builder) error{"relay": relay, "accept": accept, "spread": spread, "memory": memory, "limits": limits, "views": views, "turns": turns, "zoo": zooPart, "dkim": dkim}
	for name := range strings.SplitSeq(o.only, ",") {
		part, ok := parts[name]
		if !ok {
			return fmt.Errorf("-only %s: there are relay, accept, spread, memory, limits, views, turns, zoo and dkim", name)
		}
		if err := part(&o, &out); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	fmt.Print("\n", out.String())
	if o.write == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(o.write), 0o755); err != nil {
		return err
	}
	return os.WriteFile(o.write, []byte(out.String()), 0o644)
}

// prepare makes the namespace usable: loopback up, all ports ours.
func prepare() error {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("bring loopback up: %w: %s", err, out)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("20000 65000"), 0o644)
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().UTC().Format(time.TimeOnly)+" "+format+"\n", args...)
}
