package policy

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// opt names the options that resolution asks for.
var opt struct {
	maxOutbound, serverMax, serverReserve, scopeMax      *Option
	clusterMax, clusterServer, clusterScope              *Option
	deliveries, recipients, batch, idle, ramp            *Option
	bind, bindSecondary, weight, ehlo, ipv6              *Option
	connect, greeting, ehloTime, tlsTime, mailTime       *Option
	rcptTime, dataTime, blockTime, bodyTime, rset, quit  *Option
	pipelining, chunking                                 *Option
	stsTime, maxHosts, maxAddresses                      *Option
	retry, maxRetry, expiration, retries                 *Option
	hostRetry, mxFailures, timeoutDelay, bounces, delays *Option
	tls, verify, dane, sts, gateway, port                *Option
	skip, prohibited, suspend, routes, mxRollup          *Option
	connectRate, messageRate                             *Option
	throttleConns, throttleMessages                      *Option
	clusterThrottleConns, clusterThrottleMessages        *Option
	authUser, authPassword, authSecurity                 *Option
	proxy, proxyUser, proxyPassword                      *Option
	dkim, dkimKey, dkimSelector, dkimDomain              *Option
	tlsVersion, tlsCA, tlsCertificate, tlsKey            *Option
	tlsReports, brokenTLS                                *Option
	reportSuppressed, verp, verpDomain                   *Option
}

// bindOptions fills opt from the table.
func bindOptions() {
	for _, e := range []struct {
		at   **Option
		name string
	}{
		{&opt.maxOutbound, "max_outbound_connections"},
		{&opt.serverMax, "server_max_outbound_connections"},
		{&opt.serverReserve, "server_reserve_outbound_connections"},
		{&opt.scopeMax, "scope_max_outbound_connections"},
		{&opt.clusterMax, "cluster_max_outbound_connections"},
		{&opt.clusterServer, "cluster_server_max_outbound_connections"},
		{&opt.clusterScope, "cluster_scope_max_outbound_connections"},
		{&opt.deliveries, "max_deliveries_per_connection"},
		{&opt.recipients, "max_recipients_per_connection"},
		{&opt.batch, "max_recipients_per_batch"},
		{&opt.idle, "idle_timeout"},
		{&opt.ramp, "connection_allocation_aggressiveness"},
		{&opt.bind, "bind_address"},
		{&opt.bindSecondary, "bind_address_secondary"},
		{&opt.ehlo, "ehlo_hostname"},
		{&opt.ipv6, "use_ipv6"},
		{&opt.connect, "connect_timeout"},
		{&opt.greeting, "greeting_timeout"},
		{&opt.ehloTime, "ehlo_timeout"},
		{&opt.tlsTime, "tls_timeout"},
		{&opt.mailTime, "mailfrom_timeout"},
		{&opt.rcptTime, "rcptto_timeout"},
		{&opt.dataTime, "data_timeout"},
		{&opt.blockTime, "data_block_timeout"},
		{&opt.bodyTime, "body_timeout"},
		{&opt.rset, "rset_timeout"},
		{&opt.quit, "quit_timeout"},
		{&opt.pipelining, "use_pipelining"},
		{&opt.chunking, "use_chunking"},
		{&opt.stsTime, "mta_sts_timeout"},
		{&opt.maxHosts, "max_mx_hosts"},
		{&opt.maxAddresses, "max_addresses_per_host"},
		{&opt.retry, "retry_interval"},
		{&opt.maxRetry, "max_retry_interval"},
		{&opt.expiration, "message_expiration"},
		{&opt.retries, "max_retries"},
		{&opt.hostRetry, "host_failure_retry"},
		{&opt.mxFailures, "mx_failures_to_delay"},
		{&opt.timeoutDelay, "connect_timeout_to_delay"},
		{&opt.bounces, "generate_bounces"},
		{&opt.delays, "generate_delay_dsn"},
		{&opt.reportSuppressed, "report_suppressed"},
		{&opt.verp, "verp"},
		{&opt.verpDomain, "verp_domain"},
		{&opt.tls, "tls"},
		{&opt.verify, "tls_verify"},
		{&opt.dane, "use_dane"},
		{&opt.sts, "use_mta_sts"},
		{&opt.gateway, "gateway"},
		{&opt.port, "remote_smtp_port"},
		{&opt.skip, "skip_hosts"},
		{&opt.prohibited, "prohibited_hosts"},
		{&opt.suspend, "suspend_delivery"},
		{&opt.authUser, "auth_user"},
		{&opt.authPassword, "auth_password"},
		{&opt.authSecurity, "auth_security"},
		{&opt.proxy, "proxy"},
		{&opt.proxyUser, "proxy_user"},
		{&opt.proxyPassword, "proxy_password"},
		{&opt.dkim, "dkim"},
		{&opt.dkimKey, "dkim_key"},
		{&opt.dkimSelector, "dkim_selector"},
		{&opt.dkimDomain, "dkim_domain"},
		{&opt.tlsVersion, "tls_min_version"},
		{&opt.tlsCA, "tls_ca"},
		{&opt.tlsCertificate, "tls_certificate"},
		{&opt.tlsKey, "tls_key"},
		{&opt.tlsReports, "tls_reports"},
		{&opt.brokenTLS, "remember_broken_tls"},
		{&opt.routes, "routes"},
		{&opt.mxRollup, "mx_rollup"},
		{&opt.connectRate, "max_connect_rate"},
		{&opt.messageRate, "max_message_rate"},
		{&opt.throttleConns, "outbound_throttle_connections"},
		{&opt.throttleMessages, "outbound_throttle_messages"},
		{&opt.clusterThrottleConns, "cluster_outbound_throttle_connections"},
		{&opt.clusterThrottleMessages, "cluster_outbound_throttle_messages"},
	} {
		*e.at = LookupTree(e.name)
		if *e.at == nil {
			panic("option table: no " + e.name)
		}
	}
	opt.weight = must(ScopeBinding, "weight")
}

// queuePath collects the stanzas that a binding and a routing domain fall under.
func (s *Snapshot) queuePath(binding, domain string) path {
	var p path
	root := s.Root
	p[Global] = []*Scope{root}
	p[AnyDomain] = root.domains.name(nil, domain)
	b := s.scopes[binding]
	if b == nil {
		return p
	}
	p[OneBinding] = []*Scope{b}
	if b.Parent.Kind != ScopeGroup {
		p[BindingDomain] = b.domains.name(nil, domain)
		return p
	}
	p[OneGroup] = []*Scope{b.Parent}
	p[GroupBindingDomain] = b.domains.name(nil, domain)
	p[GroupDomain] = b.Parent.domains.name(nil, domain)
	return p
}

// AppendQueueKey appends a key that is equal for equal answers of Queue: the binding
// and the stanzas that match the domain. It does not allocate when dst has room for it
// and few stanzas match.
func (s *Snapshot) AppendQueueKey(dst []byte, binding, domain string) []byte {
	var room [8]*Scope
	dst = append(append(dst, binding...), 0)
	if b := s.scopes[binding]; b != nil {
		dst = appendIDs(dst, b.domains.name(room[:0], domain))
		if b.Parent.Kind == ScopeGroup {
			dst = appendIDs(dst, b.Parent.domains.name(room[:0], domain))
		}
	}
	return appendIDs(dst, s.Root.domains.name(room[:0], domain))
}

func appendIDs(dst []byte, scopes []*Scope) []byte {
	for _, c := range scopes {
		dst = binary.BigEndian.AppendUint32(dst, c.id)
	}
	return dst
}

// Queue resolves everything that holds for the mail of a binding to a recipient domain
// (canonical) that is not rolled up. An unknown binding is taken as one without a
// stanza. Each call makes a new Queue; config.Resolver shares them by AppendQueueKey.
func (s *Snapshot) Queue(binding, domain string) *Queue { return s.QueueUnder(binding, domain, "") }

// QueueUnder is Queue for a recipient domain under a rollup (empty: under none): domain
// stanzas are asked for the rollup's name, but for the options that are always asked for
// the recipient's domain (Option.Recipient).
func (s *Snapshot) QueueUnder(binding, domain, rollup string) *Queue {
	p := s.viewOf(binding, domain, rollup)
	q := &Queue{
		Gateway:                    p.gateway,
		Rollup:                     s.rollupSetting(p.own),
		Under:                      s.under(p, rollup),
		Limits:                     s.queueLimits(p.under),
		Throttles:                  queueThrottles(p.under),
		Ramp:                       0.30,
		Retry:                      p.retry(),
		Expiration:                 p.value(opt.expiration).Duration(),
		MaxRetries:                 int(p.value(opt.retries).Num),
		MaxDeliveriesPerConnection: int(p.value(opt.deliveries).Num),
		MaxRecipientsPerConnection: int(p.value(opt.recipients).Num),
		MaxRecipientsPerBatch:      int(p.value(opt.batch).Num),
		IdleTimeout:                p.value(opt.idle).Duration(),
		MaxMXHosts:                 int(p.value(opt.maxHosts).Num),
		MaxAddressesPerHost:        int(p.value(opt.maxAddresses).Num),
		HostFailureRetry:           p.value(opt.hostRetry).Duration(),
		BrokenTLSRetry:             p.value(opt.brokenTLS).Duration(),
		MXFailuresToDelay:          int(p.value(opt.mxFailures).Num),
		ConnectTimeoutToDelay:      p.value(opt.timeoutDelay).Duration(),
		GenerateBounces:            p.value(opt.bounces).Bool(),
		GenerateDelayDSN:           p.value(opt.delays).Bool(),
		ReportSuppressed:           p.value(opt.reportSuppressed).Bool(),
		Signing:                    p.signing(),
		Session:                    s.session(p),
	}
	if g := p.own[OneGroup]; len(g) > 0 {
		q.Group = g[0].Label
	}
	if q.Session.VERP {
		q.MaxRecipientsPerBatch = 1 // a return path is a transaction's
	}
	if p.value(opt.ramp).Str == "high" {
		q.Ramp = 0.75
	}
	q.Suspended, q.SuspendedOrigin = p.suspended()
	if binding == TLSReportBinding {
		// What a report tells of may be what keeps mail from going (RFC 8460 §5.3).
		q.Session.TLS, q.Session.TLSVerify = TLSIfAvailable, VerifyNo
		q.Session.UseDANE, q.Session.UseMTASTS, q.Session.TLSReports = false, false, false
	}
	return q
}

func (s *Snapshot) session(p *view) *Session {
	t := func(o *Option) time.Duration { return p.value(o).Duration() }
	n := &Session{
		EHLO:             s.Hostname,
		VERP:             p.value(opt.verp).Bool(),
		VERPDomain:       p.value(opt.verpDomain).Str,
		ConnectTimeout:   t(opt.connect),
		GreetingTimeout:  t(opt.greeting),
		EHLOTimeout:      t(opt.ehloTime),
		TLSTimeout:       t(opt.tlsTime),
		MailTimeout:      t(opt.mailTime),
		RcptTimeout:      t(opt.rcptTime),
		DataTimeout:      t(opt.dataTime),
		DataBlockTimeout: t(opt.blockTime),
		BodyTimeout:      t(opt.bodyTime),
		RsetTimeout:      t(opt.rset),
		QuitTimeout:      t(opt.quit),
		MTASTSTimeout:    t(opt.stsTime),
		UsePipelining:    p.value(opt.pipelining).Bool(),
		UseChunking:      p.value(opt.chunking).Bool(),
		Port:             uint16(p.value(opt.port).Num),
		TLS:              TLSMode(p.value(opt.tls).Num),      // the choices are in the order of the type
		TLSVerify:        TLSVerify(p.value(opt.verify).Num), // likewise
		UseDANE:          p.value(opt.dane).Bool(),
		UseMTASTS:        p.value(opt.sts).Bool(),
		TLSMinVersion:    tlsVersions[p.value(opt.tlsVersion).Num], // the choices are in the order of the table
		TLSCA:            p.value(opt.tlsCA).Str,
		TLSCertificate:   p.value(opt.tlsCertificate).Str,
		TLSKey:           p.value(opt.tlsKey).Str,
		TLSReports:       p.value(opt.tlsReports).Bool(),
		SkipHosts:        p.value(opt.skip).Networks,
		Prohibited:       p.value(opt.prohibited).Networks,
		Gateway:          p.through,
	}
	if n.Gateway == "" {
		n.Routes = parseRoutes(p.value(opt.routes).List)
	}
	n.Auth, n.Proxy = p.auth(n.Gateway != "" || len(n.Routes) > 0), p.proxy()
	if v := p.value(opt.ehlo).Str; v != "" {
		n.EHLO = v
	}
	n.Source4, n.Source6 = p.sources()
	n.UseIPv4, n.UseIPv6 = n.Source4.IsValid(), n.Source6.IsValid()
	if !n.UseIPv4 && !n.UseIPv6 {
		n.UseIPv4, n.UseIPv6 = true, p.value(opt.ipv6).Bool()
	}
	return n
}

// tlsVersions are the choices of tls_min_version as they are numbered on the wire
// (RFC 8446 §4.1.2).
var tlsVersions = [...]uint16{0, 0x0301, 0x0302, 0x0303, 0x0304}

// sources returns the binding's addresses by family.
func (p *view) sources() (v4, v6 netip.Addr) {
	for _, o := range [...]*Option{opt.bindSecondary, opt.bind} {
		a := p.value(o).Addr
		switch {
		case a.Is4():
			v4 = a
		case a.IsValid():
			v6 = a
		}
	}
	return v4, v6
}
