package forecast

import "github.com/sluice-mta/sluice/internal/policy"

// NamedDomains are the domains that a configuration has stanzas for by name, in the order
// of the file; the name of a Rollup is nobody's domain.
func NamedDomains(s *policy.Snapshot) (names []string) {
	seen := map[string]bool{}
	var look func(c *policy.Scope)
	look = func(c *policy.Scope) {
		if l := c.Label; c.Kind == policy.ScopeDomain && l != "" && l[0] != '/' && !seen[l] && s.RollupNamed(l) == nil {
			seen[l] = true
			names = append(names, l)
		}
		for _, x := range c.Children() {
			look(x)
		}
	}
	look(s.Root)
	return names
}
