package route

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
)

// Question is what decides on the rollup of a recipient domain.
type Question struct {
	Domain  string   // the recipient's, canonical
	Best    []string // its MX hosts of the best preference; without MX records the domain itself
	Setting policy.RollupSetting
	Rollups []policy.Rollup // in the order of the file
	// Named is the best hosts of the domain that Setting names (RollupDomain); empty when it
	// has none.
	Named []string
}

// Rollup returns the name that a domain's connections are counted under; empty: its own.
func Rollup(q Question) string {
	if q.Setting.Apart != "" || len(q.Best) == 0 {
		return ""
	}
	switch s := q.Setting; s.Mode {
	case policy.RollupStanzas:
		return firstRollup(q.Rollups, q.Best)
	case policy.RollupAuto:
		if name := firstRollup(q.Rollups, q.Best); name != "" {
			return name
		}
		return AutoName(q.Best)
	case policy.RollupNamed:
		for i := range q.Rollups {
			if r := &q.Rollups[i]; r.Name == s.Name && belongs(r, q.Best) {
				return r.Name
			}
		}
	case policy.RollupDomain:
		if s.Name != q.Domain && among(q.Best, q.Named) {
			return s.Name
		}
	}
	return ""
}

func firstRollup(rollups []policy.Rollup, best []string) string {
	for i := range rollups {
		if belongs(&rollups[i], best) {
			return rollups[i].Name
		}
	}
	return ""
}

// belongs reports whether every host matches a pattern of the rollup.
func belongs(r *policy.Rollup, hosts []string) bool {
	for _, h := range hosts {
		if !slices.ContainsFunc(r.MX, func(p string) bool { return Match(p, h) }) {
			return false
		}
	}
	return true
}

// Match reports whether a pattern matches a host: * stands for any text, dots too, and
// may be empty. Both in lower case. Its time is at most the product of both lengths.
func Match(pattern, host string) bool {
	star, mark := -1, 0 // the last *, and how far it reaches
	p, h := 0, 0
	for h < len(host) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, h
			p++
		case p < len(pattern) && pattern[p] == host[h]:
			p++
			h++
		case star >= 0:
			mark++
			p, h = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func among(hosts, of []string) bool {
	for _, h := range hosts {
		if !slices.Contains(of, h) {
			return false
		}
	}
	return true
}

// AutoPrefix begins the names that AutoName makes: no domain and no Rollup has a colon in
// its name.
const AutoPrefix = "auto:"

const autoLength = 255 // of the longest name

// AutoName is the routing domain of all domains whose best hosts are the given set, in
// any order: "auto:" and the hosts in alphabetical order, joined by "+". A set too long
// for that is its first host, how many more there are, and a digest of all.
func AutoName(hosts []string) string {
	set := slices.Compact(slices.Sorted(slices.Values(hosts)))
	all := AutoPrefix + strings.Join(set, "+")
	if len(all) <= autoLength {
		return all
	}
	sum := sha256.Sum256([]byte(all))
	return AutoPrefix + set[0] + "+" + strconv.Itoa(len(set)-1) + "#" + hex.EncodeToString(sum[:8])
}

// Reason says in words why a domain is counted under its routing domain: which rollup has
// it, by which file and line, or what keeps it out. Empty when there is nothing to say.
func Reason(p *policy.Queue, domain, routing string) string {
	switch u := p.Under; u.Kind {
	case policy.UnderGateway:
		return "counted under its gateway " + routing + ", set at " + u.Origin.String()
	case policy.UnderRollup:
		return "rolled up under " + routing + " by " + u.Origin.String()
	case policy.UnderAuto:
		return "rolled up under " + routing + " by " + u.Origin.String() + " (mx_rollup = auto)"
	case policy.UnderDomain:
		return "rolled up under " + routing + " by " + u.Origin.String() + " (mx_rollup = " + routing + ")"
	}
	s := &p.Rollup
	if s.Apart != "" {
		return "not rolled up: " + s.ApartOrigin.Stanza + " sets " + s.Apart + " at " + s.ApartOrigin.String() +
			" and does not name the rollup with mx_rollup"
	}
	switch s.Mode {
	case policy.RollupOff:
		return "not rolled up: mx_rollup = off at " + s.Origin.String()
	case policy.RollupStanzas:
		return "not rolled up: its best MX hosts match no Rollup"
	case policy.RollupNamed:
		return "not rolled up: its best MX hosts do not all match the Rollup " + s.Name + ", which mx_rollup names at " + s.Origin.String()
	case policy.RollupDomain:
		if s.Name != domain {
			return "not rolled up: its best MX hosts are not among those of " + s.Name + ", which mx_rollup names at " + s.Origin.String()
		}
	}
	return ""
}
