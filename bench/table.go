package main

import (
	"fmt"
	"slices"
	"strings"
)

// rows writes a line for each peer; the last peer is compared with those before it.
func rows(out *strings.Builder, size, sessions int, peers []peer, results [][]sample) {
	ours := len(peers) - 1
	for i, p := range peers {
		times, share := "", ""
		if i == ours {
			var t, s []string
			for j := range ours {
				t = append(t, fmt.Sprintf("%.1f", median(results[i], rate)/median(results[j], rate)))
				s = append(s, fmt.Sprintf("1/%.1f", median(results[j], perMessage)/median(results[i], perMessage)))
			}
			times, share = strings.Join(t, ", "), strings.Join(s, ", ")
		}
		fmt.Fprintf(out, "| %d | %d | %s | %s | %s | %s | %s |\n", size, sessions, p.name(),
			spreadOf(results[i], rate, "%.0f"), times, spreadOf(results[i], perMessage, "%.3f"), share)
	}
}

func rate(s sample) float64       { return s.rate }
func perMessage(s sample) float64 { return s.cpu * 1000 }

func sorted(samples []sample, value func(sample) float64) []float64 {
	out := make([]float64, 0, len(samples))
	for _, s := range samples {
		out = append(out, value(s))
	}
	slices.Sort(out)
	return out
}

func median(samples []sample, value func(sample) float64) float64 {
	v := sorted(samples, value)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// spreadOf is "median (lowest-highest)".
func spreadOf(samples []sample, value func(sample) float64, format string) string {
	v := sorted(samples, value)
	return fmt.Sprintf(format+" ("+format+"-"+format+")", median(samples, value), v[0], v[len(v)-1])
}
