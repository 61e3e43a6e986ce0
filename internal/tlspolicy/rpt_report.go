package tlspolicy

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// report is one report (RFC 8460 §4).
type report struct {
	Organization string         `json:"organization-name"`
	Dates        reportDates    `json:"date-range"`
	Contact      string         `json:"contact-info"`
	ID           string         `json:"report-id"`
	Policies     []reportPolicy `json:"policies"`

	domain    string
	submitter string // our name
}

type reportDates struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

type reportPolicy struct {
	Policy struct {
		Type    PolicyType `json:"policy-type"`
		Strings []string   `json:"policy-string,omitempty"`
		Domain  string     `json:"policy-domain"`
		MX      []string   `json:"mx-host,omitempty"`
	} `json:"policy"`
	Summary struct {
		Good int64 `json:"total-successful-session-count"`
		Bad  int64 `json:"total-failure-session-count"`
	} `json:"summary"`
	Failures []reportFailure `json:"failure-details,omitempty"`
}

type reportFailure struct {
	Result Result `json:"result-type"`
	Local  string `json:"sending-mta-ip,omitempty"`
	Host   string `json:"receiving-mx-hostname,omitempty"`
	Remote string `json:"receiving-ip,omitempty"`
	Count  int64  `json:"failed-session-count"`
	Reason string `json:"failure-reason-code,omitempty"`
}

// newReport makes the report of a day (UTC).
func newReport(day time.Time, domain, hostname string, who policy.TLSReports, t *tally) *report {
	r := &report{
		Organization: who.Organization, Contact: who.Contact, domain: domain, submitter: hostname,
		Dates: reportDates{day, day.Add(24*time.Hour - time.Second)},
		ID:    day.Format("2006-01-02") + "." + domain + "@" + hostname,
	}
	for _, p := range t.Policies {
		var x reportPolicy
		x.Policy.Type, x.Policy.Strings, x.Policy.Domain, x.Policy.MX = p.Type, p.Strings, domain, p.MX
		x.Summary.Good, x.Summary.Bad = p.Good, p.Bad
		for _, d := range p.Details {
			x.Failures = append(x.Failures, reportFailure{
				Result: d.Result, Local: d.Local, Host: d.Host, Remote: d.Remote, Count: d.Count, Reason: strings.ToValidUTF8(d.Reason, "?"),
			})
		}
		r.Policies = append(r.Policies, x)
	}
	return r
}

// packed is the report as JSON, compressed (RFC 8460 §5.2).
func (r *report) packed() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// file is the report's file name (RFC 8460 §5.1).
func (r *report) file() string {
	return fmt.Sprintf("%s!%s!%d!%d.json.gz", r.submitter, r.domain, r.Dates.Start.Unix(), r.Dates.End.Unix())
}

// message is the mail that carries the report (RFC 8460 §5.3), without signature.
func (r *report) message(from string, to mail.Address, now time.Time, packed []byte) []byte {
	const boundary = "=_tls-report"
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("From: <%s>", from)
	line("To: <%s>", to)
	line("Date: %s", now.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	line("Message-ID: <%s>", r.ID)
	line("Subject: Report Domain: %s Submitter: %s Report-ID: <%s>", r.domain, r.submitter, r.ID)
	line("TLS-Report-Domain: %s", r.domain)
	line("TLS-Report-Submitter: %s", r.submitter)
	line("TLS-Required: No")
	line("Auto-Submitted: auto-generated")
	line("MIME-Version: 1.0")
	line(`Content-Type: multipart/report; report-type="tlsrpt"; boundary="%s"`, boundary)
	line("\r\n--%s", boundary)
	line("Content-Type: text/plain; charset=us-ascii\r\n")
	line("How TLS went between %s and the hosts of %s", r.submitter, r.domain)
	line("on %s (UTC), as RFC 8460 describes it.", r.Dates.Start.Format("2006-01-02"))
	line("\r\n--%s", boundary)
	line("Content-Type: application/tlsrpt+gzip")
	line("Content-Transfer-Encoding: base64")
	line(`Content-Disposition: attachment; filename="%s"`, r.file())
	line("")
	for rest := base64.StdEncoding.EncodeToString(packed); rest != ""; {
		n := min(len(rest), 76)
		line("%s", rest[:n])
		rest = rest[n:]
	}
	line("--%s--", boundary)
	return b.Bytes()
}
