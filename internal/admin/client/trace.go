package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/sluice-mta/sluice/internal/admin"
)

// maxTraceLine bounds one line of a trace, in octets.
const maxTraceLine = 64 << 10

// Trace calls each with every line until the context ends, the server stops, or it returns
// an error. begun is called when the server has begun to tell.
func (c *Client) Trace(ctx context.Context, f admin.TraceFilter, begun func(), each func(admin.TraceLine) error) error {
	q := url.Values{}
	for k, v := range map[string]string{"domain": f.Domain, "binding": f.Binding, "host": f.Host} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if f.Body {
		q.Set("body", "1")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/trace?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	h := http.Client{Transport: c.http.Transport} // without the time-out: it lasts as long as is wanted
	res, err := h.Do(req)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("ask the server at %s: %w: %w (is it running? --admin names its control socket)", c.address, ErrNoServer, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(res.Body, maxTraceLine))
		var p admin.Problem
		if json.Unmarshal(b, &p) == nil && p.Detail != "" {
			return fmt.Errorf("%s", p.Detail)
		}
		return fmt.Errorf("ask the server at %s: %s: %.200s", c.address, res.Status, b)
	}
	begun()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxTraceLine)
	for lines.Scan() {
		var l admin.TraceLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("read the trace of %s: %w", c.address, err)
		}
		if err := each(l); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("read the trace of %s: %w", c.address, err)
	}
	return nil
}
