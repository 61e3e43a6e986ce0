package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-mta/sluice/internal/policy"
)

// genTree makes a configuration with stanzas of all kinds, nested as allowed, that set
// some of the options which matter to limits.
func genTree(t *rapid.T) string {
	domains := rapid.SampledFrom([]string{`"a.test"`, `"b.test"`, `"/^a/"`, `"/test$/"`, `"/^(a|b)\.test$/"`})
	hosts := rapid.SampledFrom([]string{`"mx1.test"`, `"/^mx/"`, `192.0.2.1`, `192.0.2.0/24`, `192.0.0.0/8`})
	number := rapid.IntRange(-1, 9)
	options := func(names ...string) string {
		var b strings.Builder
		for _, n := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 3).Draw(t, "options") {
			fmt.Fprintf(&b, " %s = %d", n, number.Draw(t, "value"))
		}
		return b.String()
	}
	leaves := func() string {
		var b strings.Builder
		for range rapid.IntRange(0, 3).Draw(t, "domains") {
			fmt.Fprintf(&b, " Domain %s {%s }", domains.Draw(t, "domain"), options("max_outbound_connections", "scope_max_outbound_connections", "cluster_scope_max_outbound_connections"))
		}
		for range rapid.IntRange(0, 2).Draw(t, "hosts") {
			fmt.Fprintf(&b, " Host %s {%s }", hosts.Draw(t, "host"), options("max_outbound_connections", "scope_max_outbound_connections"))
		}
		return b.String()
	}
	inner := []string{"max_outbound_connections", "server_max_outbound_connections", "scope_max_outbound_connections"}
	return options(inner...) + leaves() +
		"\nBinding_Group g {" + options(inner...) + leaves() + "\n  Binding g1 {" + options(inner...) + leaves() + " }\n  Binding g2 { }\n}" +
		"\nBinding b1 {" + options(append(inner, "cluster_max_outbound_connections")...) + leaves() + " }\n"
}

var (
	somePairs = []string{"g1", "g2", "b1", "default"}
	someNames = []string{"a.test", "b.test", "ab.test", "c.test", "other.example"}
	someHosts = []string{"mx1.test", "mx2.test", "other.example"}
	someAddrs = [][]netip.Addr{
		nil,
		{netip.MustParseAddr("192.0.2.1")},
		{netip.MustParseAddr("192.0.2.9")},
		{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")},
		{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.9.9.9")},
	}
)

// TestKeysAreSound holds that equal keys mean equal answers, which is what sharing
// rests on, and that evaluation agrees with resolution.
func TestKeysAreSound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		conf := genTree(rt)
		snap, diags := (&Loader{Hostname: "mta.test"}).Parse("t.conf", conf)
		if snap == nil {
			rt.Fatalf("%s\n%v", conf, diags.Err())
		}
		queues, hosts := map[string]*policy.Queue{}, map[string]*policy.Host{}
		for _, b := range somePairs {
			for _, d := range someNames {
				key, q := string(snap.AppendQueueKey(nil, b, d)), snap.Queue(b, d)
				if have := queues[key]; have != nil && !reflect.DeepEqual(have, q) {
					rt.Fatalf("%s\n%s/%s: the key says equal, the answers differ\n%+v\n%+v", conf, d, b, have, q)
				}
				queues[key] = q
				checkAgainstEval(rt, snap, conf, b, d, q)
			}
			for _, h := range someHosts {
				for _, a := range someAddrs {
					key, got := string(snap.AppendHostKey(nil, b, h, a)), snap.Host(b, h, a)
					if have := hosts[key]; have != nil && !reflect.DeepEqual(have, got) {
						rt.Fatalf("%s\n%s %v/%s: the key says equal, the answers differ\n%+v\n%+v", conf, h, a, b, have, got)
					}
					hosts[key] = got
				}
			}
		}
	})
}

// checkAgainstEval compares the (b, d) counter of a path with what `config eval` says.
func checkAgainstEval(rt *rapid.T, snap *policy.Snapshot, conf, b, d string, q *policy.Queue) {
	question, err := snap.ParseQuestion([]string{"binding", b, "domain", d, "max_outbound_connections"})
	if err != nil {
		rt.Fatal(err)
	}
	want := snap.Eval(question)
	for _, l := range q.Limits {
		if l.Max < 0 {
			rt.Fatalf("an unlimited value is on the path: %+v", l)
		}
		if l.By == policy.ByBinding|policy.ByDomain && l.Option == "max_outbound_connections" {
			if int64(l.Max) != want.Value.Num || l.Origin != want.Origin {
				rt.Fatalf("%s\n%s/%s: on the path %+v, evaluated %+v", conf, d, b, l, want)
			}
			return
		}
	}
	pooled := false
	for _, l := range q.Limits {
		pooled = pooled || l.By == policy.ByBinding|policy.ByStanza
	}
	scope, _ := snap.ParseQuestion([]string{"binding", b, "domain", d, "scope_max_outbound_connections"})
	level := snap.Eval(scope).Level
	if !pooled && want.Value.Num >= 0 && level != "binding::domain" && level != "binding_group::binding::domain" {
		rt.Fatalf("%s\n%s/%s: no (b, d) counter on %+v, evaluated %s", conf, d, b, q.Limits, want)
	}
}

func TestResolverIsSafe(t *testing.T) {
	r := NewResolver(parseOK(t, `Domain "/^(a|b)\.test$/" { max_outbound_connections = 5 } Host 192.0.2.0/24 { max-smtp-out = 1 }`))
	var wg sync.WaitGroup
	got := make([]*policy.Queue, 8)
	for i := range got {
		wg.Go(func() {
			for range 100 {
				for _, d := range someNames {
					got[i] = r.Queue("default", d)
				}
				for _, a := range someAddrs {
					r.Host("default", "mx.test", a)
				}
			}
		})
	}
	wg.Wait()
	for _, q := range got {
		if q != got[0] {
			t.Error("two queues for one kind of name")
		}
	}
}
