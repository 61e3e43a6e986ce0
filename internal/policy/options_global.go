package policy

// globalOptions hold for the server as a whole.
var globalOptions = []Option{
	{
		Name: "hostname", Type: TypeName, Scopes: inG,
		Doc: "The server's own name: greeting, Received, Message-ID, reports; default: the machine's name.",
	},
	{
		Name: "bounce_binding", Type: TypeBinding, Default: "default", Scopes: inG,
		Doc: "Binding or group that reports leave through.",
	},
	{
		Name: "postmaster", Type: TypeMailbox, Scopes: inG,
		Doc: "Sender named in reports; default: postmaster@hostname.",
	},
	{
		Name: "unknown_binding", Type: TypeEnum, Enum: []string{"reject", "default"}, Default: "reject", Scopes: inG,
		Doc: "What a header that names an unknown or forbidden binding gets: 550 5.7.1, or the default binding.",
	},
	{
		Name: "reply_rules", Aliases: []string{"bounce_rules"}, Type: TypePath, Scopes: inG,
		Doc: "A file of reply rules, asked before those that are built in: what a receiver's words mean. Read again at each reload.",
	},
	{
		Name: "mta_sts_port", Type: TypeInt, Min: 1, Max: 65535, Default: "443", Scopes: inG,
		Doc: "Port that MTA-STS policies are fetched from; for tests and closed networks.",
	},
	{
		Name: "tls_report_from", Type: TypeMailbox, Scopes: inG,
		Doc: "Sender of TLS reports; default: postmaster.",
	},
	{
		Name: "tls_report_organization", Type: TypeString, Scopes: inG,
		Doc: "Organization named in TLS reports; default: hostname.",
	},
	{
		Name: "drain_timeout", Type: TypeDuration, Max: hour, Default: "10s", Scopes: inG,
		Doc: "How long a stop waits for transactions whose final reply is due.",
	},
}
