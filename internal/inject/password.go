package inject

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Bounds on what a login costs.
const (
	maxHashes    = 2                // computed at once: argon2 takes memory, bcrypt a core
	hashPatience = 5 * time.Second  // wait for one's turn
	verifiedFor  = 10 * time.Minute // a password found right is not hashed again for so long
	maxVerified  = 4096             // of those
)

// passwords checks passwords: clear text, bcrypt ("$2b$...") and argon2id in PHC form
// ("$argon2id$v=19$m=65536,t=3,p=4$salt$hash").
type passwords struct {
	now   func() time.Time
	key   [32]byte
	slots chan struct{}

	mu       sync.Mutex
	verified map[[32]byte]time.Time // until when; by a keyed hash of user, stored form and password
}

func newPasswords(now func() time.Time) (*passwords, error) {
	p := &passwords{now: now, slots: make(chan struct{}, maxHashes), verified: map[[32]byte]time.Time{}}
	if _, err := rand.Read(p.key[:]); err != nil {
		return nil, fmt.Errorf("key of the password cache: %w", err)
	}
	return p, nil
}

// verdict of a check.
type verdict uint8

const (
	wrong verdict = iota
	right
	busy // too many logins at once: nothing was checked
)

// isHash reports whether a stored password is a hash.
func isHash(stored string) bool {
	return strings.HasPrefix(stored, "$2") || strings.HasPrefix(stored, "$argon2id$")
}

// recall reports whether the password was found right a short while ago.
func (p *passwords) recall(user, stored, password string) bool {
	tag := p.tag(user, stored, password)
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.verified[tag]
	return ok && p.now().Before(until)
}

// check compares password with the stored form.
func (p *passwords) check(user, stored, password string) verdict {
	if !isHash(stored) {
		// Of equal length by the hash: how long it takes says nothing of the password.
		a, b := p.tag("", "", stored), p.tag("", "", password)
		if subtle.ConstantTimeCompare(a[:], b[:]) == 1 && stored != "" {
			return right
		}
		return wrong
	}
	t := time.NewTimer(hashPatience)
	defer t.Stop()
	select {
	case p.slots <- struct{}{}:
	case <-t.C:
		return busy
	}
	ok := checkHash(stored, password)
	<-p.slots
	if !ok {
		return wrong
	}
	p.remember(p.tag(user, stored, password))
	return right
}

func (p *passwords) remember(tag [32]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if len(p.verified) >= maxVerified {
		for t, until := range p.verified {
			if len(p.verified) >= maxVerified || !now.Before(until) {
				delete(p.verified, t)
			}
		}
	}
	p.verified[tag] = now.Add(verifiedFor)
}

func (p *passwords) tag(parts ...string) (tag [32]byte) {
	h := hmac.New(sha256.New, p.key[:])
	for _, s := range parts {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	h.Sum(tag[:0])
	return tag
}

func checkHash(stored, password string) bool {
	if !strings.HasPrefix(stored, "$argon2id$") {
		return bcrypt.CompareHashAndPassword([]byte(stored), []byte(password)) == nil
	}
	a, err := parseArgon2(stored)
	if err != nil {
		return false
	}
	got := argon2.IDKey([]byte(password), a.salt, a.time, a.memory, a.threads, uint32(len(a.hash)))
	return subtle.ConstantTimeCompare(got, a.hash) == 1
}

type argon2Hash struct {
	time, memory uint32 // passes, KiB
	threads      uint8
	salt, hash   []byte
}

// parseArgon2 reads $argon2id$v=19$m=KiB,t=PASSES,p=THREADS$SALT$HASH, with bounds on what
// a login may cost: 1 GiB, 64 passes, 64 threads.
func parseArgon2(s string) (argon2Hash, error) {
	var a argon2Hash
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" || f[2] != "v=19" {
		return a, fmt.Errorf("password hash: want $argon2id$v=19$m=M,t=T,p=P$SALT$HASH")
	}
	for i, word := range strings.Split(f[3], ",") {
		key, value, _ := strings.Cut(word, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n == 0 || i > 2 {
			return a, fmt.Errorf("password hash: parameter %q", word)
		}
		switch {
		case key == "m" && n <= 1<<20:
			a.memory = uint32(n)
		case key == "t" && n <= 64:
			a.time = uint32(n)
		case key == "p" && n <= 64:
			a.threads = uint8(n)
		default:
			return a, fmt.Errorf("password hash: parameter %q is unknown or out of bounds", word)
		}
	}
	var err1, err2 error
	a.salt, err1 = base64.RawStdEncoding.DecodeString(f[4])
	a.hash, err2 = base64.RawStdEncoding.DecodeString(f[5])
	if err1 != nil || err2 != nil || a.time*a.memory == 0 || a.threads == 0 || len(a.salt) < 8 || len(a.hash) < 16 || len(a.hash) > 128 {
		return a, fmt.Errorf("password hash: parameters, salt or hash missing or malformed")
	}
	return a, nil
}
