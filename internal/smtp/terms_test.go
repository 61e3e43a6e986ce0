package smtp

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

func TestTermsOffered(t *testing.T) {
	h := &testHandler{}
	_, addr := start(t, ServerConfig{TLS: serverTLS(t), RequireTLS: true, DeliverBy: true, MaxHold: 48 * time.Hour}, h)
	smtptest.Play(t, smtptest.Connect(t, addr), "S: 220*\nC: EHLO c\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-SIZE*\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\n"+
		"S: 250-DSN\nS: 250-STARTTLS\nS: 250-DELIVERBY\nS: 250-FUTURERELEASE 172800 20*\nS: 250 ENH*\n"+
		"C: MAIL FROM:<a@b.test> REQUIRETLS\nS: 555*\nC: STARTTLS\nS: 220*\ntls\nC: EHLO c\nS: 250-**\nS: 250 ENH*\n"+
		"C: MAIL FROM:<a@b.test> REQUIRETLS BY=120;RT HOLDFOR=60\nS: 250*\nC: RCPT TO:<c@d.test>\nS: 250*\nC: DATA\nS: 354*\nC: x\\r\\n.\nS: 250*")
	m := h.taken()[0].mail
	if !m.RequireTLS || m.By != (By{Given: true, In: 2 * time.Minute, Trace: true}) {
		t.Errorf("%+v", m)
	}
	if left := time.Until(m.Release); left <= 0 || left > time.Minute {
		t.Errorf("released in %v", left)
	}
}

func TestTerms(t *testing.T) {
	const fault, unknown = "501 5.5.4", "555 5.5.4"
	far := time.Now().Add(72 * time.Hour).UTC().Format(time.RFC3339)
	near := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	_, addr := start(t, ServerConfig{DeliverBy: true, MaxHold: 48 * time.Hour}, &testHandler{})
	_, none := start(t, ServerConfig{}, &testHandler{})
	for _, c := range []struct{ params, reply, without string }{
		{"BY=120;R", "250", unknown},
		{"BY=+999999999;nt", "250", unknown},
		{"BY=0;N", "250", unknown},
		{"BY=-5;N", "250", unknown},
		{"BY=0;R", fault, unknown},
		{"BY=-5;RT", fault, unknown},
		{"BY=1234567890;R", fault, fault},
		{"BY=;R", fault, fault},
		{"BY=+-1;R", fault, fault},
		{"BY=1", fault, fault},
		{"BY=1;", fault, fault},
		{"BY=1;X", fault, fault},
		{"BY=1;RTT", fault, fault},
		{"BY", fault, fault},
		{"HOLDFOR=0", "250", unknown},
		{"HOLDFOR=172800", "250", unknown},
		{"HOLDFOR=172900", fault, unknown},
		{"HOLDFOR=-1", fault, fault},
		{"HOLDFOR=9999999999", fault, fault},
		{"HOLDFOR=1 HOLDUNTIL=" + near, fault, fault},
		{"HOLDUNTIL=" + near, "250", unknown},
		{"HOLDUNTIL=" + far, fault, unknown},
		{"HOLDUNTIL=2001-01-01T00:00:00Z", "250", unknown},
		{"HOLDUNTIL=99999-01-01T00:00:00Z", fault, fault},
		{"HOLDUNTIL=tomorrow", fault, fault},
		{"HOLDFOR=100 BY=90;R", fault, unknown},
		{"HOLDFOR=100 BY=90;N", "250", unknown},
		{"REQUIRETLS", unknown, unknown},
		{"REQUIRETLS=YES", fault, fault},
	} {
		smtptest.Play(t, smtptest.Connect(t, addr), hello+"C: MAIL FROM:<a@b.test> "+c.params+"\nS: "+c.reply+"*")
		smtptest.Play(t, smtptest.Connect(t, none), hello+"C: MAIL FROM:<a@b.test> "+c.params+"\nS: "+c.without+"*")
	}
}

func FuzzTerms(f *testing.F) {
	for _, s := range []string{"120;RT", "-1;N", "+000000001;r", "60", "2030-01-01T00:00:00Z", "2030-01-01t00:00:00.5-23:59"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if by, ok := parseBy([]byte(s)); ok && (by.In > maxBy*time.Second || by.In < -maxBy*time.Second) {
			t.Fatalf("%q: %v", s, by.In)
		}
		for _, key := range []string{"HOLDFOR", "HOLDUNTIL"} {
			var p MailParams
			if p.setRelease(key, []byte(s)) == nil && (p.Release.IsZero() || p.Release.UnixNano() < 0) {
				t.Fatalf("%s=%q: %v", key, s, p.Release)
			}
		}
	})
}

// connected is a client that has said EHLO.
func connected(t *testing.T, addr string) *Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(conn, patient)
	t.Cleanup(func() { c.Close(false) })
	if _, err := c.Greeting(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello("c.test"); err != nil {
		t.Fatal(err)
	}
	return c
}

func trusting(yes bool) func(tls.ConnectionState) error {
	return func(tls.ConnectionState) error {
		if yes {
			return nil
		}
		return errors.New("no")
	}
}

func TestTermsSent(t *testing.T) {
	soon := time.Now().Add(90 * time.Second).UnixNano()
	for _, c := range []struct {
		name  string
		offer ServerConfig
		env   func(*mail.Envelope)
		reply string // of our own; empty: it is sent
		check func(MailParams) bool
	}{
		{
			"by",
			ServerConfig{DeliverBy: true},
			func(e *mail.Envelope) { e.By = mail.DeliverBy{Deadline: soon, Trace: true} }, "",
			func(p MailParams) bool {
				return p.By.In > 80*time.Second && p.By.In <= 90*time.Second && p.By.Trace && !p.By.Notify
			},
		},
		{
			"by with notice, late",
			ServerConfig{DeliverBy: true},
			func(e *mail.Envelope) { e.By = mail.DeliverBy{Deadline: 1, Mode: mail.ByNotify} }, "",
			func(p MailParams) bool { return p.By.In < 0 && p.By.Notify },
		},
		{"by is not offered", ServerConfig{}, func(e *mail.Envelope) { e.By = mail.DeliverBy{Deadline: soon} }, "5.4.7", nil},
		{"nor needed", ServerConfig{}, func(e *mail.Envelope) { e.By = mail.DeliverBy{Deadline: soon, Relaxed: true} }, "", nil},
		{"a notice needs no offer", ServerConfig{}, func(e *mail.Envelope) { e.By = mail.DeliverBy{Deadline: soon, Mode: mail.ByNotify} }, "", nil},
		{"too late", ServerConfig{DeliverBy: true}, func(e *mail.Envelope) { e.By = mail.DeliverBy{Deadline: 1} }, "5.4.7", nil},
		{"require TLS in clear", ServerConfig{}, func(e *mail.Envelope) { e.RequireTLS = true }, "5.7.30", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &testHandler{}
			_, addr := start(t, c.offer, h)
			client := connected(t, addr.String())
			tx := transaction(inMemory("A: b\r\n\r\nx\r\n"), "c@d.test")
			c.env(tx.Envelope)
			if err := client.Transact(tx); err != nil {
				t.Fatal(err)
			}
			if got := tx.Results[0].Reply; got.Code == 250 != (c.reply == "") || c.reply != "" && got.Enhanced != c.reply {
				t.Fatalf("%v, want %q", got, c.reply)
			}
			if c.check != nil && !c.check(h.taken()[0].mail) {
				t.Errorf("%+v", h.taken()[0].mail)
			}
		})
	}
}

func TestRequireTLSNeedsProof(t *testing.T) {
	for _, c := range []struct {
		name   string
		offers bool
		proven bool
		want   string
	}{
		{"all there", true, true, "250"},
		{"not offered", false, true, "does not offer REQUIRETLS"},
		{"not proven", true, false, "does not prove its name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &testHandler{}
			_, addr := start(t, ServerConfig{TLS: serverTLS(t), RequireTLS: c.offers}, h)
			client := connected(t, addr.String())
			config, err := NewClientTLS(nil).Config(TLSRequirement{Host: "mx.test"})
			if err != nil {
				t.Fatal(err)
			}
			if rep, err := client.StartTLS(config); err != nil || rep.Class() != 2 {
				t.Fatal(rep, err)
			}
			if _, err := client.Hello("c.test"); err != nil {
				t.Fatal(err)
			}
			client.SetTrust(trusting(c.proven))
			tx := transaction(inMemory("A: b\r\n\r\nx\r\n"), "c@d.test")
			tx.Envelope.RequireTLS = true
			if err := client.Transact(tx); err != nil {
				t.Fatal(err)
			}
			if got := tx.Results[0].Reply.String(); !strings.Contains(got, c.want) {
				t.Fatalf("%s", got)
			}
			if c.want == "250" && !h.taken()[0].mail.RequireTLS {
				t.Error("REQUIRETLS was not passed on")
			}
		})
	}
}
