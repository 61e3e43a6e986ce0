package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	mailload "github.com/sluice-mta/sluice/internal/load"
	"github.com/sluice-mta/sluice/internal/sink"
)

// asProcess names the environment variable that makes TestSinkProcess be a sink.
const asProcess = "SLUICE_TEST_SINK_ARGS"

// TestSinkProcess is not a test of its own: TestSinkReportsOnSIGTERM runs it as the
// process of a sink.
func TestSinkProcess(t *testing.T) {
	args, ok := os.LookupEnv(asProcess)
	if !ok {
		return
	}
	os.Exit(run(strings.Split(args, " "), os.Stdout, os.Stderr))
}

// startSink runs a sink in a process of its own and returns its first address.
func startSink(t *testing.T, args string, out io.Writer) (*exec.Cmd, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestSinkProcess$")
	cmd.Env = append(os.Environ(), asProcess+"=sink "+args)
	cmd.Stdout = out
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	r := bufio.NewReader(log)
	var address string
	for !strings.HasPrefix(address, "sink: seed") {
		l, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the sink did not start: %q, %v", l, err)
		}
		if a, ok := strings.CutPrefix(l, "sink: listening on "); ok {
			address = strings.TrimSpace(a)
		}
		if strings.HasPrefix(l, "sink: seed") {
			break
		}
	}
	return cmd, address
}

func TestSinkReportsOnSIGTERM(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	for _, tt := range []struct{ name, args string }{
		{"standard output", "--listen 127.0.0.1:0 --seed 5 --max-connections 4"},
		{"file", "--listen 127.0.0.1:0 --seed 5 --max-connections 4 --report " + file},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			cmd, address := startSink(t, tt.args, &out)
			var result strings.Builder
			if status := run([]string{"load", "--to", address, "--sessions", "4", "--messages", "100", "--json"}, &result, io.Discard); status != exitDone {
				t.Fatalf("load: exit status %d", status)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("sink: %v", err)
			}
			text := out.String()
			if tt.name == "file" {
				b, err := os.ReadFile(file)
				if err != nil || text != "" {
					t.Fatalf("report file: %v; standard output %q", err, text)
				}
				text = string(b)
			}
			var r sink.Report
			var l mailload.Result
			if err := json.Unmarshal([]byte(text), &r); err != nil || strings.Count(text, "\n") != 1 {
				t.Fatalf("report %q: %v, want one object on one line", text, err)
			}
			if err := json.Unmarshal([]byte(result.String()), &l); err != nil || l.Accepted != 100 {
				t.Fatalf("result %q, %v", result.String(), err)
			}
			if r.Messages.Distinct != 100 || r.Connections.Peak > 4 || r.Violations != 0 || r.Seed != 5 {
				t.Errorf("report %s", text)
			}
		})
	}
}

func TestLoadExitsWithRefusals(t *testing.T) {
	s, err := sink.Start(sink.Options{Faults: []sink.Fault{{Kind: sink.Rcpt5xx, Share: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var out, errs strings.Builder
	status := run([]string{"load", "--to", s.Addr(), "--messages", "5", "--sessions", "1"}, &out, &errs)
	if status != exitFailed || !strings.Contains(out.String(), "       5  550 5.1.1 no such mailbox\n") || errs.String() != "sluice: load: 0 of 5 messages were accepted, 0 connections were refused\n" {
		t.Errorf("status %d, output:\n%s%s", status, out.String(), errs.String())
	}
}

func TestSinkAndLoadFlagsAreChecked(t *testing.T) {
	for args, want := range map[string]int{
		"sink --fault lunch=1": exitUsage, "sink --fault dot-4xx=2": exitUsage, "sink --conn-rate fast": exitUsage, "sink --msg-rate 1/0s": exitUsage,
		"sink --over shout": exitUsage, "sink extra": exitUsage, "sink --listen nowhere": exitFailed,
		"load --sessions 1": exitUsage, "load --to 127.0.0.1:1 --rate x": exitUsage, "load --to 127.0.0.1:1 --sessions -1": exitUsage,
		"load --to 127.0.0.1:1 --header x": exitUsage, "load --to 127.0.0.1:1 --messages 1": exitFailed,
	} {
		if got := run(strings.Split(args, " "), io.Discard, io.Discard); got != want {
			t.Errorf("%s: exit status %d, want %d", args, got, want)
		}
	}
}
