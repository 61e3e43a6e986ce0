package inject

import (
	"bytes"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/spool"
)

func TestIDsGrow(t *testing.T) {
	var s idSource
	last := mail.ID{}
	for i := range 20000 {
		id := s.next(int64(1000 + i/5000))
		if id.Compare(last) <= 0 {
			t.Fatalf("%v after %v", id, last)
		}
		last = id
	}
	s.random = [10]byte(bytes.Repeat([]byte{0xff}, 10))
	if id := s.next(s.ms); id.IsZero() || id == last {
		t.Errorf("%v after all ones", id)
	}
}

func TestRates(t *testing.T) {
	r := rates{users: map[string]*bucket{}}
	now := time.Unix(1000, 0)
	take := func(rate policy.Rate) (n int) {
		for r.take("u", rate, now) {
			n++
			if n == 1000 {
				break
			}
		}
		return n
	}
	if n := take(policy.Rate{}); n != 1000 {
		t.Errorf("no rate: %d", n)
	}
	ten := policy.Rate{N: 10, Per: time.Second}
	if n := take(ten); n != 10 {
		t.Errorf("burst of 10/s is %d", n)
	}
	now = now.Add(300 * time.Millisecond)
	if n := take(ten); n != 3 {
		t.Errorf("after 0.3 s %d", n)
	}
	now = now.Add(time.Hour)
	if n := take(ten); n != 10 {
		t.Errorf("after an hour %d", n)
	}
	if n := take(policy.Rate{N: 50, Per: time.Hour}); n != 1 {
		t.Errorf("burst of 50/h is %d", n)
	}
	if n := take(policy.Rate{N: 50, Per: time.Hour, Burst: 7}); n != 7 {
		t.Errorf("burst of 50/h,burst=7 is %d", n)
	}
}

// injector returns an Injector with one user of each kind of password.
func injector(t testing.TB, now func() time.Time) (*Injector, *policy.Snapshot) {
	t.Helper()
	s := &policy.Snapshot{
		Hostname: "mx.test", Bindings: map[string]*policy.Binding{"default": {}}, Groups: map[string]*policy.Group{},
		Users: map[string]*policy.User{},
	}
	for name, stored := range map[string]string{
		"clear":  "geheim",
		"bcrypt": "$2a$04$qCVJyvQuE/X1eRWZ3O9b1.NMIhfQZAuSNw07HNJ38vPmQDgyyhPuC",
		"argon":  "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$",
	} {
		s.Users[name] = &policy.User{Name: name, Password: policy.Secret{Value: stored}}
	}
	in, err := New(Config{Settings: func() *policy.Snapshot { return s }, Spool: spool.NewMemory(), Submitter: SubmitFunc(func(*mail.Envelope) {}), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return in, s
}

func relayed() *Origin {
	return &Origin{
		Listener: &policy.Listener{RelayNetworks: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}},
		Source:   mail.Source{Client: netip.MustParseAddrPort("192.0.2.1:25"), Helo: "client.test"}, Protocol: "ESMTP",
	}
}

func TestRelayNetworks(t *testing.T) {
	nets := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("2001:db8::/32")}
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "::ffff:127.0.0.1": true, "::1": true, "2001:db8:1::1": true, "2001:db8::1%eth0": true,
		"128.0.0.1": false, "::2": false, "::ffff:10.0.0.1": false,
	} {
		if got := InNetworks(nets, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if InNetworks([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, netip.Addr{}) {
		t.Error("an unknown address is in a network")
	}
}

// take sends a message in pieces and returns it as the spool has it.
func take(t testing.TB, in *Injector, o *Origin, content string, step int) (*Message, string, mail.Reply) {
	t.Helper()
	m, r := in.Begin(o, Start{})
	if r.Code != 0 {
		t.Fatal(r)
	}
	if r := m.AddRecipient(mail.Address{Local: "a", Domain: "b.test"}, 0, ""); r.Code != 0 {
		t.Fatal(r)
	}
	for p := range slices.Chunk([]byte(content), step) {
		if _, err := m.Write(p); err != nil {
			break
		}
	}
	r = m.Accept()
	if r.Code != 250 {
		return m, "", r
	}
	kept, err := in.cfg.Spool.Open(m.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	_, body, _ := strings.Cut(string(kept.Bytes()), "+0000\r\n")
	return m, body, r
}

func TestHeaderInPieces(t *testing.T) {
	in, _ := injector(t, nil)
	for _, c := range []struct{ name, in, out string }{
		{"all of ours", "A: b\r\nX-Job: j\r\nX-Tenant: t\r\n y\r\nX-EnvID: e\r\nX-Binding: default\r\nX-Virtual-MTA:\r\nZ: z\r\n\r\nbody\r\n", "A: b\r\nZ: z\r\n\r\nbody\r\n"},
		{"first and last", "X-Job: j\r\nA: b\r\nX-Job : k\r\n\r\n\r\n", "A: b\r\n\r\n\r\n"},
		{"only ours", "x-job: j\r\n\r\n", "\r\n"},
		{"only ours, no body", "x-job: j\r\n", ""},
		{"no header", "\r\nX-Job: j\r\n", "\r\nX-Job: j\r\n"},
		{"what is no field stays", "From a@b.test\r\nX-Job: j\r\nnonsense\r\n X-Job: j\r\n:\r\n\r\n", "From a@b.test\r\nnonsense\r\n X-Job: j\r\n:\r\n\r\n"},
		{"names that are like ours", "X-Jobs: j\r\nX-Jo: j\r\nXX-Job: j\r\nY-Job: j\r\n\r\n", "X-Jobs: j\r\nX-Jo: j\r\nXX-Job: j\r\nY-Job: j\r\n\r\n"},
		{"empty", "", ""},
	} {
		for step := 1; step <= len(c.in)+1; step++ {
			m, got, r := take(t, in, relayed(), c.in, step)
			if got != c.out || r.Code != 250 {
				t.Fatalf("%s in steps of %d: %q, %v", c.name, step, got, r)
			}
			if c.name == "all of ours" && (m.env.Job != "j" || m.env.EnvID != "e" || m.env.Tenant != "") {
				t.Errorf("%+v", m.env)
			}
		}
	}
}

// A priority counts where the client may steer its mail; elsewhere it is a header like any
// other, and a word that is none is normal.
func TestPriorityHeader(t *testing.T) {
	in, _ := injector(t, nil)
	may, login := relayed(), relayed()
	may.Listener = &policy.Listener{RelayNetworks: may.Listener.RelayNetworks, BindingHeader: true}
	login.User = &policy.User{Name: "u", Bindings: []string{"default"}}
	const kept = "X-Queue-Priority: high\r\nX-Priority: 1\r\n\r\n"
	for _, c := range []struct {
		name string
		from *Origin
		in   string
		want mail.Priority
		out  string
	}{
		{"not allowed", relayed(), kept, mail.PriorityNormal, kept},
		{"listener", may, kept, mail.PriorityHigh, "X-Priority: 1\r\n\r\n"},
		{"login", login, "x-queue-priority: Low\r\n\r\n", mail.PriorityLow, "\r\n"},
		{"no such word", may, "X-Queue-Priority: 7\r\n\r\n", mail.PriorityNormal, "\r\n"},
		{"twice", may, "X-Queue-Priority: low\r\nX-Queue-Priority: high\r\n\r\n", mail.PriorityLow, "\r\n"},
	} {
		m, got, r := take(t, in, c.from, c.in, 7)
		if r.Code != 250 || m.env.Priority != c.want || got != c.out {
			t.Errorf("%s: %v, priority %v, content %q", c.name, r, m.env.Priority, got)
		}
	}
}

func TestOurFieldsAreGone(t *testing.T) {
	in, _ := injector(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.SampledFrom([]string{"X-Job", "x-binding", ":", " ", "\t", "\r\n", "\r\n", "a", "Received", "\r\n\r\n"})).Draw(t, "words")
		content := strings.Join(words, "")
		o := relayed()
		m, r := in.Begin(o, Start{})
		if r.Code != 0 {
			t.Fatal(r)
		}
		m.AddRecipient(mail.Address{Local: "a", Domain: "b.test"}, 0, "")
		for p := range slices.Chunk([]byte(content), rapid.IntRange(1, 30).Draw(t, "step")) {
			_, _ = m.Write(p)
		}
		if r := m.Accept(); r.Code != 250 {
			t.Fatal(r)
		}
		kept, err := in.cfg.Spool.Open(m.ID())
		if err != nil {
			t.Fatal(err)
		}
		_, got, _ := strings.Cut(string(kept.Bytes()), "+0000\r\n")
		head, body, _ := strings.Cut("\r\n"+content, "\r\n\r\n")
		gotHead, gotBody, _ := strings.Cut("\r\n"+got, "\r\n\r\n")
		if body != gotBody {
			t.Fatalf("%q: body %q, want %q", content, gotBody, body)
		}
		for line := range strings.SplitSeq(gotHead, "\r\n") {
			name, _, is := strings.Cut(line, ":")
			if name = strings.ToLower(strings.TrimRight(name, " \t")); is && (name == "x-job" || name == "x-binding") {
				t.Fatalf("%q: %q stays in %q", content, line, gotHead)
			}
		}
		if len(gotHead) > len(head) {
			t.Fatalf("%q: header grew to %q", content, gotHead)
		}
	})
}

func TestEightBit(t *testing.T) {
	in, _ := injector(t, nil)
	for content, want := range map[string]bool{
		"A: b\r\n\r\nplain\r\n": false, "A: b\r\n\r\n12345678901\xfc\r\n": true, "A: \xfc\r\n\r\n": true, "A: b\r\n\r\n12345\xfc78\r\n": true,
	} {
		m, _, _ := take(t, in, relayed(), content, 1000)
		if m.env.EightBit != want {
			t.Errorf("%q: %v", content, m.env.EightBit)
		}
	}
}

func TestReceivedField(t *testing.T) {
	in, s := injector(t, func() time.Time { return time.Unix(1764000000, 0) })
	o := relayed()
	o.Source.Client = netip.MustParseAddrPort("[2001:db8::1]:4000")
	o.Source.Helo = "evil (x) by; \"y\" [1.2.3.4]"
	m, r := in.Begin(o, Start{SMTPUTF8: true})
	if r.Code != 0 {
		t.Fatal(r)
	}
	m.AddRecipient(mail.Address{Local: "ü", Domain: "b.test"}, 0, "")
	m.settings = s
	want := "Received: from evil??x??by???y??[1.2.3.4] ([IPv6:2001:db8::1])\r\n\tby mx.test (sluice) with ESMTP id " + m.ID().String() +
		"\r\n\tfor <ü@b.test>; Mon, 24 Nov 2025 16:00:00 +0000\r\n"
	if got := string(m.receivedField()); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	m.env.SMTPUTF8 = false
	m.env.Source.Helo = ""
	m.env.Source.Client = netip.AddrPort{}
	if got := string(m.receivedField()); strings.Contains(got, "for <") || !strings.HasPrefix(got, "Received: from unknown\r\n\tby ") {
		t.Errorf("got %q", got)
	}
}

func TestEnvID(t *testing.T) {
	for in, want := range map[string]string{"": "", "a b+c=d": "a b+c=d", "\xfc\x01": "??", strings.Repeat("x", 101): "", strings.Repeat("x", 100): strings.Repeat("x", 100)} {
		if got := envID(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestGroupKeepsItsWeights(t *testing.T) {
	in, s := injector(t, nil)
	for i, name := range []string{"a", "b"} {
		s.Bindings[name] = &policy.Binding{Name: name, Weight: 1 + 2*i}
	}
	s.Groups["g"] = &policy.Group{Bindings: []string{"a", "b", "gone"}}
	o := relayed()
	o.Listener.BindingGroup = "g"
	count := map[string]int{}
	const n = 8000
	for range n {
		id := in.ids.next(5)
		c, r := in.chooseBinding(id, o, s, "")
		again, _ := in.chooseBinding(id, o, s, "")
		if r.Code != 0 || c != again || c.group != "g" {
			t.Fatal(c, again, r)
		}
		count[c.binding]++
	}
	if math.Abs(float64(count["b"])-n*0.75) > n*0.03 {
		t.Errorf("of %d: %v", n, count)
	}
}

func TestMissingBindingOfTheConfiguration(t *testing.T) {
	in, s := injector(t, nil)
	o := relayed()
	o.Listener.Binding = "gone"
	if _, r := in.chooseBinding(mail.ID{}, o, s, ""); r.Code != 451 {
		t.Errorf("got %v", r)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("A: b\r\nX-Job: j\r\n k\r\n\r\nbody"), 3)
	f.Add([]byte("X-Tenant:\r\n\r\nX-Job: x"), 1)
	f.Add([]byte("received:\r\nx-envid : \xff\x00\r\nfoo\r\n bar"), 100)
	in, _ := injector(f, nil)
	f.Fuzz(func(t *testing.T, content []byte, step int) {
		_, whole, r := take(t, in, relayed(), string(content), len(content)+1)
		_, pieces, again := take(t, in, relayed(), string(content), 1+step&0xff)
		if whole != pieces || r.Code != again.Code || len(whole) > len(content) {
			t.Fatalf("%q: at once %q %v, in pieces %q %v", content, whole, r, pieces, again)
		}
	})
}

func BenchmarkInject(b *testing.B) {
	in, _ := injector(b, nil)
	content := []byte("From: a@b.test\r\nTo: c@d.test\r\nSubject: x\r\nMessage-ID: <x@y.test>\r\nX-Job: j\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 130))
	o := relayed()
	in.cfg.Spool = forgetful{in.cfg.Spool}
	b.ReportAllocs()
	for b.Loop() {
		m, _ := in.Begin(o, Start{Sender: mail.Address{Local: "a", Domain: "b.test"}})
		m.AddRecipient(mail.Address{Local: "c", Domain: "d.test"}, 0, "")
		_, _ = m.Write(content)
		if r := m.Accept(); r.Code != 250 {
			b.Fatal(r)
		}
	}
}

// forgetful is a spool that keeps nothing.
type forgetful struct{ spool.Spool }

func (forgetful) Create(mail.ID) spool.Draft { return forgetfulDraft{} }

type forgetfulDraft struct{}

func (forgetfulDraft) Write(p []byte) (int, error)         { return len(p), nil }
func (forgetfulDraft) Commit(*mail.Envelope, []byte) error { return nil }
func (forgetfulDraft) Abort()                              {}
