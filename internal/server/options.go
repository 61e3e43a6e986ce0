package server

import (
	"log/slog"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched/live"
	"github.com/sluice-mta/sluice/internal/sink"
)

// Options is what a Server starts with.
type Options struct {
	Version  string
	Snapshot *policy.Snapshot
	// Load reads the configuration again for a reload, with its warnings; nil: the server
	// has no file and cannot reload.
	Load func() (*policy.Snapshot, []string, error)
	// Sandbox, when set, is the built-in receiver that takes all mail; nothing else is
	// connected to.
	Sandbox *sink.Options
	Clock   live.Clock // zero: the machine's
	Log     *slog.Logger
}
