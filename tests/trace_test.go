package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestTrace watches a conversation by the command line: what is said is shown, of content only
// its size, and an old connection from where it is.
func TestTrace(t *testing.T) {
	port := rig.Port(t, "127.0.0.46")
	rig.StartSink(t, port, []string{"127.0.0.46"})
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.46"), port, eight).Start(t)
	trace := rig.Start(t, []string{rig.Sluice(t), "trace", "--config", server.Conf(), "--domain", "one.test", "--for", "60s", "--lines", "16"})
	rig.Until(t, 20*time.Second, "the trace to begin", func() bool { return strings.Contains(trace.Output(), "tracing") })
	rig.Load(t, server.SMTP, 1, "u@one.test", "")
	if status := trace.Wait(t, 60*time.Second); status != 0 {
		t.Fatalf("status %d\n%s", status, trace.Output())
	}
	out := trace.Output()
	for _, want := range []string{"one.test through default to", "-  connects to", "S: 220", "C: EHLO ", "C: MAIL FROM:<", "C: RCPT TO:<u@one.test>"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(strings.ToLower(out), "message-id") {
		t.Errorf("the content is shown:\n%s", out)
	}
	if out, status := rig.Run(t, 20*time.Second, rig.Sluice(t), "trace", "--config", server.Conf(), "--binding", "nobody"); status != 1 || !strings.Contains(out, "nobody") {
		t.Errorf("an unknown binding: %d\n%s", status, out)
	}
	if out, status := rig.Run(t, 20*time.Second, rig.Sluice(t), "trace", "--config", server.Conf(), "--for", "1s", "--json"); status != 0 {
		t.Errorf("without lines: %d\n%s", status, out)
	}
}
