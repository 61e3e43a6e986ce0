package sim

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/bounce"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// ends is the referee of one promise: whatever is accepted comes to an end by its deadline
// and a minute, its sender hears of a failure once, nobody hears of a report, and reports
// are what they claim to be. It has the envelopes, which the machine never sees, and
// writes the reports, which are mail as any. A nil *ends judges nothing.
type ends struct {
	life     time.Duration
	upSince  int64 // the last start
	restarts int
	of       map[mail.ID]*promise
	composed int64         // asked for
	Reports  int           // composed
	Failed   int           // recipients told of in them
	Latest   time.Duration // of an end, after its deadline; may be negative
	samples  [][]byte      // of reports, for other parsers
}

// promise is one message.
type promise struct {
	env   *mail.Envelope
	ended []bool
	fails []bool // accounted as failed
	told  []bool // a report says so
}

// grace is how much later than its deadline a message may end.
const grace = time.Minute

// accept hands a message in.
func (e *ends) accept(w *World, env *mail.Envelope) {
	n := len(env.Recipients)
	e.of[env.ID] = &promise{env: env, ended: make([]bool, n), fails: make([]bool, n), told: make([]bool, n)}
	ev := sched.Submitted{Message: env.ID, Envelope: env, Received: env.Received}
	at := map[string]int{}
	for i := range env.Recipients {
		d := env.Recipients[i].Domain
		k, ok := at[d]
		if !ok {
			k = len(ev.Parts)
			at[d] = k
			ev.Parts = append(ev.Parts, sched.SubmittedPart{
				Binding: "default", Domain: d, Policy: w.queuePolicy("default", d, ""), Generation: w.generation, Due: w.now,
			})
		}
		ev.Parts[k].Recipients = append(ev.Parts[k].Recipients, i)
	}
	w.books.accept(env.ID, "", n)
	w.spool.live[env.ID] = &kept{received: env.Received, parts: ev.Parts, state: map[int]mail.RecipientState{}}
	e.terms(&ev)
	w.step(ev)
}

// terms completes what is submitted with what the envelope asks.
func (e *ends) terms(ev *sched.Submitted) {
	if e == nil {
		return
	}
	env := e.of[ev.Message].env
	ev.Release, ev.Deadline, ev.Notify = env.Release, env.By.Deadline, env.By.Mode == mail.ByNotify
	for i := range env.Recipients {
		ev.Traced = ev.Traced || env.Recipients[i].Notify.WantsSuccess()
	}
}

// up: the server is there again after a crash.
func (e *ends) up(w *World) {
	if e != nil {
		e.upSince, e.restarts = w.now, e.restarts+1
	}
}

// deadline is when a message is to be at its end. After a crash it may live on for as long
// as messages live, to have an attempt (S5).
func (e *ends) deadline(env *mail.Envelope) int64 {
	at := max(env.Received, env.Release) + int64(e.life)
	if e.restarts > 0 && env.Received < e.upSince {
		at = max(at, e.upSince+int64(e.life))
	}
	if env.By.Deadline != 0 && env.By.Mode == mail.ByReturn {
		at = min(at, max(env.By.Deadline, e.upSince)) // a server that is down ends nothing
	}
	return at
}

// accounted judges a record.
func (e *ends) accounted(w *World, a *sched.Account) {
	if e == nil || a.Kind != sched.RecordDelivered && a.Kind != sched.RecordBounced {
		return
	}
	p := e.of[a.Message]
	over := time.Duration(w.now - e.deadline(p.env))
	e.Latest = max(e.Latest, over)
	if over > grace {
		w.fail("message %s ends %v after its deadline", a.Message, over)
	}
	for _, o := range a.Outcomes {
		p.ended[o.Recipient] = true
		p.fails[o.Recipient] = a.Kind == sched.RecordBounced
	}
}

// reported writes the report that a Bounce asks for, and hands it in.
func (e *ends) reported(w *World, a sched.Bounce) {
	if e == nil {
		return
	}
	p := e.of[a.Message]
	e.composed++
	in := bounce.Input{
		ID: mail.NewID(e.composed, [10]byte{9}), Now: w.now, Hostname: "mta.test", Postmaster: "postmaster@mta.test", Binding: "default",
		Envelope: p.env, Content: strings.NewReader(original), Outcomes: a.Outcomes,
	}
	switch {
	case a.Delay:
		in.Action = bounce.Delayed
	case a.Relayed:
		in.Action = bounce.Relayed
	default:
		for _, o := range a.Outcomes {
			if p.told[o.Recipient] {
				w.fail("message %s: recipient %d is reported as failed twice", a.Message, o.Recipient)
			}
			p.told[o.Recipient] = true
		}
	}
	env, content := bounce.Compose(in)
	if env == nil {
		return
	}
	if p.env.Sender.IsNull() || p.env.Report || !env.Report || !env.Sender.IsNull() {
		w.fail("a report about message %s of %q: %+v", a.Message, p.env.Sender, env)
		return
	}
	if err := readable(content, in.Action.String()); err != nil {
		w.fail("the report about message %s: %v", a.Message, err)
	}
	e.Reports++
	if in.Action == bounce.Failed {
		e.Failed += len(a.Outcomes)
	}
	if len(e.samples) < 200 {
		e.samples = append(e.samples, content)
	}
	w.after(0, func() { e.accept(w, env) })
}

// original is what every message says.
const original = "From: news@s.test\r\nMessage-ID: <1@s.test>\r\nSubject: x\r\n\r\nx\r\n"

// readable reads a report with the library's parsers, which know nothing of ours.
func readable(content []byte, action string) error {
	m, err := netmail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		return err
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		return fmt.Errorf("it is %s %v (%v)", kind, params, err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := r.NextPart()
		if err != nil {
			return fmt.Errorf("no delivery-status: %w", err)
		}
		if part.Header.Get("Content-Type") != "message/delivery-status" {
			continue
		}
		b, err := io.ReadAll(part)
		if err != nil || !bytes.Contains(b, []byte("\r\nAction: "+action+"\r\n")) {
			return fmt.Errorf("it does not say %s: %s (%w)", action, b, err)
		}
		return nil
	}
}

// settle judges what is left when nothing more happens.
func (e *ends) settle(w *World) {
	for id, p := range e.of { // any fault is one: the order does not matter
		for i := range p.ended {
			rc := &p.env.Recipients[i]
			wants := !p.env.Sender.IsNull() && rc.Notify.WantsFailure()
			switch {
			case !p.ended[i]:
				w.fail("message %s: recipient %d never came to an end", id, i)
			case p.fails[i] && wants && !p.told[i]:
				w.fail("message %s: recipient %d failed, and its sender does not know", id, i)
			case !p.fails[i] && p.told[i]:
				w.fail("message %s: recipient %d is reported as failed, and was delivered to", id, i)
			}
		}
	}
}
