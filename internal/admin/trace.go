package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// TraceFilter says which connections are told of: those that meet all that is set.
type TraceFilter struct {
	Domain, Binding, Host string
	Body                  bool // tell the content of messages, too
}

// TraceLine is one line of a conversation, or something that happened to a connection.
type TraceLine struct {
	Time    time.Time `json:"time"`
	Conn    uint64    `json:"connection"` // numbers those connections that have been told of, from 1
	Binding string    `json:"binding"`
	Domain  string    `json:"domain"` // that the connection was opened for
	Host    string    `json:"host"`
	Address string    `json:"address"`
	Who     string    `json:"who"` // C: we said it; S: the receiver did; -: it happened
	Text    string    `json:"text"`
	Lost    int       `json:"lost,omitempty"` // so many lines before this one were lost
}

// traceWait is how long a reader may take for what was written to it.
const traceWait = 30 * time.Second

// trace streams JSON lines until the client goes away.
func (a *api) trace(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // that of the request; its end is noticed without
	begun := false
	enc := json.NewEncoder(w)
	begin := func() {
		w.Header().Set("Content-Type", "application/jsonl")
		w.Header().Set("Cache-Control", "no-store")
		begun = true
	}
	f := TraceFilter{Domain: r.FormValue("domain"), Binding: r.FormValue("binding"), Host: r.FormValue("host"), Body: r.FormValue("body") != ""}
	err := a.b.Trace(r.Context(), f, func(l TraceLine) error {
		if !begun {
			begin()
		}
		_ = out.SetWriteDeadline(time.Now().Add(traceWait))
		if l.Who != "" { // else: it has begun
			if err := enc.Encode(l); err != nil {
				return err
			}
		}
		return out.Flush()
	})
	if err != nil && !begun {
		a.answer(w)(nil, err)
	}
}
