package inject

import (
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// maxReport bounds what is kept of a message to an address for reports, in octets: what a
// receiver says stands at the beginning.
const maxReport = 1 << 20

// Incoming is a message to addresses of a listener that are for reports.
type Incoming struct {
	ID       mail.ID
	Listener *policy.Listener
	Source   mail.Source
	Sender   mail.Address
	Bounces  []mail.Address // of bounce_addresses, as they were named
	Feedback []mail.Address // of feedback_addresses
	Received int64          // wall-clock ns
	Content  []byte         // the beginning, at most 1 MiB
	Size     int64          // octets in all
}

// incoming is what a Message gathers for Config.Report.
type incoming struct {
	bounces, feedback []mail.Address
	content           []byte
}

// reports takes a recipient that is an address for reports of the listener; false: it is
// none.
func (m *Message) reports(a mail.Address, domain string) bool {
	l := m.origin.Listener
	if m.in.cfg.Report == nil {
		return false
	}
	canonical := mail.Address{Local: strings.ToLower(a.Local), Domain: domain}
	a.Domain = domain
	switch {
	case listed(l.FeedbackAddresses, canonical):
		m.report().feedback = append(m.report().feedback, a)
	case listed(l.BounceAddresses, canonical):
		m.report().bounces = append(m.report().bounces, a)
	default:
		return false
	}
	return true
}

func (m *Message) report() *incoming {
	if m.incoming == nil {
		m.incoming = &incoming{}
	}
	return m.incoming
}

// listed reports whether an address is on a list of addresses, with +anything too, and of
// domains.
func listed(list []mail.Address, a mail.Address) bool {
	for _, e := range list {
		if e.Domain != a.Domain {
			continue
		}
		if rest, ok := strings.CutPrefix(a.Local, e.Local); e.Local == "" || ok && (rest == "" || rest[0] == '+') {
			return true
		}
	}
	return false
}

// gather keeps the beginning of a report.
func (x *incoming) gather(p []byte) {
	x.content = append(x.content, p[:min(len(p), maxReport-len(x.content))]...)
}

// acceptReport hands a report over.
func (m *Message) acceptReport() mail.Reply {
	x := m.incoming
	return m.in.cfg.Report(Incoming{
		ID: m.env.ID, Listener: m.origin.Listener, Source: m.origin.Source, Sender: m.env.Sender,
		Bounces: x.bounces, Feedback: x.feedback, Received: m.env.Received, Content: x.content, Size: m.received,
	})
}
