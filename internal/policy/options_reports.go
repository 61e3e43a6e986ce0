package policy

import (
	"fmt"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// reportOptions: what a client may ask about the transport of a message, reports to
// senders, reports from receivers, and the suppression list.
var reportOptions = []Option{
	{
		Name: "require_tls", Type: TypeBool, Default: "on", Scopes: inESMTP,
		Doc: "Offer REQUIRETLS (RFC 8689) under TLS: such mail goes only to hosts that offer it too, with a certificate that proves their name.",
	},
	{
		Name: "max_future_release", Type: TypeDuration, Max: 366 * day, Default: "0", Scopes: inESMTP,
		Doc: "Offer FUTURERELEASE (RFC 4865): the longest that a message may ask to be held; 0: it is not offered.",
	},
	{
		Name: "deliver_by", Type: TypeEnum, Enum: []string{"off", "on", "relaxed"}, Default: "off", Scopes: inESMTP,
		Doc: "Offer DELIVERBY (RFC 2852). relaxed: mail to be returned when it is late may go to receivers that do not offer it; on: it is returned instead, as the RFC asks.",
	},
	{
		Name: "bounce_addresses", Type: TypeList, Scopes: inESMTP,
		Doc: "Where receivers send reports of mail that they accepted first: addresses (with +anything too), or @domain. Such mail is read into accounting records and not relayed.",
	},
	{
		Name: "feedback_addresses", Type: TypeList, Scopes: inESMTP,
		Doc: "Where receivers send complaints (ARF, RFC 5965): addresses, or @domain.",
	},
	{
		Name: "verify_reports", Type: TypeBool, Default: "off", Scopes: inESMTP,
		Doc: "Record only such reports and complaints as show a tag made with bounce_key; the others are taken and counted.",
	},
	{
		Name: "bounce_key", Type: TypeSecret, Scopes: inG,
		Doc: "Key of the tags in VERP return paths and in ENVIDs of our own, by which a report shows that it is about mail of this server.",
	},
	{
		Name: "verp", Type: TypeBool, Default: "off", Scopes: inDelivery, Recipient: true,
		Doc: "Give each recipient a return path of its own, local+recipient=domain@sender.domain: one transaction for each.",
	},
	{
		Name: "verp_domain", Type: TypeName, Scopes: inDelivery, Recipient: true,
		Doc: "Domain of VERP return paths; default: the sender's.",
	},
	{
		Name: "suppression_list", Type: TypePath, Scopes: inG,
		Doc: "File of addresses, or @domains, to which nothing is sent: one on a line, # begins a comment; read again when it changes.",
	},
	{
		Name: "suppress_on", Type: TypeList, Enum: []string{"hard_bounce", "complaint"}, Scopes: inG,
		Doc: "What puts a recipient on the suppression list: hard_bounce, refused as a mailbox that is not there; complaint.",
	},
	{
		Name: "report_suppressed", Type: TypeBool, Default: "off", Scopes: inDelivery, Recipient: true,
		Doc: "Report recipients that are on the suppression list to the sender.",
	},
}

// listenerTerms reads what a listener lets clients ask about transport.
func (b *builder) listenerTerms(c *Scope, l *Listener) {
	l.RequireTLS = own(c, "require_tls").Bool()
	l.MaxFutureRelease = own(c, "max_future_release").Duration()
	l.DeliverBy = DeliverByMode(own(c, "deliver_by").Num)
	l.BounceAddresses = b.reportAddresses(c, "bounce_addresses")
	l.FeedbackAddresses = b.reportAddresses(c, "feedback_addresses")
	l.VerifyReports = own(c, "verify_reports").Bool()
	if l.VerifyReports && b.root.Get(must(ScopeGlobal, "bounce_key")) == nil {
		b.errorf(c.Origin, "verify_reports = on needs bounce_key: there is nothing to verify with")
	}
}

// reportAddresses reads a list of addresses and @domains.
func (b *builder) reportAddresses(c *Scope, name string) []mail.Address {
	var out []mail.Address
	for _, e := range own(c, name).List {
		a, err := ParseListed(e)
		if err != nil {
			b.errorf(c.Origin, "%s: %v", name, err)
			continue
		}
		out = append(out, a)
	}
	return out
}

// ParseListed reads an address, or @domain, which is one without a local part. The domain
// is made canonical and the local part, as lists compare it, is in lower case.
func ParseListed(s string) (mail.Address, error) {
	local, domain, ok := cutLast(s, "@")
	if !ok || len(s) > 320 || strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return mail.Address{}, fmt.Errorf("%q is not an address, nor @domain", s)
	}
	domain, err := mail.CanonicalDomain(domain)
	if err != nil {
		return mail.Address{}, fmt.Errorf("%q is not an address, nor @domain", s)
	}
	return mail.Address{Local: strings.ToLower(local), Domain: domain}, nil
}

// reports reads the global options about reports and suppression.
func (b *builder) reports() {
	s := b.s
	if v := b.root.Get(must(ScopeGlobal, "bounce_key")); v != nil {
		s.BounceKey = Secret{Value: v.Str}
		if IsReference(v.Text) {
			s.BounceKey.Ref = v.Text
		}
		if len(v.Str) < 16 && (v.Str != "" || s.BounceKey.Ref == "") { // one whose place is not read now is not judged
			b.errorf(v.Origin, "bounce_key has %d octets: it needs at least 16 that nobody can guess", len(v.Str))
		}
	}
	s.Suppression.File = own(b.root, "suppression_list").Str
	for _, on := range own(b.root, "suppress_on").List {
		switch strings.ToLower(on) {
		case "hard_bounce":
			s.Suppression.OnHardBounce = true
		case "complaint":
			s.Suppression.OnComplaint = true
		}
	}
}
