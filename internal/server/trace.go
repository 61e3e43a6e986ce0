package server

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluice-mta/sluice/internal/admin"
	"github.com/sluice-mta/sluice/internal/deliver"
	"github.com/sluice-mta/sluice/internal/mail"
)

// Trace tells what is said on connections.
func (b backend) Trace(ctx context.Context, f admin.TraceFilter, each func(admin.TraceLine) error) error {
	filter := deliver.TraceFilter{Binding: f.Binding, Body: f.Body}
	var err error
	if f.Domain != "" {
		if filter.Domain, err = routingName(f.Domain); err != nil {
			return fmt.Errorf("%w: domain %q: %w", admin.ErrRefused, f.Domain, err)
		}
	}
	if filter.Host, err = hostOrAddress(f.Host); err != nil {
		return fmt.Errorf("%w: host %q: %w", admin.ErrRefused, f.Host, err)
	}
	if f.Binding != "" && b.policies.snapshot().Bindings[f.Binding] == nil {
		return fmt.Errorf("binding %q: %w: `sluice binding list` shows those there are", f.Binding, admin.ErrNotFound)
	}
	w, err := b.tracer.Watch(filter)
	if err != nil {
		return fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	defer w.Close()
	if err := each(admin.TraceLine{}); err != nil { // it has begun
		return err
	}
	for {
		select {
		case l := <-w.Lines():
			if err := each(traceLine(&l)); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-w.Done():
			return nil
		}
	}
}

// hostOrAddress is the canonical form of a host's name or address.
func hostOrAddress(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().String(), nil
	}
	return mail.CanonicalDomain(s)
}

func traceLine(l *deliver.TraceLine) admin.TraceLine {
	return admin.TraceLine{
		Time: l.Time, Conn: l.Conn, Binding: l.Binding, Domain: l.Domain, Host: l.Host,
		Address: l.Address.String(), Who: l.Who, Text: l.Text, Lost: l.Lost,
	}
}
