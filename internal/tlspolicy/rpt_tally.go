package tlspolicy

import (
	"net/netip"
	"slices"
	"strings"
)

// Bounds of what is counted of one domain in one day.
const (
	maxTallied = 8   // policies
	maxDetails = 100 // kinds of failures of one policy
	maxReason  = 300 // octets
)

// tally is a day of one domain.
type tally struct {
	Policies []*policyTally `json:"policies"`
	dirty    bool
}

// policyTally is what happened under one policy.
type policyTally struct {
	Type    PolicyType `json:"type"`
	Strings []string   `json:"strings,omitempty"`
	MX      []string   `json:"mx,omitempty"`
	Good    int64      `json:"good"`
	Bad     int64      `json:"bad"`
	Details []*detail  `json:"details,omitempty"`
}

// detail is a kind of failure.
type detail struct {
	Result Result `json:"result"`
	Local  string `json:"local,omitempty"`
	Host   string `json:"host,omitempty"`
	Remote string `json:"remote,omitempty"`
	Reason string `json:"reason,omitempty"`
	Count  int64  `json:"count"`
}

// count adds one session, or one policy that could not be applied, to the tally.
func (t *tally) count(a *Applied, local, remote netip.Addr, result Result, reason string) {
	t.dirty = true
	p := t.policy(a)
	if result == "" {
		p.Good++
		return
	}
	p.Bad++
	d := detail{Result: result, Local: addrText(local), Host: a.Host, Remote: addrText(remote), Reason: reason[:min(len(reason), maxReason)]}
	i := slices.IndexFunc(p.Details, d.same)
	if i < 0 && len(p.Details) >= maxDetails-10 { // from here on by kind alone: there are fewer than ten
		d = detail{Result: result}
		i = slices.IndexFunc(p.Details, d.same)
	}
	if i < 0 {
		i = len(p.Details)
		p.Details = append(p.Details, &d)
	}
	p.Details[i].Count++
}

func (d *detail) same(o *detail) bool {
	return d.Result == o.Result && d.Local == o.Local && d.Host == o.Host && d.Remote == o.Remote && d.Reason == o.Reason
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// policy finds the tally of a policy as it reads in a report (RFC 8460 §4.4).
func (t *tally) policy(a *Applied) *policyTally {
	n := &policyTally{Type: a.Type}
	switch a.Type {
	case PolicySTS:
		if a.STS != nil {
			n.Strings = strings.Split(strings.TrimSpace(a.STS.Text), "\n")
			n.MX = a.STS.MX
		}
	case PolicyTLSA:
		for _, r := range a.TLSA {
			n.Strings = append(n.Strings, r.String())
		}
		n.MX = []string{a.Host}
	case PolicyNone:
	}
	for _, p := range t.Policies {
		if p.Type == n.Type && slices.Equal(p.Strings, n.Strings) && slices.Equal(p.MX, n.MX) {
			return p
		}
	}
	if len(t.Policies) == maxTallied {
		return t.Policies[maxTallied-1] // it changes all the time: what is beyond counts with the last
	}
	t.Policies = append(t.Policies, n)
	return n
}
