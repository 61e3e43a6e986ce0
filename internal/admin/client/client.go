// Package client speaks the control API for the commands that talk to a running
// server.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// ErrNoServer: nobody answers at the address.
var ErrNoServer = errors.New("no server answers")

// maxAnswer bounds one answer, in octets: a page of queues is below 1 MB.
const maxAnswer = 64 << 20

// Client asks one server. Safe for concurrent use.
type Client struct {
	address string
	base    string
	http    http.Client
}

// New returns a client of the server at address: "unix:PATH" or "host:port".
func New(address string) *Client {
	c := &Client{address: address, base: "http://" + address}
	c.http.Timeout = time.Minute
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		c.base = "http://" + admin.SocketHost
		var d net.Dialer
		c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		}}
	}
	return c
}

// Status is the server at a glance.
func (c *Client) Status() (admin.Status, error) { return get[admin.Status](c, "/v1/status", nil) }

// Queues lists the queues, page by page, n at most; 0: all.
func (c *Client) Queues(n int, each func(sched.QueueView) error) (more bool, err error) {
	after := ""
	for left := n; ; {
		q := url.Values{"after": {after}}
		if n > 0 {
			q.Set("limit", strconv.Itoa(min(left, pageRows)))
		}
		p, err := get[admin.QueuePage](c, "/v1/queues", q)
		if err != nil {
			return false, err
		}
		for _, q := range p.Queues {
			if err := each(q); err != nil {
				return false, err
			}
		}
		after = p.Next
		if left -= len(p.Queues); after == "" || n > 0 && left <= 0 {
			return after != "", nil
		}
	}
}

// pageRows is the most queues that one answer holds.
const pageRows = 1000

// TopQueues lists the n queues (at most 1000) with most of what order names: mail, ready,
// queued, connections, oldest or waiting.
func (c *Client) TopQueues(order string, n int) ([]sched.QueueView, error) {
	p, err := get[admin.QueuePage](c, "/v1/queues", url.Values{"sort": {order}, "limit": {strconv.Itoa(min(n, pageRows))}})
	return p.Queues, err
}

// Top looks at what moves and what waits: n rows (at most 100) of each list, queues in the
// order of TopQueues.
func (c *Client) Top(order string, n int) (admin.Top, error) {
	return get[admin.Top](c, "/v1/top", url.Values{"sort": {order}, "limit": {strconv.Itoa(n)}})
}

// Explain says why a queue, the queues of a domain or binding, what waits for a host or a
// counter, or the parts of a message do not move.
func (c *Client) Explain(subject string) (sched.Explained, error) {
	return get[sched.Explained](c, "/v1/explain", url.Values{"of": {subject}})
}

// Bindings lists the bindings.
func (c *Client) Bindings() ([]sched.BindingView, error) {
	return get[[]sched.BindingView](c, "/v1/bindings", nil)
}

// Binding shows one binding with its domains.
func (c *Client) Binding(name string) (sched.BindingView, error) {
	return get[sched.BindingView](c, "/v1/bindings/"+url.PathEscape(name), nil)
}

// Domain shows a domain's hosts and connections.
func (c *Client) Domain(name string) (admin.Domain, error) {
	return get[admin.Domain](c, "/v1/domains/"+url.PathEscape(name), nil)
}

// Dig looks up a domain's records through the server's resolver.
func (c *Client) Dig(name string) (admin.Dig, error) {
	return get[admin.Dig](c, "/v1/dig/"+url.PathEscape(name), nil)
}

// Message shows a message in the spool.
func (c *Client) Message(id string) (admin.Message, error) {
	return get[admin.Message](c, "/v1/messages/"+url.PathEscape(id), nil)
}

// Eval evaluates an option of the running configuration.
func (c *Client) Eval(words []string) (admin.Answer, error) {
	return get[admin.Answer](c, "/v1/config/eval", url.Values{"word": words})
}

// Reload makes the server read its configuration again.
func (c *Client) Reload() (admin.Reloaded, error) {
	return post[admin.Reloaded](c, "/v1/reload", nil)
}

// Suspensions lists the orders to deliver nothing that stand.
func (c *Client) Suspensions() ([]admin.Suspension, error) {
	return get[[]admin.Suspension](c, "/v1/suspensions", nil)
}

// Plan asks what a reload with the configuration would change.
func (c *Client) Plan(next policy.ShownScope) (admin.Plan, error) {
	return post[admin.Plan](c, "/v1/plan", next)
}

// Operate carries out an operator's verb.
func (c *Client) Operate(op admin.Operation) (admin.Operated, error) {
	return post[admin.Operated](c, "/v1/queues", op)
}

// Suppressed lists what was added to the suppression list, a page after an entry.
func (c *Client) Suppressed(after string, n int) (admin.SuppressedPage, error) {
	return get[admin.SuppressedPage](c, "/v1/suppression", url.Values{"after": {after}, "limit": {strconv.Itoa(n)}})
}

// Suppress changes the suppression list, or looks something up in it.
func (c *Client) Suppress(op admin.Suppression) (admin.SuppressionDone, error) {
	return post[admin.SuppressionDone](c, "/v1/suppression", op)
}

func get[T any](c *Client, path string, query url.Values) (T, error) {
	u := c.base + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequest(http.MethodGet, u, nil)
	if err != nil {
		var zero T
		return zero, err
	}
	return do[T](c, req)
}

func post[T any](c *Client, path string, body any) (T, error) {
	var zero T
	b, err := json.Marshal(body)
	if err != nil {
		return zero, err
	}
	req, err := http.NewRequest(http.MethodPost, c.base+path, bytes.NewReader(b))
	if err != nil {
		return zero, err
	}
	req.Header.Set("Content-Type", "application/json")
	return do[T](c, req)
}

func do[T any](c *Client, req *http.Request) (T, error) {
	var out T
	res, err := c.http.Do(req)
	if err != nil {
		return out, fmt.Errorf("ask the server at %s: %w: %w (is it running? --admin names its control socket)", c.address, ErrNoServer, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return out, fmt.Errorf("read the answer of %s: %w", c.address, err)
	}
	if res.StatusCode != http.StatusOK {
		var p admin.Problem
		if json.Unmarshal(b, &p) == nil && p.Detail != "" {
			return out, fmt.Errorf("%s", p.Detail)
		}
		return out, fmt.Errorf("ask the server at %s: %s: %.200s", c.address, res.Status, b)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("read the answer of %s: %w", c.address, err)
	}
	return out, nil
}
