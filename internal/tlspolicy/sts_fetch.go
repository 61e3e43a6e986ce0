package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
)

// Lookup is what this room asks of a dns.Resolver.
type Lookup interface {
	Lookup(ctx context.Context, name string, t dns.Type) (dns.Answer, error)
}

// maxTried bounds the addresses of a server that are tried.
const maxTried = 4

// web speaks HTTPS with servers that other people name: to the addresses that our own
// resolver gives and that mail could go to, too; no redirects, no proxies, no cookies.
type web struct {
	lookup Lookup
	roots  *x509.CertPool // nil: those of the system
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	// barred are networks that are not connected to.
	barred []netip.Prefix
}

// client returns a client for one exchange, which ends with ctx.
func (w web) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            w.connect,
			TLSClientConfig:        &tls.Config{RootCAs: w.roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// connect dials the addresses of a host in turn.
func (w web) connect(ctx context.Context, _, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	addrs, err := w.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	for i, a := range addrs {
		// A silent address leaves time for the others.
		share, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok {
			share, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(addrs)-i))
		}
		conn, err = w.dial(share, "tcp", net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (w web) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil, fmt.Errorf("%s is an address in the place of a name", host)
	}
	var out []netip.Addr
	var failed error
	for _, t := range [...]dns.Type{dns.TypeA, dns.TypeAAAA} {
		a, err := w.lookup.Lookup(ctx, host, t)
		if err != nil {
			failed = err
		}
		out = append(out, a.Addresses...)
	}
	found := len(out)
	out = slices.DeleteFunc(out, func(a netip.Addr) bool {
		return a.IsMulticast() || slices.ContainsFunc(w.barred, func(p netip.Prefix) bool { return p.Contains(a) })
	})
	switch {
	case len(out) > 0:
		return out[:min(len(out), maxTried)], nil
	case found > 0:
		return nil, fmt.Errorf("%s has no address but such as are in prohibited_hosts", host)
	case failed != nil:
		return nil, failed
	}
	return nil, fmt.Errorf("%s has no address", host)
}

// fetchPolicy gets the text of a domain's policy (RFC 8461 §3.3).
func (w web) fetchPolicy(ctx context.Context, domain string, port uint16) (string, error) {
	host := "mta-sts." + domain
	if port != 0 && port != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	place := "https://" + host + "/.well-known/mta-sts.txt"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return "", err
	}
	client := w.client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("get %s: %w", place, plain(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: status %d, and only 200 will do", place, resp.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return "", fmt.Errorf("get %s: it is %q, not text/plain", place, brief(resp.Header.Get("Content-Type")))
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxPolicy+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("get %s: %w", place, plain(err))
	case len(text) > maxPolicy:
		return "", fmt.Errorf("get %s: longer than %d octets", place, maxPolicy)
	}
	return string(text), nil
}

// plain leaves out what http puts around an error.
func plain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
