package account

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/vfs"
)

// Config says where a Writer writes. FS, Directory and Formats are needed.
type Config struct {
	FS        vfs.FS
	Directory string        // made when it is missing
	Formats   []string      // "csv", "jsonl"
	MaxSize   int64         // octets of a file, above which it is rotated; 0: no bound
	MaxAge    time.Duration // of a file, from its first record; 0: no bound
	// Queue is how many accounts may wait; 8192. Above half of it Pressure asks intake to
	// stop; when it is full Write waits.
	Queue int
	Now   func() time.Time // wall clock; time.Now
	// Envelope gives the envelope of a live message, nil when it cannot be read; asked for
	// accounts that carry none.
	Envelope func(mail.ID) *mail.Envelope
	// Judge says what a reply is about: the category and the classes of a record. Nil: they
	// stay empty.
	Judge func(*classify.Subject) classify.Judgement
	// Recorded is told that all accounts up to a number are written. Called from the
	// writer's goroutine, in rising order; it must not block.
	Recorded func(upto uint64)
	// Trouble is told when writing begins to fail, with the error, and when it has healed,
	// with nil. Called from the writer's goroutine. May be nil.
	Trouble func(error)

	closeWait time.Duration // how long Close keeps trying on a failing disk; 5s
	retry     time.Duration // first wait before a write is tried again; 100ms
}

// Times and sizes that are not settings.
const (
	batchBytes = 1 << 20 // a batch is written when it has grown so large
	syncEvery  = 5 * time.Second
	retryMax   = 5 * time.Second
)

// ErrClosed is returned by Write after Close.
var ErrClosed = errors.New("accounting is closed")

// Writer writes accounting records. Safe for concurrent use.
type Writer struct {
	conf  Config
	lock  io.Closer
	files []*file
	done  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	space   sync.Cond // accounts were taken out of the queue
	queue   []sched.Account
	failing error
	closed  bool
	rotate  bool
	reopen  bool

	extra   []request     // records from elsewhere than the scheduler
	asked   []request     // encoded, not yet written; the goroutine's
	wake    chan struct{} // capacity 1: there is something to do
	closing chan struct{} // closed by Close

	// Used by the goroutine alone.
	batch  []sched.Account // taken out of the queue, not yet written
	at     int             // accounts of batch that are encoded
	upto   uint64          // the last number encoded
	told   uint64          // the last number reported as recorded
	limit  int             // octets encoded before they are written
	record Record
	err    error // what Close returns
}

// Open starts a writer on a directory. It fails when another process writes there, or
// when a file cannot be opened.
func Open(c Config) (*Writer, error) {
	if c.Queue <= 0 {
		c.Queue = 8192
	}
	if c.closeWait == 0 {
		c.closeWait = 5 * time.Second
	}
	if c.retry == 0 {
		c.retry = 100 * time.Millisecond
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	w := &Writer{conf: c, done: make(chan struct{}), closing: make(chan struct{}), wake: make(chan struct{}, 1), limit: batchBytes}
	if c.MaxSize > 0 { // so that a batch does not carry a file far beyond it
		w.limit = int(min(batchBytes, max(1, c.MaxSize/8)))
	}
	w.space.L = &w.mu
	for _, name := range c.Formats {
		i := slices.IndexFunc(formats, func(f format) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("accounting: format %q: there are csv and jsonl", name)
		}
		w.files = append(w.files, &file{format: formats[i], fs: c.FS, dir: c.Directory, maxSize: c.MaxSize, maxAge: c.MaxAge})
	}
	if err := vfs.MkdirAll(c.FS, c.Directory); err != nil {
		return nil, fmt.Errorf("accounting directory %s: %w", c.Directory, err)
	}
	lock, err := c.FS.Lock(path.Join(c.Directory, prefix+".lock"))
	if err != nil {
		return nil, fmt.Errorf("accounting directory %s: %w", c.Directory, err)
	}
	w.lock = lock
	for _, f := range w.files {
		if err := f.flush(c.Now()); err != nil && !full(err) {
			w.end()
			return nil, err
		}
	}
	go w.run()
	return w, nil
}

// Write takes accounts; their records are written soon. It waits while the queue is
// full, which all of one call may overfill, so it is called from the driver's outbox and
// never under its lock. Numbers must rise. ErrClosed.
func (w *Writer) Write(accounts ...sched.Account) error {
	w.mu.Lock()
	for len(w.queue) >= w.conf.Queue && !w.closed {
		w.space.Wait()
	}
	if w.closed {
		w.mu.Unlock()
		return ErrClosed
	}
	w.queue = append(w.queue, accounts...)
	w.mu.Unlock()
	w.kick()
	return nil
}

func (w *Writer) kick() {
	select {
	case w.wake <- struct{}{}:
	default: // it is awake already
	}
}

var errBehind = errors.New("accounting is behind")

// Pressure returns why intake should refuse mail for now (452), nil when it need not.
func (w *Writer) Pressure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing != nil {
		return w.failing
	}
	if len(w.queue) > w.conf.Queue/2 {
		return errBehind
	}
	return nil
}

// Rotate gives the files their final names and begins new ones, soon. Files without a
// record stay.
func (w *Writer) Rotate() {
	w.mu.Lock()
	w.rotate = true
	w.mu.Unlock()
	w.kick()
}

// Reopen closes the files and opens them by name again, soon: after somebody else has
// renamed them.
func (w *Writer) Reopen() {
	w.mu.Lock()
	w.reopen = true
	w.mu.Unlock()
	w.kick()
}

// Close writes what is waiting, syncs and closes. On a disk that fails it gives up after
// a few seconds; what was not written was not reported as Recorded either.
func (w *Writer) Close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.closing)
	}
	w.space.Broadcast()
	w.mu.Unlock()
	<-w.done
	return w.err
}
