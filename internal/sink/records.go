package sink

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// keep writes what the options ask to be written about an accepted message, before
// its 250 leaves: ledger, then dump. An error is kept for Close.
func (s *Sink) keep(from *session, tx *transaction) error {
	err := s.ledger.add(tx.content.id)
	if err == nil {
		err = s.dump.add(from, tx)
	}
	s.note(err)
	return err
}

// ledger is a file with the id of each accepted message, one on a line. Each line is
// one write(2) to a file opened for appending: it is there when the sink is killed.
// The zero and nil ledgers write nothing.
type ledger struct{ file *os.File }

func openLedger(name string) (*ledger, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return &ledger{f}, nil
}

func (l *ledger) add(id string) error {
	if l == nil {
		return nil
	}
	if _, err := l.file.WriteString(oneLine(id) + "\n"); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return nil
}

func (l *ledger) close() error {
	if l == nil {
		return nil
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}

// oneLine keeps remote text from forging lines.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// dump keeps the first messages as files: N.eml is the content as it came, without
// dot-stuffing, N.json its envelope. The nil dump keeps nothing.
type dump struct {
	dir  string
	max  int64
	next atomic.Int64
}

func openDump(dir string, limit int) (*dump, error) {
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make dump directory: %w", err)
	}
	return &dump{dir: dir, max: int64(limit)}, nil
}

func (d *dump) wants() bool { return d != nil && d.next.Load() < d.max }

// dumped is the envelope beside a dumped message.
type dumped struct {
	From       string   `json:"from"`
	Recipients []string `json:"recipients"`
	Source     string   `json:"source"`
	Listener   string   `json:"listener"`
	ID         string   `json:"id"`
	TLS        bool     `json:"tls"`
}

func (d *dump) add(from *session, tx *transaction) error {
	if d == nil || tx.content.kept == nil {
		return nil
	}
	n := d.next.Add(1)
	if n > d.max {
		return nil
	}
	envelope, err := json.Marshal(dumped{
		From: tx.from, Recipients: tx.rcpts, Source: from.sock.remote.Addr().String(),
		Listener: from.sock.listener, ID: tx.content.id, TLS: from.tls != nil,
	})
	if err != nil {
		return fmt.Errorf("dump message %d: %w", n, err)
	}
	base := filepath.Join(d.dir, strconv.FormatInt(n, 10))
	if err := os.WriteFile(base+".eml", tx.content.kept.Bytes(), 0o644); err != nil {
		return fmt.Errorf("dump message %d: %w", n, err)
	}
	if err := os.WriteFile(base+".json", append(envelope, '\n'), 0o644); err != nil {
		return fmt.Errorf("dump message %d: %w", n, err)
	}
	return nil
}
