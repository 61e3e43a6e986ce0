package limit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func key(option, binding, domain string) Key {
	return Key{Option: option, Binding: binding, Domain: domain}
}

func TestAllOrNothing(t *testing.T) {
	e := New()
	a, _ := e.Counter(key("a", "b", "d"), 5, 0)
	b, _ := e.Counter(key("b", "b", ""), 1, 0)
	c, _ := e.Counter(key("c", "", ""), 5, 0)
	path := []CounterID{a, b, c}
	var p, q Permit
	if _, ok := e.Acquire(0, &p, path, nil, Turn{Waiter: 1}); !ok {
		t.Fatal("the first is refused")
	}
	blocker, ok := e.Acquire(0, &q, path, nil, Turn{Waiter: 2})
	if ok || blocker != (Blocker{Counter: b, Why: Full}) || q.Held() {
		t.Fatalf("the second: %v %v", blocker, ok)
	}
	if e.State(a).Used != 1 || e.State(c).Used != 1 {
		t.Error("L2: a refused permit was taken in part")
	}
	e.Park(0, Turn{Waiter: 2}, nil, Blocker{Counter: b})
	if _, _, ok := e.Next(); ok {
		t.Error("somebody is woken though nothing is free")
	}
	e.Return(&p)
	if w, from, ok := e.Next(); !ok || w != 2 || from != b {
		t.Errorf("woken: %d from %d, %v", w, from, ok)
	}
}

func TestMisusePanics(t *testing.T) {
	for name, misuse := range map[string]func(e *Engine, p *Permit, id CounterID){
		"returned twice":          func(e *Engine, p *Permit, _ CounterID) { e.Return(p); e.Return(p) },
		"asked for again":         func(e *Engine, p *Permit, id CounterID) { e.Acquire(0, p, []CounterID{id}, nil, Turn{}) },
		"cannot move":             func(e *Engine, _ *Permit, id CounterID) { e.Move(&Permit{}, []CounterID{id}) },
		"released more often":     func(e *Engine, _ *Permit, id CounterID) { e.Release(id); e.Release(id) },
		"counts below zero":       func(e *Engine, p *Permit, _ CounterID) { q := *p; e.Return(p); e.Return(&q) },
		"a path of 25 counters; ": func(e *Engine, _ *Permit, id CounterID) { e.hold(&Permit{}, make([]CounterID, 25)) },
	} {
		t.Run(name, func(t *testing.T) {
			e := New()
			id, _ := e.Counter(key("a", "", ""), 5, 0)
			var p Permit
			e.Acquire(0, &p, []CounterID{id}, nil, Turn{})
			defer func() {
				if s := fmt.Sprint(recover()); !strings.Contains(s, name) {
					t.Errorf("panic says %q", s)
				}
			}()
			misuse(e, &p, id)
		})
	}
}

func TestLoweredAndRaised(t *testing.T) {
	e := New()
	id, _ := e.Counter(key("a", "", ""), 3, 0)
	var p [4]Permit
	for i := range 3 {
		e.Acquire(0, &p[i], []CounterID{id}, nil, Turn{})
	}
	e.SetLimit(id, 1, 0)
	if !e.Surplus(&p[0]) {
		t.Error("3 of 1 in use are no surplus")
	}
	e.Park(0, Turn{Waiter: 1}, nil, Blocker{Counter: id})
	e.Return(&p[0])
	e.Return(&p[1])
	if _, _, ok := e.Next(); ok {
		t.Error("L6: a grant with 1 of 1 in use")
	}
	e.SetLimit(id, 2, 0)
	if w, _, ok := e.Next(); !ok || w != 1 {
		t.Error("a raised limit wakes nobody")
	}
}

func TestReserveIsForThePoor(t *testing.T) {
	e := New()
	id, _ := e.Counter(Key{Option: "server_max"}, 2, 1)
	path := []CounterID{id}
	var p [4]Permit
	for i := range 2 {
		e.Acquire(0, &p[i], path, nil, Turn{})
	}
	if _, ok := e.Acquire(0, &p[2], path, nil, Turn{Waiter: 1}); ok {
		t.Fatal("the reserve went to one who holds something")
	}
	e.Park(0, Turn{Waiter: 1}, nil, Blocker{Counter: id})
	if b, ok := e.Acquire(0, &p[2], path, nil, Turn{Waiter: 2, Poor: true}); !ok {
		t.Fatalf("the reserve is refused: %v", b)
	}
	if _, ok := e.Acquire(0, &p[3], path, nil, Turn{Waiter: 3, Poor: true}); ok {
		t.Fatal("one more than limit and reserve")
	}
	e.Park(0, Turn{Waiter: 3, Poor: true}, nil, Blocker{Counter: id})
	e.Return(&p[0])
	if w, _, _ := e.Next(); w != 3 {
		t.Errorf("above the limit %d is woken, not the one who holds nothing", w)
	}
}

// TestWeightedShares: at one contended counter tenants get their weights' shares, and
// a light one waits no longer than its share says (interleaved, not in a row).
func TestWeightedShares(t *testing.T) {
	for _, weights := range [][]int{{1, 1}, {1, 1, 1, 1}, {1, 3}, {1, 10, 100}, {1, 100}} {
		e := New()
		id, _ := e.Counter(Key{Option: "server_max"}, 10, 0)
		path, sum := []CounterID{id}, 0
		for i, w := range weights {
			e.SetWeight(int32(i), w)
			sum += w
		}
		var open []*Permit
		got, last, gap := make([]int, len(weights)), make([]int, len(weights)), make([]int, len(weights))
		take := func(w WaiterID, from CounterID, n int) {
			tenant := int32(w-1) % int32(len(weights))
			p := &Permit{}
			if _, ok := e.Acquire(0, p, path, nil, Turn{Waiter: w, Tenant: tenant, From: from}); ok {
				open = append(open, p)
				got[tenant]++
				gap[tenant] = max(gap[tenant], n-last[tenant])
				last[tenant] = n
			}
			e.Park(0, Turn{Waiter: w, Tenant: tenant}, nil, Blocker{Counter: id})
		}
		for w := range WaiterID(20 * len(weights)) {
			take(w+1, 0, 0)
		}
		clear(got)
		const n = 10000
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range n {
			k := rng.IntN(len(open))
			e.Return(open[k])
			open[k] = open[len(open)-1]
			open = open[:len(open)-1]
			w, from, ok := e.Next()
			if !ok {
				t.Fatal("nobody is woken")
			}
			take(w, from, i)
		}
		for i, w := range weights {
			want := float64(n*w) / float64(sum)
			if math.Abs(float64(got[i])-want) > want*0.05+1 {
				t.Errorf("weights %v: tenant %d got %d grants, want %.0f", weights, i, got[i], want)
			}
			if most := 2 * sum / w; gap[i] > most+1 {
				t.Errorf("weights %v: tenant %d waited %d grants, at most %d", weights, i, gap[i], most)
			}
		}
	}
}

func TestIndexForgets(t *testing.T) {
	e := New()
	rng := rand.New(rand.NewPCG(3, 4))
	live := map[string]CounterID{}
	for range 20000 {
		name := fmt.Sprint(rng.IntN(500))
		if id, ok := live[name]; ok {
			if found, ok := e.Lookup(key("x", "", name)); !ok || found != id {
				t.Fatalf("%s is not found", name)
			}
			e.Release(id)
			delete(live, name)
			if _, ok := e.Lookup(key("x", "", name)); ok {
				t.Fatalf("%s is still there", name)
			}
			continue
		}
		live[name], _ = e.Counter(key("x", "", name), 1, 0)
	}
	if e.Counters() != len(live) {
		t.Errorf("%d counters, want %d", e.Counters(), len(live))
	}
}

func TestNobodyBarges(t *testing.T) {
	e := New()
	own, _ := e.Counter(key("a", "b", "d"), 1, 0)
	root, _ := e.Counter(Key{Option: "server"}, 2, 0)
	path, other := []CounterID{own, root}, []CounterID{root}
	var p, q, r Permit
	e.Acquire(0, &p, path, nil, Turn{Waiter: 1})
	e.Acquire(0, &q, other, nil, Turn{Waiter: 2})
	e.Park(0, Turn{Waiter: 1}, nil, Blocker{Counter: own})
	e.Park(0, Turn{Waiter: 3}, nil, Blocker{Counter: root})
	e.SetLimit(root, 3, 0)
	if b, ok := e.Acquire(0, &r, other, nil, Turn{Waiter: 4}); ok || b != (Blocker{Counter: root, Why: Queued}) {
		t.Errorf("a newcomer passes one who waits: %v %v", b, ok)
	}
	e.SetLimit(root, 2, 0)
	e.Return(&p)
	// Its own counter lets 1 pass, but at the server 3 was there before.
	w, from, ok := e.Next()
	if !ok || w != 1 || from != own {
		t.Fatalf("woken: %d from %d", w, from)
	}
	b, ok := e.Acquire(0, &r, path, nil, Turn{Waiter: 1, From: from})
	if ok || b != (Blocker{Counter: root, Why: Queued}) {
		t.Fatalf("let pass by its own counter it barges at the server: %v %v", b, ok)
	}
	e.Park(0, Turn{Waiter: 1, From: from}, nil, Blocker{Counter: root})
	if w, from, _ = e.Next(); w != 3 || from != root {
		t.Fatalf("woken: %d from %d", w, from)
	}
	if _, ok := e.Acquire(0, &r, other, nil, Turn{Waiter: 3, From: from}); !ok {
		t.Fatal("its turn, but refused")
	}
	if err := e.Verify([]int{0, 0, 2}); err != nil {
		t.Error(err)
	}
}

// TestOneStandsIn: of those who wait at a counter with one free unit, one goes on to wait
// at the server; it stands in for the others, who keep their places.
func TestOneStandsIn(t *testing.T) {
	e := New()
	own, _ := e.Counter(key("a", "b", "d"), 2, 0)
	root, _ := e.Counter(Key{Option: "server"}, 2, 0)
	path := []CounterID{own, root}
	var p, q, r Permit
	e.Acquire(0, &p, path, nil, Turn{Waiter: 100})
	e.Acquire(0, &q, path, nil, Turn{Waiter: 101})
	for w := WaiterID(1); w <= 5; w++ {
		b, _ := e.Check(0, path, nil, Turn{Waiter: w})
		e.Park(0, Turn{Waiter: w}, path, b)
	}
	e.Park(0, Turn{Waiter: 9}, path[1:], Blocker{Counter: root})
	e.Return(&p)
	w, from, _ := e.Next()
	if w != 1 || from != own {
		t.Fatalf("%d is woken from %d", w, from)
	}
	b, _ := e.Check(0, path, nil, Turn{Waiter: w, From: from})
	e.Park(0, Turn{Waiter: w, From: from}, path, b)
	if w, _, _ = e.Next(); w != 9 {
		t.Fatalf("%d is woken; 9 was first at the server", w)
	}
	e.Acquire(0, &r, path[1:], nil, Turn{Waiter: 9, From: root})
	if w, _, ok := e.Next(); ok {
		t.Fatalf("%d leaves its place although 1 stands in for it", w)
	}
	if s := e.State(own); s.Waiters != 4 || e.State(root).Waiters != 1 {
		t.Errorf("%d wait at the counter, %d at the server", s.Waiters, e.State(root).Waiters)
	}
	e.Return(&q)
	if w, from, _ = e.Next(); w != 2 || from != own {
		t.Errorf("%d is woken from %d; the second unit is for the second waiter", w, from)
	}
}
