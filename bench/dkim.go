package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// dkim measures what one signature costs beside the same operation of OpenSSL in the same
// run, and how it grows over the cores.
func dkim(o *options, out *strings.Builder) error {
	cores := runtime.NumCPU()
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^BenchmarkSign(Cores)?$/^(rsa|ed)$", "-benchtime", "2s", "-count", strconv.Itoa(o.reps), "-cpu", fmt.Sprintf("1,%d", cores), "./internal/sign")
	cmd.Dir = o.root
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test: %w: %s", err, text)
	}
	runs := map[string][]float64{} // messages a second, by benchmark and cores
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") || f[3] != "ns/op" {
			continue
		}
		ns, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			return fmt.Errorf("read %q: %w", line, err)
		}
		progress("%s", strings.Join(f, " "))
		runs[f[0]] = append(runs[f[0]], 1e9/ns)
	}
	fmt.Fprintf(out, "## DKIM\n\nMessages of 10 KB signed in a second, whole: canonical forms, hashes, signature. OpenSSL makes the bare signature. Median of %d runs, lowest to highest in brackets.\n\n", o.reps)
	fmt.Fprintf(out, "| | one core | %d cores |\n|---|---:|---:|\n", cores)
	for _, alg := range [][2]string{{"rsa", "rsa2048"}, {"ed", "ed25519"}} {
		all := runs[fmt.Sprintf("BenchmarkSignCores/%s-%d", alg[0], cores)]
		if cores == 1 {
			all = runs["BenchmarkSignCores/"+alg[0]]
		}
		fmt.Fprintf(out, "| sluice, %s | %s | %s |\n", alg[1], middleOf(runs["BenchmarkSign/"+alg[0]]), middleOf(all))
		one, err := opensslSpeed(o, alg[1], 1)
		if err != nil {
			return err
		}
		many, err := opensslSpeed(o, alg[1], cores)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "| openssl speed %s | %s | %s |\n", alg[1], middleOf(one), middleOf(many))
	}
	fmt.Fprintln(out)
	return nil
}

// opensslSpeed returns signatures a second of each run.
func opensslSpeed(o *options, algorithm string, cores int) ([]float64, error) {
	var out []float64
	for range o.reps {
		text, err := exec.Command("openssl", "speed", "-seconds", "2", "-multi", strconv.Itoa(cores), algorithm).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("openssl speed: %w: %s", err, text)
		}
		rate := 0.0
		for line := range strings.Lines(string(text)) {
			// "rsa 2048 bits 0.000500s 0.000015s 1998.0 68000.0": the third number is signatures a second
			if strings.Contains(line, " bits") && strings.Count(line, "0.") > 0 && !strings.Contains(line, "Doing") {
				f := strings.Fields(line)
				if v, err := strconv.ParseFloat(f[len(f)-2], 64); err == nil {
					rate = v
				}
			}
		}
		if rate == 0 {
			return nil, fmt.Errorf("openssl speed %s says no rate: %s", algorithm, text)
		}
		progress("openssl speed %s, %d cores: %.0f signatures/s", algorithm, cores, rate)
		out = append(out, rate)
	}
	return out, nil
}
