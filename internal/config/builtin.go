package config

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
)

// builtinPrefix begins the names of texts that come with the program and may be included
// like files; in findings and origins they are called by these names.
const builtinPrefix = "builtin:"

//go:embed receivers.conf
var receivers string

// builtins are the texts by their names.
var builtins = map[string]string{builtinPrefix + "receivers": receivers}

// includeBuiltin reads a text that comes with the program. Its stanzas are global.
func (r *run) includeBuiltin(file string, it *item, into *policy.Scope) {
	name := it.label.text
	text, ok := builtins[name]
	switch {
	case !ok:
		var names []string
		for n := range builtins { // sorted below: the order does not matter
			names = append(names, n)
		}
		slices.Sort(names)
		r.errorAt(file, *it.label, "include %q: nothing of that name comes with the program; allowed: %s%s", name, strings.Join(names, ", "), didYouMean(name, names))
	case into.Kind != policy.ScopeGlobal:
		r.errorAt(file, *it.label, "include %q: its stanzas are global; include it outside of %s", name, where(into))
	default:
		r.text(name, text, into)
	}
}
