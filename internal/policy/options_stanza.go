package policy

const (
	inESMTP = ScopeSet(1 << ScopeESMTP)
	inUser  = ScopeSet(1 << ScopeUser)
)

// stanzaOptions belong to stanzas of their own; values do not fall through scopes.
var stanzaOptions = []Option{
	{
		Name: "relay_networks", Type: TypeNetworks, Default: "( 127.0.0.0/8 ::1 )", Scopes: inESMTP,
		Doc: "Who may relay without a login.",
	},
	{
		Name: "binding_header", Type: TypeBool, Default: "off", Scopes: inESMTP,
		Doc: "Honour X-Binding and X-Virtual-MTA.",
	},
	{
		Name: "binding", Type: TypeBinding, Scopes: inESMTP | inUser,
		Doc: "Binding of mail that names none.",
	},
	{
		Name: "binding_group", Type: TypeBinding, Scopes: inESMTP | inUser,
		Doc: "Group of mail that names no binding.",
	},
	{
		Name: "tenant", Type: TypeString, Scopes: inESMTP | inUser,
		Doc: "Tenant of the mail.",
	},
	{
		Name: "auth", Type: TypeEnum, Enum: []string{"on", "off", "required"}, Default: "on", Scopes: inESMTP,
		Doc: "SMTP AUTH: on offers it under TLS and on loopback where a User exists.",
	},
	{
		Name: "tls_certificate", Type: TypePath, Scopes: inESMTP | 1<<ScopeHTTP,
		Doc: "Certificate chain (PEM) for STARTTLS.",
	},
	{
		Name: "tls_key", Type: TypePath, Scopes: inESMTP | 1<<ScopeHTTP,
		Doc: "Private key (PEM) of the certificate.",
	},
	{
		Name: "max_sessions", Type: TypeInt, Unit: "sessions", Min: 1, Default: "2000", Scopes: inListen,
		Doc: "Sessions open at once on the listener.",
	},
	{
		Name: "max_sessions_per_address", Type: TypeInt, Unit: "sessions", Min: 1, Default: "1000", Scopes: inESMTP | 1<<ScopeHTTP,
		Doc: "Sessions open at once from one address.",
	},
	{
		Name: "max_message_size", Type: TypeSize, Min: 1024, Default: "50MB", Scopes: inESMTP | 1<<ScopeHTTP,
		Doc: "Largest message taken (SIZE, RFC 1870).",
	},
	{
		Name: "max_message_size", Type: TypeSize, Min: 1024, Scopes: inUser,
		Doc: "Largest message taken from the login; default: the listener's.",
	},
	{
		Name: "max_recipients", Type: TypeInt, Unit: "recipients", Min: 1, Max: 65535, Default: "1000", Scopes: inESMTP | 1<<ScopeHTTP,
		Doc: "Recipients of one message.",
	},
	{
		Name: "normalize_line_endings", Type: TypeBool, Default: "off", Scopes: inESMTP,
		Doc: "Turn bare CR and LF into CRLF instead of refusing the message.",
	},
	{
		Name: "proxy_protocol", Type: TypeBool, Default: "off", Scopes: inESMTP,
		Doc: "Expect a PROXY header (versions 1 and 2) before each session.",
	},
	{
		Name: "password", Type: TypeSecret, Scopes: inUser,
		Doc: "The login's password, or its hash.",
	},
	{
		Name: "bindings", Type: TypeBindings, Scopes: inUser,
		Doc: "Bindings and groups that the header may choose; default: any.",
	},
	{
		Name: "message_rate", Type: TypeRate, Unit: "messages", Scopes: inUser,
		Doc: "How often the login may hand in messages.",
	},
	{
		Name: "weight", Type: TypeInt, Min: 1, Max: 10000, Default: "1", Scopes: Scopes(ScopeTenant),
		Doc: "The tenant's share where several wait for the same counter.",
	},
	{
		Name: "mx", Type: TypeList, Scopes: Scopes(ScopeRollup),
		Doc: "Patterns of MX hosts; * matches dots too. A domain belongs to it when all hosts of its best preference match.",
	},
	{
		Name: "directory", Type: TypePath, Default: "sluice-data/spool", Scopes: Scopes(ScopeSpool),
		Doc: "Where mail is kept.",
	},
	{
		Name: "segment_size", Type: TypeSize, Min: 1 << 20, Max: 1 << 31, Default: "64MB", Scopes: Scopes(ScopeSpool),
		Doc: "Size at which a new segment file is begun.",
	},
	{
		Name: "min_free", Type: TypeSize, Default: "256MB", Scopes: Scopes(ScopeSpool),
		Doc: "Free disk space below which mail is refused with 452.",
	},
	{
		Name: "directory", Type: TypePath, Default: "sluice-data/accounting", Scopes: Scopes(ScopeAccounting),
		Doc: "Where accounting files are written.",
	},
	{
		Name: "formats", Type: TypeList, Enum: []string{"csv", "jsonl"}, Default: "( csv )", Scopes: Scopes(ScopeAccounting),
		Doc: "Forms in which records are written.",
	},
	{
		Name: "max_size", Type: TypeSize, Min: 4096, Default: "100MB", Scopes: Scopes(ScopeAccounting),
		Doc: "Size at which a file is rotated.",
	},
	{
		Name: "max_age", Type: TypeDuration, Min: second, Default: "1d", Scopes: Scopes(ScopeAccounting),
		Doc: "Age at which a file is rotated.",
	},
	{
		Name: "resolver", Type: TypeEndpoints, Scopes: Scopes(ScopeDNS),
		Doc: "DNS servers; default: the machine's.",
	},
	{
		Name: "trust_ad", Type: TypeBool, Default: "off", Scopes: Scopes(ScopeDNS),
		Doc: "The resolvers validate DNSSEC and nobody can change their answers on the way (they run on this machine): their AD bit is believed, which DANE needs. With zone_file: its records count as validated.",
	},
	{
		Name: "zone_file", Type: TypePath, Scopes: Scopes(ScopeDNS),
		Doc: "Answer from this zone file (RFC 1035 §5) instead of asking the network.",
	},
	{
		Name: "node", Type: TypeString, Scopes: Scopes(ScopeCluster),
		Doc: "Name of this node, unique in the cluster; default: hostname.", Later: laterNode,
	},
	{
		Name: "store", Type: TypeSecret, Scopes: Scopes(ScopeCluster),
		Doc: "Where nodes share their counts: redis://HOST:PORT, rediss:// or unix://PATH.", Later: laterNode,
	},
}

const laterNode = "nodes do not share counts yet"

// Stanza says what a kind of stanza is called and where it may stand.
type Stanza struct {
	Kind     ScopeKind
	Name     string // as the manual and `config fmt` write it
	In       ScopeSet
	Labelled bool
	Listen   bool // the Listen stanza inside a listener
	Doc      string
	Later    string
}

// Stanzas is the table of all stanzas, in the order of the reference.
var Stanzas = []Stanza{
	{Kind: ScopeGroup, Name: "Binding_Group", In: inG, Labelled: true, Doc: "A named set of bindings."},
	{Kind: ScopeBinding, Name: "Binding", In: inG | inBG, Labelled: true, Doc: "A virtual MTA: source address, EHLO name, queues of its own."},
	{Kind: ScopeDomain, Name: "Domain", In: inG | inBG | inB, Labelled: true, Doc: "A routing domain, or a regular expression over their names."},
	{Kind: ScopeHost, Name: "Host", In: inG | inBG | inB, Labelled: true, Doc: "An MX host: its name, an address, a block of addresses, or a regular expression over names."},
	{Kind: ScopeESMTP, Name: "ESMTP_Listener", In: inG, Doc: "Takes mail by SMTP; its options hold for its Listen stanzas that do not set them."},
	{Kind: ScopeHTTP, Name: "HTTP_Listener", In: inG, Doc: "Takes mail by HTTP.", Later: "mail is not taken by HTTP yet"},
	{Kind: ScopeControl, Name: "Control_Listener", In: inG, Doc: "Answers the commands."},
	{Name: "Listen", In: inListen, Labelled: true, Listen: true, Doc: "One address: HOST:PORT or unix:PATH."},
	{Kind: ScopeUser, Name: "User", In: inG, Labelled: true, Doc: "A login."},
	{Kind: ScopeTenant, Name: "Tenant", In: inG, Labelled: true, Doc: "A share at contended counters."},
	{Kind: ScopeRollup, Name: "Rollup", In: inG, Labelled: true, Doc: "Receivers that count a sender's connections together: the first that a domain belongs to is its routing domain."},
	{Kind: ScopeSpool, Name: "spool", In: inG, Doc: "Where and how mail is kept."},
	{Kind: ScopeAccounting, Name: "accounting", In: inG, Doc: "Records of what became of mail."},
	{Kind: ScopeDNS, Name: "dns", In: inG, Doc: "Where names are looked up."},
	{Kind: ScopeCluster, Name: "cluster", In: inG, Doc: "Nodes that share limits.", Later: laterNode},
}

// LookupStanza finds a stanza by name, in any case, or nil.
func LookupStanza(name string) *Stanza {
	for i := range Stanzas {
		if Fold(Stanzas[i].Name) == Fold(name) {
			return &Stanzas[i]
		}
	}
	return nil
}
