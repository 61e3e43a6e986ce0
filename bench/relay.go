package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sample is what one run gives.
type sample struct {
	rate float64 // messages a second
	cpu  float64 // seconds of CPU a message, of all processes of the peer
	// conns is how many connections the receiver has seen, where they are counted.
	conns int
}

// relay measures from the first connection to the last message at the receiver.
func relay(o *options, out *strings.Builder) error {
	peers := []peer{&postfix{root: o.root}, &postfix{root: o.root, tuned: true}, &sluice{root: o.root}}
	return matrix(o, out, "End to end: accepted, kept on disk, delivered", peers, false)
}

// accept measures injection alone, with delivery held back: in Postfix by HOLD, as shipped
// and tuned, and as shipped by defer_transports.
func accept(o *options, out *strings.Builder) error {
	peers := []peer{
		&postfix{root: o.root}, &postfix{root: o.root, tuned: true}, &postfix{root: o.root, defers: true},
		&sluice{root: o.root},
	}
	return matrix(o, out, "Injection with delivery held back", peers, true)
}

// matrix runs every peer with every size and number of sessions. The peers take turns, so
// that a slow moment of the machine meets all of them.
func matrix(o *options, out *strings.Builder, title string, peers []peer, hold bool) error {
	fmt.Fprintf(out, "## %s\n\n", title)
	fmt.Fprintln(out, "Median of", o.reps, "runs, lowest to highest in brackets. The ratios compare with each Postfix, in the order of the rows.")
	fmt.Fprintln(out)
	fmt.Fprintln(out, "| octets | sessions | server | messages/s | times | CPU ms/message | CPU share |")
	fmt.Fprintln(out, "|---:|---:|---|---:|---:|---:|---:|")
	sizes, err := numbers(o.sizes)
	if err != nil {
		return err
	}
	sessions, err := numbers(o.sessions)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		for _, n := range sessions {
			results := make([][]sample, len(peers))
			for rep := range o.reps {
				for i, p := range peers {
					s, err := measure(o, p, size, n, hold)
					if err != nil {
						return fmt.Errorf("%s, %d octets, %d sessions: %w", p.name(), size, n, err)
					}
					progress("%s, run %d: %d octets, %d sessions: %.0f messages/s, %.3f ms CPU a message", p.name(), rep+1, size, n, s.rate, s.cpu*1000)
					results[i] = append(results[i], s)
				}
			}
			rows(out, size, n, peers, results)
		}
	}
	fmt.Fprintln(out)
	return nil
}

func numbers(list string) ([]int, error) {
	var out []int
	for f := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(f)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: want numbers with commas between them", list)
		}
		out = append(out, n)
	}
	return out, nil
}

// measure is one run over an empty directory.
func measure(o *options, p peer, size, sessions int, hold bool) (s sample, err error) {
	dir, err := os.MkdirTemp(o.dir, "run-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir) // what a mount holds busy goes with the namespace
	sk, err := startSink(o, "127.0.0.1")
	if err != nil {
		return s, err
	}
	defer sk.stop()
	if err := p.start(dir, hold); err != nil {
		return s, err
	}
	messages, warm := o.messages, 500
	if _, ours := p.(*sluice); !ours {
		messages = max(o.messages/5, 1)
	}
	if err := inject(o, size, sessions, warm); err != nil {
		return s, err
	}
	if !hold {
		if err := sk.await(warm); err != nil {
			return s, err
		}
	}
	cpu0, begin := peerCPU(sk.pids()...), time.Now()
	if err := inject(o, size, sessions, messages); err != nil {
		return s, err
	}
	if !hold {
		if err := sk.await(warm + messages); err != nil {
			return s, err
		}
	}
	took := time.Since(begin).Seconds()
	s = sample{rate: float64(messages) / took, cpu: (peerCPU(sk.pids()...) - cpu0) / float64(messages)}
	return s, p.stop()
}

// inject sends messages by smtp-source over sessions that stay open.
func inject(o *options, size, sessions, messages int) error {
	cmd := exec.Command(filepath.Join(o.root, ".cache", "tools", "bin", "smtp-source"), "-d",
		"-s", fmt.Sprint(sessions), "-l", fmt.Sprint(size), "-m", fmt.Sprint(messages),
		"-f", "s@bench.test", "-t", "u@sink.test", listenAddr)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	return nil
}
