package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

const (
	zooMessages = 5000
	zooEach     = 10
)

// zooPart measures how fast other destinations are served while the server has to do with
// every receiver of the zoo at once: pairs of runs, with the zoo and without, in turn.
func zooPart(o *options, out *strings.Builder) error {
	pairs := max(o.reps, 10)
	var ratios, with, without []float64
	for i := range pairs {
		// Who goes first alternates, so that a machine that gets slower favours neither.
		order := []bool{i%2 == 0, i%2 != 0}
		rates := map[bool]float64{}
		for _, zoo := range order {
			r, err := zooRun(o, zoo)
			if err != nil {
				return fmt.Errorf("pair %d: %w", i+1, err)
			}
			rates[zoo] = r
		}
		ratios = append(ratios, rates[true]/rates[false])
		with, without = append(with, rates[true]), append(without, rates[false])
		progress("pair %d: %.0f messages/s beside the zoo, %.0f without: %.3f", i+1, rates[true], rates[false], rates[true]/rates[false])
	}
	fmt.Fprintf(out, "## Other destinations beside the zoo\n\n%d messages to a sound destination 10 ms away over 20 connections, while %d messages for each receiver of the zoo (testing.md) are tried over and over, every five seconds; %d interleaved pairs of runs, lowest to highest in brackets.\n\n", zooMessages, zooEach, pairs)
	fmt.Fprintln(out, "| | messages/s |\n|---|---:|")
	fmt.Fprintf(out, "| without | %s |\n| beside the zoo | %s |\n| ratio of a pair, median | %.3f (%.3f-%.3f) |\n\n", middleOf(without), middleOf(with), middle2(ratios), slices.Min(ratios), slices.Max(ratios))
	return nil
}

// middle2 is the median of an even number of values, too.
func middle2(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	if n == 0 {
		return math.NaN()
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}

// zooRun is one run over an empty directory: the rate from release to the last message at the
// sound destination. Everything has been accepted before, so injection plays no part.
func zooRun(o *options, withZoo bool) (rate float64, err error) {
	dir, err := os.MkdirTemp(o.dir, "run-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	far, err := startFar(o)
	if err != nil {
		return 0, err
	}
	defer far.stop()
	zone := "sound.test. 300 IN MX 10 mx.sound.test.\nmx.sound.test. 300 IN A 127.0.0.1\n"
	conf := "max_outbound_connections = 20\nretry_interval = ( 5 )\nhost_failure_retry = 5\ngenerate_bounces = off\n"
	var domains []string
	if withZoo {
		all, err := smtptest.Zoo()
		if err != nil {
			return 0, err
		}
		for i, c := range all {
			addr := fmt.Sprintf("127.0.2.%d", i+1)
			r, err := c.Listen(fmt.Sprintf("%s:%d", addr, sinkPort))
			if err != nil {
				return 0, err
			}
			defer func() { _ = r.Close() }() // what clients made of the scripts is for the tests to say
			zone += fmt.Sprintf("%[1]s.test. 300 IN MX 10 %[1]s.zoo.test.\n%[1]s.zoo.test. 300 IN A %[2]s\n", c.Name, addr)
			domains = append(domains, c.Name+".test")
		}
	}
	server := &sluice{root: o.root, zone: zone, conf: conf}
	if err := server.start(dir, true); err != nil {
		return 0, err
	}
	var n atomic.Int64
	if err := send(20, 2048, zooMessages+zooEach*len(domains), func(i int) string {
		if i < zooEach*len(domains) {
			return "u@" + domains[i%len(domains)]
		}
		return fmt.Sprintf("u%d@sound.test", n.Add(1))
	}); err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := server.release(); err != nil {
		return 0, err
	}
	if err := far.await(zooMessages); err != nil {
		return 0, fmt.Errorf("%w; %s", err, server.deferred())
	}
	rate = zooMessages / time.Since(begin).Seconds()
	// Mail for the zoo is still there, so the server is told to end, not to be done.
	return rate, server.stop()
}

// far is `sluice sink` at a distance, so that its rate is that of its connections and not of
// the processors that all share.
type far struct {
	cmd    *exec.Cmd
	status string
}

func startFar(o *options) (*far, error) {
	f := &far{status: fmt.Sprintf("127.0.0.1:%d", sinkPort+2)}
	f.cmd = exec.Command(filepath.Join(o.root, "bin", "sluice"), "sink", "--listen", fmt.Sprintf("127.0.0.1:%d", sinkPort), "--latency", "10ms", "--status", f.status)
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	return f, waitFor(f.status)
}

func (f *far) stop() {
	_ = f.cmd.Process.Kill() // it has no state to lose
	_ = f.cmd.Wait()         // killed: an error by nature
}

// await waits until it has n messages.
func (f *far) await(n int) error {
	client := http.Client{Timeout: 10 * time.Second}
	var report struct{ Messages struct{ Accepted int } }
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		resp, err := client.Get("http://" + f.status + "/")
		if err != nil {
			return err
		}
		err = json.NewDecoder(resp.Body).Decode(&report)
		_ = resp.Body.Close() // it has been read
		if err != nil {
			return err
		}
		if report.Messages.Accepted >= n {
			return nil
		}
	}
	return fmt.Errorf("the receiver has %d of %d messages", report.Messages.Accepted, n)
}
