package smtptest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
)

// Receiver is a listener on a loopback port that plays the server's part of a script
// to each client: the n-th connection gets the n-th script, those after it the last one.
type Receiver struct {
	listener net.Listener
	scripts  [][]step
	config   *tls.Config
	done     chan struct{}
	once     sync.Once
	wg       sync.WaitGroup

	mu    sync.Mutex
	count int
	open  map[net.Conn]struct{}
	errs  []error
}

// Serve starts a Receiver, ended by the test's cleanup, which waits for it. Where a
// client did not keep to its script the test fails then.
func Serve(t testing.TB, scripts ...string) *Receiver {
	t.Helper()
	return ServeTLS(t, nil, scripts...)
}

// ServeTLS is Serve with the configuration for "tls".
func ServeTLS(t testing.TB, config *tls.Config, scripts ...string) *Receiver {
	t.Helper()
	var all [][]step
	for _, s := range scripts {
		steps, err := parseScript(s, 1)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, connections(steps)...)
	}
	r, err := listen("127.0.0.1:0", all, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// Listen starts a Receiver of the conversation on addr, to be ended by Close.
func (c *Conversation) Listen(addr string) (*Receiver, error) {
	return listen(addr, c.connections, nil)
}

func listen(addr string, scripts [][]step, config *tls.Config) (*Receiver, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	r := &Receiver{listener: l, scripts: scripts, config: config, done: make(chan struct{}), open: map[net.Conn]struct{}{}}
	r.wg.Add(1)
	go r.accept()
	return r, nil
}

// Addr returns the address to connect to.
func (r *Receiver) Addr() *net.TCPAddr { return r.listener.Addr().(*net.TCPAddr) }

// Connections returns how many connections came.
func (r *Receiver) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Open returns how many connections are open.
func (r *Receiver) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

// Close ends the listener and all connections, and returns where clients did not keep
// to their script. Scripts that were still being played when Close came are no error.
func (r *Receiver) Close() error {
	r.once.Do(func() { close(r.done) })
	_ = r.listener.Close()
	r.mu.Lock()
	for c := range r.open {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	err := errors.Join(r.errs...)
	r.errs = nil
	return err
}

func (r *Receiver) accept() {
	defer r.wg.Done()
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		n := r.count
		r.count++
		r.open[c] = struct{}{}
		r.mu.Unlock()
		r.wg.Add(1)
		go r.play(c, n)
	}
}

func (r *Receiver) play(c net.Conn, n int) {
	defer r.wg.Done()
	err := play(c, 'S', r.scripts[min(n, len(r.scripts)-1)], r.config, r.done)
	_ = c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		r.errs = append(r.errs, fmt.Errorf("connection %d: %w", n+1, err))
	}
}

// Connect dials addr and closes the connection at the end of the test.
func Connect(t testing.TB, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
