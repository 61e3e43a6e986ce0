package dns

import (
	"fmt"
	"io"
	"os"
	"strings"

	mdns "github.com/miekg/dns"
)

// Bounds of a zone file.
const (
	maxZoneBytes   = 64 << 20
	maxZoneRecords = 300_000
)

// Zone is a set of records that answers instead of the network. Immutable, safe for
// concurrent use. A name that is not in it does not exist, whatever its parent; "*.x"
// answers for names below x as in RFC 4592.
type Zone struct {
	names   map[string]map[uint16][]mdns.RR // by lower-case absolute name; empty for names that only have names below them
	records int
}

// ReadZoneFile reads a zone in master-file format (RFC 1035 §5). Errors name file, line
// and column.
func ReadZoneFile(path string) (*Zone, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("zone file: %w", err)
	}
	defer f.Close()
	return ParseZone(f, path)
}

// ParseZone reads a zone in master-file format from r; file is its name in errors. Names
// are relative to the root, records without a TTL have 3600 s, $INCLUDE is refused.
func ParseZone(r io.Reader, file string) (*Zone, error) {
	return parseZone(r, file, maxZoneRecords)
}

func parseZone(r io.Reader, file string, limit int) (*Zone, error) {
	z := &Zone{names: map[string]map[uint16][]mdns.RR{}}
	bounded := &io.LimitedReader{R: r, N: maxZoneBytes + 1}
	p := mdns.NewZoneParser(bounded, ".", "")
	p.SetDefaultTTL(3600)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		if z.records++; z.records > limit {
			return nil, fmt.Errorf("%s: more than %d records", file, limit)
		}
		if !complete(rr) {
			return nil, fmt.Errorf("%s: the %s record of %s has no data", file, Type(rr.Header().Rrtype), rr.Header().Name)
		}
		z.add(rr)
	}
	if err := p.Err(); err != nil {
		return nil, zoneError(file, err)
	}
	if bounded.N <= 0 {
		return nil, fmt.Errorf("%s: larger than %d MiB", file, maxZoneBytes>>20)
	}
	return z, nil
}

// complete reports whether a record that mail is routed by has its data: the parser lets
// records without any pass, as dynamic updates have them.
func complete(rr mdns.RR) bool {
	switch rr := rr.(type) {
	case *mdns.MX:
		return rr.Mx != ""
	case *mdns.CNAME:
		return rr.Target != ""
	case *mdns.A:
		return len(rr.A) > 0
	case *mdns.AAAA:
		return len(rr.AAAA) > 0
	case *mdns.TXT:
		return len(rr.Txt) > 0
	case *mdns.TLSA:
		return rr.Certificate != ""
	}
	return true
}

// zoneError puts file:line:column in front of a parser's error, which has the place at
// its end.
func zoneError(file string, err error) error {
	text, place, ok := strings.Cut(err.Error(), " at line: ")
	text = strings.TrimPrefix(text, "dns: ")
	if !ok {
		return fmt.Errorf("%s: %s", file, text)
	}
	return fmt.Errorf("%s:%s: %s", file, place, text)
}

// Len returns the number of records.
func (z *Zone) Len() int { return z.records }

func (z *Zone) add(rr mdns.RR) {
	h := rr.Header()
	owner := strings.ToLower(h.Name)
	if z.names[owner] == nil {
		z.names[owner] = map[uint16][]mdns.RR{}
	}
	z.names[owner][h.Rrtype] = append(z.names[owner][h.Rrtype], rr)
	for up := parent(owner); up != "." && z.names[up] == nil; up = parent(up) {
		z.names[up] = map[uint16][]mdns.RR{} // exists, without records (RFC 4592 §2.2.2)
	}
}

func parent(name string) string {
	if i, end := mdns.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}

// Records returns the records of one name and type, aliases followed first, each with
// the owner it was asked by, and the status of the last name.
func (z *Zone) Records(name string, t Type) ([]mdns.RR, Status) {
	var out []mdns.RR
	owner := strings.ToLower(mdns.Fqdn(name))
	for range maxAliases + 2 {
		sets := z.find(owner)
		if sets == nil {
			return out, NoDomain
		}
		if found := sets[uint16(t)]; len(found) > 0 {
			return append(out, owned(found, owner)...), Found
		}
		alias := sets[mdns.TypeCNAME]
		if len(alias) == 0 {
			return out, NoData
		}
		out = append(out, owned(alias[:1], owner)...)
		owner = strings.ToLower(alias[0].(*mdns.CNAME).Target)
	}
	return out, Found
}

// find returns the record sets that answer for owner, its own or a wildcard's (RFC 4592
// §3.3.1), nil when there is no such name.
func (z *Zone) find(owner string) map[uint16][]mdns.RR {
	if sets, ok := z.names[owner]; ok {
		return sets
	}
	for up := parent(owner); ; up = parent(up) {
		star := "*." + up
		if up == "." {
			star = "*."
		}
		if sets, ok := z.names[star]; ok {
			return sets
		}
		if _, exists := z.names[up]; exists || up == "." {
			return nil
		}
	}
}

// owned returns the records with owner as their name: copies when they are a wildcard's.
func owned(records []mdns.RR, owner string) []mdns.RR {
	if strings.EqualFold(records[0].Header().Name, owner) {
		return records
	}
	out := make([]mdns.RR, len(records))
	for i, rr := range records {
		out[i] = mdns.Copy(rr)
		out[i].Header().Name = owner
	}
	return out
}

// answer makes the zone's records into an Answer, by the same rules as those of the
// network.
func (z *Zone) answer(name string, t Type) (Answer, error) {
	m := new(mdns.Msg)
	m.Authoritative = true
	var status Status
	m.Answer, status = z.Records(name, t)
	if status == NoDomain {
		m.Rcode = mdns.RcodeNameError
	}
	a, next, reason := interpret(m, name, t)
	switch {
	case reason != "":
		return Answer{}, &Failure{Name: name, Type: t, Reason: reason}
	case next != "":
		a.Status, a.TTL = NoData, negativeTTL // an alias of a name without such records
	}
	return a, nil
}
