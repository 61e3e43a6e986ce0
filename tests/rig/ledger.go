package rig

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Received counts every message that the sink wrote into its ledger, by its id.
func (s *Sink) Received(t testing.TB) map[string]int {
	t.Helper()
	b, err := os.ReadFile(s.ledger)
	if os.IsNotExist(err) {
		return map[string]int{}
	}
	if err != nil {
		t.Fatalf("ledger of the sink: %v", err)
	}
	ids := map[string]int{}
	for line := range strings.Lines(string(b)) {
		ids[strings.Trim(line, "<> \t\r\n")]++
	}
	return ids
}

// Audit compares what a client was promised with what a receiver has.
type Audit struct {
	Accepted int // messages answered 250
	Lost     int // of these, not at the receiver
	Repeated int // deliveries beyond the first
	Unknown  int // at the receiver, though the client never heard 250
	example  string
}

// Compare audits accepted ids against received counts. An id that the client sent without
// hearing an answer may arrive or not.
func Compare(accepted []string, received map[string]int) Audit {
	a := Audit{Accepted: len(accepted)}
	promised := map[string]bool{}
	for _, id := range accepted {
		promised[id] = true
		if received[id] == 0 {
			a.Lost++
			a.example = id
		}
	}
	for id, n := range received {
		a.Repeated += n - 1
		if !promised[id] {
			a.Unknown++
		}
	}
	return a
}

func (a Audit) String() string {
	s := fmt.Sprintf("accepted %d, lost %d, delivered again %d, delivered though unanswered %d", a.Accepted, a.Lost, a.Repeated, a.Unknown)
	if a.example != "" {
		s += ", lost for example " + a.example
	}
	return s
}
