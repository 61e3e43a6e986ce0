package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
)

func init() { commands = append(commands, configCommand) }

// evalRunning asks the running server for an answer to `config eval`; set by the file
// that knows how to reach it. With a nil function, or errNoServer, the configuration
// file is asked instead.
var evalRunning func(g *globals, question []string) (policy.AnswerView, string, error)

// errNoServer says that no server is running where --admin points.
var errNoServer = errors.New("no running server")

func configCommand(g *globals) *cobra.Command {
	c := group("config", "Check, ask, format and explain the configuration")
	c.AddCommand(configCheck(g), configEval(g), configFmt(g), configShow(g), configReference())
	return c
}

// fileOf is the file that a command means: its argument, or the configuration.
func (g *globals) fileOf(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	if f := g.configFile(); f != "" {
		return f, nil
	}
	return "", wrongUse("no configuration given and none found (--config, $SLUICE_CONFIG, ./sluice.conf, /etc/sluice/sluice.conf)")
}

// fileLimit is the hard limit of open files; the server raises its own to it.
func fileLimit() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(l.Max, 1<<30))
}

func configCheck(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "check [FILE]",
		Short:   "Say everything that is wrong with a configuration",
		Example: "  sluice config check sluice.conf",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := g.fileOf(args)
			if err != nil {
				return err
			}
			_, diags := (&config.Loader{Files: fileLimit(), Check: true}).Load(file)
			out := cmd.OutOrStdout()
			if asJSON {
				if err := printJSON(out, append(config.Diagnostics{}, diags...)); err != nil {
					return err
				}
			} else {
				for _, d := range diags {
					fmt.Fprintln(out, printable(d.String()))
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s, %s\n", file, count(diags.Errors(), "error"), count(diags.Warnings(), "warning"))
			}
			if diags.HasErrors() {
				return failed()
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// load reads a configuration for a command; errors and, when asked, warnings go to
// standard error.
func load(cmd *cobra.Command, file string, warnings bool) (*policy.Snapshot, error) {
	snap, diags := (&config.Loader{Check: true}).Load(file)
	for _, d := range diags {
		if !d.Warning || warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), printable(d.String()))
		}
	}
	if snap == nil {
		return nil, failed()
	}
	return snap, nil
}

func configEval(g *globals) *cobra.Command {
	var why, asJSON bool
	c := &cobra.Command{
		Use:   "eval [SCOPE NAME]... OPTION",
		Short: "Print the value that holds for an option",
		Long: "Print the value that holds for an option in a scope: binding_group, binding, domain, host.\n" +
			"A binding implies its group. Without --config the running server is asked.",
		Example: "  sluice config eval --config sluice.conf binding ip-1 domain example.com max_outbound_connections --why",
		Args:    cobra.MinimumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeQuestion(g, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			view, text, err := evaluate(cmd, g, args)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, view)
			}
			line, rest, _ := strings.Cut(text, "\n")
			fmt.Fprintln(out, printable(line))
			if why {
				for l := range strings.Lines(rest) {
					fmt.Fprintln(out, printable(strings.TrimSuffix(l, "\n")))
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&why, "why", false, "also print the stanza, file and line, and the chain that was asked")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// completeQuestion offers what may come next in a question: scopes and options, or the
// names of bindings and groups.
func completeQuestion(g *globals, args []string) []string {
	if len(args)%2 == 0 {
		out := []string{"binding_group", "binding", "domain", "host"}
		for _, o := range policy.Options() {
			if policy.LookupTree(o.Name) == o {
				out = append(out, o.Name)
			}
		}
		return out
	}
	snap, _ := (&config.Loader{Check: true}).Load(g.configFile())
	if snap == nil {
		return nil
	}
	switch st := policy.LookupStanza(args[len(args)-1]); {
	case st != nil && st.Kind == policy.ScopeBinding && !st.Listen:
		return slices.Sorted(maps.Keys(snap.Bindings))
	case st != nil && st.Kind == policy.ScopeGroup:
		return slices.Sorted(maps.Keys(snap.Groups))
	}
	return nil
}

// evaluate returns the answer as JSON shows it, and as text: the line, then why.
func evaluate(cmd *cobra.Command, g *globals, args []string) (policy.AnswerView, string, error) {
	if g.config == "" && evalRunning != nil {
		view, text, err := evalRunning(g, args)
		if err == nil || !errors.Is(err, errNoServer) {
			return view, text, err
		}
	}
	file := g.configFile()
	if file == "" {
		return policy.AnswerView{}, "", wrongUse("no configuration given (--config, $SLUICE_CONFIG, ./sluice.conf, /etc/sluice/sluice.conf), and no running server to ask")
	}
	snap, err := load(cmd, file, false)
	if err != nil {
		return policy.AnswerView{}, "", err
	}
	q, err := snap.ParseQuestion(args)
	if err != nil {
		return policy.AnswerView{}, "", err
	}
	a := snap.Eval(q)
	return a.View(), a.String() + "\n" + a.Why(), nil
}

func configFmt(g *globals) *cobra.Command {
	var write, list bool
	c := &cobra.Command{
		Use:   "fmt [FILE]",
		Short: "Print a configuration file in canonical form, comments kept",
		Example: "  sluice config fmt sluice.conf        # to standard output\n" +
			"  sluice config fmt -w sluice.conf     # in place\n" +
			"  sluice config fmt - < sluice.conf",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := g.fileOf(args)
			if err != nil {
				return err
			}
			return formatFile(cmd, file, write, list)
		},
	}
	c.Flags().BoolVarP(&write, "write", "w", false, "write the result back to the file")
	c.Flags().BoolVarP(&list, "list", "l", false, "print the file's name when it is not in canonical form, exit 1")
	return c
}

func formatFile(cmd *cobra.Command, file string, write, list bool) error {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), config.MaxFileSize+1))
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return fmt.Errorf("format the configuration: %w", err)
	}
	if len(data) > config.MaxFileSize {
		return fmt.Errorf("format %s: larger than %d octets", file, config.MaxFileSize)
	}
	text, diags := config.Format(file, string(data))
	if diags.HasErrors() {
		for _, d := range diags {
			fmt.Fprintln(cmd.ErrOrStderr(), printable(d.String()))
		}
		return failed()
	}
	switch {
	case list && text != string(data):
		fmt.Fprintln(cmd.OutOrStdout(), file)
		return failed()
	case list:
		return nil
	case write && file != "-":
		if text == string(data) {
			return nil
		}
		return config.Replace(file, []byte(text))
	}
	_, err = io.WriteString(cmd.OutOrStdout(), text)
	return err
}

func configShow(g *globals) *cobra.Command {
	var asJSON, all bool
	c := &cobra.Command{
		Use:     "show [FILE]",
		Short:   "Print the effective configuration: includes read in, stanzas merged, canonical names, where each value is set",
		Example: "  sluice config show --all sluice.conf",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			snap := config.Default()
			if file, err := g.fileOf(args); err == nil {
				if snap, err = load(cmd, file, false); err != nil {
					return err
				}
			}
			shown := snap.Show(all)
			if asJSON {
				return printJSON(cmd.OutOrStdout(), shown)
			}
			_, err := io.WriteString(cmd.OutOrStdout(), shown.String())
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&all, "all", false, "with the built-in defaults")
	return c
}

func configReference() *cobra.Command {
	var asJSON, markdown bool
	c := &cobra.Command{
		Use:     "reference [OPTION]...",
		Short:   "Print the option table",
		Example: "  sluice config reference max_outbound_connections\n  sluice config reference --markdown > options.md",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return optionNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			views, err := selected(args)
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(out, views)
			case markdown:
				return config.Reference(out)
			}
			for i, v := range views {
				if i > 0 {
					fmt.Fprintln(out)
				}
				printOption(out, v)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&markdown, "markdown", false, "print the manual's page")
	return c
}

func optionNames() []string {
	var out []string
	for _, o := range policy.Options() {
		out = append(append(out, o.Name), o.Aliases...)
	}
	return out
}

// selected returns the options with the names, or all.
func selected(names []string) ([]config.ReferenceView, error) {
	all := config.ReferenceJSON()
	if len(names) == 0 {
		return all, nil
	}
	out := []config.ReferenceView{}
	for _, n := range names {
		found := policy.Elsewhere(n)
		if len(found) == 0 {
			near := policy.Suggest(n, optionNames())
			if near != "" {
				near = " (did you mean " + near + "?)"
			}
			return nil, fmt.Errorf("unknown option %q%s", n, near)
		}
		for i, o := range policy.Options() {
			if slices.Contains(found, o) {
				out = append(out, all[i])
			}
		}
	}
	return out, nil
}

func printOption(w io.Writer, v config.ReferenceView) {
	fmt.Fprintln(w, v.Name)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-9s %s\n", name, value)
		}
	}
	line("", v.Doc)
	line("aliases", strings.Join(v.Aliases, ", "))
	line("values", v.Values)
	def := "unset"
	if v.Default != nil {
		def = *v.Default
	}
	if v.HostDefault != "" {
		def += "; for a host " + v.HostDefault
	}
	line("default", def)
	line("scopes", strings.Join(v.Scopes, ", "))
	if len(v.Chain) > 0 {
		line("found", strings.Join(append(v.Chain, "default"), " > "))
	}
	if len(v.HostChain) > 0 {
		line("of a host", strings.Join(append(v.HostChain, "default"), " > "))
	}
	if v.ByReference {
		line("counter", "belongs to the stanza that sets it")
	}
	line("later", v.Later)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}
