package tests

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
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
		`sluice_recipients_received_total{binding="default"}`:                         200,
		`sluice_recipients_delivered_total{binding="default"}`:                        200,
		`sluice_intake_accepted_total`:                                                200,
		`sluice_messages`:                                                             0,
		`sluice_spool_messages`:                                                       0,
		`sluice_parts{state="ready"}`:                                                 0,
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
