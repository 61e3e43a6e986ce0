package deliver

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
)

// traced is what a connection tells its tracer. It belongs to the connection's goroutine.
type traced struct {
	tracer *Tracer
	action *sched.Connect
	domain string     // of the recipients in hand
	to     []*Watcher // who watches now
	number uint64     // 0: it has not been told of

	line    []byte // a command of which only the beginning has been told
	content int64  // octets of content that were sent and not shown
	body    []byte // a line of content of which only the beginning has been sent
}

// Watching finds out who watches the connection at this moment.
func (x *traced) Watching() bool {
	all := x.tracer.watchers.Load()
	if all == nil {
		if x.to != nil {
			x.to = nil // who watched is not kept
		}
		return false
	}
	x.to = x.to[:0]
	for _, w := range *all {
		if x.meets(&w.filter) {
			x.to = append(x.to, w)
		}
	}
	return len(x.to) > 0
}

func (x *traced) meets(f *TraceFilter) bool {
	return (f.Domain == "" || f.Domain == x.action.Domain || f.Domain == x.domain) &&
		(f.Binding == "" || f.Binding == x.action.Binding) &&
		(f.Host == "" || f.Host == x.action.Host || f.Host == x.action.Address.String())
}

// Sent tells commands line by line; of content its size, or its lines to those who asked for
// them; of a login nothing.
func (x *traced) Sent(kind smtp.Sent, p []byte) {
	switch kind {
	case smtp.SentSecret:
		x.line = append(x.line, "***"...)
		return
	case smtp.SentContent:
		x.content += int64(len(p))
		x.body = x.lines(x.body, p, func(l string) { x.tell("C", l, true) })
		return
	case smtp.SentCommand:
	}
	if x.contentEnds() {
		p = bytes.TrimPrefix(p, []byte("\r\n")) // of its last line
	}
	x.line = x.lines(x.line, p, func(l string) { x.said("C", l) })
}

// contentEnds tells of the content that was sent, if any was.
func (x *traced) contentEnds() bool {
	if x.content == 0 {
		return false
	}
	x.tell("C", fmt.Sprintf("(content: %d octets)", x.content), false)
	x.content, x.body = 0, nil
	return true
}

// lines calls each for every whole line, and returns the beginning of the last one.
func (x *traced) lines(begun, p []byte, each func(string)) []byte {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			if room := maxTraceLine - len(begun); room > 0 {
				begun = append(begun, p[:min(len(p), room)]...)
			}
			return begun
		}
		each(string(bytes.TrimSuffix(append(begun, p[:i]...), []byte("\r"))))
		begun, p = begun[:0], p[i+1:]
	}
}

// Heard tells a reply, line by line.
func (x *traced) Heard(r mail.Reply) {
	x.contentEnds()
	text := r.Text
	for {
		l, rest, more := strings.Cut(text, "\n")
		sep := " "
		if more {
			sep = "-"
		}
		status := ""
		if r.Enhanced != "" {
			status = r.Enhanced + " "
		}
		x.said("S", fmt.Sprintf("%d%s%s%s", r.Code, sep, status, l))
		if text = rest; !more {
			return
		}
	}
}

// note tells something that happened.
func (x *traced) note(format string, args ...any) {
	if x.Watching() {
		x.said("-", fmt.Sprintf(format, args...))
	}
}

// said tells everybody who watches.
func (x *traced) said(who, text string) {
	for _, w := range x.to {
		w.put(x.made(who, text))
	}
}

// tell tells those who asked for content, or only those who did not.
func (x *traced) tell(who, text string, body bool) {
	for _, w := range x.to {
		if w.filter.Body == body {
			w.put(x.made(who, text))
		}
	}
}

func (x *traced) made(who, text string) TraceLine {
	a := x.action
	if x.number == 0 {
		x.number = x.tracer.numbered.Add(1)
	}
	if len(text) > maxTraceLine {
		text = text[:maxTraceLine-3] + "..."
	}
	return TraceLine{
		Time: time.Now(), Conn: x.number, Binding: a.Binding, Domain: a.Domain, Host: a.Host,
		Address: netip.AddrPortFrom(a.Address, a.Port), Who: who, Text: text,
	}
}
