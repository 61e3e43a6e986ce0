package dns

import (
	"cmp"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/sluice-mta/sluice/internal/mail"
)

// udpSize is the EDNS0 buffer size that avoids fragments (RFC 9715 §3).
const udpSize = 1232

// negativeTTL is used when a negative answer carries no SOA to say otherwise.
const negativeTTL = time.Minute

// question packs a query for name with a random id. With edns the buffer size is
// announced (RFC 6891); AD asks for the validation state without signatures (RFC 6840 §5.7).
func question(name string, t Type, edns bool) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetQuestion(mdns.Fqdn(name), uint16(t))
	m.AuthenticatedData = true
	if edns {
		m.SetEdns0(udpSize, false)
	}
	return m
}

// interpret reads the records that answer (name, t) out of m. Only the answer section
// is read, along the chain of aliases that starts at name; other records in it are
// ignored. When the chain ends in a name about which m says nothing, next is that name.
func interpret(m *mdns.Msg, name string, t Type) (a Answer, next string, reason string) {
	switch m.Rcode {
	case mdns.RcodeSuccess, mdns.RcodeNameError:
	default:
		return a, "", strings.ToLower(rcodeName(m.Rcode))
	}
	// A server that neither recurses nor is authoritative, and still answers, is lame:
	// its denial would be permanent for the message.
	if !m.RecursionAvailable && !m.Authoritative && len(m.Answer) == 0 {
		return a, "", "lame: neither recursive nor authoritative"
	}
	records, target, ttl, ok := follow(m.Answer, mdns.Fqdn(name), uint16(t))
	if !ok {
		return a, "", "alias chain loops or is longer than 8"
	}
	a.Authentic = m.AuthenticatedData
	if !strings.EqualFold(target, mdns.Fqdn(name)) {
		a.Alias = hostName(target)
	}
	if len(records) > 0 {
		a.TTL = ttl
		a.collect(records)
		if t == TypeCNAME && a.Alias != "" || len(a.MX)+len(a.Addresses)+len(a.Text)+len(a.TLSA) > 0 {
			return a, "", ""
		}
	}
	soa, hasSOA := denial(m.Ns)
	switch {
	case m.Rcode == mdns.RcodeNameError:
		a.Status = NoDomain
	case !strings.EqualFold(target, mdns.Fqdn(name)) && !hasSOA:
		return a, target, ""
	default:
		a.Status = NoData
	}
	a.TTL = negativeTTL
	if hasSOA {
		a.TTL = soa
	}
	return a, "", ""
}

func rcodeName(rcode int) string {
	if s, ok := mdns.RcodeToString[rcode]; ok {
		return s
	}
	return "unknown response code"
}

// follow walks the aliases from owner and returns the records of type t at the end,
// that end, and the smallest TTL on the way.
func follow(section []mdns.RR, owner string, t uint16) (found []mdns.RR, end string, ttl time.Duration, ok bool) {
	least := uint32(1<<32 - 1)
	for range maxAliases + 1 {
		var alias *mdns.CNAME
		for _, rr := range section {
			h := rr.Header()
			if h.Class != mdns.ClassINET || !strings.EqualFold(h.Name, owner) {
				continue
			}
			if h.Rrtype == t {
				found = append(found, rr)
				least = min(least, h.Ttl)
			} else if c, is := rr.(*mdns.CNAME); is && alias == nil && c.Target != "" { // empty: a record without data
				alias = c
			}
		}
		if len(found) > 0 || alias == nil {
			return found, owner, seconds(least), true
		}
		least = min(least, alias.Hdr.Ttl)
		owner = alias.Target
	}
	return nil, "", 0, false
}

// denial returns how long a negative answer may be kept: the smaller of the SOA's own
// TTL and its MINIMUM field (RFC 2308 §5).
func denial(authority []mdns.RR) (time.Duration, bool) {
	for _, rr := range authority {
		if soa, ok := rr.(*mdns.SOA); ok {
			return seconds(min(soa.Hdr.Ttl, soa.Minttl)), true
		}
	}
	return 0, false
}

// seconds turns a TTL into a duration; a value with the top bit set is zero (RFC 2181 §8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		ttl = 0
	}
	return time.Duration(ttl) * time.Second
}

// collect puts records into a, within the bounds.
func (a *Answer) collect(records []mdns.RR) {
	for _, rr := range records {
		switch rr := rr.(type) {
		case *mdns.MX:
			if rr.Mx != "" {
				a.MX = append(a.MX, MX{Preference: int(rr.Preference), Host: hostName(rr.Mx)})
			}
		case *mdns.A:
			a.address(netip.AddrFromSlice(rr.A.To4()))
		case *mdns.AAAA:
			addr, ok := netip.AddrFromSlice(rr.AAAA)
			// An IPv4 address in an AAAA record is nobody's mail server and would slip past the
			// address lists.
			a.address(addr, ok && !addr.Is4In6())
		case *mdns.TXT:
			a.text(rr.Txt)
		case *mdns.TLSA:
			a.tlsa(rr)
		case *mdns.CNAME:
			if rr.Target != "" {
				a.Alias = hostName(rr.Target)
			}
		}
	}
	slices.SortStableFunc(a.MX, func(x, y MX) int { return cmp.Compare(x.Preference, y.Preference) })
	a.MX = distinct(a.MX)
	a.MX = a.MX[:min(len(a.MX), maxMX)]
}

func (a *Answer) text(parts []string) {
	if s := strings.Join(parts, ""); len(a.Text) < maxTexts && len(s) <= maxText {
		a.Text = append(a.Text, unescapeText(s))
	}
}

// unescapeText undoes the escapes that the library puts into the strings of a TXT record:
// \DDD and \X.
func unescapeText(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		case i+3 < len(s) && digit(s[i+1]) && digit(s[i+2]) && digit(s[i+3]):
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
			i += 3
		default:
			i++
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// tlsa keeps a record as it is: whether it is of use is for others to say. One without
// data is kept, too: it must be seen that there was one.
func (a *Answer) tlsa(rr *mdns.TLSA) {
	data, err := hex.DecodeString(rr.Certificate)
	if err != nil || len(a.TLSA) >= maxTLSA {
		return
	}
	a.TLSA = append(a.TLSA, mail.TLSA{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType, Data: data})
}

func (a *Answer) address(addr netip.Addr, ok bool) {
	if ok && len(a.Addresses) < maxAddresses && !slices.Contains(a.Addresses, addr) {
		a.Addresses = append(a.Addresses, addr)
	}
}

// distinct drops later records of a host that is there already, with a better or equal
// preference.
func distinct(mx []MX) []MX {
	seen := make(map[string]bool, len(mx))
	return slices.DeleteFunc(mx, func(m MX) bool {
		was := seen[m.Host]
		seen[m.Host] = true
		return was
	})
}

func hostName(s string) string {
	if s == "." {
		return s
	}
	if c, err := mail.CanonicalDomain(s); err == nil {
		return c
	}
	return s
}
