package policy

// ScopeKind is the kind of a container in the configuration.
type ScopeKind uint8

const (
	ScopeGlobal ScopeKind = iota
	ScopeGroup            // binding_group
	ScopeBinding
	ScopeDomain
	ScopeHost
)

var scopeNames = [...]string{"global", "binding_group", "binding", "domain", "host"}

func (k ScopeKind) String() string { return scopeNames[k] }

// Scope is one container of the configuration with the values set in it.
type Scope struct {
	Kind ScopeKind
}
