// Command sluice is an outbound mail server: flags and subcommands, nothing else.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// commands are the subcommands; each file adds its own in an init function.
var commands []func(*globals) *cobra.Command

// globals are the flags that every command takes.
type globals struct {
	config string // --config
	admin  string // --admin
}

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// exitError ends the program with a status of its own. With a nil err nothing more is
// printed: the command has said what there is to say.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// failed ends the program with status 1 after a command has printed why itself.
func failed() error { return &exitError{status: exitFailed} }

// wrongUse says that a command was called wrongly: exit status 2.
func wrongUse(format string, args ...any) error {
	return &exitError{status: exitUsage, err: fmt.Errorf(format, args...)}
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes a command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	ran := false
	root := newRoot(&ran)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return exitDone
	}
	return report(err, ran, stderr)
}

// newRoot builds the tree of commands. ran is set when flags and arguments have been
// found right.
func newRoot(ran *bool) *cobra.Command {
	g := &globals{}
	cobra.EnableTraverseRunHooks = true // a command's own hooks do not replace ours
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "An outbound mail server whose connection limits are never exceeded",
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
		// Runs after flags and arguments have been checked: what fails before is wrong use.
		PersistentPreRun: func(*cobra.Command, []string) { *ran = true },
	}
	root.PersistentFlags().StringVar(&g.config, "config", "", "configuration file (default: $SLUICE_CONFIG, ./sluice.conf, /etc/sluice/sluice.conf)")
	root.PersistentFlags().StringVar(&g.admin, "admin", "", "address of the running server's control (default: the configuration's Control_Listener)")
	root.SetVersionTemplate("sluice {{.Version}}\n")
	for _, c := range commands {
		root.AddCommand(c(g))
	}
	return root
}

// report prints an error and returns its exit status. ran says that the command itself
// failed, not the reading of its flags and arguments.
func report(err error, ran bool, stderr io.Writer) int {
	status := exitUsage
	if ran {
		status = exitFailed
	}
	var exit *exitError
	if errors.As(err, &exit) {
		status = exit.status
		if exit.err == nil {
			return status
		}
	}
	fmt.Fprintln(stderr, "sluice:", err)
	if status == exitUsage {
		fmt.Fprintln(stderr, "Run the command with --help to see how it is used.")
	}
	return status
}

// group is a command that only has subcommands: alone it shows its help, and a
// subcommand that there is none of is wrong use.
func group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// configFile finds the configuration: --config, $SLUICE_CONFIG, ./sluice.conf,
// /etc/sluice/sluice.conf; empty when there is none.
func (g *globals) configFile() string {
	if g.config != "" {
		return g.config
	}
	if f := os.Getenv("SLUICE_CONFIG"); f != "" {
		return f
	}
	for _, f := range []string{"sluice.conf", "/etc/sluice/sluice.conf"} {
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	return ""
}

// version is set by the build; otherwise the commit is asked for.
var version string

func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += " " + s.Value[:12]
			}
		}
	}
	return v
}
