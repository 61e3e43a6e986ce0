package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/config/dialect"
	"github.com/sluice-mta/sluice/internal/config/dialect/stalwart"
)

func init() { commands = append(commands, importCommand) }

// dialects are the configurations of other servers that can be carried over.
var dialects = map[string]func(path string, data []byte) (dialect.Result, error){
	"stalwart": stalwart.Import,
}

func importCommand(*globals) *cobra.Command {
	known := slices.Sorted(maps.Keys(dialects))
	return &cobra.Command{
		Use:   "import DIALECT FILE",
		Short: "Turn another server's configuration into one of sluice",
		Long: `Turn another server's configuration into one of sluice, on standard output. What has no
counterpart, or means something else here, is named on standard error and in comments of the
result. DIALECT is one of: ` + strings.Join(known, ", ") + `. The result is a beginning: read it,
then let ` + "`sluice config check`" + ` look at it.`,
		Example: "  sluice import stalwart config.toml > sluice.conf",
		Args:    cobra.ExactArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return known, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			read := dialects[strings.ToLower(args[0])]
			if read == nil {
				return wrongUse("import: there is no dialect %q; there are: %s", args[0], strings.Join(known, ", "))
			}
			data, err := readBounded(args[1])
			if err != nil {
				return err
			}
			r, err := read(args[1], data)
			if err != nil {
				return err
			}
			for _, n := range r.Notes {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s:%d:%d: note: %s\n", args[1], n.Line, n.Column, printable(n.Text))
			}
			_, err = io.WriteString(cmd.OutOrStdout(), r.Text)
			return err
		},
	}
}

// readBounded reads a file that is as large as a configuration may be, at most.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, config.MaxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > config.MaxFileSize {
		return nil, fmt.Errorf("read %s: larger than %d octets", path, config.MaxFileSize)
	}
	return data, nil
}
