package tlspolicy

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/mail"
)

// daneFinding is what the TLSA records of a host say.
type daneFinding struct {
	records []mail.TLSA // those that can be used
	there   bool        // there are validated records, usable or not
	base    string      // the name that they belong to (RFC 7672 §2.2.2)
	ttl     time.Duration
	failed  error  // nobody could tell: no mail may go there
	why     string // there are none that count: why, in words
}

// findTLSA looks for the TLSA records of a host (RFC 7672 §2.2): only where every answer
// on the way to them is validated, since else they could be anybody's.
func findTLSA(ctx context.Context, lookup Lookup, q *dns.HostQuestion) daneFinding {
	if _, err := netip.ParseAddr(q.Host); err == nil || q.Host[0] == '[' {
		return daneFinding{why: "its host is an address"}
	}
	if !q.Signed {
		return daneFinding{why: "its MX records are not signed"}
	}
	bases := []string{q.Host}
	switch {
	case q.HostSigned && q.HostAlias != "":
		bases = []string{q.HostAlias, q.Host} // §2.2.2: the expanded name first
	case !q.HostSigned && q.HostAlias != "":
		// The alias leads out of a signed zone; records may stand at its own name (§2.2.2).
		a, err := lookup.Lookup(ctx, q.Host, dns.TypeCNAME)
		if err != nil {
			return daneFinding{failed: err}
		}
		if !a.Authentic {
			return daneFinding{why: "the host's addresses are not signed"}
		}
	case !q.HostSigned:
		return daneFinding{why: "the host's addresses are not signed"}
	}
	for _, base := range bases {
		name := "_" + strconv.Itoa(int(q.Port)) + "._tcp." + base
		a, err := lookup.Lookup(ctx, name, dns.TypeTLSA)
		if err != nil {
			return daneFinding{failed: err}
		}
		if a.Status == dns.Found && a.Authentic {
			return daneFinding{records: usable(a.TLSA), there: true, base: base, ttl: a.TTL}
		}
	}
	return daneFinding{why: "no TLSA records"}
}

// usable leaves out the records that DANE for SMTP does not use (RFC 7672 §3.1), and,
// where a certificate is named by digests of several kinds, all but the strongest
// (RFC 7671 §9).
func usable(all []mail.TLSA) []mail.TLSA {
	var good []mail.TLSA
	strongest := map[[2]uint8]uint8{} // of the digests, by usage and selector
	for _, t := range all {
		if !isUsable(&t) {
			continue
		}
		good = append(good, t)
		kind := [2]uint8{t.Usage, t.Selector}
		strongest[kind] = max(strongest[kind], t.Matching)
	}
	kept := good[:0]
	for _, t := range good {
		if t.Matching == 0 || t.Matching == strongest[[2]uint8{t.Usage, t.Selector}] {
			kept = append(kept, t)
		}
	}
	return kept
}

func isUsable(t *mail.TLSA) bool {
	if t.Usage != 2 && t.Usage != 3 || t.Selector > 1 {
		return false
	}
	switch t.Matching {
	case 0:
		if t.Selector == 0 {
			_, err := x509.ParseCertificate(t.Data)
			return err == nil
		}
		_, err := x509.ParsePKIXPublicKey(t.Data)
		return err == nil
	case 1:
		return len(t.Data) == 32
	case 2:
		return len(t.Data) == 64
	}
	return false
}

// withheldByDANE is for a host whose TLSA records cannot be had: they may be withheld by
// an attacker, so no mail goes there until somebody can tell (RFC 7672 §2.1.2).
func withheldByDANE(host string, err error) mail.Reply {
	return mail.Reply{
		Enhanced: "4.7.5", Stage: mail.StageResolve,
		Text: fmt.Sprintf("DANE: no mail goes to %s until its TLSA records can be looked up and validated: %v", host, err),
	}
}
