package sched

// Explained is the answer to `explain`, whatever it was asked about. It is always one
// object: that of the queue which has waited longest, or that was asked about, with what
// else there is to say beside it.
type Explained struct {
	Explanation
	Subject string              `json:"subject"`
	Kind    string              `json:"kind"` // queue, domain, binding, host, message, counter
	Queues  []Explanation       `json:"queues"`
	More    int                 `json:"more_queues"` // so many are not listed
	Counter *CounterExplanation `json:"counter,omitempty"`
	Binding *BindingExplanation `json:"binding,omitempty"`
	Hosts   []HostExplanation   `json:"host_by_binding,omitempty"`
	Message *MessageExplanation `json:"message,omitempty"`
}

// CounterExplanation says who holds a counter and who waits for it.
type CounterExplanation struct {
	CounterView
	Holders []Holder        `json:"holders"` // the queues with most connections on it
	Others  int             `json:"more_holders"`
	First   []CounterWaiter `json:"first_waiters"` // in the order in which they get their turns
	Blocked float64         `json:"blocked_seconds"`
	Drain   *Estimate       `json:"drain"` // when all who wait now have had their turn
}

// Holder is a queue with connections on a counter.
type Holder struct {
	Queue string `json:"queue"`
	Conns int    `json:"connections"`
}

// CounterWaiter is a queue that waits on a counter.
type CounterWaiter struct {
	Queue string  `json:"queue"`
	For   float64 `json:"for_seconds"`
	Conns int     `json:"connections"`
}

// BindingExplanation says what holds up a binding.
type BindingExplanation struct {
	BindingView
	State   string        `json:"state"`
	Path    []CounterView `json:"path"`    // counters on which all its connections are
	Waiting []CauseTotal  `json:"waiting"` // its queues, by what they wait for now; Seconds: that they have waited for it
}

// HostExplanation is a host as one binding sees it.
type HostExplanation struct {
	Host      string        `json:"host"`
	Binding   string        `json:"binding"`
	Conns     int           `json:"connections"`
	Opening   int           `json:"being_opened"`
	State     string        `json:"state"`
	Addresses []AddressView `json:"addresses"`
	Path      []CounterView `json:"path"`    // the host's own counters
	Waiting   []string      `json:"waiting"` // the first queues that wait before it, at most ten
	More      int           `json:"more_waiting"`
}

// AddressView is an address of a host.
type AddressView struct {
	Address string `json:"address"`
	Conns   int    `json:"connections"` // of all bindings
	State   string `json:"state"`
	Broken  string `json:"broken"` // what it offers and does not do; filled in by the server, which remembers it
}

// MessageExplanation says where the parts of a message are.
type MessageExplanation struct {
	ID    string     `json:"id"`
	Parts []PartView `json:"parts"`
	More  int        `json:"more_parts"`
}

// PartView is some recipients of a message that go together.
type PartView struct {
	Queue      string `json:"queue"`
	Recipients int    `json:"recipients"`
	Attempts   int    `json:"attempts"`
	State      string `json:"state"` // "ready", "in delivery", "waits for its time"
	Next       string `json:"next"`  // RFC 3339, when it waits for a time
	NextAt     int64  `json:"-"`
}
