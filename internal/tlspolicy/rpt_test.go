package tlspolicy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	netmail "net/mail"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
)

func TestParseTargets(t *testing.T) {
	for _, tt := range []struct {
		texts []string
		want  string
	}{
		{[]string{"v=TLSRPTv1; rua=mailto:reports@example.com"}, "reports@example.com"},
		{[]string{"v=TLSRPTv1;rua=mailto:a@b.test, https://r.test/v1/x?y=1 ;"}, "a@b.test https://r.test/v1/x?y=1"},
		{[]string{"v=spf1", "v=TLSRPTv1; rua=MAILTO:a%2Bb@B.test?subject=x"}, "a+b@b.test"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:a@b.test"}, ""},
		{[]string{"v=TLSRPTv1"}, ""},
		{[]string{"v=TLSRPTv2; rua=mailto:a@b.test"}, ""},
		{[]string{"v=TLSRPTv1; rua=http://r.test/,ftp://x,mailto:,mailto:x,mailto:a@b@c d,mailto:<a>@b,mailto:a%0d%0ab@c.test,https://,https://u:p@r.test/"}, ""},
		{[]string{"v=TLSRPTv1; rua=" + strings.Repeat("mailto:a@b.test,", 9)}, strings.Repeat("a@b.test ", 4) + "a@b.test"},
	} {
		got := parseTargets(tt.texts)
		var words []string
		for _, a := range got.mail {
			words = append(words, a.String())
		}
		if s := strings.Join(append(words, got.web...), " "); s != tt.want {
			t.Errorf("%q: %q", tt.texts, s)
		}
	}
}

func FuzzTargets(f *testing.F) {
	f.Add("v=TLSRPTv1; rua=mailto:a@b.test,https://r.test/")
	f.Add("v=TLSRPTv1; rua=mailto:%41%0a@b")
	f.Fuzz(func(t *testing.T, s string) {
		got := parseTargets([]string{s})
		for _, a := range got.mail {
			if !a.IsASCII() || strings.ContainsAny(a.String(), "\r\n <>") {
				t.Fatalf("%q: %q", s, a)
			}
		}
		for _, u := range got.web {
			if !strings.HasPrefix(u, "https://") {
				t.Fatalf("%q: %q", s, u)
			}
		}
	})
}

var (
	here  = netip.MustParseAddr("192.0.2.9")
	there = netip.MustParseAddr("192.0.2.1")
)

// TestReport: a day's sessions are told on the next day, by mail and by HTTPS, after a
// restart too; then they are forgotten.
func TestReport(t *testing.T) {
	w := newWorld(t, announced)
	var posted []byte
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if r.Host != "reports.test" || r.URL.Path != "/in" || r.Header.Get("Content-Type") != "application/tlsrpt+gzip" {
				t.Errorf("posted to %s%s: %v", r.Host, r.URL, r.Header)
			}
			posted, _ = io.ReadAll(r.Body)
			return
		}
		enforce(rw, r)
	})
	w.host("mx.one.test")
	w.host("mx2.one.test")
	r := w.engine.report
	for range 3 {
		r.Session("one.test", "mx.one.test", here, there, "", "")
	}
	r.Session("one.test", "mx.one.test", here, there, ResultExpired, "the certificate of mx.one.test: expired")
	r.Session("one.test", "mx.one.test", here, there, ResultExpired, "the certificate of mx.one.test: expired")
	r.Session("elsewhere.test", "mx.one.test", here, there, "", "") // wants no reports
	r.keep()
	roots := w.engine.cfg.Roots
	w.open(roots)
	r = w.engine.report
	r.send(context.Background())
	if len(w.mails) != 0 {
		t.Fatal("the day is not over")
	}
	w.pass(24 * time.Hour) // 12:00 on the next day
	r.send(context.Background())
	if len(w.mails) != 1 || posted == nil || len(w.store.Keys(rptKey)) != 0 {
		t.Fatalf("%d mails, posted %t, %d days kept", len(w.mails), posted != nil, len(w.store.Keys(rptKey)))
	}
	inMail := checkReportMail(t, w.mails[0])
	if !bytes.Equal(inMail, posted) {
		t.Error("mail and HTTPS have different reports")
	}
	const want = `{"organization-name":"Us","date-range":{"start-datetime":"2026-11-22T00:00:00Z","end-datetime":"2026-11-22T23:59:59Z"},` +
		`"contact-info":"postmaster@mta.test","report-id":"2026-11-22.one.test@mta.test","policies":[{"policy":{"policy-type":"sts",` +
		`"policy-string":["version: STSv1","mode: enforce","mx: mx.one.test","max_age: 86400"],"policy-domain":"one.test","mx-host":["mx.one.test"]},` +
		`"summary":{"total-successful-session-count":3,"total-failure-session-count":3},"failure-details":[` +
		`{"result-type":"validation-failure","receiving-mx-hostname":"mx2.one.test","failed-session-count":1,"failure-reason-code":"the policy does not have the MX host mx2.one.test"},` +
		`{"result-type":"certificate-expired","sending-mta-ip":"192.0.2.9","receiving-mx-hostname":"mx.one.test","receiving-ip":"192.0.2.1","failed-session-count":2,` +
		`"failure-reason-code":"the certificate of mx.one.test: expired"}]}]}`
	if got := unpack(t, posted); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.send(context.Background())
	if len(w.mails) != 1 {
		t.Error("it is sent again")
	}
}

// checkReportMail reads a report mail as a receiver does (RFC 8460 §5.3) and returns what
// is attached.
func checkReportMail(t *testing.T, text string) []byte {
	t.Helper()
	to, content, _ := strings.Cut(text, "\n")
	if to != "tls@reports.test" {
		t.Errorf("sent to %s", to)
	}
	m, err := netmail.ReadMessage(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"From": "<tls@mta.test>", "To": "<tls@reports.test>", "Tls-Report-Domain": "one.test", "Tls-Report-Submitter": "mta.test", "Tls-Required": "No",
		"Subject": "Report Domain: one.test Submitter: mta.test Report-ID: <2026-11-22.one.test@mta.test>", "Date": "Mon, 23 Nov 2026 12:00:00 +0000",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "tlsrpt" {
		t.Fatalf("%s %v, %v", kind, params, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	if p, err := parts.NextPart(); err != nil || !strings.HasPrefix(p.Header.Get("Content-Type"), "text/plain") {
		t.Fatal(err)
	}
	p, err := parts.NextPart()
	if err != nil || p.Header.Get("Content-Type") != "application/tlsrpt+gzip" || p.FileName() != "mta.test!one.test!1795305600!1795391999.json.gz" {
		t.Fatalf("%v: %v %s", err, p.Header, p.FileName())
	}
	b, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, p))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Error("a third part")
	}
	if slices.ContainsFunc(strings.Split(content, "\r\n"), func(l string) bool { return len(l) > 998 || strings.ContainsAny(l, "\r\n") }) {
		t.Error("a line too long, or a bare line end")
	}
	return b
}

func unpack(t *testing.T, b []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || !json.Valid(text) {
		t.Fatal(err)
	}
	return string(text)
}

// TestReportIsTriedAgain: for a day, then it is given up.
func TestReportIsTriedAgain(t *testing.T) {
	w := newWorld(t, announced)
	w.session.UseMTASTS = false
	w.answer(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
	w.lost = errors.New("the disk is full")
	w.host("mx.one.test")
	w.engine.report.Session("one.test", "mx.one.test", here, there, ResultNoSTARTTLS, "")
	w.engine.report.keep()
	w.pass(24 * time.Hour)
	for range 90 {
		w.engine.report.send(context.Background())
		w.pass(30 * time.Minute)
	}
	if n := len(w.mails); n < 10 || n > 30 {
		t.Errorf("tried %d times", n)
	}
	if len(w.store.Keys(rptKey)) != 0 || len(w.engine.report.tallies) != 0 {
		t.Error("it is not given up")
	}
}

// TestReportTargets: whoever wants none any more gets none.
func TestReportTargets(t *testing.T) {
	w := newWorld(t, announced)
	w.session.UseMTASTS = false
	w.host("mx.one.test")
	w.engine.report.Session("one.test", "mx.one.test", here, there, "", "")
	w.pass(24 * time.Hour)
	w.redirectTo(signedZone[:strings.Index(signedZone, "_smtp")])
	w.engine.report.send(context.Background())
	if len(w.mails) != 0 || len(w.engine.report.tallies) != 0 {
		t.Errorf("%d mails, %d days", len(w.mails), len(w.engine.report.tallies))
	}
}

// TestReportsAreBounded: whatever receivers do, a day of a domain has a bounded size.
func TestReportsAreBounded(t *testing.T) {
	var x tally
	for i := range 1000 {
		a := Applied{Host: strings.Repeat("h", i%200), Type: PolicyTLSA}
		if i%2 == 0 {
			a.Type = PolicyNone
		}
		x.count(&a, here, there, ResultExpired, strings.Repeat("r", i))
	}
	n := int64(0)
	for _, p := range x.Policies {
		if len(p.Details) > maxDetails {
			t.Errorf("%d details", len(p.Details))
		}
		for _, d := range p.Details {
			n += d.Count
		}
	}
	if n != 1000 || len(x.Policies) > maxTallied {
		t.Errorf("%d failures in %d policies", n, len(x.Policies))
	}
}

// TestTestedPolicy: of a host under a policy that is tested, certificates are looked at.
func TestTestedPolicy(t *testing.T) {
	w := newWorld(t, announced)
	w.answer(text("version: STSv1", "mode: testing", "mx: mx.one.test", "max_age: 86400"))
	w.host("mx.one.test")
	r := w.engine.report
	if !r.Tests("one.test", "mx.one.test") || r.Tests("one.test", "mx2.one.test") || r.Tests("two.test", "mx.one.test") {
		t.Error("the wrong hosts are looked at")
	}
	w.session.TLSReports = false
	if w.ask(dns.HostQuestion{Domain: "two.test", Host: "mx.one.test", ByMX: true}); r.Tests("two.test", "mx.one.test") {
		t.Error("reports are off")
	}
}
