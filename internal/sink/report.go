package sink

// Report is what the sink has seen, as it prints it on SIGTERM and on a GET of its
// status address. Others rely on the JSON: fields may be added, never renamed.
type Report struct {
	Connections Connections `json:"connections"`
	Messages    Messages    `json:"messages"`
	Recipients  Recipients  `json:"recipients"`
	// Violations counts every connection and message beyond the limits that the sink was
	// told: connections at one instant in all and by source address, and rates (judged
	// with one event and 10 ms of slack).
	Violations int `json:"violations"`
	// ViolationsByReason splits Violations; a connection that is over several limits
	// counts under the first of max-connections, max-connections-per-ip and conn-rate.
	ViolationsByReason map[string]int `json:"violations_by_reason,omitempty"`
	// Mistakes counts commands that a correct client does not send: bad syntax, wrong order,
	// parameters and extensions that were not offered.
	Mistakes int `json:"mistakes,omitempty"`
	// Faults says how often each --fault was played.
	Faults map[string]int `json:"faults,omitempty"`
	Seed   uint64         `json:"seed"`
}

// Connections counts connections. One counts from accept() until the sink starts to
// close it or the kernel shows that the client has closed.
type Connections struct {
	Open            int            `json:"open"`
	Peak            int            `json:"peak"` // highest ever at one instant
	PeakBySource    map[string]int `json:"peak_by_source"`
	PeakByListener  map[string]int `json:"peak_by_listener"`
	Accepted        int            `json:"accepted"` // served, without those refused
	Refused         int            `json:"refused"`  // turned away before or with the greeting
	RefusedByReason map[string]int `json:"refused_by_reason"`

	OpenBySource       map[string]int `json:"open_by_source,omitempty"`
	OpenByListener     map[string]int `json:"open_by_listener,omitempty"`
	AcceptedBySource   map[string]int `json:"accepted_by_source,omitempty"`
	AcceptedByListener map[string]int `json:"accepted_by_listener,omitempty"`
}

// Messages counts messages; Distinct by the value of the header named with
// --id-header.
type Messages struct {
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"` // answered 4xx or 5xx to MAIL, to every RCPT, to DATA or to the content
	Distinct int `json:"distinct"`
	// WithoutID counts accepted messages that have no such header; they add nothing to
	// Distinct.
	WithoutID int `json:"without_id,omitempty"`
	// BareLineEnds counts accepted messages that held a CR or LF on its own (RFC 5321
	// §2.3.8 forbids to send one).
	BareLineEnds int `json:"bare_line_ends,omitempty"`
	// DistinctFull is set when more than MaxDistinct values were seen: Distinct is then
	// a lower bound.
	DistinctFull bool `json:"distinct_full,omitempty"`
}

// Recipients counts accepted recipients: those of accepted messages.
type Recipients struct {
	Accepted int            `json:"accepted"`
	Refused  int            `json:"refused"` // RCPT answered 4xx or 5xx
	ByDomain map[string]int `json:"by_domain"`
}
