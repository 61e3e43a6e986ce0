package inject

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/sluice-mta/sluice/internal/policy"
)

func argon(password string) string {
	salt := []byte("saltsaltsalt")
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=2$%s$%s", b.EncodeToString(salt), b.EncodeToString(argon2.IDKey([]byte(password), salt, 1, 64, 2, 32)))
}

func logins(t *testing.T, now func() time.Time) (*Injector, *policy.Snapshot) {
	in, s := injector(t, now)
	hash, err := bcrypt.GenerateFromPassword([]byte("geheim"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	s.Users["bcrypt"].Password.Value = string(hash)
	s.Users["argon"].Password.Value = argon("geheim")
	s.Users["none"] = &policy.User{Name: "none"}
	return in, s
}

func TestPasswords(t *testing.T) {
	in, _ := logins(t, nil)
	for _, name := range []string{"clear", "bcrypt", "argon"} {
		addr := netip.MustParseAddr("192.0.2.1")
		if u, r := in.Login(addr, name, "falsch"); u != nil || r.Code != 535 {
			t.Errorf("%s, wrong: %v %v", name, u, r)
		}
		for range 2 { // the second time from the cache
			if u, r := in.Login(addr, name, "geheim"); u == nil || u.Name != name || r.Code != 235 {
				t.Errorf("%s, right: %v %v", name, u, r)
			}
		}
	}
	for _, c := range [][2]string{{"none", ""}, {"nobody", ""}, {"nobody", "geheim"}, {"", ""}, {"clear", ""}} {
		if u, r := in.Login(netip.Addr{}, c[0], c[1]); u != nil || r.Code != 535 {
			t.Errorf("%q: %v %v", c, u, r)
		}
	}
}

func TestVerifiedPasswordsAreForgotten(t *testing.T) {
	now := time.Unix(1000, 0)
	in, s := logins(t, func() time.Time { return now })
	addr := netip.MustParseAddr("192.0.2.1")
	if u, _ := in.Login(addr, "bcrypt", "geheim"); u == nil {
		t.Fatal("refused")
	}
	stored := s.Users["bcrypt"].Password.Value
	if !in.passwords.recall("bcrypt", stored, "geheim") || in.passwords.recall("bcrypt", stored, "falsch") || in.passwords.recall("argon", stored, "geheim") {
		t.Error("the cache mixes things up")
	}
	s.Users["bcrypt"].Password.Value = argon("neu")
	if u, _ := in.Login(addr, "bcrypt", "geheim"); u != nil {
		t.Error("the old password still logs in")
	}
	now = now.Add(verifiedFor)
	if in.passwords.recall("bcrypt", stored, "geheim") {
		t.Error("remembered for ever")
	}
	for i := range maxVerified + 10 {
		in.passwords.remember(in.passwords.tag(fmt.Sprint(i)))
	}
	if n := len(in.passwords.verified); n > maxVerified {
		t.Errorf("%d entries", n)
	}
}

func TestFailedLoginsArePutOff(t *testing.T) {
	now := time.Unix(1000, 0)
	in, _ := logins(t, func() time.Time { return now })
	attacker, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:0:1::1")
	for i := range failuresPerAddr {
		if _, r := in.Login(attacker, fmt.Sprint("u", i), "x"); r.Code != 535 {
			t.Fatal(i, r)
		}
	}
	if _, r := in.Login(netip.MustParseAddr("2001:db8::2"), "clear", "geheim"); r.Code != 454 {
		t.Errorf("the network of the attacker: %v", r)
	}
	if u, _ := in.Login(other, "clear", "geheim"); u == nil {
		t.Error("others are put off")
	}
	now = now.Add(failureSpan)
	if u, _ := in.Login(attacker, "clear", "geheim"); u == nil {
		t.Error("put off for ever")
	}
	// A user under attack from many addresses: who has logged in before is let in.
	if u, _ := in.Login(other, "bcrypt", "geheim"); u == nil {
		t.Fatal("refused")
	}
	for i := range failuresPerUser {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		in.Login(a, "bcrypt", "x")
	}
	if _, r := in.Login(other, "bcrypt", "y"); r.Code != 454 {
		t.Errorf("a user under attack: %v", r)
	}
	if u, _ := in.Login(other, "bcrypt", "geheim"); u == nil {
		t.Error("a known password is put off")
	}
}

func TestFailuresAreBounded(t *testing.T) {
	var f failures
	now := time.Unix(1000, 0)
	for i := range 3 * maxFailureKeys {
		f.add(fmt.Sprint(i), now)
		if i%maxFailureKeys == maxFailureKeys/2 {
			now = now.Add(time.Second)
		}
	}
	if len(f.keys) > maxFailureKeys {
		t.Errorf("%d keys", len(f.keys))
	}
}

func TestLoginsSideBySide(t *testing.T) {
	in, _ := logins(t, nil)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			in.Login(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), "argon", "geheim")
			in.Login(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), "bcrypt", fmt.Sprint(i))
		})
	}
	wg.Wait()
	if len(in.passwords.slots) != 0 {
		t.Error("a slot was not given back")
	}
}

func TestArgon2Form(t *testing.T) {
	good := argon("x")
	if _, err := parseArgon2(good); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"$argon2id$", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$", "$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=64,t=1,p=1,x=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", good + "$",
	} {
		if _, err := parseArgon2(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
		if checkHash(bad, "x") {
			t.Errorf("%s lets in", bad)
		}
	}
}
