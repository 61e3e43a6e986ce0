package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// limits runs the benchmark of the limit engine by itself: events in a second of processor
// time, beside random reads of as much memory in the same run.
func limits(o *options, out *strings.Builder) error {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^BenchmarkEngine$", "-benchtime", "2000000x", "-count", strconv.Itoa(o.reps), "./internal/limit")
	cmd.Dir = o.root
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test: %w: %s", err, text)
	}
	runs := map[string]map[string][]float64{} // queues, unit
	var order []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		name, ok := strings.CutPrefix(strings.Join(f[:min(len(f), 1)], ""), "BenchmarkEngine/")
		if !ok {
			continue
		}
		progress("%s", strings.Join(f, " "))
		queues, _, _ := strings.Cut(name, "-")
		if runs[queues] == nil {
			runs[queues] = map[string][]float64{}
			order = append(order, queues)
		}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return fmt.Errorf("read %q: %w", line, err)
			}
			runs[queues][f[i+1]] = append(runs[queues][f[i+1]], v)
		}
	}
	fmt.Fprintf(out, "## The limit engine alone\n\nEvery queue on two counters of its own, in random order, all waiting at a full server. An event is an acquisition or a return, with the grants and waits that follow of it. Median of %d runs, lowest to highest in brackets.\n\n", o.reps)
	fmt.Fprintln(out, "| queues | million events per CPU second | million random reads of as much memory per CPU second | octets a counter, with its names | octets a queue idle, waiting | CPU s until all wait | allocations an event |\n|---:|---:|---:|---:|---:|---:|---:|")
	for _, q := range order {
		r := runs[q]
		idle := middle(r["B/queue"])
		fmt.Fprintf(out, "| %s | %s | %s | %.0f | %.0f, %.0f | %.2f | %.0f |\n", q, middleOf(r["Mevents/cpu-s"]), middleOf(r["Mreads/cpu-s"]),
			middle(r["B/counter"]), idle, idle+middle(r["B/ticket"]), middle(r["s-to-park-all"]), middle(r["allocs/op"]))
	}
	fmt.Fprintln(out)
	return nil
}

// middle is the median.
func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return v[len(v)/2]
}

func middleOf(v []float64) string {
	if len(v) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", middle(v), slices.Min(v), slices.Max(v))
}
