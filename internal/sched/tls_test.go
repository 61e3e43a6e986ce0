package sched

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
)

func sharedDANE(data ...string) RouteHost {
	h := shared(TLSDANE)
	for _, d := range data {
		h.TLSA = append(h.TLSA, mail.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: []byte(d)})
	}
	h.Names = []string{h.Name, "one.test"}
	return h
}

// TestTLSCovers: which need is met by a connection that had another.
func TestTLSCovers(t *testing.T) {
	all := []TLS{TLSIfAvailable, TLSNo, TLSRequired, TLSVerifyCA, TLSVerifyHost, TLSDANE}
	if len(all) != tlsKinds {
		t.Fatal("a kind is missing")
	}
	want := map[TLS][]TLS{ // what a connection is good for
		TLSIfAvailable: {TLSIfAvailable},
		TLSNo:          {TLSNo},
		TLSRequired:    {TLSIfAvailable, TLSRequired},
		TLSVerifyCA:    {TLSIfAvailable, TLSRequired, TLSVerifyCA},
		TLSVerifyHost:  {TLSIfAvailable, TLSRequired, TLSVerifyCA, TLSVerifyHost},
		TLSDANE:        {TLSIfAvailable, TLSRequired, TLSDANE},
	}
	for _, has := range all {
		for _, need := range all {
			if got := has.covers(need); got != slices.Contains(want[has], need) {
				t.Errorf("%v for %v: %v", has, need, got)
			}
		}
	}
}

// A connection verified by TLSA records serves another domain that asks for the same ones.
func TestWhoMayTakeOverDANE(t *testing.T) {
	for name, x := range map[string]struct {
		first, second RouteHost
		want          bool
	}{
		"the same":                {sharedDANE("a", "b"), sharedDANE("a", "b"), true},
		"other records":           {sharedDANE("a"), sharedDANE("b"), false},
		"an authority is wanted":  {sharedDANE("a"), shared(TLSVerifyHost), false},
		"DANE is wanted":          {shared(TLSVerifyHost), sharedDANE("a"), false},
		"TLS is wanted":           {sharedDANE("a"), shared(TLSRequired), true},
		"TLS is wished for":       {sharedDANE("a"), shared(TLSIfAvailable), true},
		"none is wanted":          {sharedDANE("a"), shared(TLSNo), false},
		"DANE is wanted of clear": {shared(TLSNo), sharedDANE("a"), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p := testPolicy(bd(8), server(100, 0))
			conn := r.idleAt(p, x.first)
			a := r.submit(p, "two.test", 1)
			if len(find[Resolve](a)) > 0 {
				a = r.resolve("two.test", x.second)
			}
			d := find[Deliver](a)
			if got := len(d) == 1 && d[0].Conn == conn; got != x.want {
				t.Errorf("it takes the idle connection: %v: %s", got, show(a))
			}
		})
	}
}

// What the certificate must prove goes with the dial.
func TestConnectCarriesRecords(t *testing.T) {
	r := newRig(t)
	r.submit(testPolicy(bd(8), server(100, 0)), "one.test", 1)
	h := sharedDANE("a", "b")
	c := only[Connect](t, r.resolve("one.test", h))
	if c.TLS != TLSDANE || len(c.TLSA) != 2 || !slices.Equal(c.Names, h.Names) {
		t.Errorf("%+v", c)
	}
}

// When a domain begins to demand TLS, or bars a host, its open connections without it, or to
// that host, take no further mail.
func TestStricterPolicyEndsConnections(t *testing.T) {
	plain := shared(TLSIfAvailable)
	for name, x := range map[string]struct {
		first, second RouteHost
		barred        bool
		stays         bool
	}{
		"nothing changes":           {plain, plain, false, true},
		"a certificate is demanded": {plain, shared(TLSVerifyHost), false, false},
		"TLSA records appear":       {plain, sharedDANE("a"), false, false},
		"TLSA records change":       {sharedDANE("a"), sharedDANE("b"), false, true},
		"the demand ends":           {shared(TLSVerifyHost), plain, false, true},
		"the host is barred":        {shared(TLSVerifyHost), mx("mx.other.test", 10, "192.0.2.7"), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p := testPolicy(bd(1), server(100, 0))
			p.IdleTimeout = 2 * time.Hour
			conn := r.idleAt(p, x.first)
			r.wait(61 * time.Minute) // the answer has run out
			held := only[Deliver](t, r.submit(p, "one.test", 1))
			a := append(r.submit(p, "one.test", 1), r.submit(p, "one.test", 1)...)
			if len(find[Resolve](append(a, r.submit(p, "one.test", 1)...))) != 1 {
				t.Fatal("it does not ask again")
			}
			ev := Resolved{Binding: "default", Domain: "one.test", Hosts: []RouteHost{x.second}, Until: r.now + 3600*sec, Class: mail.ClassDelivered}
			if x.barred {
				ev.MX, ev.Best, ev.Barred = []string{x.first.Name, x.second.Name}, 2, []string{x.first.Name}
				ev.Hosts[0].TLS = TLSVerifyHost
			}
			a = r.step(ev)
			if _, c, ok := r.connOf(conn); !ok || c.retiring == x.stays {
				t.Errorf("it takes further mail: %v: %s", ok && !c.retiring, show(a))
			}
			if held.Conn != conn {
				t.Errorf("the mail went over connection %d", held.Conn)
			}
		})
	}
}

// A certificate that does not verify is no trouble of those who verify nothing; TLS that
// does not come about at all is one of everybody who insists on it.
func TestTLSFailuresByNeed(t *testing.T) {
	for name, x := range map[string]struct {
		failed, other RouteHost
		kept          bool // the other domain keeps away
	}{
		"a bad certificate, TLS wanted":           {shared(TLSVerifyHost), shared(TLSRequired), false},
		"a bad certificate, the same wanted":      {shared(TLSVerifyHost), shared(TLSVerifyHost), true},
		"no STARTTLS, a certificate wanted":       {shared(TLSRequired), shared(TLSVerifyHost), true},
		"no chain, a name wanted":                 {shared(TLSVerifyCA), shared(TLSVerifyHost), true},
		"records that do not match, a name":       {sharedDANE("a"), shared(TLSVerifyHost), false},
		"records that do not match, DANE":         {sharedDANE("a"), sharedDANE("a"), true},
		"a bad certificate, TLS only wished for":  {shared(TLSVerifyHost), shared(TLSIfAvailable), false},
		"a bad certificate, records asked for":    {shared(TLSVerifyHost), sharedDANE("a"), false},
		"no STARTTLS, records asked for":          {shared(TLSRequired), sharedDANE("a"), true},
		"a name that is not there, a chain asked": {shared(TLSVerifyHost), shared(TLSVerifyCA), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p := testPolicy(bd(8), server(100, 0))
			p.HostFailureRetry = 2 * time.Minute
			r.submit(p, "one.test", 1)
			c := only[Connect](t, r.resolve("one.test", x.failed))
			reply := mail.Reply{Text: "TLS handshake failed", Stage: mail.StageTLS}
			r.step(ConnectFailed{Conn: c.Conn, Class: ConnectTLS, Reply: reply})
			r.step(Closed{Conn: c.Conn, Class: ConnectTLS, Reply: reply})
			r.submit(p, "two.test", 1)
			if got := len(find[Connect](r.resolve("two.test", x.other))) == 0; got != x.kept {
				t.Errorf("it keeps away: %v", got)
			}
		})
	}
}

// Broken TLS is remembered for the time that the policy says, shown with its reason, and
// then tried again.
func TestBrokenTLSIsRemembered(t *testing.T) {
	r := newRig(t)
	p := testPolicy(bd(1), server(100, 0))
	p.BrokenTLSRetry = 10 * time.Minute
	r.submit(p, "one.test", 1)
	c := only[Connect](t, r.resolve("one.test", shared(TLSIfAvailable)))
	reply := mail.Reply{Enhanced: "4.7.5", Text: "TLS handshake failed: EOF", Stage: mail.StageTLS}
	a := r.step(ConnectFailed{Conn: c.Conn, Class: ConnectTLS, Reply: reply})
	c = only[Connect](t, append(a, r.step(Closed{Conn: c.Conn, Class: ConnectTLS, Reply: reply})...))
	if c.TLS != TLSNo {
		t.Fatalf("the next connection: %v", c.TLS)
	}
	r.step(Connected{Conn: c.Conn})
	x, _ := r.Explain(r.now, "one.test/default")
	if len(x.Hosts) != 1 || !strings.HasPrefix(x.Hosts[0].State, "in clear for 10m") || !strings.HasSuffix(x.Hosts[0].State, "TLS failed: 4.7.5 TLS handshake failed: EOF") {
		t.Errorf("explained: %+v", x.Hosts)
	}
	d := only[Deliver](t, r.step(Wants{c.Conn, 2}))
	r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, mail.ClassDelivered)})
	r.step(Closed{Conn: c.Conn})
	r.wait(11 * time.Minute)
	r.submit(p, "one.test", 1)
	if c = only[Connect](t, r.resolve("one.test", shared(TLSIfAvailable))); c.TLS != TLSIfAvailable {
		t.Errorf("after the time: %v", c.TLS)
	}
}

// What is said in clear is not final for mail that goes only where a certificate is shown.
func TestNeverInClearIsNotFinal(t *testing.T) {
	for need, want := range map[TLS]mail.Class{TLSIfAvailable: mail.ClassRefused, TLSVerifyHost: mail.ClassDeferred, TLSDANE: mail.ClassDeferred} {
		r := newRig(t)
		p := testPolicy(bd(1), server(100, 0))
		p.HostFailureRetry = time.Minute
		r.submit(p, "one.test", 1)
		c := only[Connect](t, r.resolve("one.test", shared(need)))
		reply := mail.Reply{Code: 521, Text: "no mail here", Stage: mail.StageGreeting}
		r.step(ConnectFailed{Conn: c.Conn, Class: ConnectNever, Reply: reply})
		r.step(Closed{Conn: c.Conn, Class: ConnectNever, Reply: reply})
		last := r.records[len(r.records)-1]
		if got := last.Outcomes[0].Class; got != want {
			t.Errorf("%v: %v", need, got)
		}
	}
}
