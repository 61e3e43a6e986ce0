package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/config"
)

// The manual does not rot: what it says about commands is compared with the commands.

var update = flag.Bool("update", false, "write the generated part of docs/commands.md anew")

const (
	manual       = "../../docs/"
	commandsPage = manual + "commands.md"
	mark         = "<!-- What follows is made by `go test ./cmd/sluice -run TestCommandsPage -update`. Do not edit. -->\n"
)

// TestCommandsPage holds the reference in docs/commands.md to the commands themselves.
func TestCommandsPage(t *testing.T) {
	data, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, have, ok := strings.Cut(string(data), mark)
	if !ok {
		t.Fatalf("%s has no line %s", commandsPage, mark)
	}
	var b strings.Builder
	describe(&b, newRoot(new(bool)))
	if *update {
		if err := os.WriteFile(commandsPage, []byte(before+mark+b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != b.String() {
		t.Errorf("%s is not what the program says: go test ./cmd/sluice -run TestCommandsPage -update", commandsPage)
	}
	for _, c := range leaves(newRoot(new(bool))) {
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no short text or no example", c.CommandPath())
		}
	}
}

// leaves returns the commands that do something.
func leaves(c *cobra.Command) []*cobra.Command {
	if len(c.Commands()) == 0 {
		return []*cobra.Command{c}
	}
	var out []*cobra.Command
	for _, sub := range c.Commands() {
		out = append(out, leaves(sub)...)
	}
	return out
}

// describe writes a section for each command.
func describe(b *strings.Builder, root *cobra.Command) {
	fmt.Fprintf(b, "\n### Flags of every command\n\n```\n%s```\n", root.PersistentFlags().FlagUsages())
	for _, c := range leaves(root) {
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		fmt.Fprintf(b, "\n### %s\n\n%s\n\n```\n%s\n", c.CommandPath(), prose(text), strings.TrimSuffix(c.UseLine(), " [flags]"))
		fmt.Fprintf(b, "\nExamples:\n%s\n", strings.TrimRight(c.Example, "\n"))
		if usage := c.LocalNonPersistentFlags().FlagUsages(); usage != "" {
			fmt.Fprintf(b, "\nFlags:\n%s", usage)
		}
		b.WriteString("```\n")
	}
}

// prose joins the lines of a paragraph, as the manual is written.
func prose(s string) string { return strings.Join(strings.Fields(s), " ") }

// pages returns the manual with the README: name and text.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(manual + "*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("pages of the manual: %v, %v", files, err)
	}
	out := map[string]string{}
	for _, f := range append(files, "../../README.md", "../../CHANGELOG.md") {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[f] = string(data)
	}
	return out
}

var shown = regexp.MustCompile(`(?m)^(?:\$ |# |    )(?:bin/)?sluice ([^\n]*)$`)

// TestManualCommands finds every command line that the manual shows: the command and its
// flags must exist.
func TestManualCommands(t *testing.T) {
	seen := 0
	for page, text := range pages(t) {
		for _, m := range shown.FindAllStringSubmatch(text, -1) {
			words := words(m[1])
			seen++
			root := newRoot(new(bool))
			c, rest, err := root.Find(words)
			if err != nil {
				t.Errorf("%s: sluice %s: %v", page, m[1], err)
				continue
			}
			root.InitDefaultVersionFlag()
			c.InitDefaultHelpFlag()
			if err := c.ParseFlags(rest); err != nil {
				t.Errorf("%s: sluice %s: %v", page, m[1], err)
			} else if err := c.ValidateArgs(c.Flags().Args()); err != nil && len(c.Commands()) == 0 {
				t.Errorf("%s: sluice %s: %v", page, m[1], err)
			}
		}
	}
	if seen < 30 {
		t.Errorf("the manual shows only %d command lines", seen)
	}
}

// words splits a command line as the manual shows it: up to a pipe, a redirection or a
// comment, quotes kept together.
func words(line string) []string {
	var out []string
	for _, w := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1) {
		if strings.ContainsAny(w[:1], "|>#&;") {
			break
		}
		out = append(out, strings.TrimSuffix(strings.Trim(w, `"`), ";"))
	}
	return out
}

var link = regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)

// TestManualLinks follows every link to a file of the repository and to a heading, and
// finds every page of the manual in its index.
func TestManualLinks(t *testing.T) {
	all := pages(t)
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			to := filepath.Join(filepath.Dir(page), m[1])
			if m[1] == "" {
				to = page
			}
			data, err := os.ReadFile(to)
			if err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
			} else if m[2] != "" && !anchors(string(data))[m[2]] {
				t.Errorf("%s: link to %s#%s: there is no such heading", page, m[1], m[2])
			}
		}
		name := filepath.Base(page)
		if filepath.Dir(page) == filepath.Clean(manual) && name != "README.md" && !strings.Contains(all[manual+"README.md"], "]("+name+")") {
			t.Errorf("docs/README.md does not name %s", name)
		}
	}
}

// anchors returns the names of a page's headings in links.
func anchors(page string) map[string]bool {
	out := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(name, " ", "-")] = true
	}
	return out
}

func TestSandboxKeepsToItself(t *testing.T) {
	real, s := config.Default(), config.Default()
	apart(s)
	if s.Spool.Directory == real.Spool.Directory || s.Account.Directory == real.Account.Directory {
		t.Errorf("the sandbox shares %s or %s with the server", s.Spool.Directory, s.Account.Directory)
	}
}

// TestManualAnswers asks every `config eval` that the manual shows after a configuration.
func TestManualAnswers(t *testing.T) {
	all := pages(t)
	t.Chdir(t.TempDir())
	asked := 0
	for page, text := range all {
		for _, f := range fences(text) {
			if f.kind == "sluice" {
				if err := os.WriteFile("sluice.conf", []byte(f.text), 0o600); err != nil {
					t.Fatal(err)
				}
				continue
			}
			for _, dialogue := range strings.Split("\n"+f.text, "\n$ sluice ")[1:] {
				line, want, _ := strings.Cut(dialogue, "\n")
				if !strings.HasPrefix(line, "config eval ") {
					continue
				}
				asked++
				out, errs, _ := command(words(line)...)
				if got := strings.TrimSpace(out + errs); got != strings.TrimSpace(want) {
					t.Errorf("%s: sluice %s\n%s\nthe manual says\n%s", page, line, got, want)
				}
			}
		}
	}
	if asked < 15 {
		t.Errorf("the manual asks only %d questions", asked)
	}
}

type fence struct{ kind, text string }

// fences returns the fenced blocks of a page, in order.
func fences(page string) (out []fence) {
	parts := strings.Split("\n"+page, "\n```")
	for i := 1; i < len(parts); i += 2 {
		kind, text, _ := strings.Cut(parts[i], "\n")
		out = append(out, fence{kind, text})
	}
	return out
}
