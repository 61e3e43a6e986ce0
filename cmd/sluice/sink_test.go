package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/load"
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
	cmd := sinkCommand()
	cmd.SetArgs(strings.Split(args, " "))
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

// startSink runs a sink in a process of its own and returns its first address.
func startSink(t *testing.T, args string, out io.Writer) (*exec.Cmd, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestSinkProcess$")
	cmd.Env = append(os.Environ(), asProcess+"="+args)
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
			if err := execute(loadCommand(), &result, "--to", address, "--sessions", "4", "--messages", "100", "--json"); err != nil {
				t.Fatal(err)
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
			var l load.Result
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

func execute(cmd *cobra.Command, out io.Writer, args ...string) error {
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(io.Discard)
	cmd.SilenceErrors = true
	return cmd.ExecuteContext(context.Background())
}

func TestLoadExitsWithRefusals(t *testing.T) {
	s, err := sink.Start(sink.Options{Faults: []sink.Fault{{Kind: sink.Rcpt5xx, Share: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var out strings.Builder
	err = execute(loadCommand(), &out, "--to", s.Addr(), "--messages", "5", "--sessions", "1")
	if err == nil || !strings.Contains(out.String(), "       5  550 5.1.1 no such mailbox\n") {
		t.Errorf("error %v, output:\n%s", err, out.String())
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, args := range []string{
		"--fault lunch=1", "--fault dot-4xx=2", "--conn-rate fast", "--msg-rate 1/0s", "--over shout --listen 127.0.0.1:0", "--listen nowhere", "extra",
	} {
		if err := execute(sinkCommand(), io.Discard, strings.Split(args, " ")...); err == nil {
			t.Errorf("sink %s: want an error", args)
		}
	}
	for _, args := range []string{"--sessions 1", "--to 127.0.0.1:1 --rate x", "--to 127.0.0.1:1 --sessions -1", "--to 127.0.0.1:1 --header x"} {
		if err := execute(loadCommand(), io.Discard, strings.Split(args, " ")...); err == nil {
			t.Errorf("load %s: want an error", args)
		}
	}
}
