package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	turnsSize   = 4096
	turnsStatus = "127.0.0.1:8099"
)

// distantSink is sluice's own receiver behind a line of some length: every flight of commands
// takes a round trip, however many commands it has.
type distantSink struct {
	cmd    *exec.Cmd
	report *os.File
}

func startDistant(o *options, latency time.Duration, without string) (*distantSink, error) {
	report, err := os.CreateTemp(o.dir, "distant-")
	if err != nil {
		return nil, err
	}
	args := []string{"sink", "--listen", fmt.Sprintf("127.0.0.1:%d", sinkPort), "--latency", latency.String(), "--status", turnsStatus}
	if without != "" {
		args = append(args, "--without", without)
	}
	s := &distantSink{cmd: exec.Command(filepath.Join(o.root, "bin", "sluice"), args...), report: report}
	s.cmd.Stdout, s.cmd.Stderr = report, report
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	return s, waitFor(turnsStatus)
}

func (s *distantSink) stop() {
	_ = s.cmd.Process.Kill() // it has no state to lose
	_ = s.cmd.Wait()         // killed: an error by nature
	s.report.Close()
}

type distantCounts struct {
	Connections struct{ Peak, Accepted int }
	Messages    struct{ Accepted, Refused int }
	Mistakes    int
}

func (s *distantSink) counts() (c distantCounts, err error) {
	resp, err := http.Get("http://" + turnsStatus + "/")
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	return c, json.NewDecoder(resp.Body).Decode(&c)
}

// await waits until the receiver has taken n messages.
func (s *distantSink) await(n int) error {
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		c, err := s.counts()
		if err != nil {
			return err
		}
		if c.Messages.Accepted >= n {
			if c.Connections.Peak != 1 || c.Messages.Refused+c.Mistakes > 0 {
				return fmt.Errorf("not what was to be measured: %+v", c)
			}
			return nil
		}
	}
	return fmt.Errorf("the receiver does not get %d messages", n)
}

// turns measures messages a second over one connection to a receiver that is some way
// off: how many round trips a message takes is nearly all that counts.
func turns(o *options, out *strings.Builder) error {
	peers := []peer{&postfix{root: o.root, single: true}, &sluice{root: o.root, conf: "domain \"sink.test\" {\n  max_outbound_connections = 1\n}\n"}}
	fmt.Fprintf(out, "## One connection, a receiver some way off\n\nMessages of %d octets to one recipient, over one connection that stays open; Postfix with one connection to the destination and its connection cache. Median of %d runs, lowest to highest in brackets; turns are round trips a message takes.\n\n", turnsSize, o.reps)
	fmt.Fprintln(out, "| round trip | offered | server | messages/s | turns | times |\n|---:|---|---|---:|---:|---:|")
	for _, latency := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond} {
		for _, c := range []struct{ offered, without string }{
			{"PIPELINING, CHUNKING", ""}, {"PIPELINING", "chunking"}, {"CHUNKING", "pipelining"}, {"neither", "pipelining,chunking"},
		} {
			results := make([][]sample, len(peers))
			for rep := range o.reps {
				for i, p := range peers {
					s, err := turnsRun(o, p, latency, c.without)
					if err != nil {
						return fmt.Errorf("%s, %v, %s: %w", p.name(), latency, c.offered, err)
					}
					progress("%s, run %d: %v, %s: %.1f messages/s over %d connections, one at a time", p.name(), rep+1, latency, c.offered, s.rate, s.conns)
					results[i] = append(results[i], s)
				}
			}
			for i, p := range peers {
				times := ""
				if i == 1 {
					times = fmt.Sprintf("%.2f", median(results[1], rate)/median(results[0], rate))
				}
				fmt.Fprintf(out, "| %v | %s | %s | %s | %.2f | %s |\n", latency, c.offered, p.name(), spreadOf(results[i], rate, "%.1f"),
					1/median(results[i], rate)/latency.Seconds(), times)
			}
		}
	}
	fmt.Fprintln(out)
	return nil
}

// turnsRun queues messages for five seconds or so of delivery, and measures the time from the first
// tenth at the receiver to the last message.
func turnsRun(o *options, p peer, latency time.Duration, without string) (s sample, err error) {
	dir, err := os.MkdirTemp(o.dir, "run-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	sk, err := startDistant(o, latency, without)
	if err != nil {
		return s, err
	}
	defer sk.stop()
	if err := p.start(dir, false); err != nil {
		return s, err
	}
	messages := max(int(5*time.Second/latency), 40)
	warm := messages / 10
	if err := inject(o, turnsSize, 1, warm+messages); err != nil {
		return s, err
	}
	if err := sk.await(warm); err != nil {
		return s, err
	}
	c, err := sk.counts()
	if err != nil {
		return s, err
	}
	begin := time.Now()
	if err := sk.await(warm + messages); err != nil {
		return s, err
	}
	s.rate = float64(warm+messages-c.Messages.Accepted) / time.Since(begin).Seconds()
	if c, err = sk.counts(); err != nil {
		return s, err
	}
	s.conns = c.Connections.Accepted
	return s, p.stop()
}
