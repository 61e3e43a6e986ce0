package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Type is the type of a question.
type Type uint16

// The types that mail needs.
const (
	TypeA    = Type(mdns.TypeA)
	TypeAAAA = Type(mdns.TypeAAAA)
	TypeMX   = Type(mdns.TypeMX)

	TypeTXT   = Type(mdns.TypeTXT)
	TypeTLSA  = Type(mdns.TypeTLSA)
	TypeCNAME = Type(mdns.TypeCNAME)
)

func (t Type) String() string { return mdns.TypeToString[uint16(t)] }

// Status says what a name has.
type Status uint8

const (
	Found    Status = iota // records of the type
	NoData                 // the name exists, without records of the type
	NoDomain               // no such name (NXDOMAIN)
)

// MX is one mail exchanger.
type MX struct {
	Preference int
	Host       string // canonical; "." as written in a null MX; a name that is not valid is kept as it came
}

// Answer is what the DNS says about one name and type.
type Answer struct {
	Status    Status
	MX        []MX         // best preference first, at most maxMX
	Addresses []netip.Addr // in the order of the resolver, at most maxAddresses
	Text      []string     // TXT records, the strings of each joined; at most maxTexts
	TLSA      []mail.TLSA  // at most maxTLSA
	Alias     string       // the canonical name at the end of the chain of aliases; empty: there is none
	TTL       time.Duration
	// Authentic says that a resolver which Config.TrustAD trusts has validated the answer,
	// all aliases on the way included: the AD bit (RFC 6840 §5.7).
	Authentic bool
	Stale     bool // kept over its time because nothing newer could be had (RFC 8767)
}

// Bounds on one answer. Records beyond them are left out.
const (
	maxMX        = 100
	maxAddresses = 64
	maxTexts     = 64
	maxText      = 4096 // octets of one TXT record
	maxTLSA      = 64
	maxAliases   = 8 // CNAME records followed
)

// Failure is a question that got no answer.
type Failure struct {
	Name   string
	Type   Type
	Reason string
	// Local says that no resolver answers anything: the trouble is on our side and not the
	// domain's.
	Local bool
}

func (f *Failure) Error() string {
	return fmt.Sprintf("look up %s of %s: %s", f.Type, f.Name, f.Reason)
}

// IsLocal reports whether err speaks of our own resolvers rather than of a domain.
func IsLocal(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Local
}
