package tlspolicy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// Times and bounds of reports.
const (
	maxTallies    = 10_000             // days of domains
	maxHosts      = 64                 // of one domain
	reportSpread  = int64(4 * 60 * 60) // seconds after midnight in which reports go (RFC 8460 §4.1: not all at once)
	reportRetry   = time.Hour
	reportExpiry  = 24 * time.Hour // of trying
	reportTimeout = time.Minute    // of one HTTPS exchange
	keepEvery     = 5 * time.Minute
	rptKey        = "tls-rpt\x00"
	dayForm       = "2006-01-02"
)

// ReporterConfig is what a Reporter works with.
type ReporterConfig struct {
	Store    Store
	Now      func() time.Time // wall clock
	Log      *slog.Logger
	Hostname func() string
	Who      func() policy.TLSReports
	// Mail hands a report to the server's own queue.
	Mail func(from string, to mail.Address, content []byte) error
	// Barred are networks that are not connected to.
	Barred func() []netip.Prefix
}

// Reporter counts how TLS went and tells those domains that asked (RFC 8460). Safe for
// concurrent use.
type Reporter struct {
	cfg    ReporterConfig
	engine *Engine
	wait   sync.WaitGroup

	mu      sync.Mutex
	applied map[string]map[string]Applied // by domain and host, of those that want reports
	tallies map[dayOf]*tally
	pauses  map[dayOf]time.Time // not sent before
	full    bool                // told so
}

// dayOf is a day of a domain.
type dayOf struct{ day, domain string }

func (d dayOf) key() string { return rptKey + d.day + "\x00" + d.domain }

// newReporter knows what the store has of before.
func newReporter(cfg ReporterConfig, e *Engine) *Reporter {
	r := &Reporter{
		cfg: cfg, engine: e,
		applied: map[string]map[string]Applied{}, tallies: map[dayOf]*tally{}, pauses: map[dayOf]time.Time{},
	}
	for _, key := range cfg.Store.Keys(rptKey) {
		day, domain, _ := strings.Cut(strings.TrimPrefix(key, rptKey), "\x00")
		b, _ := cfg.Store.Get(key)
		t := &tally{}
		if err := json.Unmarshal(b, t); err != nil {
			cfg.Log.Warn("the counts of a TLS report cannot be read and are left out", "domain", domain, "day", day, "error", err)
			continue
		}
		r.tallies[dayOf{day, domain}] = t
	}
	return r
}

// apply notes what holds for a domain's host; a policy that could not be applied counts
// as a failure.
func (r *Reporter) apply(a Applied) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hosts := r.applied[a.Domain]
	switch {
	case hosts == nil && len(r.applied) >= maxTallies:
		r.applied = map[string]map[string]Applied{} // begun anew: each domain is asked about again before mail goes
		fallthrough
	case hosts == nil, len(hosts) >= maxHosts:
		hosts = map[string]Applied{}
		r.applied[a.Domain] = hosts
	}
	hosts[a.Host] = a
	if a.Failure != "" {
		if t := r.today(a.Domain); t != nil {
			t.count(&a, netip.Addr{}, netip.Addr{}, a.Failure, a.Reason)
		}
	}
}

// Tests reports whether a policy is tested for a domain's host: then certificates are looked
// at and not insisted on.
func (r *Reporter) Tests(domain, host string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied[domain][host].Testing
}

// Session counts how the encryption of one connection went; empty result: well.
func (r *Reporter) Session(domain, host string, local, remote netip.Addr, result Result, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.applied[domain][host]
	if !ok {
		return
	}
	if t := r.today(domain); t != nil {
		t.count(&a, local, remote, result, reason)
	}
}

// today is the tally of a domain's present day; nil: there are too many. Called under the
// lock.
func (r *Reporter) today(domain string) *tally {
	d := dayOf{r.cfg.Now().UTC().Format(dayForm), domain}
	t := r.tallies[d]
	if t == nil && len(r.tallies) >= maxTallies {
		if !r.full {
			r.full = true
			r.cfg.Log.Warn("TLS reports: more domains than can be counted want them; some will get none", "most", maxTallies)
		}
		return nil
	}
	if t == nil {
		t = &tally{}
		r.tallies[d] = t
	}
	return t
}

// start sends reports in time and keeps the counts, until ctx ends.
func (r *Reporter) start(ctx context.Context) {
	r.wait.Go(func() {
		tick, keep := time.NewTicker(time.Minute), time.NewTicker(keepEvery)
		defer tick.Stop()
		defer keep.Stop()
		for {
			select {
			case <-ctx.Done():
				r.keep()
				return
			case <-keep.C:
				r.keep()
			case <-tick.C:
				r.send(ctx)
			}
		}
	})
}

// keep writes down the counts that have changed.
func (r *Reporter) keep() {
	changed := map[dayOf][]byte{}
	r.mu.Lock()
	for d, t := range r.tallies { // each is written by itself
		if t.dirty {
			b, err := json.Marshal(t)
			if err == nil {
				changed[d], t.dirty = b, false
			}
		}
	}
	r.mu.Unlock()
	for d, b := range changed {
		if err := r.cfg.Store.Put(d.key(), b); err != nil {
			r.cfg.Log.Warn("counts of a TLS report will not be known after a restart", "domain", d.domain, "error", err)
			return // the next ones would fail alike
		}
	}
}

// send sends the reports of days that are over and whose time has come.
func (r *Reporter) send(ctx context.Context) {
	now := r.cfg.Now().UTC()
	for _, d := range r.due(now) {
		if ctx.Err() != nil {
			return
		}
		err := r.sendOne(ctx, d, now)
		day, _ := time.Parse(dayForm, d.day)
		over := now.Sub(day) > 24*time.Hour+time.Duration(reportSpread)*time.Second+reportExpiry
		r.mu.Lock()
		if err != nil && !over {
			r.pauses[d] = now.Add(reportRetry)
		} else {
			delete(r.tallies, d)
			delete(r.pauses, d)
		}
		r.mu.Unlock()
		if err != nil {
			r.cfg.Log.Warn("a TLS report cannot be sent", "domain", d.domain, "day", d.day, "given_up", over, "error", err)
		}
		if err == nil || over {
			if err := r.cfg.Store.Delete(d.key()); err != nil {
				r.cfg.Log.Warn("counts of a TLS report that was sent stay in the state: it may be sent again after a restart", "domain", d.domain, "error", err)
			}
		}
	}
}

// due lists the days that are to be reported on, oldest first. The time of each domain's
// report is its own.
func (r *Reporter) due(now time.Time) []dayOf {
	today := now.Format(dayForm)
	since := int64(now.Sub(now.Truncate(24*time.Hour)) / time.Second)
	yesterday := now.Add(-24 * time.Hour).Format(dayForm)
	var out []dayOf
	r.mu.Lock()
	defer r.mu.Unlock()
	for d := range r.tallies { // sorted below
		h := fnv.New64a()
		_, _ = h.Write([]byte(d.domain)) // never fails
		if d.day < today && (d.day < yesterday || since >= int64(h.Sum64()%uint64(reportSpread))) && !r.pauses[d].After(now) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b dayOf) int { return strings.Compare(a.key(), b.key()) })
	return out
}

// sendOne sends one report to all places that the domain names. It is sent when one of
// them has it; when the domain names none any more, too.
func (r *Reporter) sendOne(ctx context.Context, d dayOf, now time.Time) error {
	a, err := r.engine.cfg.Resolver().Lookup(ctx, rptName(d.domain), dns.TypeTXT)
	if err != nil {
		return err
	}
	to := parseTargets(a.Text)
	if to.none() {
		return nil
	}
	day, err := time.Parse(dayForm, d.day)
	if err != nil {
		return nil // not a day that we wrote
	}
	who := r.cfg.Who()
	r.mu.Lock()
	rep := newReport(day, d.domain, r.cfg.Hostname(), who, r.tallies[d])
	r.mu.Unlock()
	packed, err := rep.packed()
	if err != nil {
		return err
	}
	var failed []error
	sent := 0
	for _, m := range to.mail {
		failed = append(failed, r.cfg.Mail(who.From, m, rep.message(who.From, m, now, packed)))
	}
	for _, u := range to.web {
		failed = append(failed, r.post(ctx, u, packed))
	}
	for _, err := range failed {
		if err == nil {
			sent++
		}
	}
	if sent > 0 {
		r.cfg.Log.Info("TLS report sent", "domain", d.domain, "day", d.day, "places", sent)
		return nil
	}
	return errors.Join(failed...)
}

func rptName(domain string) string { return "_smtp._tls." + domain }

// post hands a report in by HTTPS (RFC 8460 §5.4).
func (r *Reporter) post(ctx context.Context, place string, packed []byte) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, place, bytes.NewReader(packed))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/tlsrpt+gzip")
	client := r.engine.web(r.cfg.Barred()).client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("post to %s: %w", place, plain(err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // what it says does not matter
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("post to %s: status %d", place, resp.StatusCode)
	}
	return nil
}
