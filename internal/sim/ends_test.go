package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// troubled is a world in which everything goes wrong that can.
type troubled struct {
	*World
	rng     *rand.Rand
	domains int
	span    time.Duration // in which mail comes
}

func newTroubled(seed uint64, domains int) *troubled {
	w := New(seed)
	x := &troubled{World: w, rng: rand.New(rand.NewPCG(seed, 7)), domains: domains, span: 3 * time.Hour}
	w.ends = &ends{life: 4 * time.Hour, of: map[mail.ID]*promise{}, Latest: -time.Hour}
	w.rules.tune = func(q *policy.Queue) {
		q.Expiration, q.GenerateBounces, q.GenerateDelayDSN = w.ends.life, true, true
		q.Retry = policy.RetrySchedule{Steps: []time.Duration{10 * time.Minute}, Doubling: true, Max: time.Hour}
	}
	return x
}

func (x *troubled) domain(i int) string { return fmt.Sprintf("d%d.test", i) }

func (x *troubled) when(most time.Duration) time.Duration {
	return time.Duration(x.rng.Int64N(int64(most)))
}

// trouble switches every fault on at random: receivers, DNS, our own addresses, the disk,
// operators, limits, the power.
func (x *troubled) trouble() {
	end := x.span + 6*time.Hour
	for i := range x.domains {
		name := x.domain(i)
		r := x.Receiver("mx." + name)
		for range x.rng.IntN(6) {
			kinds := append([]Behaviour{Hangs}, behaviours...)
			from := x.when(end)
			x.During(r, kinds[x.rng.IntN(len(kinds))], from, from+x.when(6*time.Hour))
		}
		switch x.rng.IntN(10) {
		case 0:
			x.Limit("max_outbound_connections", name, x.rng.IntN(2), 0, 1)
		case 1:
			d := &domain{hosts: []mxHost{{name: "mx." + name, preference: 10}}}
			x.World.domains[name] = d
			class := []mail.Class{mail.ClassDeferred, mail.ClassRefused, mail.ClassLocal}[x.rng.IntN(3)]
			from := x.when(end)
			x.client(from, func() { d.fails = class })
			x.client(from+x.when(5*time.Hour), func() { d.fails = mail.ClassNone })
		case 2:
			from := x.when(end)
			x.client(from, func() { x.step(sched.Operator{Verb: sched.Suspend, Domain: name, By: "test"}) })
			x.client(from+x.when(9*time.Hour), func() { x.step(sched.Operator{Verb: sched.Resume, Domain: name, By: "test"}) })
		}
	}
	for range 3 {
		from := x.when(end)
		x.client(from, func() { x.bindingOf("default").trouble = sched.ConnectLocalAddress })
		x.client(from+x.when(30*time.Minute), func() { x.bindingOf("default").trouble = sched.ConnectOK })
		x.client(x.when(end), func() {
			x.Spool(false)
			x.client(x.when(20*time.Minute), func() { x.Spool(true) })
		})
	}
	for range 2 {
		x.client(x.when(end), func() { x.Crash(x.when(10 * time.Minute)) })
	}
}

// mail hands in so many recipients, in messages of up to 40, some of null senders, some
// with a wish about time or about reports.
func (x *troubled) mail(recipients int) {
	for n := 0; recipients > 0; n++ {
		k := min(recipients, 1+x.rng.IntN(40))
		recipients -= k
		env := &mail.Envelope{ID: mail.NewID(int64(n+1), [10]byte{3}), Size: int64(len(original))}
		if x.rng.IntN(7) > 0 {
			env.Sender = mail.Address{Local: "news", Domain: x.domain(x.rng.IntN(x.domains))}
		}
		spread := 1 + x.rng.IntN(4)
		first := x.rng.IntN(x.domains)
		for i := range k {
			d := x.domain((first + i*spread/k) % x.domains)
			env.Recipients = append(env.Recipients, mail.Recipient{
				Address: mail.Address{Local: "u" + strconv.Itoa(i), Domain: d}, Domain: d, Binding: "default",
				Notify: []mail.Notify{0, 0, 0, mail.NotifyNever, mail.NotifySuccess | mail.NotifyFailure, mail.NotifyFailure | mail.NotifyDelay}[x.rng.IntN(6)],
			})
		}
		ask, wait := x.rng.IntN(12), x.when(2*time.Hour)
		x.client(x.when(x.span), func() {
			env.Received = x.now
			switch ask {
			case 0:
				env.Release = x.now + int64(wait)
			case 1:
				env.By = mail.DeliverBy{Deadline: x.now + int64(wait)}
			case 2:
				env.By = mail.DeliverBy{Deadline: x.now + int64(wait), Mode: mail.ByNotify}
			}
			x.ends.accept(x.World, env)
		})
	}
}

// TestEverythingEnds: recipients, SLUICE_RECIPIENTS of them, in a world with every fault.
func TestEverythingEnds(t *testing.T) {
	recipients, domains, seed := 4000, 30, uint64(1)
	if s := os.Getenv("SLUICE_RECIPIENTS"); s != "" && !testing.Short() {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("SLUICE_RECIPIENTS: %v", err)
		}
		recipients, domains = n, 30+n/5000
	}
	if s := os.Getenv("SLUICE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SLUICE_SEED: %v", err)
		}
		seed = n
	}
	x := newTroubled(seed, domains)
	x.trouble()
	x.mail(recipients)
	if err := x.Settle(); err != nil {
		t.Fatal(err)
	}
	x.ends.settle(x.World)
	if err := x.Err(); err != nil {
		t.Fatal(err)
	}
	if x.ends.Reports == 0 || x.books.Delivered == 0 || x.books.Expired == 0 || x.ends.restarts != 2 {
		t.Errorf("the world was too kind: %d reports, %d delivered, %d expired", x.ends.Reports, x.books.Delivered, x.books.Expired)
	}
	t.Logf("%d recipients: %d delivered, %d failed, %d of them expired; %d reports; the last end %v after its deadline; %d steps",
		recipients, x.books.Delivered, x.books.Bounced, x.books.Expired, x.ends.Reports, x.ends.Latest, x.Steps)
	python(t, x.ends.samples)
}

// python has Python's parser read reports.
func python(t *testing.T, reports [][]byte) {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Log("python3 is not installed: its parser was not asked")
		return
	}
	const script = `
import sys, json, base64, email, email.policy
for b in json.load(sys.stdin):
    m = email.message_from_bytes(base64.b64decode(b), policy=email.policy.default)
    parts = list(m.iter_parts())
    assert m.get_content_type() == "multipart/report" and not m.defects, m.defects
    status = [p for p in parts if p.get_content_type() == "message/delivery-status"]
    assert len(status) == 1 and len(status[0].get_payload()) >= 2
    assert all(b["Action"] and b["Status"] and b["Final-Recipient"] for b in status[0].get_payload()[1:])
`
	feed, err := json.Marshal(reports)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", script)
	cmd.Stdin = bytes.NewReader(feed)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("Python's parser: %v\n%s", err, out)
	}
}
