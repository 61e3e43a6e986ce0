package inject

import (
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// Failed logins of one client address, or of one user, within failureSpan before
// further ones are put off without a look at the password.
const (
	failureSpan     = 10 * time.Minute
	failuresPerAddr = 10
	failuresPerUser = 50
	maxFailureKeys  = 16384
)

var (
	replyWrong   = mail.Reply{Code: 535, Enhanced: "5.7.8", Text: "user or password is wrong"}
	replyPutOff  = mail.Reply{Code: 454, Enhanced: "4.7.0", Text: "too many failed logins, try again later"}
	replyBusy    = mail.Reply{Code: 454, Enhanced: "4.7.0", Text: "too many logins at once, try again later"}
	replyWelcome = mail.Reply{Code: 235, Enhanced: "2.7.0", Text: "welcome"}
)

// failures counts failed logins by key. Bounded: when it is full of fresh entries the
// whole of it is forgotten, which gives an attacker with 16384 addresses nothing new.
type failures struct {
	mu   sync.Mutex
	keys map[string]failure
}

type failure struct {
	count int
	until time.Time
}

// over reports whether the key has reached max failures.
func (f *failures) over(key string, max int, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.keys[key]
	return e.count >= max && now.Before(e.until)
}

func (f *failures) add(key string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.keys[key]
	if !ok && len(f.keys) >= maxFailureKeys {
		for k, e := range f.keys {
			if !now.Before(e.until) {
				delete(f.keys, k)
			}
		}
		if len(f.keys) >= maxFailureKeys {
			f.keys = nil
		}
	}
	if f.keys == nil {
		f.keys = map[string]failure{}
	}
	if !now.Before(e.until) {
		e = failure{until: now.Add(failureSpan)}
	}
	e.count++
	f.keys[key] = e
}

// Login checks a password for a client at addr. It returns the user, or nil and the
// refusal. Unknown users take as long as wrong passwords. A password that was right
// within the last minutes is let pass even while its user is under attack.
func (in *Injector) Login(addr netip.Addr, name, password string) (*policy.User, mail.Reply) {
	s := in.cfg.Settings()
	user := s.Users[name]
	if user != nil && in.passwords.recall(name, user.Password.Value, password) {
		return user, replyWelcome
	}
	now := in.cfg.Now()
	addrKey, userKey := "a"+network(addr), "u"+name
	if in.failures.over(addrKey, failuresPerAddr, now) || in.failures.over(userKey, failuresPerUser, now) {
		return nil, in.Refuse(replyPutOff)
	}
	stored := decoy(s)
	if user != nil {
		stored = user.Password.Value
	}
	switch v := in.passwords.check(name, stored, password); {
	case v == busy:
		return nil, in.Refuse(replyBusy)
	case v == right && user != nil:
		return user, replyWelcome
	}
	in.failures.add(addrKey, now)
	in.failures.add(userKey, now)
	return nil, in.Refuse(replyWrong)
}

// decoy returns the stored form that the password for an unknown user is checked
// against: a hash where any user has one, so that the time tells nothing.
func decoy(s *policy.Snapshot) string {
	stored := ""
	for _, u := range s.Users {
		if p := u.Password.Value; isHash(p) && (stored == "" || p < stored) {
			stored = p
		}
	}
	return stored
}

// network is what failures of an address are counted by: for IPv6 its /64.
func network(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
