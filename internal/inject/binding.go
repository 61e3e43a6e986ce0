package inject

import (
	"slices"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/route"
)

// defaultBinding is the binding of mail for which nothing names one.
const defaultBinding = "default"

// bindingTable is what a snapshot says about groups, in the form that route.Pick takes.
type bindingTable struct {
	snapshot *policy.Snapshot
	groups   map[string][]route.Candidate
}

func (in *Injector) bindings(s *policy.Snapshot) *bindingTable {
	t := in.table.Load()
	if t != nil && t.snapshot == s {
		return t
	}
	t = &bindingTable{snapshot: s, groups: make(map[string][]route.Candidate, len(s.Groups))}
	for name, g := range s.Groups {
		for _, b := range g.Bindings {
			if have := s.Bindings[b]; have != nil {
				t.groups[name] = append(t.groups[name], route.Candidate{Name: b, Weight: have.Weight})
			}
		}
	}
	in.table.Store(t)
	return t
}

// choice is the binding of a message, and the group that it was chosen from.
type choice struct{ binding, group string }

// chooseBinding finds the binding of a message: the one that its header names, where o
// may name one; else the login's, the listener's, "default". A group gives one of its
// bindings by a weighted hash of the message's ID: always the same one.
func (in *Injector) chooseBinding(id mail.ID, o *Origin, s *policy.Snapshot, named string) (choice, mail.Reply) {
	t := in.bindings(s)
	if named != "" && o.mayName() {
		known := o.User == nil || len(o.User.Bindings) == 0 || slices.Contains(o.User.Bindings, named)
		if known {
			if c, ok := t.find(id, named); ok {
				return c, mail.Reply{}
			}
		}
		if !s.UnknownBindingDefault {
			return choice{}, mail.Reply{Code: 550, Enhanced: "5.7.1", Text: "binding " + quote(named) + " is not known or not yours to choose"}
		}
	}
	for _, name := range [...]string{o.userBinding(), o.Listener.Binding, o.Listener.BindingGroup, defaultBinding} {
		if name == "" {
			continue
		}
		if c, ok := t.find(id, name); ok {
			return c, mail.Reply{}
		}
		if name != defaultBinding { // the configuration names what is not there: not the client's fault
			return choice{}, mail.Reply{Code: 451, Enhanced: "4.3.5", Text: "binding " + quote(name) + " of the configuration is missing"}
		}
	}
	return choice{binding: defaultBinding}, mail.Reply{}
}

func (o *Origin) userBinding() string {
	if o.User == nil {
		return ""
	}
	if o.User.Binding != "" {
		return o.User.Binding
	}
	return o.User.BindingGroup
}

// find returns the binding of that name, or one of the group of that name.
func (t *bindingTable) find(id mail.ID, name string) (choice, bool) {
	if t.snapshot.Bindings[name] != nil {
		return choice{binding: name}, true
	}
	candidates := t.groups[name]
	if i := route.Pick(id, candidates); i >= 0 {
		return choice{binding: candidates[i].Name, group: name}, true
	}
	return choice{}, false
}

// quote makes a client's word fit for a reply line.
func quote(s string) string {
	b := []byte(s[:min(len(s), 64)])
	for i, c := range b {
		if c < ' ' || c > '~' || c == '"' {
			b[i] = '?'
		}
	}
	return `"` + string(b) + `"`
}
