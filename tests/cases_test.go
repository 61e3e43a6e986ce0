package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// TestCases holds every line of every testdata/NAME.limits against what the receiver
// counts while more mail flows under NAME.conf than the limits let through, with
// connections that are kept and with connections that close and open all the time. It ends
// with a table of peaks and limits.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.limits")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases (%v)", err)
	}
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "case\tmessages a connection\twhat\tlimit\tpeak\tmessages there\tconnections there\tviolations")
	for round := range rig.Sample(10, 1) {
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".limits")
			for _, perConnection := range []int{0, 20} {
				t.Run(fmt.Sprintf("round%d/%s/per-connection%d", round, name, perConnection), func(t *testing.T) {
					c := newCase(t, file, perConnection)
					c.run(t)
					for _, e := range c.expected {
						r := c.reports[e.to]
						fmt.Fprintf(out, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\n", name, perConnection, e.line, e.limit, c.peak(e),
							r.Messages.Accepted, r.Connections.Accepted, r.Violations)
					}
				})
			}
		}
	}
	_ = out.Flush() // into memory
	t.Logf("at the receiver's own count:\n%s", table.String())
}

// expectation is one line of a .limits file: so many connections at most, and no fewer
// when there is mail enough.
//
//	from BINDING to DOMAIN: N          of that binding
//	to DOMAIN: N                       of each binding
//	to DOMAIN + DOMAIN: N              together, over all bindings
//	to host HOST, whole cluster: N     for all domains, over all bindings
type expectation struct {
	line    string
	binding string
	to      string
	domains []string
	host    string
	limit   int
}

// together says whether all bindings are counted as one.
func (e *expectation) together() bool { return len(e.domains) > 1 }

func readLimits(t *testing.T, path string) []expectation {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []expectation
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		what, limit, _ := strings.Cut(line, ": ")
		e := expectation{line: what}
		if rest, ok := strings.CutPrefix(what, "from "); ok {
			e.binding, what, _ = strings.Cut(rest, " ")
		}
		if e.to = strings.TrimPrefix(what, "to "); e.to == what {
			t.Fatalf("%s: %q is no expectation", path, line)
		}
		if host, ok := strings.CutPrefix(e.to, "host "); ok {
			e.host = strings.TrimSuffix(host, ", whole cluster")
			e.domains = []string{"one.test", "two.test"}
		} else {
			e.domains = strings.Split(e.to, " + ")
		}
		if e.limit, err = strconv.Atoi(limit); err != nil {
			t.Fatalf("%s: %q: %v", path, line, err)
		}
		out = append(out, e)
	}
	return out
}

// caseRun is one case with what it takes to show it: a receiver for each set of domains
// that is counted by itself, with an address for each host of it, and for every binding an
// address to send from and one that takes its mail.
type caseRun struct {
	conf     string
	expected []expectation
	source   map[string]string // by binding
	listener map[string]string // by binding
	zone     rig.Zone
	sinks    map[string]*rig.Sink
	server   *rig.Server
	sent     map[string]int // by receiver
	reports  map[string]rig.Report
}

func newCase(t *testing.T, file string, perConnection int) *caseRun {
	t.Helper()
	conf, err := os.ReadFile(strings.TrimSuffix(file, ".limits") + ".conf")
	if err != nil {
		t.Fatal(err)
	}
	c := &caseRun{
		expected: readLimits(t, file), conf: fmt.Sprintf("%s\nretry_interval = 1\nmax_deliveries_per_connection = %d\n", conf, perConnection),
		source: map[string]string{"": "127.0.0.1"}, listener: map[string]string{},
		zone:  rig.Zone{MX: map[string]string{}, Hosts: map[string][]string{}},
		sinks: map[string]*rig.Sink{}, sent: map[string]int{}, reports: map[string]rig.Report{},
	}
	for i := range c.expected {
		for _, b := range c.expected[i].bindings() {
			c.binding(t, b)
		}
	}
	return c
}

// bindings are those whose mail shows a limit: where all are counted together, three.
func (e *expectation) bindings() []string {
	if e.together() {
		return []string{"", "extra-1", "extra-2"}
	}
	return []string{e.binding}
}

// binding opens a binding again with an address of its own and a listener for its mail.
func (c *caseRun) binding(t *testing.T, name string) {
	t.Helper()
	if _, ok := c.source[name]; ok {
		return
	}
	c.source[name] = fmt.Sprintf("127.0.0.%d", 10+len(c.source))
	c.listener[name] = fmt.Sprintf("127.0.0.1:%d", rig.Port(t))
	c.conf += fmt.Sprintf("Binding %q { bind_address = %q }\nESMTP_Listener { Listen %q { binding = %q } }\n",
		name, c.source[name], c.listener[name], name)
}

// run queues half of the mail while delivery is suspended, so that every limit is wanted at
// once, lets it go, sends the other half meanwhile, and ends when all has arrived, every
// message once.
func (c *caseRun) run(t *testing.T) {
	t.Helper()
	port := c.receive(t)
	c.server = rig.NewServer(t, c.zone, port, c.conf+"suspend_delivery = on\n").Start(t)
	c.listener[""] = c.server.SMTP
	c.send(t)
	c.server.Append(t, "suspend_delivery = off\n")
	c.server.Ctl(t, "reload")
	c.send(t)
	for to, n := range c.sent {
		c.sinks[to].Distinct(t, n, 5*time.Minute)
	}
	c.server.Stop(t, 30*time.Second)
	for to, n := range c.sent {
		c.reports[to] = c.sinks[to].Stop(t)
		exactlyOnce(t, c.reports[to], n)
	}
	for _, e := range c.expected {
		if r := c.reports[e.to]; c.peak(e) != e.limit || r.Violations+r.Connections.Refused != 0 {
			t.Errorf("%s: peak %d, want exactly %d; violations %d, refused %d", e.line, c.peak(e), e.limit, r.Violations, r.Connections.Refused)
		}
	}
}

// send has every binding take mail for every domain that shows a limit of it, all at once.
func (c *caseRun) send(t *testing.T) {
	t.Helper()
	var sources []*rig.Proc
	for i := range c.expected {
		e := &c.expected[i]
		flows := len(e.bindings()) * len(e.domains)
		n := max(rig.Sample(200, 30)*e.limit/flows, 10)
		for _, b := range e.bindings() {
			for _, d := range e.domains {
				sources = append(sources, rig.StartSource(t, c.listener[b], 10, 1024, n, "u@"+d))
				c.sent[e.to] += n
			}
		}
	}
	for _, s := range sources {
		rig.Sent(t, s)
	}
}

// receive starts the receivers and writes the zone. Each is told the sum of the limits
// that it has to see; returned is the port of all.
func (c *caseRun) receive(t *testing.T) int {
	t.Helper()
	limit, addrs, all := map[string]int{}, map[string][]string{}, []string{}
	for i := range c.expected {
		e := &c.expected[i]
		limit[e.to] += e.limit
		if addrs[e.to] != nil {
			continue
		}
		for _, d := range e.domains {
			host := e.host
			if host == "" {
				host = "mx." + d
			}
			c.zone.MX[d] = host
			if c.zone.Hosts[host] != nil {
				continue
			}
			addr := fmt.Sprintf("127.0.0.%d", 30+len(all))
			c.zone.Hosts[host] = []string{addr}
			all, addrs[e.to] = append(all, addr), append(addrs[e.to], addr)
		}
	}
	port := rig.Port(t, all...)
	for to, a := range addrs {
		c.sinks[to] = rig.StartSink(t, port, a, "--latency", "5ms", "--think", "5ms", "--max-connections", strconv.Itoa(limit[to]))
	}
	return port
}

// peak is the highest number of connections that the receiver of a line has had at one
// instant, of those that the line counts.
func (c *caseRun) peak(e expectation) int {
	if e.together() {
		return c.reports[e.to].Connections.Peak
	}
	return c.reports[e.to].Connections.PeakBySource[c.source[e.binding]]
}
