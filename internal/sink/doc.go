// Package sink is a real SMTP receiver that enforces limits as providers do, counts
// for itself, and reports each violation. It is the referee in tests: nothing of it
// is shared with the limit engine.
package sink
