package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Result says what became of the messages: Accepted + Refused + Unanswered + NotSent
// is the number that was asked for, once the load has ended.
type Result struct {
	Run         string  `json:"run"` // part of each Message-ID, <NUMBER.RUN@load.test>
	Seed        uint64  `json:"seed"`
	Messages    int     `json:"messages"` // asked for
	Accepted    int     `json:"accepted"`
	Refused     int     `json:"refused"`    // by a reply, or lost with its connection before the content was sent
	Unanswered  int     `json:"unanswered"` // content sent, no reply: the server may have it
	NotSent     int     `json:"not_sent"`   // never begun
	Retries     int     `json:"retries"`
	Connections int     `json:"connections"` // greeted
	NotGreeted  int     `json:"not_greeted"` // connections that failed or were refused
	Bytes       int64   `json:"bytes"`       // of accepted content
	Seconds     float64 `json:"seconds"`
	PerSecond   float64 `json:"messages_per_second"` // accepted
	// Reasons counts the replies and errors behind what is not Accepted, the first hundred
	// different ones.
	Reasons map[string]int `json:"reasons,omitempty"`
}

// Clean reports whether everything was accepted and nothing was refused on the way,
// retries apart.
func (r Result) Clean() bool {
	return r.Accepted == r.Messages && (r.NotGreeted == 0 || r.Retries > 0)
}

// load is one run.
type load struct {
	opts    Options
	compose *composer
	ledger  *os.File
	began   time.Time
	next    atomic.Int64
	bytes   atomic.Int64

	accepted, refused, unanswered, retries, connections, notGreeted atomic.Int64

	mu      sync.Mutex
	reasons map[string]int
	trouble error // of our own; ends the run
}

const maxReasons = 100

// Run sends the messages and returns when each has its result, or when ctx ends. The
// error is of our own: an option out of range, or the ledger.
func Run(ctx context.Context, o Options) (Result, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Result{}, fmt.Errorf("load: %w", err)
	}
	l := &load{opts: o, compose: newComposer(o, newRun()), reasons: map[string]int{}}
	if o.Ledger != "" {
		if l.ledger, err = os.OpenFile(o.Ledger, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			return Result{}, fmt.Errorf("load: open ledger: %w", err)
		}
	}
	l.began = time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopProgress := l.report(ctx)
	var sessions sync.WaitGroup
	for range min(o.Sessions, o.Messages) {
		sessions.Go(func() {
			if err := l.session(ctx); err != nil {
				l.fail(err)
				cancel()
			}
		})
	}
	sessions.Wait()
	result := l.result()
	stopProgress()
	if l.ledger != nil {
		l.fail(l.ledger.Close())
	}
	return result, l.trouble
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trouble == nil && err != nil {
		l.trouble = fmt.Errorf("load: %w", err)
	}
}

// report calls Progress until the returned function is called.
func (l *load) report(ctx context.Context) func() {
	if l.opts.Progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(time.Second / 4)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				l.opts.Progress(l.result())
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

func (l *load) result() Result {
	r := Result{
		Run: l.compose.run, Seed: l.opts.Seed, Messages: l.opts.Messages,
		Accepted: int(l.accepted.Load()), Refused: int(l.refused.Load()), Unanswered: int(l.unanswered.Load()),
		Retries: int(l.retries.Load()), Connections: int(l.connections.Load()), NotGreeted: int(l.notGreeted.Load()),
		Bytes: l.bytes.Load(), Seconds: time.Since(l.began).Seconds(),
	}
	r.NotSent = r.Messages - r.Accepted - r.Refused - r.Unanswered
	r.PerSecond = float64(r.Accepted) / r.Seconds
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Reasons = maps.Clone(l.reasons)
	return r
}

func (l *load) note(err error) {
	reason := err.Error()
	var op *net.OpError
	if errors.As(err, &op) {
		reason = op.Op + ": " + op.Err.Error() // without the ports, which differ every time
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.reasons[reason]; !known && len(l.reasons) >= maxReasons {
		reason = "(other)"
	}
	l.reasons[reason]++
}

// session sends messages until none is left. The error is of our own.
func (l *load) session(ctx context.Context) error {
	if l.opts.NewConnections {
		return l.sessionOfOnes(ctx)
	}
	var c *client
	defer func() {
		if c != nil {
			c.quit()
		}
	}()
	for int(l.next.Load()) < l.opts.Messages {
		if c == nil { // before a number is taken: a session that gets no connection takes no message away
			if c = l.connect(ctx); c == nil {
				return nil
			}
		}
		n, ok := l.take(ctx)
		if !ok {
			return nil
		}
		var err error
		if c, err = l.message(ctx, c, n); err != nil {
			return err
		}
	}
	return nil
}

// sessionOfOnes opens a connection for each message; one that cannot be opened refuses
// its message.
func (l *load) sessionOfOnes(ctx context.Context) error {
	for {
		n, ok := l.take(ctx)
		if !ok {
			return nil
		}
		c := l.connect(ctx)
		if c == nil {
			if ctx.Err() == nil {
				l.refused.Add(1)
			}
			continue
		}
		c, err := l.message(ctx, c, n)
		if c != nil {
			c.quit()
		}
		if err != nil {
			return err
		}
	}
}

// take waits for the turn of the next message and returns its number.
func (l *load) take(ctx context.Context) (int, bool) {
	n := int(l.next.Add(1)) - 1
	return n, n < l.opts.Messages && l.pace(ctx, n)
}

// connect returns a greeted connection, nil when there is none to be had.
func (l *load) connect(ctx context.Context) *client {
	giveUp := time.Now().Add(l.opts.GiveUp)
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		c, err := connect(ctx, l.opts.To, l.opts.Timeout)
		if err == nil {
			l.connections.Add(1)
			c.closeWith(ctx)
			return c
		}
		if ctx.Err() != nil {
			return nil
		}
		l.notGreeted.Add(1)
		l.note(err)
		if !l.opts.Retry || time.Now().After(giveUp) || !pause(ctx, wait) {
			return nil
		}
		l.retries.Add(1)
	}
}

const (
	firstWait = 20 * time.Millisecond
	lastWait  = time.Second
)

// message sends message n until it has a result, and returns the connection if it is
// still of use.
func (l *load) message(ctx context.Context, c *client, n int) (*client, error) {
	giveUp := time.Now().Add(l.opts.GiveUp)
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		v, err := c.send(l.compose, n)
		if v == lost || v == unanswered {
			c.close()
			c = nil
		}
		switch v {
		case accepted:
			return c, l.acknowledged(n, c.size)
		case unanswered:
			l.unanswered.Add(1)
			l.note(fmt.Errorf("no answer to the content: %w", err))
			return c, nil
		}
		l.note(err)
		var no refusal
		temporary := !errors.As(err, &no) || no.code/100 == 4
		if !l.opts.Retry || !temporary || time.Now().After(giveUp) || !pause(ctx, wait) {
			l.refused.Add(1)
			return c, nil
		}
		l.retries.Add(1)
		if c == nil {
			if c = l.connect(ctx); c == nil {
				l.refused.Add(1)
				return nil, nil
			}
		}
	}
}

// acknowledged counts an accepted message and writes its id, with one write(2) so that
// the line is there when the load is killed.
func (l *load) acknowledged(n, size int) error {
	if l.ledger != nil {
		if _, err := l.ledger.WriteString(l.compose.id(n) + "\n"); err != nil {
			return fmt.Errorf("write ledger: %w", err)
		}
	}
	l.accepted.Add(1)
	l.bytes.Add(int64(size))
	return nil
}

// pace waits for the turn of message n under Rate.
func (l *load) pace(ctx context.Context, n int) bool {
	if l.opts.Rate == 0 {
		return ctx.Err() == nil
	}
	turn := l.began.Add(time.Duration(float64(n) / l.opts.Rate * float64(time.Second)))
	return pause(ctx, time.Until(turn))
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
