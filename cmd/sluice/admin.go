package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/admin/client"
	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
)

// Commands that talk to a running server.

func init() {
	commands = append(commands, reloadCommand, statusCommand, explainCommand, queueCommand, suppressionCommand, bindingCommand, domainCommand, digCommand)
	evalRunning = askRunning
}

// askRunning answers `config eval` from the running server.
func askRunning(g *globals, question []string) (policy.AnswerView, string, error) {
	address, err := g.controlAddress()
	if err != nil {
		return policy.AnswerView{}, "", errNoServer
	}
	a, err := client.New(address).Eval(question)
	if errors.Is(err, client.ErrNoServer) && g.admin == "" {
		return policy.AnswerView{}, "", errNoServer
	}
	return a.AnswerView, a.Text, err
}

// control is what these commands share: where the server is and how to print.
type control struct {
	*globals
	json   bool
	client *client.Client
}

// command builds a command that needs a server.
func (c *control) command(cmd *cobra.Command, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if c.client, err = c.connect(); err != nil {
			return err
		}
		return run(cmd, args)
	}
	return cmd
}

// connect makes a client of the running server.
func (g *globals) connect() (*client.Client, error) {
	address, err := g.controlAddress()
	if err != nil {
		return nil, err
	}
	return client.New(address), nil
}

// controlAddress is --admin, else the first Control_Listener of the configuration.
func (g *globals) controlAddress() (string, error) {
	if g.admin != "" {
		return g.admin, nil
	}
	snap := config.Default()
	if file := g.configFile(); file != "" {
		// The server runs by what it read earlier: a mistake made since must not keep anybody
		// from asking it.
		loader := config.Loader{Check: true, Partial: true}
		var found config.Diagnostics
		if snap, found = loader.Load(file); found.HasErrors() {
			fmt.Fprintf(os.Stderr, "sluice: %s has errors, `sluice config check` names them; asking the server at the control socket that it names\n", file)
		}
	}
	for _, l := range snap.Listeners {
		if l.Kind == policy.ListenControl {
			return l.Address, nil
		}
	}
	return "", fmt.Errorf("the configuration %s has no Control_Listener; --admin names the server's control socket", snap.File)
}
