package account

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
)

// maxLine bounds one record, in octets.
const maxLine = 1 << 20

// Decoder reads records of either format, which it tells apart by the first octet. CSV
// is read by the names of its header line, so files of other programs with these columns
// (PowerMTA) are read too; unknown columns and fields are passed over.
type Decoder struct {
	// Whole says that nothing will be added to the input: a last line without its end is a
	// record too.
	Whole bool

	r       *bufio.Reader
	line    int
	partial []byte // the beginning of a line whose end has not come yet
	columns []int  // of CSV: index into columnNames, -1: unknown
	json    bool
	begun   bool
}

// NewDecoder returns a decoder of r.
func NewDecoder(r io.Reader) *Decoder { return &Decoder{r: bufio.NewReaderSize(r, 64<<10)} }

// LineError is a line that is no record. The decoder goes on behind it.
type LineError struct {
	Line   int // from 1
	Reason string
}

func (e *LineError) Error() string { return fmt.Sprintf("accounting line %d: %s", e.Line, e.Reason) }

// Decode reads the next record into r. io.EOF: there is none (yet: a line without its
// end is kept, and Decode may be called again when more has come). *LineError: the line is
// no record; call again for the next.
func (d *Decoder) Decode(r *Record) error {
	for {
		line, err := d.next()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			continue
		}
		if !d.begun {
			d.begun = true
			if d.json = line[0] == '{'; !d.json {
				if err := d.header(line); err != nil {
					d.begun = false
					return err
				}
				continue
			}
		}
		*r = Record{Extensions: r.Extensions[:0]}
		if d.json {
			return d.fromJSON(line, r)
		}
		if bytes.HasPrefix(line, []byte("type,")) {
			continue // a file put together of several has their headers inside
		}
		return d.fromCSV(line, r)
	}
}

// next returns the next line without its end.
func (d *Decoder) next() ([]byte, error) {
	for {
		chunk, err := d.r.ReadSlice('\n')
		if len(d.partial)+len(chunk) > maxLine {
			return nil, d.skip(err)
		}
		switch {
		case err == nil && len(d.partial) == 0:
			d.line++
			return bytes.TrimRight(chunk, "\r\n"), nil
		case err == nil:
			d.line++
			line := append(d.partial, chunk...)
			d.partial = d.partial[:0]
			return bytes.TrimRight(line, "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull):
			d.partial = append(d.partial, chunk...)
		default:
			d.partial = append(d.partial, chunk...)
			if d.Whole && errors.Is(err, io.EOF) && len(d.partial) > 0 {
				d.line++
				line := d.partial
				d.partial = nil
				return bytes.TrimRight(line, "\r\n"), nil
			}
			return nil, err
		}
	}
}

// skip passes over the rest of an overlong line.
func (d *Decoder) skip(err error) error {
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = d.r.ReadSlice('\n')
	}
	d.line++
	d.partial = d.partial[:0]
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return d.bad("longer than 1 MiB")
}

func (d *Decoder) bad(reason string) error { return &LineError{Line: d.line, Reason: reason} }

// columnNames are the columns that are read, in the order of header.
var columnNames = strings.Split(strings.TrimSpace(header), ",")

func (d *Decoder) header(line []byte) error {
	fields, ok := splitCSV(line)
	if !ok || len(fields) == 0 || fields[0] != "type" {
		return d.bad("neither a JSON object nor a header line that begins with type")
	}
	d.columns = d.columns[:0]
	for _, f := range fields {
		at := -1
		for i, n := range columnNames {
			if n == f {
				at = i
			}
		}
		d.columns = append(d.columns, at)
	}
	return nil
}

// splitCSV splits a row (RFC 4180). ok is false when its quotes do not match.
func splitCSV(line []byte) (fields []string, ok bool) {
	var b []byte
	for i := 0; ; {
		b = b[:0]
		if i < len(line) && line[i] == '"' {
			for i++; ; i++ {
				if i >= len(line) {
					return nil, false
				}
				if line[i] == '"' {
					if i+1 >= len(line) || line[i+1] != '"' {
						break
					}
					i++
				}
				b = append(b, line[i])
			}
			i++
			if i < len(line) && line[i] != ',' {
				return nil, false
			}
		} else {
			for ; i < len(line) && line[i] != ','; i++ {
				b = append(b, line[i])
			}
		}
		fields = append(fields, string(b))
		if i >= len(line) {
			return fields, true
		}
		i++ // the comma
	}
}

// unescape undoes what appendEscaped did; what is no escape of ours stays as it is.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b = append(b, s[i])
			continue
		}
		switch s[i+1] {
		case '\\':
			b = append(b, '\\')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'x':
			if i+3 < len(s) {
				if v, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
					b = append(b, byte(v))
					i += 3
					continue
				}
			}
			b = append(b, s[i])
			continue
		default:
			b = append(b, s[i])
			continue
		}
		i++
	}
	return string(b)
}

func (d *Decoder) fromCSV(line []byte, r *Record) error {
	fields, ok := splitCSV(line)
	if !ok {
		return d.bad("quotes do not match")
	}
	for i, f := range fields {
		if i >= len(d.columns) || d.columns[i] < 0 {
			continue
		}
		if !r.column(columnNames[d.columns[i]], f) {
			return d.bad("column " + columnNames[d.columns[i]] + ": " + strconv.Quote(f[:min(len(f), 80)]))
		}
	}
	if r.Kind == 0 {
		return d.bad("no type")
	}
	return nil
}

// column sets what a column says; false: it cannot be read.
func (r *Record) column(name, f string) bool {
	ok := true
	switch name {
	case "type":
		r.Kind, ok = kindOf(f)
	case "timeLogged":
		r.Logged, ok = parseTime(f)
	case "timeQueued":
		r.Queued, ok = parseTime(f)
	case "orig":
		r.Sender = unescape(f)
	case "rcpt":
		r.Recipient = unescape(f)
	case "orcpt":
		r.ORcpt = unescape(f)
	case "dsnAction":
		r.Action = unescape(f)
	case "dsnStatus":
		f, _, _ = strings.Cut(f, " (")
		r.Status = unescape(f)
	case "dsnDiag":
		r.Diag = unescape(f)
	case "dsnMta":
		r.Host, r.Remote = nameAndIP(unescape(f))
	case "bounceCat":
		r.Category = unescape(f)
	case "srcType":
		if r.Protocol = unescape(f); f == "api" {
			r.Protocol = "http"
		}
	case "srcMta":
		r.Helo, r.Client = nameAndIP(unescape(f))
	case "dlvSourceIp":
		r.Local, ok = parseIP(f)
	case "dlvDestinationIp":
		if f != "" {
			r.Remote, ok = parseIP(f)
		}
	case "dlvEsmtpAvailable":
		if f != "" {
			for w := range strings.SplitSeq(f, ",") {
				r.Extensions = append(r.Extensions, unescape(w))
			}
		}
	case "dlvSize":
		if f != "" {
			var err error
			r.Size, err = strconv.ParseInt(f, 10, 64)
			ok = err == nil
		}
	case "vmta":
		r.Binding = unescape(f)
	case "jobId":
		r.Job = unescape(f)
	case "envId":
		r.EnvID = unescape(f)
	case "queue":
		r.Domain, _, _ = strings.Cut(unescape(f), "/")
	case "vmtaPool":
		r.Group = unescape(f)
	}
	return ok
}

// kindOf reads a type by its letters or its word.
func kindOf(s string) (sched.RecordKind, bool) {
	for k := sched.RecordReceived; k <= sched.RecordFeedback; k++ {
		if s == k.String() || s == letters[k] {
			return k, true
		}
	}
	return 0, false
}

func parseIP(s string) (netip.Addr, bool) {
	if s == "" {
		return netip.Addr{}, true
	}
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == ""
}

// nameAndIP undoes appendNameAndIP.
func nameAndIP(s string) (string, netip.Addr) {
	if rest, ok := strings.CutSuffix(s, ")"); ok {
		if at := strings.LastIndexByte(rest, '('); at >= 0 {
			if a, ok := parseIP(rest[at+1:]); ok && a.IsValid() {
				return strings.TrimSuffix(rest[:at], " "), a
			}
		}
	}
	return s, netip.Addr{}
}

// parseTime reads the times of both formats, and seconds since the epoch.
func parseTime(s string) (int64, bool) {
	if s == "" {
		return 0, true
	}
	for _, layout := range []string{"2006-01-02 15:04:05-0700", time.RFC3339Nano} {
		if t, err := time.Parse(layout, s); err == nil {
			return nanos(t)
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false
	}
	return nanos(time.Unix(n, 0))
}

// nanos returns t in ns, and whether it fits.
func nanos(t time.Time) (int64, bool) {
	if y := t.Year(); y < 1970 || y > 2200 {
		return 0, false
	}
	return t.UnixNano(), true
}

// object is the JSON form.
type object struct {
	Type       string   `json:"type"`
	Time       string   `json:"time"`
	Message    string   `json:"message"`
	Sender     string   `json:"sender"`
	Recipient  string   `json:"recipient"`
	ORcpt      string   `json:"orcpt"`
	Queued     string   `json:"queued"`
	Tenant     string   `json:"tenant"`
	Job        string   `json:"job"`
	EnvID      string   `json:"envid"`
	Binding    string   `json:"binding"`
	Group      string   `json:"group"`
	Domain     string   `json:"domain"`
	Attempts   int      `json:"attempts"`
	Action     string   `json:"action"`
	Status     string   `json:"status"`
	Diag       string   `json:"diag"`
	Category   string   `json:"category"`
	Bounce     int      `json:"bounce_class"`
	Cause      string   `json:"class"`
	Reach      string   `json:"scope"`
	Rule       string   `json:"rule"`
	Stage      string   `json:"stage"`
	Host       string   `json:"host"`
	Remote     string   `json:"remote"`
	RemotePort uint16   `json:"remote_port"`
	Local      string   `json:"local"`
	TLS        string   `json:"tls"`
	Started    string   `json:"started"`
	Ended      string   `json:"ended"`
	Extensions []string `json:"extensions"`
	Protocol   string   `json:"protocol"`
	Client     string   `json:"client"`
	Helo       string   `json:"helo"`
	Login      string   `json:"login"`
	Listener   string   `json:"listener"`
	Size       int64    `json:"size"`
	Form       string   `json:"form"`
	Verified   bool     `json:"verified"`
	Feedback   string   `json:"feedback"`
	UserAgent  string   `json:"user_agent"`
	SourceIP   string   `json:"source_ip"`
	MessageID  string   `json:"message_id"`
	From       string   `json:"from"`
}

func (d *Decoder) fromJSON(line []byte, r *Record) error {
	var o object
	if err := json.Unmarshal(line, &o); err != nil {
		return d.bad(err.Error())
	}
	*r = Record{
		Sender: o.Sender, Recipient: o.Recipient, ORcpt: o.ORcpt, Tenant: o.Tenant, Job: o.Job, EnvID: o.EnvID,
		Binding: o.Binding, Group: o.Group, Domain: o.Domain, Attempts: o.Attempts, Action: o.Action, Status: o.Status,
		Diag: o.Diag, Category: o.Category, Bounce: o.Bounce, Cause: o.Cause, Reach: o.Reach, Rule: o.Rule, Stage: o.Stage, Host: o.Host, RemotePort: o.RemotePort, TLS: o.TLS,
		Extensions: append(r.Extensions[:0], o.Extensions...), Protocol: o.Protocol, Helo: o.Helo, Login: o.Login, Listener: o.Listener, Size: o.Size,
	}
	r.Report = Reported{
		Form: o.Form, Verified: o.Verified, Feedback: o.Feedback, UserAgent: o.UserAgent, SourceIP: o.SourceIP,
		MessageID: o.MessageID, From: o.From,
	}
	var known bool
	if r.Kind, known = kindOf(o.Type); !known {
		return d.bad("type " + strconv.Quote(o.Type[:min(len(o.Type), 80)]))
	}
	if o.Message != "" {
		id, err := mail.ParseID(o.Message)
		if err != nil {
			return d.bad(err.Error())
		}
		r.Message = id
	}
	for _, t := range []struct {
		to   *int64
		from string
	}{{&r.Logged, o.Time}, {&r.Queued, o.Queued}, {&r.Started, o.Started}, {&r.Ended, o.Ended}} {
		v, ok := parseTime(t.from)
		if !ok {
			return d.bad("time " + strconv.Quote(t.from[:min(len(t.from), 80)]))
		}
		*t.to = v
	}
	for _, a := range []struct {
		to   *netip.Addr
		from string
	}{{&r.Remote, o.Remote}, {&r.Local, o.Local}, {&r.Client, o.Client}} {
		v, ok := parseIP(a.from)
		if !ok {
			return d.bad("address " + strconv.Quote(a.from[:min(len(a.from), 80)]))
		}
		*a.to = v
	}
	return nil
}
