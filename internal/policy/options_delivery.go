package policy

// deliveryOptions: addresses, names, timeouts, retries, reports, TLS, signing, routing.
var deliveryOptions = []Option{
	{
		Name: "bind_address", Aliases: []string{"smtp-source-ip"}, Type: TypeAddress, Default: "any", Scopes: inB,
		Doc: "Local address of outbound connections.",
	},
	{
		Name: "bind_address_secondary", Type: TypeAddress, Default: "any", Scopes: inB,
		Doc: "Local address of the other family.",
	},
	{
		Name: "weight", Type: TypeInt, Min: 1, Max: 10000, Default: "1", Scopes: inB,
		Doc: "The binding's share of its group's messages.",
	},
	{
		Name: "ehlo_hostname", Aliases: []string{"smtp-hostname"}, Type: TypeName, Scopes: inDelivery,
		Doc: "Name given in EHLO and HELO; default: hostname.",
	},
	{
		Name: "use_ipv6", Type: TypeBool, Default: "off", Scopes: inG | inBG | inB,
		Doc: "Use IPv6 where the binding has no bind_address; a binding with addresses uses their families.",
	},
	timeout("connect_timeout", "60s", "a connection to be established"),
	timeout("greeting_timeout", "5m", "the greeting (RFC 5321 §4.5.3.2.1)"),
	timeout("ehlo_timeout", "5m", "the reply to EHLO or HELO"),
	recipient(timeout("tls_timeout", "3m", "STARTTLS and the TLS handshake")),
	timeout("mailfrom_timeout", "5m", "the reply to MAIL (RFC 5321 §4.5.3.2.2)", "mail-from"),
	timeout("rcptto_timeout", "5m", "the reply to RCPT (RFC 5321 §4.5.3.2.3)", "rcpt-to"),
	timeout("data_timeout", "2m", "the reply to DATA (RFC 5321 §4.5.3.2.4)"),
	timeout("data_block_timeout", "3m", "each block of the body to be written (RFC 5321 §4.5.3.2.5)"),
	timeout("body_timeout", "10m", "the reply after the final dot (RFC 5321 §4.5.3.2.6)"),
	timeout("rset_timeout", "30s", "the reply to RSET"),
	{
		Name: "quit_timeout", Type: TypeDuration, Min: ms, Max: 5 * second, Default: "5s", Scopes: inDelivery,
		Doc: "How long to wait for the reply to QUIT and the receiver's end of stream.",
	},
	{
		Name: "use_pipelining", Type: TypeBool, Default: "on", Scopes: inDelivery,
		Doc: "Send the commands of an envelope in one flight, and the next envelope behind the content of a message, where PIPELINING is offered (RFC 2920).",
	},
	{
		Name: "use_chunking", Type: TypeBool, Default: "on", Scopes: inDelivery,
		Doc: "Send content by BDAT where CHUNKING is offered (RFC 3030).",
	},
	{
		Name: "mta_sts_timeout", Aliases: []string{"mta-sts"}, Type: TypeDuration, Min: ms, Max: day, Default: "2m", Scopes: inDelivery, Recipient: true,
		Doc: "How long to wait for an MTA-STS policy to be fetched.",
	},
	{
		Name: "max_mx_hosts", Aliases: []string{"mx"}, Type: TypeInt, Unit: "hosts", Min: 1, Max: 1000, Default: "5", Scopes: inDelivery,
		Doc: "MX hosts tried in one delivery attempt.",
	},
	{
		Name: "max_addresses_per_host", Aliases: []string{"multihomed"}, Type: TypeInt, Unit: "addresses", Min: 1, Max: 1000, Default: "2", Scopes: inDelivery,
		Doc: "Addresses of each host tried in one delivery attempt.",
	},
	{
		Name: "retry_interval", Aliases: []string{"retry-after"}, Type: TypeRetry, Min: ms, Default: "20m", Scopes: inDelivery, Recipient: true,
		Doc: "Delay after a failed attempt: one duration doubles up to max_retry_interval; a list is followed and its last entry repeats (retry-after = T is the list ( T )).",
	},
	{
		Name: "max_retry_interval", Type: TypeDuration, Min: ms, Default: "12h", Scopes: inDelivery, Recipient: true,
		Doc: "The longest delay between attempts when retry_interval doubles.",
	},
	{
		Name: "message_expiration", Aliases: []string{"bounce-after"}, Type: TypeDuration, Min: ms, Default: "5d", Scopes: inDelivery, Recipient: true,
		Doc: "Age at which undelivered mail is returned to its sender.",
	},
	{
		Name: "max_retries", Type: TypeRetries, Unit: "attempts", Default: "auto", Scopes: inDelivery, Recipient: true,
		Doc: "Attempts after the first; auto: as many as fit before message_expiration.",
	},
	{
		Name: "host_failure_retry", Type: TypeDuration, Min: ms, Default: "120s", Scopes: inG | inD,
		Doc: "How long a host that failed is left alone.",
	},
	{
		Name: "mx_failures_to_delay", Type: TypeInt, Unit: "failures", Default: "50", Scopes: inG | inD,
		Doc: "Failures in a row of every host after which the domain's mail is deferred at once; 0: never. Before, only the message whose connection failed is.",
	},
	{
		Name: "connect_timeout_to_delay", Type: TypeDuration, Default: "15m", Scopes: inG | inD,
		Doc: "Time without contact with any host after which the domain's mail is deferred at once; 0: never.",
	},
	{
		Name: "generate_bounces", Type: TypeBool, Default: "on", Scopes: inDelivery,
		Doc: "Report failed mail to its sender (RFC 3464).",
	},
	{
		Name: "generate_delay_dsn", Type: TypeBool, Default: "off", Scopes: inDelivery,
		Doc: "Report delayed mail to its sender.",
	},
	{
		Name: "tls", Type: TypeEnum, Enum: []string{"ifavailable", "no", "required"}, Default: "ifavailable", Scopes: inDelivery, Recipient: true,
		Doc: "Use of STARTTLS.",
	},
	{
		Name: "tls_verify", Type: TypeEnum, Enum: []string{"no", "ca", "host"}, Default: "no", Scopes: inDelivery, Recipient: true,
		Doc: "What a receiver's certificate must prove: nothing, its authority, or its authority and name.",
	},
	{
		Name: "use_dane", Type: TypeBool, Default: "on", Scopes: inDelivery, Recipient: true,
		Doc: "Honour TLSA records (RFC 7672). Needs dns { trust_ad = on }.",
	},
	{
		Name: "use_mta_sts", Type: TypeBool, Default: "on", Scopes: inDelivery, Recipient: true,
		Doc: "Honour MTA-STS policies (RFC 8461).",
	},
	{
		Name: "tls_min_version", Type: TypeEnum, Enum: []string{"auto", "1.0", "1.1", "1.2", "1.3"}, Default: "auto", Scopes: inDelivery, Recipient: true,
		Doc: "Oldest version of TLS that is spoken; auto: 1.2 where the certificate is verified, else 1.0.",
	},
	{
		Name: "tls_ca", Type: TypePath, Scopes: inDelivery, Recipient: true,
		Doc: "File of the certificates, PEM, that tls_verify and MTA-STS trust instead of the system's; read again when it changes.",
	},
	{
		Name: "tls_certificate", Type: TypePath, Scopes: inDelivery, Recipient: true,
		Doc: "Certificate, with its chain, PEM, that is shown to a receiver that asks for one; read again when it changes.",
	},
	{
		Name: "tls_key", Type: TypePath, Scopes: inDelivery, Recipient: true,
		Doc: "Private key of tls_certificate, PEM; set in the same stanza.",
	},
	{
		Name: "remember_broken_tls", Type: TypeDuration, Min: second, Max: 30 * day, Default: "1h", Scopes: inG | inD,
		Doc: "With tls = ifavailable, how long an address whose TLS failed is spoken to in clear before TLS is tried again.",
	},
	{
		Name: "tls_reports", Type: TypeBool, Default: "off", Scopes: inG | inD, Recipient: true,
		Doc: "Send domains that ask for them a daily report of how TLS with their hosts went (RFC 8460).",
	},
	{
		Name: "dkim", Type: TypeBool, Default: "off", Scopes: inDelivery, Recipient: true,
		Doc: "Sign messages with DKIM (RFC 6376).",
	},
	{
		Name: "dkim_selector", Type: TypeList, Scopes: inDelivery, Recipient: true,
		Doc: "Selector of the signature; a list: one signature for each.",
	},
	{
		Name: "dkim_key", Type: TypePath, Scopes: inDelivery, Recipient: true,
		Doc: "File of the private key; %d is the domain of the From header, %s the selector, %% a percent sign. RSA or Ed25519, PEM; read again when it changes.",
	},
	{
		Name: "dkim_domain", Type: TypeName, Scopes: inDelivery, Recipient: true,
		Doc: "Signing domain; default: the domain of the From header.",
	},
	{
		Name: "gateway", Type: TypeGateway, Scopes: inDelivery,
		Doc: "Send through this host instead of the domain's MX; the gateway's name becomes the routing domain. smtps:// is TLS from the first octet, port 465; lmtp:// is LMTP (RFC 2033), port 24.",
	},
	{
		Name: "remote_smtp_port", Type: TypeInt, Min: 1, Max: 65535, Default: "25", Scopes: inDelivery,
		Doc: "Port that receivers are reached at.",
	},
	{
		Name: "routes", Type: TypeRoutes, Scopes: inDelivery,
		Doc: "Hosts that mail is sent to instead of the domain's MX; the routing domain stays.",
	},
	{
		Name: "auth_user", Type: TypeString, Scopes: inDelivery,
		Doc: "Login at the gateway or the routes (RFC 4954: PLAIN, or LOGIN).",
	},
	{
		Name: "auth_password", Type: TypeSecret, Scopes: inDelivery,
		Doc: "Password of auth_user.",
	},
	{
		Name: "auth_security", Type: TypeEnum, Enum: []string{"verified", "encrypted", "none"}, Default: "verified", Scopes: inDelivery,
		Doc: "Over what connection the login is told: TLS with a certificate that proves the host's name (it is then asked for whatever tls_verify says), any TLS, or any connection.",
	},
	{
		Name: "proxy", Type: TypeProxy, Scopes: inG | inBG | inB,
		Doc: "Make connections to receivers through this proxy: SOCKS5 (RFC 1928), or one that takes the PROXY protocol, version 2.",
	},
	{
		Name: "proxy_user", Type: TypeString, Scopes: inG | inBG | inB,
		Doc: "Login at a SOCKS5 proxy (RFC 1929).",
	},
	{
		Name: "proxy_password", Type: TypeSecret, Scopes: inG | inBG | inB,
		Doc: "Password of proxy_user.",
	},
	{
		Name: "skip_hosts", Type: TypeNetworks, Scopes: inG | inB | inD,
		Doc: "Addresses that are not tried; others of the domain are.",
	},
	{
		Name: "prohibited_hosts", Type: TypeNetworks, Scopes: inG | inB | inD,
		Default: "( 127.0.0.0/8 0.0.0.0/8 169.254.0.0/16 ::1 :: fe80::/10 )",
		Doc:     "Addresses to which mail is never sent: a domain that has only these fails.",
	},
	{
		Name: "suspend_delivery", Type: TypeBool, Default: "false", Scopes: inDelivery,
		Doc: "Accept and keep mail, attempt none.",
	},
	{
		Name: "mx_rollup", Type: TypeString, Default: "off", Scopes: inDelivery,
		Doc: "Count domains with the same receiver together: off; auto, those with the same best MX hosts; the name of a Rollup; a domain, whose best MX hosts theirs are among. Where it is not set, the Rollup stanzas alone group domains; set to off, nothing does.",
	},
}

// recipient has an option asked for the recipient's domain under a rollup.
func recipient(o Option) Option {
	o.Recipient = true
	return o
}

func timeout(name, def, what string, aliases ...string) Option {
	return Option{
		Name: name, Aliases: aliases, Type: TypeDuration, Min: ms, Max: day, Default: def, Scopes: inDelivery,
		Doc: "How long to wait for " + what + ".",
	}
}
