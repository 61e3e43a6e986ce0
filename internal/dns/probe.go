package dns

import (
	"context"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// Times of the probe.
const (
	probeWait = 2 * time.Second // for an answer
	probeKeep = 2 * time.Second // its result holds so long
)

// probe finds out whether our resolvers answer at all. It tells a domain whose servers
// are silent from resolvers that are.
type probe struct {
	mu    sync.Mutex
	last  time.Time
	alive bool
}

// knownDead reports whether nobody answered a moment ago: a new question would only wait.
func (p *probe) knownDead() bool {
	if !p.mu.TryLock() {
		return false // just being found out
	}
	defer p.mu.Unlock()
	return !p.last.IsZero() && !p.alive && time.Since(p.last) < probeKeep
}

// anyAlive asks every server for the root's name servers, a question that a server
// which works at all answers, and reports whether one did, whatever it said. One probe
// serves all who ask meanwhile.
func (w *wire) anyAlive() bool {
	p := &w.probe
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() && time.Since(p.last) < probeKeep {
		return p.alive
	}
	ctx, cancel := context.WithTimeout(w.base, min(probeWait, w.timeout))
	defer cancel()
	servers := w.list()
	answers := make(chan bool, len(servers))
	for _, s := range servers {
		go func() {
			_, bad := w.exchange(ctx, "udp", s, question(".", Type(mdns.TypeNS), false))
			answers <- bad == nil || !bad.silent
		}()
	}
	p.alive = false
	for range servers { // all of them, so that none outlives the call
		if <-answers {
			p.alive = true
			cancel()
		}
	}
	p.last = time.Now()
	return p.alive
}
