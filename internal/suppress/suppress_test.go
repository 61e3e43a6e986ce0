package suppress

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/state"
)

func addr(s string) mail.Address {
	local, domain, _ := strings.Cut(s, "@")
	return mail.Address{Local: local, Domain: domain}
}

func list(t *testing.T, dir string) (*List, *state.Store) {
	t.Helper()
	s, err := state.Open(state.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return New(s, func() time.Time { return time.Unix(1000, 0) }), s
}

func TestFile(t *testing.T) {
	l, _ := list(t, t.TempDir())
	path := filepath.Join(t.TempDir(), "list")
	write := func(s string, at int64) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Unix(at, 0), time.Unix(at, 0)); err != nil {
			t.Fatal(err)
		}
	}
	write("# people who said no\nBob@One.test  # in March\n\n@büro.test\r\n  c@two.test\n", 1)
	if read, err := l.Read(path); !read || err != nil {
		t.Fatal(read, err)
	}
	for a, want := range map[string]bool{
		"bob@one.test": true, "BOB@one.test": true, "alice@one.test": false, "x@xn--bro-hoa.test": true, "x@sub.xn--bro-hoa.test": false, "c@two.test": true,
	} {
		if l.Has(addr(a)) != want {
			t.Errorf("%s: %v", a, !want)
		}
	}
	if read, err := l.Read(path); read || err != nil {
		t.Error("read again though it has not changed")
	}
	write("d@two.test\nnonsense\na b@c.test\n", 2)
	read, err := l.Read(path)
	if !read || err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("%v %v", read, err)
	}
	if l.Has(addr("c@two.test")) || !l.Has(addr("d@two.test")) {
		t.Error("the list is not that of the file")
	}
	if _, err := l.Read(path + ".missing"); err == nil || !l.Has(addr("d@two.test")) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := l.Remove("d@two.test"); !errors.Is(err, ErrInFile) {
		t.Error(err)
	}
	if read, err := l.Read(""); !read || err != nil || l.Has(addr("d@two.test")) {
		t.Error("the file is gone from the configuration and its entries stay")
	}
}

func TestAddedSurvives(t *testing.T) {
	dir := t.TempDir()
	l, s := list(t, dir)
	if added, err := l.Add("Bob@One.TEST", "complaint", "", "abuse"); !added || err != nil {
		t.Fatal(added, err)
	}
	if added, err := l.Add("bob@one.test", "hard_bounce", "", ""); added || err != nil {
		t.Error("added twice", err)
	}
	if _, err := l.Add("@two.test", "closed", "me", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Add("nobody", "", "", ""); err == nil {
		t.Error("no address was added")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l, s = list(t, dir)
	defer s.Close()
	e, ok, err := l.Check("bob@one.test")
	if err != nil || !ok || e.Why != "complaint" || e.Detail != "abuse" || !e.Since.Equal(time.Unix(1000, 0)) {
		t.Errorf("%+v %v %v", e, ok, err)
	}
	if e, ok, _ := l.Check("x@two.test"); !ok || e.Entry != "@two.test" || e.By != "me" {
		t.Errorf("%+v", e)
	}
	if got := l.Entries("", 1); len(got) != 1 || got[0].Entry != "@two.test" {
		t.Errorf("%+v", got)
	}
	if got := l.Entries("@two.test", 9); len(got) != 1 || got[0].Entry != "bob@one.test" {
		t.Errorf("%+v", got)
	}
	if removed, err := l.Remove("BOB@one.test"); !removed || err != nil || l.Has(addr("bob@one.test")) {
		t.Error(removed, err)
	}
	if removed, err := l.Remove("bob@one.test"); removed || err != nil {
		t.Error(removed, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a@b.test # c\n@d.test\n\xff@\n")
	f.Fuzz(func(t *testing.T, s string) {
		entries, _, err := parse(strings.NewReader(s))
		for e := range entries {
			if again, fault := Canonical(e); err == nil && (fault != nil || again != e) {
				t.Fatalf("%q is %q the second time: %v", e, again, fault)
			}
		}
	})
}
