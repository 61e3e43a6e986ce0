package server

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/spool"
)

// gate says whether new mail may come in: mail is refused before it is accepted, never
// lost after. It is asked at every connection, MAIL and DATA, so it looks at the world
// at most once in gateAge.
type gate struct {
	spool      func() spool.Stats
	accounting func() error // nil: records are being written
	backlog    func() int   // outcomes that wait to be stored
	memory     memory

	stopping atomic.Bool

	mu    sync.Mutex
	seen  time.Time
	reply mail.Reply
}

const (
	gateAge    = 50 * time.Millisecond
	maxBacklog = 200_000 // outcomes not yet stored; far above what a healthy disk leaves waiting
)

// closed returns the reply that refuses mail now, or the zero Reply.
func (g *gate) closed() mail.Reply {
	if g.stopping.Load() {
		return mail.Reply{Code: 421, Enhanced: "4.3.2", Text: "The server is stopping, try again later"}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.seen) > gateAge {
		g.reply, g.seen = g.look(), now
	}
	return g.reply
}

func (g *gate) look() mail.Reply {
	st := g.spool()
	switch {
	case st.Sick:
		return mail.Reply{Code: 451, Enhanced: "4.3.0", Text: "The spool cannot be written, try again later"}
	case st.Full:
		return mail.Reply{Code: 452, Enhanced: "4.3.1", Text: "The spool is full, try again later"}
	}
	if g.accounting() != nil {
		return mail.Reply{Code: 452, Enhanced: "4.3.1", Text: "Accounting records cannot be written, try again later"}
	}
	if g.backlog() > maxBacklog {
		return mail.Reply{Code: 452, Enhanced: "4.3.1", Text: "The spool is behind, try again later"}
	}
	if g.memory.short() {
		return mail.Reply{Code: 452, Enhanced: "4.3.1", Text: "Memory is short, try again later"}
	}
	return mail.Reply{}
}

// memory knows how much the process may use.
type memory struct {
	limit int64 // octets; 0: unknown, never short
}

// newMemory reads the limit of the cgroup, else the machine's memory.
func newMemory() memory {
	for _, f := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(f); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n < 1<<50 {
				return memory{n}
			}
		}
	}
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return memory{}
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return memory{kb << 10}
		}
	}
	return memory{}
}

// short reports whether resident memory is above four fifths of the limit.
func (m memory) short() bool {
	if m.limit == 0 {
		return false
	}
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return false
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return false
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages*int64(os.Getpagesize()) > m.limit/5*4
}
