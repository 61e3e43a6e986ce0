package sink

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

// JSON returns the report as the one object, on one line, that the sink prints.
func (r Report) JSON() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	return append(b, '\n'), nil
}

// openStatus serves the report to any GET on Options.Status.
func (s *Sink) openStatus() error {
	if s.opts.Status == "" {
		return nil
	}
	l, err := net.Listen("tcp", s.opts.Status)
	if err != nil {
		return fmt.Errorf("listen for status on %s: %w", s.opts.Status, err)
	}
	s.statusAt = l.Addr().String()
	s.status = &http.Server{
		Handler: http.HandlerFunc(s.serveStatus), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	s.running.Go(func() {
		if err := s.status.Serve(l); err != http.ErrServerClosed {
			s.note(fmt.Errorf("serve status on %s: %w", s.statusAt, err))
		}
	})
	return nil
}

func (s *Sink) serveStatus(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	b, err := s.Report().JSON()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b) // a client that left needs no answer
}
