package smtpin

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"github.com/sluice-mta/sluice/internal/inject"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
	"github.com/sluice-mta/sluice/internal/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Front on a loopback port with all that it needs.
type world struct {
	settings atomic.Pointer[policy.Snapshot]
	gate     atomic.Pointer[mail.Reply]
	spool    spool.Spool
	front    *Front
	addr     net.Addr

	mu        sync.Mutex
	submitted []*mail.Envelope
}

func (w *world) messages() []*mail.Envelope {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.submitted
}

// content returns the n-th message as the spool has it.
func (w *world) content(t *testing.T, n int) string {
	t.Helper()
	m, err := w.spool.Open(w.messages()[n].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Size() != w.messages()[n].Size {
		t.Errorf("size %d in the envelope, %d in the spool", w.messages()[n].Size, m.Size())
	}
	return string(m.Bytes())
}

func snapshot(change func(*policy.Snapshot, *policy.Listener)) *policy.Snapshot {
	s := &policy.Snapshot{
		Hostname: "mx.test", Postmaster: "root@admin.test",
		Users:    map[string]*policy.User{},
		Bindings: map[string]*policy.Binding{"default": {Name: "default", Weight: 1}},
		Groups:   map[string]*policy.Group{},
		Listeners: []policy.Listener{{
			Address: "127.0.0.1:2525", RelayNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			MaxMessageSize: 1 << 20, MaxRecipients: 100, MaxSessions: 20,
		}},
	}
	for i, name := range []string{"ip-1", "ip-2", "ip-3"} {
		s.Bindings[name] = &policy.Binding{Name: name, Group: "pool", Weight: i + 1}
	}
	s.Groups["pool"] = &policy.Group{Name: "pool", Bindings: []string{"ip-1", "ip-2", "ip-3"}}
	if change != nil {
		change(s, &s.Listeners[0])
	}
	return s
}

func start(t *testing.T, change func(*policy.Snapshot, *policy.Listener)) *world {
	t.Helper()
	w := &world{spool: spool.NewMemory()}
	w.settings.Store(snapshot(change))
	w.gate.Store(&mail.Reply{})
	w.serve(t)
	return w
}

func (w *world) serve(t *testing.T) {
	t.Helper()
	in, err := inject.New(inject.Config{
		Settings: w.settings.Load, Spool: w.spool,
		Gate: func() mail.Reply { return *w.gate.Load() },
		Submitter: inject.SubmitFunc(func(env *mail.Envelope) {
			w.mu.Lock()
			w.submitted = append(w.submitted, env)
			w.mu.Unlock()
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.front, err = New(in, &w.settings.Load().Listeners[0]); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr()
	done := make(chan error, 1)
	go func() { done <- w.front.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.front.Shutdown(ctx)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

const hello = `
S: 220 mx.test ESMTP sluice
C: EHLO client.test
S: 250-mx.test
S: 250-**
S: 250 ENHANCEDSTATUSCODES
`

// send is a whole transaction: envelope, content, and what the server says at the end.
func send(from, to, content, reply string) string {
	s := "C: MAIL FROM:<" + from + ">\nS: 250*\n"
	for _, r := range strings.Split(to, ",") {
		s += "C: RCPT TO:<" + r + ">\nS: 250*\n"
	}
	return s + "C: DATA\nS: 354*\nC: " + content + ".\nS: " + reply + "\n"
}

func TestAcceptAndStamp(t *testing.T) {
	w := start(t, nil)
	smtptest.Play(t, smtptest.Connect(t, w.addr), hello+send("a@one.test", "b@Two.test",
		`Subject: x\r\nX-Binding: ip-2\r\nx-tenant:\r\n  shop\r\nX-Job: job 7\r\nX-ENVID: n+1\r\nX-Other: y\r\n\r\nX-Job: body\r\n`, "250 2.0.0 Ok: queued as *"))
	env := w.messages()[0]
	r := env.Recipients[0]
	if env.Sender.String() != "a@one.test" || r.Address.Domain != "Two.test" || r.Domain != "two.test" || r.Binding != "default" {
		t.Errorf("envelope %+v", env)
	}
	if env.Tenant != "" || env.Job != "job 7" || env.EnvID != "n+1" { // the tenant is not the client's to say here
		t.Errorf("tenant %q, job %q, envid %q", env.Tenant, env.Job, env.EnvID)
	}
	got := w.content(t, 0)
	trace, rest, _ := strings.Cut(got, "Subject")
	if rest != ": x\r\nX-Other: y\r\n\r\nX-Job: body\r\n" {
		t.Errorf("content %q", got)
	}
	want := "Received: from client.test ([127.0.0.1])\r\n\tby mx.test (sluice) with ESMTP id " + env.ID.String() + "\r\n\tfor <b@Two.test>; "
	if !strings.HasPrefix(trace, want) {
		t.Errorf("trace %q, want %q", trace, want)
	}
	if _, err := time.Parse(time.RFC1123Z, strings.TrimSpace(trace[len(want):])); err != nil {
		t.Error(err)
	}
}

func TestRecipients(t *testing.T) {
	w := start(t, nil)
	smtptest.Play(t, smtptest.Connect(t, w.addr), hello+send("", `b@z.test,a@y.test,c@Z.test,b@Z.TEST,B@z.test,d@[192.0.2.1],postmaster,a@y.test,d%other@x.test,@h.test:e@x.test`, `\r\nx\r\n`, "250*"))
	var got []string
	for _, r := range w.messages()[0].Recipients {
		got = append(got, r.Address.Local+"@"+r.Domain)
	}
	want := "d@[192.0.2.1] root@admin.test d%other@x.test e@x.test a@y.test b@z.test c@z.test B@z.test"
	if strings.Join(got, " ") != want {
		t.Errorf("recipients %v\nwant %v", got, want)
	}
	if strings.Contains(w.content(t, 0), "for <") {
		t.Error("a trace field names one of several recipients")
	}
}

func TestNoOpenRelay(t *testing.T) {
	w := start(t, func(s *policy.Snapshot, l *policy.Listener) { l.RelayNetworks = nil })
	for _, to := range []string{
		"a@other.test", "postmaster", "root@mx.test", "a%other.test@mx.test", "a%other.test@[127.0.0.1]", `"a@other.test"@mx.test`,
		`"a%other.test"`, "@mx.test:a@other.test", "@mx.test,@b.test:a@other.test", "a@other.test@mx.test", `"a@other.test"`,
		"other.test!a", "other.test!a@mx.test", "other.test!a@[127.0.0.1]", "a@[127.0.0.1]", "a@localhost", `"a"@other.test`, "mx.test!a@other.test",
	} {
		smtptest.Play(t, smtptest.Connect(t, w.addr), hello+"C: MAIL FROM:<a@mx.test>\nS: 250*\nC: RCPT TO:<"+strings.ReplaceAll(to, `\`, `\\`)+">\nS: 55*\nC: DATA\nS: 503*")
	}
	if len(w.messages()) != 0 {
		t.Error("accepted")
	}
}

func TestBindings(t *testing.T) {
	type change = func(*policy.Snapshot, *policy.Listener)
	on := func(_ *policy.Snapshot, l *policy.Listener) { l.BindingHeader = true }
	both := func(a, b change) change {
		return func(s *policy.Snapshot, l *policy.Listener) { a(s, l); b(s, l) }
	}
	for _, c := range []struct {
		name   string
		change change
		header string
		want   string // binding, "pool" for one of the group, or the reply
	}{
		{"nothing named", nil, "", "default"},
		{"the header is not honoured", nil, "X-Binding: ip-2", "default"},
		{"X-Binding", on, "X-Binding: ip-2", "ip-2"},
		{"X-Virtual-MTA", on, "X-Virtual-MTA: ip-3", "ip-3"},
		{"the first counts", on, `X-Virtual-MTA: ip-3\r\nX-Binding: ip-1\r\nX-Binding: ip-2`, "ip-1"},
		{"a group", on, "X-Binding: pool", "pool"},
		{"folded", on, `X-Binding:\r\n \r\n\tip-2  `, "ip-2"},
		{"unknown", on, "X-Binding: none", `550 5.7.1 binding "none" is not known*`},
		{"unknown, ignored", both(on, func(s *policy.Snapshot, _ *policy.Listener) { s.UnknownBindingDefault = true }), "X-Binding: none", "default"},
		{"too long", on, "X-Binding: " + strings.Repeat("x", 3000), "550 5.7.1*"},
		{"the listener's", func(_ *policy.Snapshot, l *policy.Listener) { l.Binding = "ip-1" }, "", "ip-1"},
		{"the listener's group", func(_ *policy.Snapshot, l *policy.Listener) { l.BindingGroup = "pool" }, "", "pool"},
		{"header before listener", both(on, func(_ *policy.Snapshot, l *policy.Listener) { l.Binding = "ip-1" }), "X-Binding: ip-2", "ip-2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, c.change)
			reply := "250*"
			if c.want[0] == '5' {
				reply = c.want
			}
			header := c.header
			if header != "" {
				header += `\r\n`
			}
			smtptest.Play(t, smtptest.Connect(t, w.addr), hello+send("a@b.test", "c@d.test,e@f.test", header+`A: b\r\n\r\nx\r\n`, reply))
			if reply != "250*" {
				if len(w.messages()) != 0 {
					t.Error("accepted")
				}
				return
			}
			if strings.Contains(w.content(t, 0), "X-") {
				t.Errorf("our field stays: %q", w.content(t, 0))
			}
			for _, r := range w.messages()[0].Recipients {
				if c.want == "pool" && r.Group == "pool" && strings.HasPrefix(r.Binding, "ip-") {
					continue
				}
				if r.Binding != c.want || r.Group != "" {
					t.Errorf("binding %q of group %q, want %q", r.Binding, r.Group, c.want)
				}
			}
		})
	}
}

func plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

func login(user, password string) string {
	return "C: AUTH PLAIN " + plain(user, password) + "\nS: 235*\n"
}

func withUsers(s *policy.Snapshot, l *policy.Listener) {
	hash, err := bcrypt.GenerateFromPassword([]byte("geheim"), bcrypt.MinCost)
	if err != nil {
		panic(err)
	}
	l.RelayNetworks = nil
	s.Users["shop"] = &policy.User{
		Name: "shop", Password: policy.Secret{Value: string(hash)}, Tenant: "shop", BindingGroup: "pool",
		Bindings: []string{"ip-1", "pool"}, MessageRate: policy.Rate{N: 2, Per: time.Hour, Burst: 2}, MaxMessageSize: 1000,
	}
	s.Users["plain"] = &policy.User{Name: "plain", Password: policy.Secret{Value: "offen"}}
}

func TestLogin(t *testing.T) {
	w := start(t, withUsers)
	smtptest.Play(t, smtptest.Connect(t, w.addr), hello+login("shop", "geheim")+
		send("a@b.test", "c@d.test", `X-Tenant: other\r\nA: b\r\n\r\nx\r\n`, "250*")+
		"C: MAIL FROM:<a@b.test> SIZE=1001\nS: 552 5.3.4*\n"+
		send("a@b.test", "c@d.test", `X-Binding: ip-2\r\n\r\nx\r\n`, `550 5.7.1 binding "ip-2"*`)+
		"C: MAIL FROM:<a@b.test>\nS: 450 4.7.1 message rate*\n")
	env := w.messages()[0]
	if env.Tenant != "shop" || env.Recipients[0].Group != "pool" || env.Source.Login != "shop" {
		t.Errorf("envelope %+v", env)
	}
	if !strings.Contains(w.content(t, 0), " with ESMTPA id ") {
		t.Errorf("trace %q", w.content(t, 0))
	}
	smtptest.Play(t, smtptest.Connect(t, w.addr), hello+login("plain", "offen")+
		send("a@b.test", "c@d.test", strings.Repeat("x", 2000)+`\r\n`, "250*"))
	w.settings.Store(snapshot(nil)) // the users are gone
	smtptest.Play(t, smtptest.Connect(t, w.addr), hello+"C: AUTH PLAIN "+plain("plain", "offen")+"\nS: 535*")
}

func TestUserTooBigWithoutWarning(t *testing.T) {
	w := start(t, withUsers)
	smtptest.Play(t, smtptest.Connect(t, w.addr), hello+login("shop", "geheim")+
		send("a@b.test", "c@d.test", strings.Repeat("x", 2000)+`\r\n`, "552 5.3.4*")+"C: NOOP\nS: 250*")
	if w.spool.Stats().Messages != 0 {
		t.Error("the spool has it")
	}
}

func TestLoginRequired(t *testing.T) {
	w := start(t, func(s *policy.Snapshot, l *policy.Listener) {
		withUsers(s, l)
		l.Auth = policy.AuthRequired
	})
	smtptest.Play(t, smtptest.Connect(t, w.addr), hello+"C: MAIL FROM:<a@b.test>\nS: 530 5.7.0*\n"+login("plain", "offen")+"C: MAIL FROM:<a@b.test>\nS: 250*")
}

func TestPressure(t *testing.T) {
	w := start(t, nil)
	c := smtptest.Connect(t, w.addr)
	smtptest.Play(t, c, hello+"C: MAIL FROM:<a@b.test>\nS: 250*\nC: RCPT TO:<c@d.test>\nS: 250*\n")
	w.gate.Store(&mail.Reply{Code: 452, Enhanced: "4.3.1", Text: "full"})
	smtptest.Play(t, c, "C: DATA\nS: 452 4.3.1 full\nC: MAIL FROM:<a@b.test>\nS: 452 4.3.1 full")
	smtptest.Play(t, smtptest.Connect(t, w.addr), "S: 421 4.3.1 full\nclose")
	w.gate.Store(&mail.Reply{})
	smtptest.Play(t, c, send("a@b.test", "c@d.test", `\r\nx\r\n`, "250*"))
}

// failing is a spool whose drafts fail.
type failing struct {
	spool.Spool
	write, commit error
}

func (f failing) Create(id mail.ID) spool.Draft { return failingDraft{f.Spool.Create(id), f} }

type failingDraft struct {
	spool.Draft
	f failing
}

func (d failingDraft) Write(p []byte) (int, error) {
	if d.f.write != nil {
		return 0, d.f.write
	}
	return d.Draft.Write(p)
}

func (d failingDraft) Commit(env *mail.Envelope, prefix []byte) error {
	if d.f.commit != nil {
		return d.f.commit
	}
	return d.Draft.Commit(env, prefix)
}

func TestSpoolTrouble(t *testing.T) {
	full := fmt.Errorf("write: %w", spool.ErrFull)
	sick := fmt.Errorf("sync: %w", spool.ErrSick)
	for _, c := range []struct {
		spool failing
		reply string
	}{
		{failing{write: full}, "452 4.3.1 no room*"},
		{failing{commit: full}, "452 4.3.1 no room*"},
		{failing{commit: sick}, "451 4.3.0*"},
		{failing{write: spool.ErrClosed}, "451 4.3.0*"},
	} {
		c.spool.Spool = spool.NewMemory()
		w := &world{spool: c.spool}
		w.settings.Store(snapshot(nil))
		w.gate.Store(&mail.Reply{})
		w.serve(t)
		smtptest.Play(t, smtptest.Connect(t, w.addr), hello+send("a@b.test", "c@d.test", `\r\nx\r\n`, c.reply))
		if len(w.messages()) != 0 {
			t.Errorf("%s: submitted", c.reply)
		}
	}
}

func TestLoopAndBigHeader(t *testing.T) {
	w := start(t, nil)
	smtptest.Play(t, smtptest.Connect(t, w.addr), hello+
		send("a@b.test", "c@d.test", strings.Repeat(`received : x\r\n`, 100)+`\r\nx\r\n`, "554 5.4.6*")+
		send("a@b.test", "c@d.test", strings.Repeat(`Received: x\r\n`, 99)+`\r\n`+strings.Repeat(`Received: x\r\n`, 9), "250*")+
		send("a@b.test", "c@d.test", strings.Repeat("A: "+strings.Repeat("x", 900)+`\r\n`, 300)+`\r\nx\r\n`, "552 5.3.4 header*")+
		send("a@b.test", "c@d.test", "A: b"+`\r\n`, "250*")+
		send("a@b.test", "c@d.test", "", "250*"))
	if got := w.content(t, 1); !strings.HasSuffix(got, "\r\nA: b\r\n") {
		t.Errorf("content %q", got)
	}
	if len(w.messages()) != 3 {
		t.Errorf("%d messages", len(w.messages()))
	}
}

func TestProxyProtocol(t *testing.T) {
	w := start(t, func(_ *policy.Snapshot, l *policy.Listener) {
		l.ProxyProtocol = true
		l.RelayNetworks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	})
	mailTo := "C: MAIL FROM:<a@b.test>\nS: 250*\nC: RCPT TO:<c@d.test>\n"
	v2 := `\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x09\x7f\x00\x00\x01\x04\xd2\x00\x19`
	for _, c := range []struct{ head, then string }{
		{`C: PROXY TCP4 192.0.2.7 127.0.0.1 40000 25`, mailTo + "S: 250*\nC: QUIT\nS: 221*"},
		{`C: PROXY TCP6 2001:db8::7 ::1 40000 25`, mailTo + "S: 250*"},
		{`C: PROXY TCP4 198.51.100.7 127.0.0.1 40000 25`, mailTo + "S: 550 5.7.1*"},
		{`C: PROXY UNKNOWN`, mailTo + "S: 550 5.7.1*"},
		{`C- ` + v2, mailTo + "S: 250*"},
	} {
		smtptest.Play(t, smtptest.Connect(t, w.addr), c.head+"\n"+hello+c.then)
	}
	// Without the header there is no session.
	smtptest.Play(t, smtptest.Connect(t, w.addr), "C: EHLO client.test\nclose")
}
