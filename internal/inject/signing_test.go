package inject

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// signer returns an Injector that signs mail for a.test and d.test with s1 and s2, for
// b.test with s1 alone and for c.test not at all, and a function that verifies a text and
// returns the selectors that it found good.
func signer(t *testing.T) (*Injector, func(string) ([]string, error)) {
	dir := t.TempDir()
	records := map[string]string{}
	for i, name := range []string{"s1", "s2"} {
		key := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+i)), ed25519.SeedSize)))
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := os.WriteFile(filepath.Join(dir, name+".from.test"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		records[name+"._domainkey.from.test"] = "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	}
	in, s := injector(t, nil)
	s.Signs = true
	in.cfg.Signing = func(_, domain string) *policy.Signing {
		how := &policy.Signing{Key: filepath.Join(dir, "%s.%d"), Selectors: []string{"s1", "s2"}} // another one for each domain: they are compared by value
		switch domain {
		case "b.test":
			how.Selectors = []string{"s1"}
		case "c.test":
			return nil
		}
		return how
	}
	verify := func(text string) (good []string, _ error) {
		got, err := dkim.VerifyWithOptions(strings.NewReader(text), &dkim.VerifyOptions{LookupTXT: func(n string) ([]string, error) {
			if r, ok := records[n]; ok {
				return []string{r}, nil
			}
			return nil, errors.New("none")
		}})
		for _, v := range got {
			if v.Err != nil {
				return nil, v.Err
			}
		}
		for _, name := range []string{"s1", "s2"} {
			if strings.Contains(text, "s="+name+";") {
				good = append(good, name)
			}
		}
		if len(good) != len(got) {
			return nil, fmt.Errorf("%d signatures verified, %d are there", len(got), len(good))
		}
		return good, err
	}
	return in, verify
}

// asSent puts together what a recipient gets, as the delivery does.
func asSent(t *testing.T, in *Injector, env *mail.Envelope, r mail.Recipient) string {
	t.Helper()
	m, err := in.cfg.Spool.Open(env.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	all, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
	if err != nil {
		t.Fatal(err)
	}
	if r.Head == 0 {
		return string(all)
	}
	return string(env.Heads[r.Head-1]) + string(all[env.Head:])
}

func TestSigned(t *testing.T) {
	in, verify := signer(t)
	var env *mail.Envelope
	in.cfg.Submitter = SubmitFunc(func(e *mail.Envelope) { env = e })
	want := map[string][]string{"a.test": {"s1", "s2"}, "b.test": {"s1"}, "c.test": nil, "d.test": {"s1", "s2"}}
	const content = "X-Job: j\r\nFrom: Ann <ann@from.test>\r\nX-Binding: default\r\nSubject: Hello\r\nTo: all@a.test\r\n\r\nHello \t you\r\n.\r\n\r\n"
	for _, step := range []int{1, 7, len(content)} {
		m, r := in.Begin(relayed(), Start{})
		if r.Code != 0 {
			t.Fatal(r)
		}
		for _, d := range []string{"b.test", "c.test", "d.test", "a.test"} {
			if r := m.AddRecipient(mail.Address{Local: "x", Domain: d}, 0, ""); r.Code != 0 {
				t.Fatal(r)
			}
		}
		for rest := content; rest != ""; {
			n := min(step, len(rest))
			if _, err := m.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if r := m.Accept(); r.Code != 250 {
			t.Fatal(r)
		}
		for _, r := range env.Recipients {
			text := asSent(t, in, env, r)
			good, err := verify(text)
			if err != nil || !slices.Equal(good, want[r.Domain]) {
				t.Errorf("pieces of %d: %s has good signatures %v, %v; want %v\n%s", step, r.Domain, good, err, want[r.Domain], text)
			}
			if strings.Contains(text, "X-Job") || strings.Count(text, "Received:") != 1 {
				t.Errorf("%s gets\n%s", r.Domain, text)
			}
		}
	}
	if st := in.Stats(); st.Signed != 6 || st.Unsigned != 0 {
		t.Errorf("%d sets signed, %d not: a message is signed once for each set, not for each recipient", st.Signed, st.Unsigned)
	}
}

// A message that cannot be signed is taken all the same, counted and told of.
func TestUnsignedIsTold(t *testing.T) {
	in, _ := signer(t)
	var told error
	in.cfg.Unsigned = func(err error) { told = err }
	m, _ := in.Begin(relayed(), Start{})
	m.AddRecipient(mail.Address{Local: "x", Domain: "a.test"}, 0, "")
	_, _ = m.Write([]byte("From: x@other.test\r\n\r\nx\r\n"))
	if r := m.Accept(); r.Code != 250 || told == nil || !strings.Contains(told.Error(), "no DKIM key") || in.Stats().Unsigned != 1 {
		t.Errorf("%v, told %v, %+v", r, told, in.Stats())
	}
}

func TestReportSigned(t *testing.T) {
	in, verify := signer(t)
	text := string(in.SignReport([]byte("From: <postmaster@from.test>\r\nSubject: Undelivered\r\n\r\nSorry\r\n"), "default", "a.test"))
	if good, err := verify(text); err != nil || len(good) != 2 {
		t.Errorf("%v, %v\n%s", good, err, text)
	}
}

// A message to a thousand recipients, each in a domain of its own, is signed once.
func TestThousandRecipientsOneSignature(t *testing.T) {
	in, verify := signer(t)
	var env *mail.Envelope
	in.cfg.Submitter = SubmitFunc(func(e *mail.Envelope) { env = e })
	m, r := in.Begin(relayed(), Start{})
	if r.Code != 0 {
		t.Fatal(r)
	}
	for i := range 1000 {
		if r := m.AddRecipient(mail.Address{Local: "x", Domain: fmt.Sprintf("d%d.test", i)}, 0, ""); r.Code != 0 {
			t.Fatalf("recipient %d: %v", i, r)
		}
	}
	if _, err := m.Write([]byte("From: ann@from.test\r\nSubject: Hello\r\n\r\nHello\r\n")); err != nil {
		t.Fatal(err)
	}
	if r := m.Accept(); r.Code != 250 {
		t.Fatal(r)
	}
	if n := in.signed.Load(); n != 1 {
		t.Errorf("signed %d times", n)
	}
	if len(env.Recipients) != 1000 || len(env.Heads) != 0 {
		t.Fatalf("%d recipients, %d further sets of signatures", len(env.Recipients), len(env.Heads))
	}
	if good, err := verify(asSent(t, in, env, env.Recipients[999])); err != nil || len(good) != 2 {
		t.Errorf("verified %v, %v", good, err)
	}
}
