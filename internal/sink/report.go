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
}

// Connections counts connections. One counts from accept() until the sink starts to
// close it or the kernel shows that the client has closed.
type Connections struct {
	Open            int            `json:"open"`
	Peak            int            `json:"peak"` // highest ever at one instant
	PeakBySource    map[string]int `json:"peak_by_source"`
	PeakByListener  map[string]int `json:"peak_by_listener"`
	Accepted        int            `json:"accepted"`
	Refused         int            `json:"refused"`
	RefusedByReason map[string]int `json:"refused_by_reason"`
}

// Messages counts messages; Distinct by the value of the header named with
// --id-header.
type Messages struct {
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"`
	Distinct int `json:"distinct"`
}

// Recipients counts accepted recipients.
type Recipients struct {
	Accepted int            `json:"accepted"`
	ByDomain map[string]int `json:"by_domain"`
}
