package admin

import (
	"net/http"

	"github.com/sluice-mta/sluice/internal/sched"
)

// topRows is the most rows of each list of a Top.
const topRows = 100

// Top is a look at what moves and what waits. It takes the same short looks however much
// mail there is.
type Top struct {
	Version     string              `json:"version"`
	Hostname    string              `json:"hostname"`
	Uptime      float64             `json:"uptime_seconds"` // the counts are since then
	Pressure    string              `json:"pressure"`       // why mail is being refused; empty: it is not
	Counts      Counts              `json:"counts"`
	Queue       sched.Totals        `json:"queue"`
	Connections sched.ConnStates    `json:"connections"`
	Bindings    []sched.BindingView `json:"bindings"` // those with most connections
	More        int                 `json:"more_bindings"`
	Limits      []sched.CounterUse  `json:"limits"` // the fullest of those that are nearly full
	Sort        string              `json:"sort"`
	Queues      []sched.QueueView   `json:"queues"`  // those with most of what Sort names
	Waiting     []sched.QueueView   `json:"waiting"` // those that have waited longest for one cause
}

// Counts are recipients since the start.
type Counts struct {
	Received  uint64 `json:"received"`
	Delivered uint64 `json:"delivered"`
	Deferred  uint64 `json:"deferred"`
	Bounced   uint64 `json:"bounced"`
}

func (a *api) top(w http.ResponseWriter, r *http.Request) {
	order := r.FormValue("sort")
	if order == "" {
		order = "ready"
	}
	n, ok := a.limit(w, r, 20, topRows)
	if !ok {
		return
	}
	a.answer(w)(a.b.Top(order, n))
}
