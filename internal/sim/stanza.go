package sim

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
)

// stanza is a container of a random configuration. The machine gets it as text, through
// config and policy; the referee reads it as it stands here.
type stanza struct {
	kind, label string
	set         []assign
	in          []*stanza

	path  string         // as the configuration names it
	re    *regexp.Regexp // of a label /RE/
	block netip.Prefix   // of a host label that is an address or a block
}

// assign is one option: a number, a rate, or a word.
type assign struct {
	option string
	n      int
	rate   *rate
	word   string
}

// rate is n acts in per, at most burst at once; n 0 is none.
type rate struct {
	n, burst int64
	per      time.Duration
}

func (a *assign) String() string {
	switch {
	case a.word != "":
		return fmt.Sprintf("%s = %q", a.option, a.word)
	case a.rate == nil:
		return fmt.Sprintf("%s = %d", a.option, a.n)
	case a.rate.n == 0:
		return a.option + " = unlimited"
	}
	return fmt.Sprintf("%s = \"%d/%ds,burst=%d\"", a.option, a.rate.n, int64(a.rate.per/time.Second), a.rate.burst)
}

// text prints the stanza's content as the configuration language has it.
func (s *stanza) text(indent string) string {
	var b strings.Builder
	for i := range s.set {
		fmt.Fprintf(&b, "%s%s\n", indent, s.set[i].String())
	}
	for _, c := range s.in {
		fmt.Fprintf(&b, "%s%s \"%s\" {\n%s%s}\n", indent, c.kind, c.label, c.text(indent+"  "), indent)
	}
	return b.String()
}

// seal finds paths, patterns and blocks.
func (s *stanza) seal(parent string) {
	s.path = "global"
	if s.kind != "" {
		s.path = fmt.Sprintf(`%s "%s"`, s.kind, s.label)
		if parent != "global" {
			s.path = parent + " / " + s.path
		}
	}
	if len(s.label) > 2 && s.label[0] == '/' {
		s.re = regexp.MustCompile(s.label[1 : len(s.label)-1])
	}
	if s.kind == "host" && s.re == nil {
		if p, err := netip.ParsePrefix(s.label); err == nil {
			s.block = p
		} else if a, err := netip.ParseAddr(s.label); err == nil {
			s.block = netip.PrefixFrom(a, a.BitLen())
		}
	}
	for _, c := range s.in {
		c.seal(s.path)
	}
}

func (s *stanza) clone() *stanza {
	c := *s
	c.set = slices.Clone(s.set)
	c.in = make([]*stanza, len(s.in))
	for i := range s.in {
		c.in[i] = s.in[i].clone()
	}
	return &c
}

// open returns the child with a label, made if it is not there.
func (s *stanza) open(kind, label string) *stanza {
	if c := s.find(kind, label); c != nil {
		return c
	}
	c := &stanza{kind: kind, label: label}
	s.in = append(s.in, c)
	return c
}

func (s *stanza) find(kind, label string) *stanza {
	for _, c := range s.in {
		if c.kind == kind && c.label == label {
			return c
		}
	}
	return nil
}

// get returns what the stanza itself sets, nil if nothing.
func (s *stanza) get(option string) *assign {
	if s == nil {
		return nil
	}
	for i := range s.set {
		if s.set[i].option == option {
			return &s.set[i]
		}
	}
	return nil
}

// put sets an option, or takes it away.
func (s *stanza) put(option string, a *assign) {
	s.set = slices.DeleteFunc(s.set, func(x assign) bool { return x.option == option })
	if a != nil {
		s.set = append(s.set, *a)
	}
}

// all calls f for every stanza below, outermost first.
func (s *stanza) all(f func(*stanza)) {
	f(s)
	for _, c := range s.in {
		c.all(f)
	}
}

// at finds a stanza by its path, nil if there is none.
func (s *stanza) at(path string) (out *stanza) {
	s.all(func(c *stanza) {
		if c.path == path {
			out = c
		}
	})
	return out
}

// conf is a configuration in both forms.
type conf struct {
	root     *stanza
	resolver *config.Resolver
}

func load(root *stanza) (*conf, error) {
	root.seal("")
	text := root.text("")
	snap, found := (&config.Loader{Hostname: "sim.test"}).Parse("sluice.conf", text)
	if found.HasErrors() {
		return nil, fmt.Errorf("the random configuration is wrong: %v\n%s", found, text)
	}
	return &conf{root: root, resolver: config.NewResolver(snap)}, nil
}

func (c *conf) snapshot() *policy.Snapshot { return c.resolver.Snapshot() }

// group is the group of a binding, and the binding's own stanza; nil where there is none.
func (s *stanza) binding(name string) (group, own *stanza) {
	for _, c := range s.in {
		switch c.kind {
		case "binding":
			if c.label == name {
				return nil, c
			}
		case "binding_group":
			if b := c.find("binding", name); b != nil {
				return c, b
			}
		}
	}
	return nil, nil
}
