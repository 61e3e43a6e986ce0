package inject

import (
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/policy"
)

// rates holds the message rate of each login as a GCRA: one time per login.
type rates struct {
	mu    sync.Mutex
	users map[string]*bucket // logins of the configuration: bounded by it
}

type bucket struct {
	rate policy.Rate
	full time.Time // when the bucket will be full again ("theoretical arrival time")
}

// take takes one message of the login's rate and says whether there was one. A
// refusal takes nothing. A changed rate begins afresh.
func (r *rates) take(user string, rate policy.Rate, now time.Time) bool {
	if rate.N <= 0 || rate.Per <= 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.users[user]
	if b == nil || b.rate != rate {
		b = &bucket{rate: rate}
		r.users[user] = b
	}
	each := rate.Per / time.Duration(rate.N)
	burst := rate.Burst
	if burst <= 0 { // one second's worth, at least 1
		burst = max(1, int(time.Second/max(each, 1)))
	}
	full := b.full
	if full.Before(now) {
		full = now
	}
	if full = full.Add(each); full.After(now.Add(each * time.Duration(burst))) {
		return false
	}
	b.full = full
	return true
}
