package inject

import (
	"crypto/rand"
	"sync"

	"github.com/sluice-mta/sluice/internal/mail"
)

// idSource makes message IDs: random, and growing within a millisecond, so that IDs
// sort in the order in which they were made.
type idSource struct {
	mu     sync.Mutex
	ms     int64
	random [10]byte
}

// next returns a new ID for the wall time in milliseconds.
func (s *idSource) next(ms int64) mail.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ms == s.ms {
		for i := len(s.random) - 1; i >= 0; i-- {
			if s.random[i]++; s.random[i] != 0 {
				return mail.NewID(ms, s.random)
			}
		}
		// All 80 bits were ones: as good as never, and a fresh number is still unique.
	}
	s.ms = ms
	_, _ = rand.Read(s.random[:]) // never fails: crypto/rand ends the program instead
	s.random[0] &= 0x7f           // room to count up
	return mail.NewID(ms, s.random)
}
