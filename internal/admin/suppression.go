package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// Suppressed is one entry of the suppression list and where it comes from.
type Suppressed struct {
	Entry  string    `json:"entry"` // an address, or @domain
	Why    string    `json:"why"`   // file, hard_bounce, complaint, or an operator's words
	By     string    `json:"by"`    // who added it; empty: the server, or the file
	Since  time.Time `json:"since"` // zero for the file's
	Detail string    `json:"detail,omitempty"`
}

// SuppressedPage is one page of what was added to the suppression list; Next is the entry
// after which the next one begins, empty at the end.
type SuppressedPage struct {
	Entries []Suppressed `json:"entries"`
	Next    string       `json:"next"`
	File    string       `json:"file"`    // suppression_list; empty: there is none
	InFile  int          `json:"in_file"` // entries that it has
}

// Suppression asks to change the suppression list, or to look something up in it.
type Suppression struct {
	Verb  string `json:"verb"` // add, remove, check
	Entry string `json:"entry"`
	Why   string `json:"why,omitempty"`
	By    string `json:"by,omitempty"`
}

// SuppressionDone answers a Suppression.
type SuppressionDone struct {
	Entry   string     `json:"entry"` // canonical
	Changed bool       `json:"changed"`
	Listed  bool       `json:"listed"` // of check
	Found   Suppressed `json:"found"`  // the entry because of which
}

func (a *api) suppressed(w http.ResponseWriter, r *http.Request) {
	n, ok := a.limit(w, r, page, page)
	if !ok {
		return
	}
	out := a.b.Suppressed(r.FormValue("after"), n)
	if out.Entries == nil {
		out.Entries = []Suppressed{}
	}
	a.reply(w, out)
}

func (a *api) suppress(w http.ResponseWriter, r *http.Request) {
	var op Suppression
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&op); err != nil {
		a.problem(w, http.StatusBadRequest, "the body must be a JSON object with verb, entry, why and by: "+err.Error())
		return
	}
	a.answer(w)(a.b.Suppress(op))
}
