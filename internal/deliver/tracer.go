package deliver

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of tracing.
const (
	maxWatchers  = 16
	watcherLines = 4096 // that wait to be read; further ones are lost, and counted
	maxTraceLine = 1000 // octets of one line
)

// ErrWatchers: enough are watching.
var ErrWatchers = errors.New("16 traces are running already: end one of them")

// Tracer tells those who watch what is said on connections. While nobody does, it costs one
// atomic load for each flight and reply. Connections never wait for a watcher. The zero
// Tracer is ready; safe for concurrent use.
type Tracer struct {
	watchers atomic.Pointer[[]*Watcher] // nil: none
	numbered atomic.Uint64              // connections

	mu    sync.Mutex
	ended bool
}

// TraceFilter says which connections are told of: those that meet all fields that are set.
type TraceFilter struct {
	Domain  string // that the connection was opened for, or that of the recipients in hand; canonical
	Binding string
	Host    string // by name, canonical, or by address
	Body    bool   // tell the content of messages, too
}

// TraceLine is one line of a conversation, or something that happened to a connection. Text
// is data of others: it is to be escaped where it is shown.
type TraceLine struct {
	Time    time.Time
	Conn    uint64 // numbers those connections that have been told of, from 1
	Binding string
	Domain  string
	Host    string
	Address netip.AddrPort
	Who     string // "C" we said it, "S" the receiver did, "-" it happened
	Text    string // at most 1000 octets
	Lost    int    // so many lines before this one were lost: the reader was too slow
}

// Watcher receives lines until it is closed.
type Watcher struct {
	tracer *Tracer
	filter TraceFilter
	lines  chan TraceLine
	lost   atomic.Int64
	done   chan struct{}
	once   sync.Once
}

// Watch begins to tell. The Watcher must be closed.
func (t *Tracer) Watch(f TraceFilter) (*Watcher, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.all()
	if len(all) >= maxWatchers {
		return nil, ErrWatchers
	}
	w := &Watcher{tracer: t, filter: f, lines: make(chan TraceLine, watcherLines), done: make(chan struct{})}
	if t.ended {
		w.once.Do(func() { close(w.done) })
		return w, nil
	}
	t.set(append(slices.Clone(all), w))
	return w, nil
}

// End closes all watchers, for good.
func (t *Tracer) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	for _, w := range t.all() {
		w.once.Do(func() { close(w.done) })
	}
	t.watchers.Store(nil)
}

func (t *Tracer) all() []*Watcher {
	if p := t.watchers.Load(); p != nil {
		return *p
	}
	return nil
}

func (t *Tracer) set(all []*Watcher) {
	if len(all) == 0 {
		t.watchers.Store(nil)
		return
	}
	t.watchers.Store(&all)
}

// Lines yields what is told. It is never closed: see Done.
func (w *Watcher) Lines() <-chan TraceLine { return w.lines }

// Done is closed when nothing more will be told.
func (w *Watcher) Done() <-chan struct{} { return w.done }

// Close ends the telling.
func (w *Watcher) Close() {
	t := w.tracer
	t.mu.Lock()
	defer t.mu.Unlock()
	w.once.Do(func() { close(w.done) })
	t.set(slices.DeleteFunc(slices.Clone(t.all()), func(o *Watcher) bool { return o == w }))
}

// put tells a line, or counts it as lost. What was lost is told with the next line that
// there is room for.
func (w *Watcher) put(l TraceLine) {
	l.Lost = int(w.lost.Swap(0))
	select {
	case w.lines <- l:
	default:
		w.lost.Add(int64(l.Lost) + 1)
	}
}
