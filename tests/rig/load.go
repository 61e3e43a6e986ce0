package rig

import (
	"fmt"
	"testing"
	"time"
)

// Load runs `sluice load` to its end: messages to rcpt, through binding when one is named.
// Every one must be accepted.
func Load(t testing.TB, to string, messages int, rcpt, binding string) {
	t.Helper()
	argv := []string{Sluice(t), "load", "--to", to, "--sessions", "10", "--messages", fmt.Sprint(messages), "--size", "1024", "--rcpt", rcpt}
	if binding != "" {
		argv = append(argv, "--header", "X-Binding: "+binding)
	}
	if out, status := Run(t, 3*time.Minute, argv...); status != 0 {
		t.Fatalf("sluice load ended with status %d: %s", status, Tail(out, 1000))
	}
}
