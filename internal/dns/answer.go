package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	mdns "github.com/miekg/dns"
)

// Type is the type of a question.
type Type uint16

// The types that mail needs.
const (
	TypeA    = Type(mdns.TypeA)
	TypeAAAA = Type(mdns.TypeAAAA)
	TypeMX   = Type(mdns.TypeMX)
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
	TTL       time.Duration
	// Authentic is the AD bit of the answer (RFC 6840 §5.7). It means something only when
	// the path to the resolver is trusted.
	Authentic bool
	Stale     bool // kept over its time because nothing newer could be had (RFC 8767)
}

// Bounds on one answer. Records beyond them are left out.
const (
	maxMX        = 100
	maxAddresses = 64
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
