package sim

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// Scenario runs a scenario file: one sentence a line, # begins a comment. Sentences
// about the world hold from where they stand; "run" lets time pass; "expect" compares.
//
//	seed 7
//	limit max_outbound_connections one.test 8        targets: *, DOMAIN, host:H, address:H, binding:B, group:G, group:G/DOMAIN
//	limit server_max_outbound_connections * 100 reserve 10
//	rate max_message_rate one.test 50/h,burst=2      targets as above; unlimited
//	files 50                                         the open-file limit
//	binding ip-1 group pool weight 2
//	remove ip-1                                      a reload drops it
//	tenant shop weight 3
//	option max_deliveries_per_connection 20
//	domain one.test mx 10 mx1.one.test 20 mx2.one.test
//	rollup gmail.rollup mx *.google.test             a reload adds it; rollup gmail.rollup none takes it away
//	mx_rollup one.test auto                          off, auto, a Rollup, a domain; target * for all
//	dns one.test fails deferred                      deferred, refused, local; works again: dns one.test works
//	addresses mx1.one.test 2
//	address mx1.one.test 2001:db8::1                 one more
//	receiver mx1.one.test latency 5ms bears 20 refuses from 10s to 20s
//	submit 100 messages to one.test every 10ms via ip-1 tenant shop recipients 3 job spring priority low
//	submit 5 messages to one.test via ip-1 named     the client named the binding, not its group
//	suspend one.test binding:ip-1 tenant:shop | *    what is named together; also resume, retry
//	fail job:spring                                  ends what waits; retry and move know jobs too
//	move one.test to ip-2                            to a binding, or to group:pool
//	configure suspend one.test                       suspend_delivery by a reload; configure resume
//	trouble ip-1 address                             address, files, ports, route, route6, none
//	trouble ip-1 route to mx1.one.test               only there
//	spool sick | healthy
//	crash down 6h                                    without "down": starts again at once
//	stop
//	run 1m
//	expect delivered 100                             also bounced, expired, deferred, delays, twice, messages, connections
//	expect job spring 20                             so many recipients of a job
//	expect peak one.test at most 8                   a number alone is exact; also at least
//	expect one.test/default waits on max_outbound_connections
//	expect one.test/default says waits for a token   in what explain says
//	expect open under:gmail.rollup 6                 connections counted under a routing domain now; peak too
//	expect one.test/default rolled up under X        in what explain says of rollups
//	expect log binding ip-1
func Scenario(r io.Reader) (*World, error) {
	w := New(1)
	w.Check = true
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		err := w.sentence(words, n)
		if err == nil {
			err = w.failure
		}
		if err != nil {
			return w, fmt.Errorf("line %d: %s: %w", n, strings.TrimSpace(text), err)
		}
	}
	return w, lines.Err()
}

func (w *World) sentence(words []string, line int) error {
	s := &sentence{words: words[1:], line: line}
	if words[0] == "expect" {
		return w.expect(s)
	}
	say := sentences[words[0]]
	if say == nil {
		return fmt.Errorf("unknown sentence")
	}
	say(w, s)
	return s.end()
}

// sentences are what a scenario can say, by the first word; "expect" is apart.
var sentences = map[string]func(w *World, s *sentence){
	"seed":      (*World).saySeed,
	"limit":     (*World).sayLimit,
	"rate":      (*World).sayRate,
	"files":     func(w *World, s *sentence) { w.rules.files = s.number(); w.Reload() },
	"binding":   (*World).sayBinding,
	"remove":    func(w *World, s *sentence) { w.bindingOf(s.word()).gone = true; w.Reload() },
	"tenant":    (*World).sayTenant,
	"option":    (*World).sayOption,
	"domain":    (*World).sayDomain,
	"rollup":    (*World).sayRollup,
	"mx_rollup": (*World).sayMXRollup,
	"dns":       (*World).sayDNS,
	"addresses": (*World).sayAddresses,
	"address":   (*World).sayAddress,
	"receiver":  (*World).sayReceiver,
	"submit":    (*World).saySubmit,
	"suspend":   func(w *World, s *sentence) { w.sayVerb("suspend", s) },
	"resume":    func(w *World, s *sentence) { w.sayVerb("resume", s) },
	"retry":     func(w *World, s *sentence) { w.sayVerb("retry", s) },
	"fail":      func(w *World, s *sentence) { w.sayVerb("fail", s) },
	"move":      func(w *World, s *sentence) { w.sayVerb("move", s) },
	"configure": (*World).sayConfigure,
	"trouble":   (*World).sayTrouble,
	"spool":     func(w *World, s *sentence) { w.Spool(s.word() == "healthy") },
	"crash":     (*World).sayCrash,
	"stop":      func(w *World, _ *sentence) { w.step(sched.Stop{}); w.stopped = true },
	"run":       func(w *World, s *sentence) { w.Run(s.duration()) },
}

func (w *World) saySeed(s *sentence) {
	seed := uint64(s.number())
	if w.m != nil {
		s.note(fmt.Errorf("seed comes first"))
		return
	}
	*w = *New(seed)
	w.Check = true
}

func (w *World) sayLimit(s *sentence) {
	option, target, most, reserve := s.word(), s.word(), s.number(), 0
	if s.is("reserve") {
		reserve = s.number()
	}
	w.Limit(option, target, most, reserve, s.line)
}

func (w *World) sayTenant(s *sentence) {
	if w.rules.tenants == nil {
		w.rules.tenants = map[string]int{}
	}
	name := s.word()
	s.must("weight")
	w.rules.tenants[name] = s.number()
}

func (w *World) sayAddresses(s *sentence) {
	r := w.Receiver(s.word())
	for n := s.number(); len(r.Addresses) < n; {
		r.Addresses = append(r.Addresses, netip.AddrFrom4([4]byte{198, 19, byte(len(w.receivers)), byte(len(r.Addresses))}))
	}
}

func (w *World) sayAddress(s *sentence) {
	r := w.Receiver(s.word())
	a, err := netip.ParseAddr(s.word())
	s.note(err)
	r.Addresses = append(r.Addresses, a)
}

func (w *World) sayCrash(s *sentence) {
	down := time.Duration(0)
	if s.is("down") {
		down = s.duration()
	}
	w.Crash(down)
}

func (w *World) sayBinding(s *sentence) {
	b := w.bindingOf(s.word())
	for s.more() {
		switch s.word() {
		case "group":
			b.group = s.word()
		case "weight":
			b.weight = s.number()
		default:
			s.wrong("group or weight")
		}
	}
}

func (w *World) sayOption(s *sentence) {
	before := w.rules.tune
	name := s.word()
	value := s.word()
	number := func() int { n, err := strconv.Atoi(value); s.note(err); return n }
	span := func() time.Duration { d, err := time.ParseDuration(value); s.note(err); return d }
	var set func(q *policy.Queue)
	switch name {
	case "max_deliveries_per_connection":
		n := number()
		set = func(q *policy.Queue) { q.MaxDeliveriesPerConnection = n }
	case "max_recipients_per_connection":
		n := number()
		set = func(q *policy.Queue) { q.MaxRecipientsPerConnection = n }
	case "max_recipients_per_batch":
		n := number()
		set = func(q *policy.Queue) { q.MaxRecipientsPerBatch = n }
	case "max_retries":
		n := number()
		set = func(q *policy.Queue) { q.MaxRetries = n }
	case "idle_timeout":
		d := span()
		set = func(q *policy.Queue) { q.IdleTimeout = d }
	case "retry_interval":
		d := span()
		set = func(q *policy.Queue) { q.Retry.Steps = []time.Duration{d} }
	case "message_expiration":
		d := span()
		set = func(q *policy.Queue) { q.Expiration = d }
	case "generate_bounces":
		set = func(q *policy.Queue) { q.GenerateBounces = value == "on" }
	case "generate_delay_dsn":
		set = func(q *policy.Queue) { q.GenerateDelayDSN = value == "on" }
	case "connection_allocation_aggressiveness":
		set = func(q *policy.Queue) { q.Ramp = map[string]float64{"normal": 0.30, "high": 0.75}[value] }
	default:
		s.wrong("an option that the simulator knows")
		return
	}
	w.rules.tune = func(q *policy.Queue) {
		if before != nil {
			before(q)
		}
		set(q)
	}
	w.Reload()
}

func (w *World) sayDomain(s *sentence) {
	d := &domain{}
	w.domains[s.word()] = d
	s.must("mx")
	for s.more() && s.err == nil {
		h := mxHost{preference: s.number(), name: s.word()}
		if s.is("tls") {
			h.tls = sched.TLSRequired
		}
		w.Receiver(h.name)
		d.hosts = append(d.hosts, h)
	}
}

func (w *World) sayDNS(s *sentence) {
	name := s.word()
	d := w.domains[name]
	if d == nil {
		d = &domain{hosts: []mxHost{{name: "mx." + name, preference: 10}}}
		w.domains[name] = d
	}
	if s.is("works") {
		d.fails = mail.ClassNone
		return
	}
	s.must("fails")
	class, ok := map[string]mail.Class{"deferred": mail.ClassDeferred, "refused": mail.ClassRefused, "local": mail.ClassLocal}[s.word()]
	if d.fails = class; !ok {
		s.wrong("deferred, refused or local")
	}
}

func (w *World) sayReceiver(s *sentence) {
	r := w.Receiver(s.word())
	for s.more() && s.err == nil {
		switch word := s.word(); word {
		case "latency":
			r.Latency = s.duration()
		case "bears":
			r.PerSource = s.number()
		default:
			if !slices.Contains(behaviours, Behaviour(word)) && Behaviour(word) != Hangs {
				s.wrong("latency, bears or a behaviour")
				return
			}
			s.must("from")
			from := s.duration()
			s.must("to")
			w.During(r, Behaviour(word), from, s.duration())
		}
	}
}

func (w *World) saySubmit(s *sentence) {
	n := s.number()
	s.must("messages")
	s.must("to")
	every, load := time.Duration(0), Load{Domain: s.word(), Binding: "default", Recipients: 1}
	for s.more() && s.err == nil {
		switch s.word() {
		case "every":
			every = s.duration()
		case "via":
			load.Binding = s.word()
		case "tenant":
			load.Tenant = s.word()
		case "recipients":
			load.Recipients = s.number()
		case "job":
			load.Job = s.word()
		case "named":
			load.Named = true
		case "priority":
			p, err := mail.ParsePriority(s.word())
			s.note(err)
			load.Priority = p
		default:
			s.wrong("every, via, tenant, recipients, job, priority or named")
		}
	}
	for i := range n {
		if every == 0 {
			w.Hand(load)
			continue
		}
		w.client(time.Duration(i)*every, func() { w.Hand(load) })
	}
}

func (w *World) sayConfigure(s *sentence) {
	if w.rules.off == nil {
		w.rules.off = map[string]bool{}
	}
	on := s.is("suspend")
	if !on {
		s.must("resume")
	}
	w.rules.off[s.word()] = on
	w.Reload()
}

func (w *World) sayTrouble(s *sentence) {
	b := w.bindingOf(s.word())
	what, only6 := strings.CutSuffix(s.word(), "6")
	b.only6 = only6
	b.troubleTo = ""
	class, ok := map[string]sched.ConnectClass{
		"address": sched.ConnectLocalAddress, "files": sched.ConnectLocalFiles,
		"ports": sched.ConnectLocalPorts, "route": sched.ConnectLocalRoute, "none": sched.ConnectOK,
	}[what]
	if b.trouble = class; !ok {
		s.wrong("address, files, ports, route or none")
	}
	if s.is("to") {
		b.troubleTo = s.word()
	}
}
