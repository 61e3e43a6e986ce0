package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sluice-mta/sluice/internal/admin/client"
)

func init() { commands = append(commands, consoleCommand) }

// maxLine bounds a line of the console, in octets.
const maxLine = 64 << 10

// lastLookups is how long the end of a console waits for lookups that it has begun.
const lastLookups = time.Second

// outside are the commands that are no questions to a running server.
var outside = map[string]bool{"serve": true, "console": true, "top": true, "sink": true, "load": true, "completion": true}

func consoleCommand(g *globals) *cobra.Command {
	var echo bool
	cmd := &cobra.Command{
		Use: "console", Args: cobra.NoArgs,
		Short: "Talk to the running server in an interactive session",
		Long: `Talk to the running server in an interactive session. A line is a command as on the command line, without
sluice: config eval, domain, queue list, explain, binding show, status, reload and the others. dig begins a
lookup and says submitted; domain shows what it found. help lists the words, exit or the end of the input
ends the session. Words with spaces stand in quotes.

On a terminal lines can be edited, and the arrow keys bring earlier ones back. In a pipe every line is
carried out and answered without a prompt; the exit status is 1 when one of them failed. --echo writes the
prompt and the line before each answer, so that what comes out reads as a session.`,
		Example: "  sluice console\n  echo \"domain example.com\" | sluice console --echo",
		RunE: func(cmd *cobra.Command, _ []string) error {
			address, err := g.controlAddress()
			if err != nil {
				return err
			}
			c := newConsole(address, cmd.OutOrStdout())
			defer c.wait(lastLookups)
			in, isFile := cmd.InOrStdin().(*os.File)
			if !echo && isFile && isTerminal(in) && term.IsTerminal(int(os.Stdout.Fd())) {
				return c.interact(in)
			}
			c.echo = echo
			return c.read(cmd.InOrStdin())
		},
	}
	cmd.Flags().BoolVar(&echo, "echo", false, "write prompt and line before each answer")
	return cmd
}

// console is one session.
type console struct {
	address  string // of the server
	endpoint string // the same, as the prompt has it
	out      io.Writer
	echo     bool
	now      func() time.Time
	lookups  sync.WaitGroup // begun by dig
	failed   bool           // some command has
}

func newConsole(address string, out io.Writer) *console {
	return &console{address: address, endpoint: strings.TrimPrefix(address, "unix:"), out: out, now: time.Now}
}

// prompt is HH:MM:SS ENDPOINT> and a space.
func (c *console) prompt() string {
	return c.now().Format("15:04:05") + " " + printable(c.endpoint) + "> "
}

// read carries out the lines of a pipe or a file.
func (c *console) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if c.echo {
			fmt.Fprintf(c.out, "%s%s\n", c.prompt(), printable(lines.Text()))
		}
		if c.line(lines.Text()) {
			break
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the commands: %w", err)
	}
	if c.failed {
		return failed()
	}
	return nil
}

// interact reads lines from a terminal, which is its own while a line is edited and as it
// was while a command runs.
func (c *console) interact(in *os.File) error {
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, os.Stdout}, "")
	for {
		line, err := c.edit(t, in)
		switch {
		case errors.Is(err, io.EOF):
			fmt.Fprintln(c.out)
			return nil
		case err != nil && !errors.Is(err, term.ErrPasteIndicator):
			return fmt.Errorf("read from the terminal: %w", err)
		}
		if c.line(line) {
			return nil
		}
	}
}

func (c *console) edit(t *term.Terminal, in *os.File) (string, error) {
	s, err := takeScreen(in, "", "")
	if err != nil {
		return "", err
	}
	defer s.Close()
	if w, h, err := term.GetSize(int(in.Fd())); err == nil && w > 0 {
		_ = t.SetSize(w, h) // it fails only for a size of nothing
	}
	t.SetPrompt(c.prompt())
	return t.ReadLine()
}

// line carries one out; true when it ends the session.
func (c *console) line(text string) (exit bool) {
	words, err := split(text)
	if err != nil {
		c.fail(err)
		return false
	}
	if len(words) == 0 {
		return false
	}
	switch words[0] {
	case "exit", "quit":
		return true
	case "help", "?":
		c.help(words[1:])
	case "dig":
		c.dig(words[1:])
	default:
		c.run(words)
	}
	return false
}

func (c *console) fail(err error) {
	c.failed = true
	fmt.Fprintln(c.out, printable(err.Error()))
}

// run carries out a command as the command line does.
func (c *console) run(words []string) {
	if outside[words[0]] {
		c.fail(fmt.Errorf("%s is not for the console: run sluice %s", words[0], words[0]))
		return
	}
	if run(append([]string{"--admin", c.address}, words...), c.out, c.out) != exitDone {
		c.failed = true
	}
}

// dig begins a lookup: the server's resolver remembers what it finds, and domain shows it.
func (c *console) dig(words []string) {
	if len(words) != 1 || strings.HasPrefix(words[0], "-") {
		c.run(append([]string{"dig"}, words...))
		return
	}
	c.lookups.Go(func() { _, _ = client.New(c.address).Dig(words[0]) }) // domain says what went wrong
	fmt.Fprintln(c.out, "submitted")
}

// wait waits for the lookups that dig began, for so long.
func (c *console) wait(most time.Duration) {
	done := make(chan struct{})
	go func() { c.lookups.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(most):
	}
}

func (c *console) help(words []string) {
	if len(words) > 0 {
		c.run(append(words, "--help"))
		return
	}
	t := table(c.out)
	for _, x := range newRoot(new(bool)).Commands() {
		if !outside[x.Name()] && x.Name() != "help" {
			fmt.Fprintf(t, "%s\t%s\n", x.Name(), x.Short)
		}
	}
	fmt.Fprintf(t, "help COMMAND\tWhat a command takes\nexit\tEnd the session\n")
	if err := t.Flush(); err != nil {
		c.fail(err)
	}
}

// split cuts a line into words; quotes keep what has spaces together.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quote := false, rune(0)
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, in = r, true
		case r == ' ' || r == '\t' || r == '\r':
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
