package bounce

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluice-mta/sluice/internal/mail"
)

// told is what a report says, on a line.
func told(in *Incoming) string {
	s := in.Kind.String() + " " + in.Form
	for _, r := range in.Recipients {
		s += fmt.Sprintf("; %s %s %s", r.Final, r.Action, r.Status)
	}
	return s
}

func TestParse(t *testing.T) {
	for name, want := range map[string]string{
		"exim.eml":     "bounce x-failed-recipients; bob@two.test failed 5.1.1",
		"qmail.eml":    "bounce qmail; carol@three.test failed 5.1.1; dave@three.test failed 5.2.2",
		"text.eml":     "bounce text; erin@four.test failed 5.1.1",
		"nostatus.eml": "bounce text; frank@five.test failed 5.0.0",
		"dsn.eml":      "bounce rfc3464; g.hopper@inner.six.test failed 5.2.2; heidi@six.test delayed 4.4.1",
		"delayed.eml":  "status rfc3464; ivan@six.test delayed 4.4.7",
		"arf.eml":      "feedback arf; judy@isp.test  ",
		"vacation.eml": "reply text",
		"person.eml":   "unknown ",
		"empty.eml":    "unknown ",
		"cut.eml":      "bounce rfc3464; mallory@nine.test failed 5.1.1",
	} {
		content, err := os.ReadFile(filepath.Join("testdata/in", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{string(content), strings.ReplaceAll(string(content), "\r\n", "\n")} {
			in := Parse([]byte(form), "mta1.example.com")
			if got := told(&in); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
	content, _ := os.ReadFile("testdata/in/dsn.eml")
	in := Parse(content, "mta1.example.com")
	r := in.Recipients[0]
	if in.Reporter != "mx.six.test" || in.EnvID != "QQ314159" || r.Original != "grace@six.test" || r.Remote != "store.six.test" ||
		r.Diag != "smtp; 552 5.2.2 mailbox full, come back next year" || in.Returned.MessageID != "<42@shop.test>" || in.Returned.ID.String() != "01KDZ98CKV0400000000000000" {
		t.Errorf("%+v", in)
	}
	if other := Parse(content, "mta2.example.com"); !other.Returned.ID.IsZero() {
		t.Error("another server's Received field is taken for ours")
	}
	content, _ = os.ReadFile("testdata/in/arf.eml")
	in = Parse(content, "")
	if f := in.Feedback; f.Type != "abuse" || f.UserAgent != "SomeGenerator/1.0" || f.MailFrom != "news+judy=isp.test@shop.test" || f.SourceIP != "192.0.2.1" || f.Domain != "shop.test" ||
		in.Returned.ReturnPath != f.MailFrom || in.Reporter != "mail.isp.test" {
		t.Errorf("%+v", in)
	}
}

// What we write ourselves we can read.
func TestParseOurs(t *testing.T) {
	in := input(letter)
	_, content := Compose(in)
	got := Parse(content, "")
	if told(&got) != "bounce rfc3464; a@one.test failed 5.1.1; b@one.test failed 5.1.2" || got.EnvID != "QQ=1" || got.Recipients[0].Original != "a+x@one.test" {
		t.Errorf("%+v", got)
	}
	in.Action = Delayed
	_, content = Compose(in)
	if got := Parse(content, ""); got.Kind != KindStatus {
		t.Errorf("%+v", got)
	}
}

func FuzzParseReport(f *testing.F) {
	files, _ := filepath.Glob("testdata/in/*.eml")
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte("Content-Type: multipart/mixed; boundary=a\n\n" + strings.Repeat("--a\nContent-Type: multipart/mixed; boundary=a\n\n", 50)))
	f.Fuzz(func(t *testing.T, content []byte) {
		in := Parse(content, "mta1.example.com")
		if len(in.Recipients) > maxReported || len(in.EnvID) > maxField || len(in.Returned.Subject) > maxField {
			t.Fatalf("beyond its bounds: %d recipients", len(in.Recipients))
		}
		for _, r := range in.Recipients {
			if len(r.Final) > maxField || len(r.Diag) > maxField || r.Status != "" && codeLength(r.Status) != len(r.Status) {
				t.Fatalf("%+v", r)
			}
		}
	})
}

func TestReturnPath(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC).UnixNano()
	tags := NewTags("a key that nobody knows")
	sender := mail.Address{Local: "news", Domain: "shop.test"}
	rcpt := func(local, domain string) *mail.Recipient {
		d, _ := mail.CanonicalDomain(domain)
		return &mail.Recipient{Address: mail.Address{Local: local, Domain: domain}, Domain: d}
	}
	plain := ReturnPath(sender, rcpt("bob", "One.test"), "", nil, now)
	if plain.String() != "news+bob=one.test@shop.test" {
		t.Errorf("%s", plain)
	}
	signed := ReturnPath(sender, rcpt("Bob+x=y", "büro.test"), "b.shop.test", tags, now)
	for _, c := range []struct {
		name string
		a    mail.Address
		tags *Tags
		at   int64
		want Returned
	}{
		{"plain", plain, nil, now, Returned{Sender: sender, Recipient: mail.Address{Local: "bob", Domain: "one.test"}}},
		{"plain with a key", plain, tags, now, Returned{Sender: sender, Recipient: mail.Address{Local: "bob", Domain: "one.test"}}},
		{"signed", signed, tags, now, Returned{mail.Address{Local: "news", Domain: "b.shop.test"}, mail.Address{Local: "Bob+x=y", Domain: "xn--bro-hoa.test"}, true}},
		{"in lower case", mail.Address{Local: strings.ToLower(signed.Local), Domain: signed.Domain}, tags, now + 29*dayLength, Returned{mail.Address{Local: "news", Domain: "b.shop.test"}, mail.Address{Local: "bob+x=y", Domain: "xn--bro-hoa.test"}, true}},
		{"too late", signed, tags, now + 32*dayLength, Returned{mail.Address{Local: "news", Domain: "b.shop.test"}, mail.Address{Local: "Bob+x=y", Domain: "xn--bro-hoa.test"}, false}},
		{"from tomorrow", signed, tags, now - 2*dayLength, Returned{mail.Address{Local: "news", Domain: "b.shop.test"}, mail.Address{Local: "Bob+x=y", Domain: "xn--bro-hoa.test"}, false}},
		{"another key", signed, NewTags("another key, not ours"), now, Returned{mail.Address{Local: "news", Domain: "b.shop.test"}, mail.Address{Local: "Bob+x=y", Domain: "xn--bro-hoa.test"}, false}},
		{"no VERP", sender, tags, now, Returned{Sender: sender}},
	} {
		if got := ParseReturnPath(c.a, c.tags, c.at); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	other := signed
	other.Local = strings.Replace(signed.Local, "Bob", "eve", 1)
	if ParseReturnPath(other, tags, now).Verified {
		t.Error("a tag is good for another recipient")
	}
	for _, r := range []*mail.Recipient{rcpt(`"a b"`, "one.test"), rcpt("jürgen", "one.test"), rcpt("a", "[192.0.2.1]"), rcpt(strings.Repeat("x", 250), "one.test")} {
		if got := ReturnPath(sender, r, "", tags, now); got != sender {
			t.Errorf("%v: %s", r, got)
		}
	}
	if !ReturnPath(mail.Address{}, rcpt("a", "b.test"), "", tags, now).IsNull() {
		t.Error("a report got a return path")
	}
	id := mail.NewID(now/1e6, [10]byte{7})
	env := tags.EnvID(now, id)
	if got, ok := tags.ParseEnvID(now, env); !ok || got != id {
		t.Errorf("%s: %v %v", env, got, ok)
	}
	if _, ok := tags.ParseEnvID(now, id.String()+"."+strings.Repeat("a", tagLength)); ok {
		t.Error("a forged ENVID is taken")
	}
}

func FuzzReturnPath(f *testing.F) {
	f.Add("news", "bob", "one.test", "news+bob=one.test=aaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, local, rcpt, domain, other string) {
		now := int64(20000) * dayLength
		tags := NewTags("a key that nobody knows")
		if got := ParseReturnPath(mail.Address{Local: other, Domain: "x.test"}, tags, now); got.Verified {
			t.Fatalf("%q is verified", other)
		}
		d, err := mail.CanonicalDomain(domain)
		if err != nil || !utf8.ValidString(local) || strings.Contains(local, "+") {
			return
		}
		sender := mail.Address{Local: local, Domain: "s.test"}
		a := ReturnPath(sender, &mail.Recipient{Address: mail.Address{Local: rcpt, Domain: domain}, Domain: d}, "", tags, now)
		if a == sender {
			return
		}
		if got := ParseReturnPath(a, tags, now); !got.Verified || got.Recipient.Local != rcpt || got.Recipient.Domain != d || got.Sender.Local != local {
			t.Fatalf("%q: %+v", a.Local, got)
		}
	})
}
