package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-mta/sluice/internal/account"
	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/mail"
	tally "github.com/sluice-mta/sluice/internal/report"
)

func init() { commands = append(commands, rulesCommand) }

func rulesCommand(g *globals) *cobra.Command {
	cmd := group("rules", "Reply rules: what receivers' words mean")
	cmd.AddCommand(rulesTestCommand(g), rulesListCommand(g))
	return cmd
}

// ruleSource is the flag that names rules, and where they come from without it.
type ruleSource struct {
	*globals
	rules string
}

func (s *ruleSource) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.rules, "rules", "", "read the rules of `FILE` (default: reply_rules of the configuration), before those that are built in")
}

// load reads the rules; what is wrong with them goes to errs.
func (s *ruleSource) load(errs io.Writer) (*classify.Rules, error) {
	path := s.rules
	if file := s.configFile(); path == "" && file != "" {
		snap, diags := (&config.Loader{Check: true, Partial: true}).Load(file)
		if snap == nil {
			return nil, diags.Err()
		}
		path = snap.ReplyRules
	}
	rules, diags := (&config.Loader{}).Rules(path)
	for _, d := range diags {
		fmt.Fprintln(errs, d)
	}
	if rules == nil {
		return nil, failed()
	}
	return rules, nil
}

func rulesListCommand(g *globals) *cobra.Command {
	s := ruleSource{globals: g}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Args: cobra.NoArgs,
		Short: "List the reply rules in the order in which they are asked",
		Long: `List the reply rules in the order in which they are asked, with what they decide and where they are
written: those of the file named by reply_rules, and those that are built in.`,
		Example: "  sluice rules list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules, err := s.load(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return listRules(cmd.OutOrStdout(), rules, asJSON)
		},
	}
	s.flag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the rules as JSON")
	return cmd
}

// listedRule is a rule in a list.
type listedRule struct {
	Name      string   `json:"name"`
	Origin    string   `json:"origin"`
	Class     string   `json:"class,omitempty"`
	Scope     string   `json:"scope,omitempty"`
	Bounce    string   `json:"bounce,omitempty"`
	Category  string   `json:"category,omitempty"`
	Receivers []string `json:"receivers,omitempty"`
}

func listRules(w io.Writer, rules *classify.Rules, asJSON bool) error {
	var list []listedRule
	for _, r := range rules.List() {
		l := listedRule{Name: r.Name, Origin: r.Origin.String(), Bounce: r.Bounce.String(), Category: string(r.Category), Receivers: r.Receivers}
		if r.Cause != classify.CauseUnknown {
			l.Class, l.Scope = r.Cause.String(), r.Effect().String()
		}
		list = append(list, l)
	}
	if asJSON {
		return printJSON(w, list)
	}
	t := table(w)
	fmt.Fprintln(t, "RULE\tCLASS\tSCOPE\tBOUNCE\tRECEIVERS\tWRITTEN AT")
	for _, l := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(l.Name), or(l.Class, "-"), or(l.Scope, "-"), or(l.Bounce, "-"),
			or(printable(strings.Join(l.Receivers, " ")), "all"), printable(l.Origin))
	}
	return t.Flush()
}

// ruleTest is the flags of rules test.
type ruleTest struct {
	ruleSource
	files       []string
	host, stage string
	json        bool
}

func rulesTestCommand(g *globals) *cobra.Command {
	o := ruleTest{ruleSource: ruleSource{globals: g}}
	cmd := &cobra.Command{
		Use:   "test [TEXT...]",
		Short: "Say what a receiver's words mean, or which words of an accounting file no rule knows",
		Long: `Run a reply through the reply rules and print what they say about it, and which rule, at which line, said
so. Without --host rules for any receiver hold. With --file, run the deferrals and bounces of accounting
files (sluice's or PowerMTA's CSV, or JSON lines) through them, and print how often each rule decided, and what no rule
knows, the most frequent first. Rules whose own tests fail are not loaded: the faults are printed, exit status 1.`,
		Example: `  sluice rules test "421 4.7.0 Too many connections"
  sluice rules test --file /var/log/sluice/accounting.csv --rules site.rules`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) == (len(o.files) == 0) {
				return wrongUse("rules test: give texts, or files with --file")
			}
			stage, err := parseStage(o.stage)
			if err != nil {
				return err
			}
			rules, err := o.load(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if len(o.files) > 0 {
				return o.testFiles(cmd.OutOrStdout(), cmd.ErrOrStderr(), rules)
			}
			return o.testTexts(cmd.OutOrStdout(), rules, args, stage)
		},
	}
	o.flag(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.files, "file", nil, "read the accounting `FILE` (- for standard input); may be given again")
	f.StringVar(&o.host, "host", "", "the text is of the MX host `NAME`")
	f.StringVar(&o.stage, "stage", "", "it was said at the `STAGE`: greeting, ehlo, mail, rcpt, data, dot, ...")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	return cmd
}

func parseStage(s string) (mail.Stage, error) {
	for stage := mail.StageNone; stage <= mail.StageQuit; stage++ {
		if stage.String() == s {
			return stage, nil
		}
	}
	return 0, wrongUse("rules test: --stage %s is not known", s)
}

func (o *ruleTest) testTexts(w io.Writer, rules *classify.Rules, texts []string, stage mail.Stage) error {
	type answer struct {
		Text string `json:"text"`
		tally.RuleCount
	}
	var all []answer
	for _, text := range texts {
		s := classify.Subject{Reply: classify.ParseReply(text), Host: strings.ToLower(o.host)}
		s.Reply.Stage = stage
		j := rules.Judge(&s)
		c := tally.Judged(&j)
		c.Count = 1
		all = append(all, answer{text, c})
		if o.json {
			continue
		}
		if len(texts) > 1 {
			fmt.Fprintln(w, printable(text))
		}
		fmt.Fprintf(w, "class     %s\n", withScope(&c))
		fmt.Fprintf(w, "bounce    %s\n", bounceText(&j))
		fmt.Fprintf(w, "rule      %s\n", ruleText(&j))
	}
	if o.json {
		return printJSON(w, all)
	}
	return nil
}

func withScope(c *tally.RuleCount) string {
	if c.Scope == "" {
		return c.Class + ": no rule knows it"
	}
	return c.Class + ", scope " + c.Scope
}

func bounceText(j *classify.Judgement) string {
	if j.Bounce == 0 {
		return "none: it is no refusal and no deferral"
	}
	return fmt.Sprintf("%d %s (%s), category %s", j.Bounce, j.Bounce, j.Bounce.Kind(), j.Category)
}

func ruleText(j *classify.Judgement) string {
	switch by, of := j.CauseRule, j.BounceRule; {
	case by == nil && of == nil:
		return "none"
	case by == nil || of == nil || by == of:
		r := by
		if r == nil {
			r = of
		}
		return fmt.Sprintf("%s at %s", printable(r.Name), printable(r.Origin.String()))
	default:
		return fmt.Sprintf("%s at %s; for the bounce class %s at %s", printable(by.Name), printable(by.Origin.String()), printable(of.Name), printable(of.Origin.String()))
	}
}

func (o *ruleTest) testFiles(w, errs io.Writer, rules *classify.Rules) error {
	counts := tally.NewRules()
	for _, name := range o.files {
		if err := readAccounting(name, errs, func(r *account.Record) { counts.Add(r, rules) }); err != nil {
			return err
		}
	}
	counts.Finish()
	if o.json {
		return printJSON(w, counts)
	}
	t := table(w)
	fmt.Fprintln(t, "REPLIES\tRULE\tCLASS\tSCOPE\tBOUNCE\tCATEGORY\tWRITTEN AT")
	for _, c := range counts.Rules {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Count, or(printable(c.Rule), "-"), c.Class, or(c.Scope, "-"), c.Bounce, printable(c.Category), or(printable(c.Origin), "-"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d replies, the class of %d is unknown\n", counts.Replies, counts.Unknown)
	for _, e := range counts.Texts {
		fmt.Fprintf(t, "  %d\t%s\t%s\n", e.Count, printable(e.Host), printable(e.Text))
	}
	return t.Flush()
}

// maxLineErrors is how many bad lines of a file are shown.
const maxLineErrors = 5

// readAccounting reads the records of a file, or of standard input. Lines that are none
// are passed over; the first few are shown.
func readAccounting(name string, errs io.Writer, each func(*account.Record)) error {
	in := io.Reader(os.Stdin)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	d := account.NewDecoder(in)
	d.Whole = true
	var r account.Record
	bad, read := 0, 0
	for {
		err := d.Decode(&r)
		var line *account.LineError
		switch {
		case errors.Is(err, io.EOF):
			if bad > maxLineErrors {
				fmt.Fprintf(errs, "%s: %d more lines are no records\n", name, bad-maxLineErrors)
			}
			if read == 0 && bad > 0 {
				return fmt.Errorf("%s: no accounting records", name)
			}
			return nil
		case errors.As(err, &line):
			if bad++; bad <= maxLineErrors {
				fmt.Fprintf(errs, "%s: %v\n", name, err)
			}
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		default:
			read++
			each(&r)
		}
	}
}
