package mail

import (
	"fmt"
	"strings"
)

// Priority says which of the mail that is ready for one way out goes first.
type Priority uint8

const (
	PriorityNormal Priority = iota
	PriorityHigh
	PriorityLow
)

// Priorities is how many there are.
const Priorities = 3

var priorityNames = [Priorities]string{"normal", "high", "low"}

func (p Priority) String() string {
	if int(p) < len(priorityNames) {
		return priorityNames[p]
	}
	return "unknown"
}

// Rank orders priorities: 0 goes first. What is no priority counts as normal.
func (p Priority) Rank() uint8 {
	switch p {
	case PriorityHigh:
		return 0
	case PriorityLow:
		return 2
	default:
		return 1
	}
}

// ParsePriority reads high, normal or low, in any case; empty is normal.
func ParsePriority(s string) (Priority, error) {
	for p, name := range priorityNames {
		if strings.EqualFold(s, name) {
			return Priority(p), nil
		}
	}
	if s == "" {
		return PriorityNormal, nil
	}
	return PriorityNormal, fmt.Errorf("priority %q: it is high, normal or low", s)
}
