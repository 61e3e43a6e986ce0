package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Plan is a random world as data, so that one that fails can be made smaller and shown.
type Plan struct {
	Seed      uint64
	Conf      *stanza
	Receivers []planReceiver
	Domains   []planDomain
	Acts      []act
	Lag       time.Duration // of accounting and the spool
	Crashes   bool          // deliveries may repeat
}

type planReceiver struct {
	Host      string
	Addresses []netip.Addr
	Latency   time.Duration
	Bears     int // connections that it takes from one binding; what is above gets a 421; 0: any number
	Spells    []planSpell
}

type planSpell struct {
	What     Behaviour
	From, To time.Duration
}

type planDomain struct {
	Name  string
	Hosts []mxHost
}

// act is something that happens at a time; what it does is undone after its span.
type act struct {
	At, Span time.Duration
	What     string
	Binding  string
	Domain   string
	Tenant   string
	Job      string
	To       string // a binding
	Named    bool   // the binding is named, not its group
	Priority mail.Priority
	N, Rcpt  int
	Path     string // of a stanza
	Set      *assign
	Hosts    []mxHost
	Local    sched.ConnectClass
	Class    mail.Class
	Only6    bool
}

func (a *act) String() string {
	s := fmt.Sprintf("at %v %s", a.At, a.What)
	add := func(name, v string) {
		if v != "" {
			s += " " + name + " " + v
		}
	}
	switch a.What {
	case "submit":
		s += fmt.Sprintf(" %d messages of %d recipients", a.N, a.Rcpt)
	case "trouble":
		s += " " + a.Local.String()
	case "dns":
		s += " " + a.Class.String()
	case "mx":
		s += fmt.Sprintf(" %v", a.Hosts)
	}
	add("binding", a.Binding)
	add("domain", a.Domain)
	add("tenant", a.Tenant)
	add("job", a.Job)
	add("to", a.To)
	add("in", a.Path)
	if a.Set != nil {
		s += " " + a.Set.String()
	}
	if a.Span > 0 {
		s += fmt.Sprintf(" for %v", a.Span)
	}
	return s
}

// String is the whole plan, to be read.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "world of seed %d, crashes %v, accounting and spool lag %v\n%s", p.Seed, p.Crashes, p.Lag, p.Conf.text("  "))
	for _, r := range p.Receivers {
		fmt.Fprintf(&b, "receiver %s %v latency %v bears %d %v\n", r.Host, r.Addresses, r.Latency, r.Bears, r.Spells)
	}
	for _, d := range p.Domains {
		fmt.Fprintf(&b, "domain %s mx %v\n", d.Name, d.Hosts)
	}
	for i := range p.Acts {
		fmt.Fprintf(&b, "%s\n", p.Acts[i].String())
	}
	return b.String()
}

// planner draws a plan.
type planner struct {
	*Plan
	*rand.Rand
	bindings, domains, hosts []string
	tenants                  []string
}

// RandomPlan draws a world by its seed: bindings and groups, domains on shared hosts, a
// configuration with limits in every scope, receivers that misbehave, mail of several
// tenants and jobs, and operators and reloads in between.
func RandomPlan(seed uint64) *Plan {
	p := &planner{Plan: &Plan{Seed: seed, Conf: &stanza{}, Crashes: seed%4 == 0}, Rand: rand.New(rand.NewPCG(seed, 2))}
	p.Lag = time.Duration(1+p.IntN(20)) * time.Millisecond
	p.drawBindings()
	p.drawReceivers()
	p.drawDomains()
	p.drawTenants()
	p.drawOptions()
	p.drawLimits()
	p.drawRates()
	p.drawMail()
	p.drawTrouble()
	p.drawRollups()
	p.Conf.seal("")
	p.drawReloads()
	if p.Seed%2 == 0 {
		p.drawRerouting()
	}
	return p.Plan
}

func pick[T any](p *planner, from []T) T { return from[p.IntN(len(from))] }

func (p *planner) within(d time.Duration) time.Duration {
	return time.Duration(p.Int64N(int64(d/time.Millisecond))) * time.Millisecond
}

func (p *planner) drawBindings() {
	for i := range 1 + p.IntN(4) {
		name := fmt.Sprintf("ip-%d", i)
		in := p.Conf
		if p.IntN(2) == 0 {
			in = p.Conf.open("binding_group", pick(p, []string{"pool", "other"}))
		}
		b := in.open("binding", name)
		b.put("weight", &assign{option: "weight", n: 1 + p.IntN(3)})
		p.bindings = append(p.bindings, name)
	}
}

func (p *planner) drawReceivers() {
	for i := range 1 + p.IntN(6) {
		r := planReceiver{
			Host: fmt.Sprintf("mx%d.test", i), Latency: time.Duration(1+p.IntN(200)) * time.Millisecond,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 18, 0, byte(i + 1)})},
		}
		if p.IntN(3) == 0 {
			r.Bears = 1 + p.IntN(5)
		}
		if p.IntN(3) == 0 {
			r.Addresses = append(r.Addresses, netip.AddrFrom4([4]byte{198, 18, 1, byte(i + 1)}))
		}
		if p.IntN(3) == 0 {
			r.Addresses = append(r.Addresses, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i + 1)}))
		}
		for range p.IntN(3) {
			from := p.within(time.Hour)
			r.Spells = append(r.Spells, planSpell{pick(p, behaviours), from, from + p.within(30*time.Minute)})
		}
		p.Receivers = append(p.Receivers, r)
		p.hosts = append(p.hosts, r.Host)
	}
}

func (p *planner) drawHosts() (hosts []mxHost) {
	for range 1 + p.IntN(3) {
		h := mxHost{name: pick(p, p.hosts), preference: 10 * (1 + p.IntN(2)), tls: sched.TLS(p.IntN(3))}
		if !slices.ContainsFunc(hosts, func(x mxHost) bool { return x.name == h.name }) {
			hosts = append(hosts, h)
		}
	}
	slices.SortStableFunc(hosts, func(a, b mxHost) int { return a.preference - b.preference })
	return hosts
}

func (p *planner) drawDomains() {
	for i := range 1 + p.IntN(8) {
		name := fmt.Sprintf("d%d.%s.test", i, []string{"one", "two", "three"}[i%3])
		p.Domains = append(p.Domains, planDomain{name, p.drawHosts()})
		p.domains = append(p.domains, name)
	}
}

func (p *planner) drawTenants() {
	p.tenants = []string{""}
	for i, n := range p.Perm(4)[:p.IntN(4)] {
		name := fmt.Sprintf("t%d", i)
		p.Conf.open("tenant", name).put("weight", &assign{option: "weight", n: 1 + n*n*n})
		p.tenants = append(p.tenants, name)
	}
}

func (p *planner) drawOptions() {
	set := func(option string, n int) { p.Conf.put(option, &assign{option: option, n: n}) }
	word := func(option, w string) { p.Conf.put(option, &assign{option: option, word: w}) }
	set("max_recipients_per_batch", 1+p.IntN(5))
	set("idle_timeout", p.IntN(6))
	word("message_expiration", "48h")
	if p.IntN(3) == 0 {
		set("max_deliveries_per_connection", 1+p.IntN(10))
	}
	if p.IntN(3) == 0 {
		set("max_recipients_per_connection", 1+p.IntN(10))
	}
	if p.IntN(4) == 0 {
		set("max_retries", p.IntN(6))
	}
	if p.IntN(2) == 0 {
		word("connection_allocation_aggressiveness", "high")
	}
	if p.IntN(4) == 0 {
		word("generate_bounces", "off")
	}
	if p.IntN(2) == 0 {
		word("generate_delay_dsn", "on")
	}
}

// A place in the tree, and what may be limited there.
type perch struct {
	in          *stanza
	kind, label string
}

// perch draws a stanza of any kind at any depth: patterns, blocks and addresses too.
func (p *planner) perch() perch {
	in := p.Conf
	if n := p.IntN(4); n == 0 {
		g, own := p.Conf.binding(pick(p, p.bindings))
		if in = own; g != nil && p.IntN(2) == 0 {
			in = g
		}
	}
	switch p.IntN(6) {
	case 0:
		if in == p.Conf {
			return perch{in: in, kind: "global"}
		}
		return perch{in: in, kind: in.kind}
	case 1, 2:
		return perch{in, "domain", pick(p, p.domains)}
	case 3:
		return perch{in, "domain", pick(p, []string{`/\.one\.test$/`, `/^d[0-3]\./`, `/test/`})}
	case 4:
		return perch{in, "host", pick(p, append(slices.Clone(p.hosts), `/^mx[0-2]\./`))}
	}
	return perch{in, "host", pick(p, []string{"198.18.0.1", "198.18.0.0/29", "198.18.0.0/16", "2001:db8::/64"})}
}

func (x perch) stanza() *stanza {
	if x.label == "" {
		return x.in
	}
	return x.in.open(x.kind, x.label)
}

// limitAt draws a limit that is valid at a place.
func (p *planner) limitAt(x perch) *assign {
	most := 1 + p.IntN(8)
	options := []string{optMax, optMax, optScope, optScope, "cluster_" + optScope}
	inGroup := x.in.kind == "binding_group" || p.inGroup(x.in)
	switch {
	case x.kind == "global":
		options = []string{optServer, optMax, "cluster_" + optMax, "cluster_" + optServer}
		if p.IntN(6) == 0 {
			options = []string{optScope}
		}
	case x.kind == "binding", x.kind == "binding_group":
		options = append(options, optServer, "cluster_"+optServer)
	}
	if !inGroup && x.kind != "global" && !strings.ContainsAny(x.label, ":/") && !strings.HasPrefix(x.label, "198.") {
		options = append(options, "cluster_"+optMax)
	}
	option := pick(p, options)
	if x.kind == "global" && option != optMax {
		most *= 3
	}
	if p.IntN(16) == 0 && option != optScope {
		most = -1
	}
	return &assign{option: option, n: most}
}

func (p *planner) inGroup(b *stanza) bool {
	if b.kind != "binding" {
		return false
	}
	g, _ := p.Conf.binding(b.label)
	return g != nil
}

func (p *planner) drawLimits() {
	p.Conf.put(optMax, &assign{option: optMax, n: 1 + p.IntN(12)})
	p.Conf.put(optServer, &assign{option: optServer, n: 2 + p.IntN(20)})
	reserve := 0
	if p.IntN(2) == 0 {
		reserve = p.IntN(3)
	}
	p.Conf.put("server_reserve_outbound_connections", &assign{option: "server_reserve_outbound_connections", n: reserve})
	for range p.IntN(9) {
		x := p.perch()
		a := p.limitAt(x)
		x.stanza().put(a.option, a)
	}
}

// rateAt draws a rate that is valid at a place.
func (p *planner) rateAt(x perch) *assign {
	options := []string{
		"outbound_throttle_connections", "outbound_throttle_messages", "max_connect_rate", "max_message_rate",
		"cluster_outbound_throttle_connections", "cluster_outbound_throttle_messages",
	}
	if x.kind == "host" {
		options = options[:2]
	}
	a := &assign{option: pick(p, options), rate: &rate{n: 1 + p.Int64N(20), per: time.Duration(1+p.Int64N(60)) * time.Second, burst: 1 + p.Int64N(4)}}
	if p.IntN(8) == 0 {
		a.rate.n = 0
	}
	return a
}

// drawRates draws rates in half of the worlds.
func (p *planner) drawRates() {
	if p.IntN(2) == 0 {
		return
	}
	for range 1 + p.IntN(4) {
		x := p.perch()
		a := p.rateAt(x)
		x.stanza().put(a.option, a)
	}
}

func (p *planner) drawMail() {
	jobs := []string{"", "bulk", "resets"}
	for range 20 + p.IntN(100) {
		p.Acts = append(p.Acts, act{
			What: "submit", At: p.within(time.Hour), N: 1 + p.IntN(12), Rcpt: 1 + p.IntN(8),
			Binding: pick(p, p.bindings), Domain: pick(p, p.domains), Tenant: pick(p, p.tenants), Job: pick(p, jobs), Named: p.IntN(4) == 0,
			Priority: pick(p, []mail.Priority{mail.PriorityNormal, mail.PriorityNormal, mail.PriorityHigh, mail.PriorityLow}),
		})
	}
}

// drawTrouble spreads what goes wrong on our side, at the resolver, and what operators do.
func (p *planner) drawTrouble() {
	for range p.IntN(12) {
		a := act{At: p.within(time.Hour), Span: p.within(10 * time.Minute)}
		switch p.IntN(12) {
		case 9:
			a.What, a.Domain, a.Tenant = "suspend", pick(p, p.domains), pick(p, p.tenants)
		case 10:
			a.What, a.Domain, a.Job = "fail", pick(p, p.domains), "bulk"
		case 11:
			a.What, a.Binding, a.To, a.Span = "move", pick(p, p.bindings), pick(p, p.bindings), 0
		case 0:
			a.What, a.Domain = "suspend", pick(p, p.domains)
		case 1:
			a.What, a.Binding = "suspend", pick(p, p.bindings)
		case 2:
			a.What, a.Domain = "retry", pick(p, p.domains)
		case 3:
			a.What, a.Binding, a.Only6 = "trouble", pick(p, p.bindings), p.IntN(2) == 0
			a.Local = sched.ConnectLocalAddress + sched.ConnectClass(p.IntN(4))
		case 4:
			a.What, a.Domain = "dns", pick(p, p.domains)
			a.Class = []mail.Class{mail.ClassDeferred, mail.ClassLocal, mail.ClassRefused}[p.IntN(3)]
		case 5, 6:
			a.What, a.Domain, a.Hosts, a.Span = "mx", pick(p, p.domains), p.drawHosts(), 0
		case 7:
			a.What = "sick"
		case 8:
			if a.What = "sick"; p.Crashes {
				a.What, a.Span = "crash", p.within(time.Minute)
				if p.IntN(2) == 0 {
					a.N = p.IntN(7200) - 3600 // the wall clock is set meanwhile
				}
			}
		}
		p.Acts = append(p.Acts, a)
	}
}

// drawReloads changes the configuration in the middle: limits raised, lowered, added
// and taken away, stanzas removed, delivery suspended.
func (p *planner) drawReloads() {
	var paths []string
	p.Conf.all(func(s *stanza) {
		if s.kind != "tenant" && s.kind != "rollup" {
			paths = append(paths, s.path)
		}
	})
	for range p.IntN(8) {
		a := act{What: "set", At: p.within(time.Hour), Span: p.within(10 * time.Minute), Path: pick(p, paths)}
		s := p.Conf.at(a.Path)
		var have []assign
		for _, x := range s.set {
			if strings.HasSuffix(x.option, "_connections") && x.rate == nil {
				have = append(have, x)
			}
		}
		switch n := p.IntN(8); {
		case n == 0 && (s.kind == "domain" || s.kind == "host"):
			a.What = "drop"
		case n == 1 && s.kind != "" && s.kind != "host":
			a.Set = &assign{option: "suspend_delivery", n: 1}
		case n == 2 && s.kind == "binding":
			a.What = "drop"
		case n < 7 && len(have) > 0:
			x := pick(p, have)
			x.n = p.IntN(8) // 0 too: it is undone after the span
			a.Set = &x
		case n == 7 && p.IntN(2) == 0:
			a.Set = p.rateAt(p.perchAt(s))
		default:
			a.Set = p.limitAt(p.perchAt(s))
		}
		p.Acts = append(p.Acts, a)
	}
}

// perchAt is the place of a stanza that is there.
func (p *planner) perchAt(s *stanza) (x perch) {
	x = perch{in: s, kind: s.kind, label: s.label}
	if s == p.Conf {
		x.kind = "global"
	}
	p.Conf.all(func(c *stanza) {
		if slices.Contains(c.in, s) && (s.kind == "domain" || s.kind == "host") {
			x.in = c
		}
	})
	return x
}
