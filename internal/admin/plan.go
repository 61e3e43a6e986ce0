package admin

import (
	"encoding/json"
	"net/http"

	"github.com/sluice-mta/sluice/internal/policy"
)

// maxPlan bounds a configuration that is sent to be compared, in octets.
const maxPlan = 96 << 20

// Plan is what a reload would change.
type Plan struct {
	Changed  bool         `json:"changed"`
	Against  string       `json:"against"` // the running configuration's file, or the one compared with
	Queues   int          `json:"queues"`  // pairs of binding and domain with mail or connections that were looked at
	Hosts    int          `json:"hosts"`   // pairs of binding and host
	Changes  []PlanChange `json:"changes"`
	More     int          `json:"more_changes"` // so many groups are not listed
	Drains   []PlanDrain  `json:"drains"`
	MoreOver int          `json:"more_drains"`
	Routes   []PlanRoute  `json:"routes"`
	Removed  []PlanGone   `json:"bindings_removed"`
	Added    []string     `json:"bindings_added"`
	Restart  []string     `json:"restart"` // what would take effect only at the next start
}

// PlanChange is one change of an effective value, for all names that it is the same for.
type PlanChange struct {
	Option   string   `json:"option"`
	Old      string   `json:"old"`
	New      string   `json:"new"`
	Stanza   string   `json:"stanza"` // that sets the new value; of the old one when the new one is a default
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Of       string   `json:"of"`       // what has the value: domain, host, binding, binding_group, stanza, server, name
	Count    int      `json:"count"`    // of them that have mail or connections now; 0: none has
	Examples []string `json:"examples"` // the first of them
}

// PlanDrain is a counter with more connections than it would admit: they end after their
// message.
type PlanDrain struct {
	Counter     string `json:"counter"` // OPTION KEY
	Connections int    `json:"connections"`
	Limit       int    `json:"limit"`
	Over        int    `json:"over"`
}

// PlanRoute is domains that would be counted under another name.
type PlanRoute struct {
	From     string   `json:"from"` // empty: themselves
	To       string   `json:"to"`
	Domains  int      `json:"domains"`
	Unknown  int      `json:"unknown"` // of them, so many whose hosts have to be looked up first
	Examples []string `json:"examples"`
}

// PlanGone is a binding that would be removed, with what it holds.
type PlanGone struct {
	Binding     string `json:"binding"`
	Connections int    `json:"connections"`
	Queued      int    `json:"queued"`
	Ready       int    `json:"ready"`
}

func (a *api) plan(w http.ResponseWriter, r *http.Request) {
	var shown policy.ShownScope
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPlan))
	if err := d.Decode(&shown); err != nil {
		a.problem(w, http.StatusBadRequest, "the body must be a configuration as `config show --json` prints it: "+err.Error())
		return
	}
	a.answer(w)(a.b.Plan(shown))
}
