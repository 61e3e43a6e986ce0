package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/server"
	"github.com/sluice-mta/sluice/internal/sink"
)

func init() { commands = append(commands, serveCommand) }

func serveCommand(g *globals) *cobra.Command {
	var sandbox bool
	var format string
	cmd := &cobra.Command{
		Use: "serve", Args: cobra.NoArgs,
		Short: "Run the server",
		Long: `Run the server in the foreground. Without a configuration it takes mail on
127.0.0.1:2525, is controlled on 127.0.0.1:8025, and keeps its spool below the
working directory. SIGTERM and SIGINT drain and stop it, SIGHUP reloads the
configuration. A sandbox keeps its spool and accounting beside the configured ones,
in directories whose names end in -sandbox.`,
		Example: "  sluice serve --config sluice.conf\n  sluice serve --sandbox",
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(format, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return serve(g, sandbox, log, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&sandbox, "sandbox", false, "deliver everything to a built-in receiver that behaves as providers do; nothing leaves the machine")
	cmd.Flags().StringVar(&format, "log", "text", "format of the log on standard error: text or json")
	return cmd
}

func logger(format string, w io.Writer) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	}
	return nil, wrongUse("--log is text or json, not %q", format)
}

// serve runs the server until a signal ends it or a listener fails.
func serve(g *globals, sandbox bool, log *slog.Logger, out io.Writer) error {
	opts := server.Options{Version: versionText(), Log: log, Snapshot: config.Default()}
	if file := g.configFile(); file != "" {
		opts.Load = func() (*policy.Snapshot, []string, error) {
			snap, warnings, err := loadConfig(file)
			if sandbox && err == nil {
				apart(snap)
			}
			return snap, warnings, err
		}
		snap, warnings, err := opts.Load()
		if err != nil {
			return err // it names the file in every line
		}
		for _, w := range warnings {
			log.Warn(w)
		}
		opts.Snapshot = snap
	}
	if sandbox {
		if opts.Load == nil {
			apart(opts.Snapshot)
		}
		o := sink.SandboxOptions()
		o.Status = "127.0.0.1:0"
		opts.Sandbox = &o
	}
	// Signals first: one that comes while the spool is being recovered is not lost.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	server.TuneCollector()
	s, err := server.Start(opts)
	if err != nil {
		return err
	}
	announce(out, s, opts.Snapshot, sandbox)
	return attend(s, signals, log)
}

// apart gives a sandbox directories of its own: real mail in the configured spool must not
// go to the built-in receiver, nor the sandbox's mail into the world at the next start.
func apart(s *policy.Snapshot) {
	s.Spool.Directory += "-sandbox"
	s.Account.Directory += "-sandbox"
}

// loadConfig reads a configuration with its warnings as texts.
func loadConfig(file string) (*policy.Snapshot, []string, error) {
	snap, found := config.Load(file)
	if snap == nil {
		return nil, nil, found.Err()
	}
	var warnings []string
	for _, d := range found {
		warnings = append(warnings, d.String())
	}
	return snap, warnings, nil
}

// announce says where the server is to be found.
func announce(w io.Writer, s *server.Server, snap *policy.Snapshot, sandbox bool) {
	fmt.Fprintf(w, "sluice is running as %s\n", snap.Hostname)
	fmt.Fprintf(w, "  SMTP        %s\n", strings.Join(s.Addresses(policy.ListenESMTP), ", "))
	fmt.Fprintf(w, "  control     %s\n", strings.Join(s.Addresses(policy.ListenControl), ", "))
	fmt.Fprintf(w, "  spool       %s\n", snap.Spool.Directory)
	fmt.Fprintf(w, "  accounting  %s\n", snap.Account.Directory)
	if sandbox {
		fmt.Fprintln(w, "  sandbox     every domain's mail goes to a built-in receiver; nothing leaves this machine")
		fmt.Fprintf(w, "  receiver    http://%s says what it has seen\n", s.SandboxStatus())
	}
}

// attend waits for signals until one ends the server.
func attend(s *server.Server, signals <-chan os.Signal, log *slog.Logger) error {
	for {
		select {
		case err := <-s.Done():
			return errors.Join(err, s.Stop())
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				log.Info("stopping; a second signal cuts what is on its way", "signal", sig.String())
				go func() {
					for sig := range signals {
						if sig != syscall.SIGHUP {
							s.Hurry()
						}
					}
				}()
				return s.Stop()
			}
			warnings, err := s.Reload()
			for _, w := range warnings {
				log.Warn(w)
			}
			if err != nil {
				log.Error("reload", "error", err)
			}
		}
	}
}
