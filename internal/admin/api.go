package admin

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/sluice-mta/sluice/internal/sched"
)

// page is the most queues in one answer: listings come in pages so that the
// scheduler's lock is held briefly.
const page = 1000

// maxBody bounds a request's body, in octets.
const maxBody = 64 << 10

// Handler serves the API.
func Handler(b Backend, log *slog.Logger) http.Handler {
	a := &api{b: b, log: log}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", b.Metrics())
	mux.HandleFunc("GET /v1/status", a.status)
	mux.HandleFunc("GET /v1/top", a.top)
	mux.HandleFunc("GET /v1/queues", a.queues)
	mux.HandleFunc("GET /v1/explain", a.explain)
	mux.HandleFunc("GET /v1/bindings", a.bindings)
	mux.HandleFunc("GET /v1/bindings/{name}", a.binding)
	mux.HandleFunc("GET /v1/domains/{name}", a.domain)
	mux.HandleFunc("GET /v1/dig/{name}", a.dig)
	mux.HandleFunc("GET /v1/messages/{id}", a.message)
	mux.HandleFunc("GET /v1/config/eval", a.eval)
	mux.HandleFunc("POST /v1/reload", a.reload)
	mux.HandleFunc("POST /v1/plan", a.plan)
	mux.HandleFunc("POST /v1/queues", a.operate)
	mux.HandleFunc("GET /v1/suspensions", a.suspensions)
	mux.HandleFunc("GET /v1/suppression", a.suppressed)
	mux.HandleFunc("POST /v1/suppression", a.suppress)
	mux.HandleFunc("GET /v1/trace", a.trace)
	return guard(mux)
}

type api struct {
	b   Backend
	log *slog.Logger
}

func (a *api) status(w http.ResponseWriter, _ *http.Request) { a.reply(w, a.b.Status()) }

// QueuePage is one page of queues; Next is the cursor of the next one, empty at the
// end.
type QueuePage struct {
	Queues []sched.QueueView `json:"queues"`
	Next   string            `json:"next"`
}

// limit is how many rows are asked for, from 1 to most; false: it is answered that this is
// no such number.
func (a *api) limit(w http.ResponseWriter, r *http.Request, usual, most int) (n int, ok bool) {
	s := r.FormValue("limit")
	if s == "" {
		return usual, true
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		a.problem(w, http.StatusBadRequest, "limit must be a number from 1 to "+strconv.Itoa(most))
		return 0, false
	}
	return n, true
}

func (a *api) queues(w http.ResponseWriter, r *http.Request) {
	n, ok := a.limit(w, r, page, page)
	if !ok {
		return
	}
	var out QueuePage
	if order := r.FormValue("sort"); order != "" {
		rows, err := a.b.TopQueues(order, n)
		if err != nil {
			a.answer(w)(nil, err)
			return
		}
		out.Queues = rows
	} else {
		out.Queues, out.Next = a.b.Queues(r.FormValue("after"), n)
	}
	if out.Queues == nil {
		out.Queues = []sched.QueueView{}
	}
	a.reply(w, out)
}

func (a *api) explain(w http.ResponseWriter, r *http.Request) {
	x, err := a.b.Explain(r.FormValue("of"))
	if err == nil && r.FormValue("format") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		x.Text(w, sched.Style{})
		return
	}
	a.answer(w)(x, err)
}

func (a *api) bindings(w http.ResponseWriter, _ *http.Request) { a.reply(w, a.b.Bindings()) }

func (a *api) binding(w http.ResponseWriter, r *http.Request) {
	a.answer(w)(a.b.Binding(r.PathValue("name")))
}

func (a *api) domain(w http.ResponseWriter, r *http.Request) {
	a.answer(w)(a.b.Domain(r.PathValue("name")))
}

func (a *api) dig(w http.ResponseWriter, r *http.Request) { a.answer(w)(a.b.Dig(r.PathValue("name"))) }

func (a *api) message(w http.ResponseWriter, r *http.Request) {
	a.answer(w)(a.b.Message(r.PathValue("id")))
}

func (a *api) eval(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		a.problem(w, http.StatusBadRequest, err.Error())
		return
	}
	a.answer(w)(a.b.Eval(r.Form["word"]))
}

func (a *api) reload(w http.ResponseWriter, _ *http.Request) { a.answer(w)(a.b.Reload()) }

func (a *api) suspensions(w http.ResponseWriter, _ *http.Request) { a.reply(w, a.b.Suspensions()) }

func (a *api) operate(w http.ResponseWriter, r *http.Request) {
	var op Operation
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&op); err != nil {
		a.problem(w, http.StatusBadRequest, "the body must be a JSON object with verb, domain, binding, tenant, job, to, reason, dry_run and by: "+err.Error())
		return
	}
	a.answer(w)(a.b.Operate(op))
}

// answer replies with a value or the problem that came instead.
func (a *api) answer(w http.ResponseWriter) func(any, error) {
	return func(v any, err error) {
		switch {
		case err == nil:
			a.reply(w, v)
		case errors.Is(err, ErrNotFound):
			a.problem(w, http.StatusNotFound, err.Error())
		case errors.Is(err, ErrRefused):
			a.problem(w, http.StatusUnprocessableEntity, err.Error())
		default:
			a.problem(w, http.StatusInternalServerError, err.Error())
		}
	}
}

func (a *api) reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		a.log.Debug("control: the client went away", "error", err)
	}
}

// Problem is an error as the API gives it (RFC 9457).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func (a *api) problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{http.StatusText(status), status, detail})
}
