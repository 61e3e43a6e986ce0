package deliver

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
)

// ledger is a scheduler that only counts: what it handed out and what came back.
type ledger struct {
	t     *testing.T
	world *world
	rng   *rand.Rand

	mu     sync.Mutex
	conn   sched.ConnID
	next   sched.PartID
	out    map[sched.PartID]int // parts handed out: recipients
	opened bool
	failed bool
	closed int
	events int
	stop   int // at this event a Close is asked for
	how    sched.CloseHow
	done   chan struct{}

	outbox   sync.WaitGroup
	answered chan sched.PartID
}

func (l *ledger) event(e sched.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed > 0 {
		if r, ok := e.(sched.Returned); !ok || l.out[r.Part] == 0 {
			l.t.Errorf("after Closed: %s", tell(e))
		}
	}
	l.events++
	switch e := e.(type) {
	case sched.Connected:
		l.opened = true
	case sched.ConnectFailed:
		l.failed = true
	case sched.Wants:
		for range e.N {
			l.hand()
		}
	case sched.Attempted:
		if n := l.out[e.Part]; n == 0 || n != len(e.Outcomes) || e.Attempt == nil {
			l.t.Errorf("%d recipients were handed out: %s", n, tell(e))
		}
		for _, o := range e.Outcomes {
			if o.Class == mail.ClassNone || o.Reply.IsZero() {
				l.t.Errorf("an outcome is missing: %s", tell(e))
			}
		}
		delete(l.out, e.Part)
		l.answered <- e.Part
	case sched.Returned:
		if l.out[e.Part] == 0 {
			l.t.Errorf("not handed out: %s", tell(e))
		}
		delete(l.out, e.Part)
		l.answered <- e.Part
	case sched.Closed:
		if l.closed++; l.opened == l.failed {
			l.t.Errorf("opened %t, failed %t, and %s", l.opened, l.failed, tell(e))
		}
		close(l.done)
	}
	if l.events == l.stop {
		l.world.agent.Close(sched.Close{Conn: l.conn, How: l.how})
	}
}

// hand puts a part into an outbox, which is emptied meanwhile.
func (l *ledger) hand() {
	l.next++
	n := 1 + l.rng.IntN(3)
	l.out[l.next] = n
	to := make([]int, n)
	for i := range to {
		to[i] = i
	}
	part := sched.Deliver{Conn: l.conn, Part: l.next, Message: id(1), Recipients: to}
	l.outbox.Go(func() { l.world.agent.Deliver(part) })
}

// TestEveryPartIsAnswered lets connections meet receivers that do anything at any step,
// and closes at any moment: S9 and D1, D2, D4 hold.
func TestEveryPartIsAnswered(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("SLUICE_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("SLUICE_SEED=%d", seed)
	for n := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, n))
		addr, wait := randomReceiver(t, rand.New(rand.NewPCG(seed, n+1<<32)))
		w := newWorld(t, addr)
		l := &ledger{
			t: t, world: w, rng: rng, conn: 1, out: map[sched.PartID]int{}, done: make(chan struct{}), answered: make(chan sched.PartID, 1000),
			stop: 1 + rng.IntN(40), how: sched.CloseHow(rng.IntN(3)),
		}
		w.config.Events = l.event
		env := &mail.Envelope{ID: id(1), Sender: mail.Address{Local: "s", Domain: "a.test"}}
		for i := range 3 {
			a := mail.Address{Local: fmt.Sprint("x", i), Domain: "b.test"}
			env.Recipients = append(env.Recipients, mail.Recipient{Address: a, Domain: a.Domain})
		}
		w.opened[env.ID] = testMessage{env: env, raw: []byte("hi\r\n.\r\n")}
		w.config.Open = func(id mail.ID) (Message, error) { return sized{w.opened[id]}, nil }
		w.agent = New(w.config)
		w.agent.habits.note(place{w.action.Host, w.action.Address}, smtp.Habits{}, smtp.Habits{Proven: smtp.Feature(rng.IntN(8))}, time.Now())
		w.agent.Start(w.action)
		select {
		case <-l.done:
		case <-time.After(2 * patience):
			t.Fatalf("connection %d does not end", n)
		}
		w.agent.Wait()
		wait()
		l.outbox.Wait()
		for range l.next {
			select {
			case <-l.answered:
			case <-time.After(patience):
				t.Fatalf("connection %d: parts without an answer: %v", n, l.out)
			}
		}
	}
}

type sized struct{ testMessage }

func (s sized) Size() int64 { return int64(len(s.raw)) }

// randomReceiver mostly does what it should.
func randomReceiver(t *testing.T, rng *rand.Rand) (addr netip.AddrPort, wait func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		if said := say(conn, rng, "220 hi"); said == "" {
			return
		}
		for data := false; ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			reply := "250 ok"
			switch line = strings.TrimSpace(line); {
			case data && line != ".":
				continue
			case line == ".":
				data = false
			case strings.HasPrefix(line, "EHLO"):
				reply = [...]string{"250-hi\r\n250 PIPELINING", "250-hi\r\n250-PIPELINING\r\n250 CHUNKING", "250-hi\r\n250 CHUNKING", reply}[rng.IntN(4)]
			case strings.HasPrefix(line, "BDAT ") && rng.IntN(10) > 0: // else it is no command
				size, _, _ := strings.Cut(line[5:], " ")
				n, _ := strconv.Atoi(size)
				if _, err := io.CopyN(io.Discard, in, int64(n)); err != nil {
					return
				}
			case line == "DATA":
				reply = "354 go"
			case line == "QUIT":
				reply = "221 bye"
			}
			said := say(conn, rng, reply)
			if said == "" || line == "QUIT" {
				return
			}
			data = data || strings.HasPrefix(said, "354")
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort(), func() {
		_ = l.Close()
		<-done
	}
}

// say says the reply, or now and then something else, and returns it; empty: the
// receiver closes.
func say(conn net.Conn, rng *rand.Rand, reply string) string {
	switch rng.IntN(40) {
	case 0:
		return ""
	case 1:
		reply = "421 4.7.0 enough"
	case 2:
		reply = "450 later"
	case 3:
		reply = "550 no"
	case 4:
		reply = "what?"
	case 5:
		reply += "\r\n" + reply
	}
	if _, err := io.WriteString(conn, reply+"\r\n"); err != nil {
		return ""
	}
	return reply
}
