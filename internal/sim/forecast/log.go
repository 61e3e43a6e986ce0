package forecast

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/account"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/vfs"
)

// logReader makes a load of accounting records.
type logReader struct {
	Load
	bindings, domains, tenants, jobs map[string]uint32

	received []dated // what came in
	other    []dated // what was attempted, for logs that do not tell what came in
	last     mail.ID
	service  []spent // by domain
}

// dated is a message with the wall time at which it came, ns.
type dated struct {
	at int64
	Message
}

type spent struct {
	sum time.Duration
	n   int
}

// FromLog reads the mail of an accounting directory, or of one file of it (CSV or JSON
// lines): when it came, for which domain, from which binding, tenant and job, and its
// size. What was delivered tells the hosts of a domain and how long it takes there.
func FromLog(path string) (*Load, error) {
	l := &logReader{
		Load:     Load{Bindings: []Binding{{}}, Tenants: []string{""}, Jobs: []string{""}},
		bindings: map[string]uint32{}, domains: map[string]uint32{}, tenants: map[string]uint32{"": 0}, jobs: map[string]uint32{"": 0},
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("accounting log: %w", err)
	case info.IsDir():
		err = l.directory(path)
	default:
		err = l.file(path)
	}
	if err != nil {
		return nil, fmt.Errorf("accounting log %s: %w", path, err)
	}
	return l.load(path)
}

func (l *logReader) directory(path string) error {
	for _, format := range []string{"jsonl", "csv"} /* CSV does not tell which recipients one message had */ {
		r := account.NewReader(vfs.OS{}, path, format)
		err := l.all(r.Next)
		r.Close()
		if err != nil || len(l.received)+len(l.other) > 0 {
			return err // both hold the same mail
		}
	}
	return nil
}

func (l *logReader) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	d := account.NewDecoder(f)
	d.Whole = true
	return l.all(d.Decode)
}

func (l *logReader) all(next func(*account.Record) error) error {
	for {
		var r account.Record
		err := next(&r)
		var bad *account.LineError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			l.Passed++
		case err != nil:
			return err
		default:
			l.add(&r)
		}
	}
}

func (l *logReader) add(r *account.Record) {
	if r.Domain == "" {
		_, r.Domain, _ = strings.Cut(r.Recipient, "@")
		r.Domain = strings.ToLower(r.Domain)
	}
	if r.Domain == "" || r.Kind == sched.RecordDeferred {
		return
	}
	d := l.domain(r.Domain)
	if r.Kind == sched.RecordDelivered {
		l.learn(d, r)
	}
	x := dated{at: r.Queued, Message: Message{
		Domain: d, Binding: l.binding(r), Tenant: number(l.tenants, &l.Tenants, r.Tenant), Job: number(l.jobs, &l.Jobs, r.Job),
		Recipients: 1, Size: uint32(min(max(r.Size, 0), 1<<31)),
	}}
	if x.at == 0 {
		x.at = r.Logged
	}
	if r.Kind != sched.RecordReceived {
		l.other = append(l.other, x)
		return
	}
	// The recipients of one message for one domain come one after the other.
	if n := len(l.received); n > 0 && !r.Message.IsZero() && l.last == r.Message &&
		l.received[n-1].Domain == d && l.received[n-1].Binding == x.Binding && l.received[n-1].Recipients < 1<<16-1 {
		l.received[n-1].Recipients++
		return
	}
	l.last = r.Message
	l.received = append(l.received, x)
}

// number finds a name in a list, or adds it.
func number(at map[string]uint32, list *[]string, name string) uint32 {
	n, ok := at[name]
	if !ok {
		n = uint32(len(*list))
		*list = append(*list, strings.Clone(name))
		at[strings.Clone(name)] = n
	}
	return n
}

func (l *logReader) binding(r *account.Record) uint32 {
	if r.Binding == "" {
		return 0
	}
	n, ok := l.bindings[r.Binding]
	if !ok {
		n = uint32(len(l.Bindings))
		l.Bindings = append(l.Bindings, Binding{Name: strings.Clone(r.Binding), Group: strings.Clone(r.Group)})
		l.bindings[l.Bindings[n].Name] = n
	}
	return n
}

func (l *logReader) domain(name string) uint32 {
	n, ok := l.domains[name]
	if !ok {
		n = uint32(len(l.Domains))
		l.Domains = append(l.Domains, Domain{Name: strings.Clone(name)})
		l.domains[l.Domains[n].Name] = n
		l.service = append(l.service, spent{})
	}
	return n
}

// most hosts and addresses kept of a domain.
const mostHosts = 16

// learn notes the host that took mail of a domain, and how long it took.
func (l *logReader) learn(d uint32, r *account.Record) {
	if took := r.Ended - r.Started; r.Started > 0 && took > 0 && took < int64(10*time.Minute) {
		l.service[d].sum += time.Duration(took)
		l.service[d].n++
	}
	x := &l.Domains[d]
	if r.Host == "" || !r.Remote.IsValid() {
		return
	}
	name := strings.ToLower(r.Host)
	i := slices.IndexFunc(x.Hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		if len(x.Hosts) == mostHosts {
			return
		}
		i = len(x.Hosts)
		x.Hosts = append(x.Hosts, Host{Name: strings.Clone(name)})
	}
	if h := &x.Hosts[i]; !slices.Contains(h.Addresses, r.Remote) && len(h.Addresses) < mostHosts {
		h.Addresses = append(h.Addresses, r.Remote)
	}
}

// load puts everything in order of time.
func (l *logReader) load(path string) (*Load, error) {
	all := l.received
	if len(all) == 0 {
		all = l.other
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("accounting log %s: there is no mail in it (lines that are no records: %d)", path, l.Passed)
	}
	slices.SortStableFunc(all, func(a, b dated) int { return cmp.Compare(a.at, b.at) })
	l.Messages = make([]Message, len(all))
	for i := range all {
		l.Messages[i] = all[i].Message
		l.Messages[i].At = time.Duration(all[i].at - all[0].at)
	}
	for i := range l.Domains {
		x := &l.Domains[i]
		if s := l.service[i]; s.n > 0 {
			x.Service = s.sum / time.Duration(s.n)
		}
		if len(x.Hosts) == 0 {
			x.Hosts = []Host{OwnHost(x.Name, i)}
		}
	}
	l.Source = fmt.Sprintf("%d messages to %d domains over %v, from %s", len(all), len(l.Domains), l.Messages[len(all)-1].At.Round(time.Second), path)
	return &l.Load, nil
}
