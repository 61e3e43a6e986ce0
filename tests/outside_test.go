package tests

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// scrape reads /metrics of the control socket: values by series as they are printed.
func scrape(t *testing.T, server *rig.Server) map[string]float64 {
	t.Helper()
	c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", server.Control)
		},
	}}
	res, err := c.Get("http://sluice/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET /metrics: %v, %s\n%s", err, res.Status, b)
	}
	out := map[string]float64{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z][^ ]*(?:\{.*\})?) (\S+)$`).FindAllStringSubmatch(string(b), -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
		out[m[1]] = v
	}
	return out
}

// TestMetrics: what the endpoint says is what the receiver and the sender have seen.
func TestMetrics(t *testing.T) {
	port := rig.Port(t, "127.0.0.39")
	sink := rig.StartSink(t, port, []string{"127.0.0.39"}, "--think", "20ms")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.39"), port, eight).Start(t)
	rig.Load(t, server.SMTP, 200, "u@one.test", "")
	for range 3 {
		m := scrape(t, server)
		if n := m[`sluice_limit_use{option="max_outbound_connections"}`]; n > 8 {
			t.Errorf("%v connections in use, the limit is 8", n)
		}
	}
	idle(t, server)
	m := scrape(t, server)
	for series, want := range map[string]float64{
		`sluice_recipients_received_total{binding="default"}`:  200,
		`sluice_recipients_delivered_total{binding="default"}`: 200,
		`sluice_intake_accepted_total`:                         200,
		`sluice_messages`:                                      0,
		`sluice_spool_messages`:                                0,
		`sluice_parts{state="ready"}`:                          0,
		`sluice_limit_key_max{key="server",option="server_max_outbound_connections"}`: 75000,
	} {
		if got, ok := m[series]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", series, got, ok, want)
		}
	}
	for _, series := range []string{
		`sluice_scheduler_held_seconds_count{use="step"}`, `sluice_scheduler_wait_seconds_count{use="view"}`,
		`sluice_spool_syncs_total`, `sluice_limit_grants_total{option="max_outbound_connections"}`,
		`sluice_waited_seconds_total{cause="max_outbound_connections"}`, `process_resident_memory_bytes`,
	} {
		if m[series] <= 0 {
			t.Errorf("%s is %v", series, m[series])
		}
	}
	accepted := sink.Now(t).Connections.Accepted
	if n := m[`sluice_limit_grants_total{option="max_outbound_connections"}`]; n < float64(accepted) {
		t.Errorf("%v permits granted, the receiver has seen %d connections", n, accepted)
	}
}

// plan runs `sluice plan` and returns what it says and its status.
func plan(t *testing.T, server *rig.Server, args ...string) (string, int) {
	t.Helper()
	return rig.Run(t, 30*time.Second, append([]string{rig.Sluice(t), "plan", "--config", filepath.Join(server.Dir, "new.conf"), "--admin", "unix:" + server.Control}, args...)...)
}

// TestPlan: what a reload would change is told, then the reload changes that.
func TestPlan(t *testing.T) {
	port := rig.Port(t, "127.0.0.40")
	sink := rig.StartSink(t, port, []string{"127.0.0.40"}, "--think", "100ms")
	server := rig.NewServer(t, oneHost("one.test", "127.0.0.40"), port, eight).Start(t)
	rig.Load(t, server.SMTP, 300, "u@one.test", "")
	rig.Until(t, 20*time.Second, "8 connections", func() bool { return sink.Now(t).Connections.Open == 8 })
	b, err := os.ReadFile(server.Conf())
	if err != nil {
		t.Fatal(err)
	}
	server.Write(t, "new.conf", string(b))
	if out, status := plan(t, server); status != 0 || !strings.Contains(out, "nothing would change") {
		t.Errorf("an equal file: status %d\n%s", status, out)
	}
	server.Write(t, "new.conf", string(b)+"Domain one.test { max_outbound_connections = 3 }\n")
	out, status := plan(t, server)
	for _, want := range []string{
		`1 domain under domain "one.test" (`, "max_outbound_connections 8 -> 3 (one.test)",
		"max_outbound_connections default/one.test: 8 connections open, the limit would be 3: 5 would end after their message",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not say %q", want)
		}
	}
	if status != 3 {
		t.Errorf("status %d, want 3\n%s", status, out)
	}
	var p struct {
		Drains []struct{ Over int }
	}
	out, _ = plan(t, server, "--json")
	if err := json.Unmarshal([]byte(out), &p); err != nil || len(p.Drains) != 1 || p.Drains[0].Over != 5 {
		t.Errorf("as JSON: %v\n%s", err, out)
	}
	if n := sink.Now(t).Connections.Open; n != 8 {
		t.Errorf("%d connections after a plan", n)
	}
	server.Write(t, "new.conf", string(b)+"max_outbound_conections = 3\n")
	if out, status := plan(t, server); status != 1 || !strings.Contains(out, "did you mean max_outbound_connections") {
		t.Errorf("a broken file: status %d\n%s", status, out)
	}
	server.Append(t, "Domain one.test { max_outbound_connections = 3 }\n")
	server.Ctl(t, "reload")
	rig.Until(t, 20*time.Second, "3 connections", func() bool { return sink.Now(t).Connections.Open == 3 })
}
