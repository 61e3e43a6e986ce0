package tlspolicy

import (
	"net/url"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// maxTargets bounds the places that one domain has reports sent to.
const maxTargets = 5

// targets is where a domain wants its reports: mailboxes and HTTPS addresses.
type targets struct {
	mail []mail.Address
	web  []string
}

func (t *targets) none() bool { return len(t.mail)+len(t.web) == 0 }

// parseTargets reads the TXT records of _smtp._tls.DOMAIN (RFC 8460 §3). Places that make
// no sense are left out; two records are none.
func parseTargets(texts []string) (t targets) {
	found := 0
	rua := ""
	for _, text := range texts {
		if fields, ok := recordFields(text, "TLSRPTv1"); ok {
			found++
			rua = fields["rua"]
		}
	}
	if found != 1 {
		return targets{}
	}
	for place := range strings.SplitSeq(rua, ",") {
		if len(t.mail)+len(t.web) == maxTargets {
			break
		}
		u, err := url.Parse(strings.Trim(place, " \t"))
		if err != nil {
			continue
		}
		switch strings.ToLower(u.Scheme) {
		case "mailto":
			if a, ok := mailbox(u.Opaque); ok {
				t.mail = append(t.mail, a)
			}
		case "https":
			if u.Host != "" && u.User == nil {
				u.Fragment = ""
				t.web = append(t.web, u.String())
			}
		}
	}
	return t
}

// mailbox reads the address of a mailto: URI (RFC 6068 §2): one, of plain form.
func mailbox(s string) (a mail.Address, ok bool) {
	s, err := url.PathUnescape(s)
	if err != nil {
		return a, false
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>()[]",;:\`, r) }) {
		return a, false
	}
	domain, err := mail.CanonicalDomain(s[at+1:])
	if err != nil {
		return a, false
	}
	return mail.Address{Local: s[:at], Domain: domain}, true
}
