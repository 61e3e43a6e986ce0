package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// clockTick is the unit of /proc/PID/stat on Linux: 1/100 s.
const clockTick = 100.0

// peerCPU is the CPU time in seconds, user and system, of all processes of the namespace
// but this one, its shell and those excluded, with their children that have ended.
func peerCPU(exclude ...int) float64 {
	skip := map[int]bool{1: true, os.Getpid(): true}
	for _, pid := range exclude {
		skip[pid] = true
	}
	sum := 0.0
	for _, pid := range pids() {
		if !skip[pid] {
			sum += cpu(pid)
		}
	}
	return sum
}

func pids() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is valid
	var out []int
	for _, d := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(d)); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// cpu is the CPU time in seconds of a process and its children that it has waited for; 0
// when it is gone.
func cpu(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The fields after the name, which may hold anything: state is the first, utime the 12th.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	sum := 0.0
	for _, f := range fields[11:15] {
		v, _ := strconv.ParseFloat(f, 64) // a number by proc(5)
		sum += v
	}
	return sum / clockTick
}

// resident is the resident memory of a process in octets.
func resident(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}

// machine names the processor, for the head of the tables.
func machine() string {
	model := "unknown processor"
	b, _ := os.ReadFile("/proc/cpuinfo") // without it the name stays unknown
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%d cores of %s", runtime.NumCPU(), model)
}
