package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/admin/client"
)

// Commands that talk to a running server.

func serverCommands() []*cobra.Command {
	return []*cobra.Command{reloadCommand(), explainCommand(), queueCommand(), bindingCommand(), domainCommand(), statusCommand()}
}

// control is what these commands share: where the server is and how to print.
type control struct {
	admin  string
	json   bool
	client *client.Client
}

// command builds a command that needs a server.
func (c *control) command(cmd *cobra.Command, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	cmd.Flags().StringVar(&c.admin, "admin", "", "control socket (unix:PATH) or address (default: that of the configuration)")
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if c.admin == "" {
			address, err := controlAddress(configFile(cmd))
			if err != nil {
				return err
			}
			c.admin = address
		}
		c.client = client.New(c.admin)
		return run(cmd, args)
	}
	return cmd
}

func (c *control) print(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
