package server

import (
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/policy"
)

// signing implements inject.Config.Signing.
func (s *Server) signing(binding, domain string) *policy.Signing {
	q, _ := s.policies.queue(binding, domain)
	return q.Signing
}

// unsigned tells the log that mail leaves without the signature that it was to have: at
// most once a minute, with how much there was.
type unsigned struct {
	log  *slog.Logger
	mu   sync.Mutex
	next time.Time
	n    int
}

func (u *unsigned) tell(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n++
	now := time.Now()
	if now.Before(u.next) {
		return
	}
	u.log.Warn("mail leaves unsigned", "messages", u.n, "reason", err.Error())
	u.next, u.n = now.Add(time.Minute), 0
}
