package classify_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/config"
)

// entry is a reply of the corpus with the classes that a person gave it.
type entry struct {
	bounce, cause, host, source, text string
	line                              int
}

// readCorpus reads lines of bounce class, class, host, source and text, split by tabs.
func readCorpus(t testing.TB, path string) []entry {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []entry
	for i, l := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if strings.HasPrefix(l, "#") {
			continue
		}
		f := strings.Split(l, "\t")
		if len(f) != 5 {
			t.Fatalf("%s:%d: %d fields", path, i+1, len(f))
		}
		out = append(out, entry{f[0], f[1], f[2], f[3], strings.ReplaceAll(f[4], `\n`, "\n"), i + 1})
	}
	return out
}

func (e *entry) judge(rules *classify.Rules) classify.Judgement {
	return rules.Judge(&classify.Subject{Reply: classify.ParseReply(e.text), Host: e.host})
}

// tally counts by class what was said and what should have been.
type tally struct{ right, said, meant map[string]int }

func newTally() tally { return tally{map[string]int{}, map[string]int{}, map[string]int{}} }

func (y tally) add(said, meant string) {
	y.said[said]++
	y.meant[meant]++
	if said == meant {
		y.right[said]++
	}
}

func (y tally) accuracy() float64 {
	right, all := 0, 0
	for _, n := range y.right {
		right += n
	}
	for _, n := range y.meant {
		all += n
	}
	return float64(right) / float64(max(all, 1))
}

func (y tally) print(t *testing.T, title string, names []string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  %-22s %6s %6s %10s %7s\n", title, "class", "meant", "said", "precision", "recall")
	for _, n := range names {
		if y.meant[n]+y.said[n] == 0 {
			continue
		}
		fmt.Fprintf(&b, "  %-22s %6d %6d %9s %8s\n", n, y.meant[n], y.said[n], share(y.right[n], y.said[n]), share(y.right[n], y.meant[n]))
	}
	fmt.Fprintf(&b, "  all right: %.1f %%", 100*y.accuracy())
	t.Log(b.String())
}

func share(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(n)/float64(of))
}

// slows reports whether limits react to a class beyond the recipient or the identity.
func slows(cause string) bool {
	switch cause {
	case "connections", "connect-rate", "message-rate", "reputation", "blocked":
		return true
	}
	return false
}

func TestCorpus(t *testing.T) {
	rules := config.BuiltinRules()
	for _, part := range []struct {
		file                   string
		bounce, cause, penalty float64
	}{
		{"testdata/corpus.tsv", 0.95, 0.95, 0.02},
		{"testdata/heldout.tsv", 0.80, 0.80, 0.05},
	} {
		entries := readCorpus(t, part.file)
		bounces, causes := newTally(), newTally()
		wrongly := 0
		for i := range entries {
			e := &entries[i]
			j := e.judge(rules)
			bounces.add(j.Bounce.String(), e.bounce)
			causes.add(j.Cause.String(), e.cause)
			if slows(j.Cause.String()) && !slows(e.cause) {
				wrongly++
				t.Logf("%s:%d: slows down, and should not: %s: %q", part.file, e.line, j.Cause, e.text)
			}
			if testing.Verbose() && (j.Cause.String() != e.cause || j.Bounce.String() != e.bounce) {
				t.Logf("%s:%d: %s/%s by %s, %s; meant %s/%s: %.120q", part.file, e.line, j.Bounce, j.Cause, name(j.BounceRule), name(j.CauseRule), e.bounce, e.cause, e.text)
			}
		}
		var names []string
		for _, b := range classify.Bounces() {
			names = append(names, b.String())
		}
		bounces.print(t, fmt.Sprintf("%s: %d replies, bounce classes", part.file, len(entries)), names)
		causes.print(t, part.file+": classes", append(classify.CauseNames(), "unknown"))
		if a := bounces.accuracy(); a < part.bounce {
			t.Errorf("%s: %.3f of the bounce classes are right, the floor is %.2f", part.file, a, part.bounce)
		}
		if a := causes.accuracy(); a < part.cause {
			t.Errorf("%s: %.3f of the classes are right, the floor is %.2f", part.file, a, part.cause)
		}
		if s := float64(wrongly) / float64(len(entries)); s > part.penalty {
			t.Errorf("%s: %.3f of the replies would slow mail down wrongly, the ceiling is %.2f", part.file, s, part.penalty)
		}
	}
}

func name(r *classify.Rule) string {
	if r == nil {
		return "-"
	}
	return r.Name
}

func TestCategories(t *testing.T) {
	rules := config.BuiltinRules()
	for _, c := range []struct {
		status, diag string
		want         classify.Category
	}{
		{"2.0.0", "smtp;250 2.0.0 OK", classify.Success},
		{"2.1.5", "smtp;250 2.1.5 not spam at all", classify.Success},
		{"5.1.1", "smtp;550 5.1.1 The account that you tried to reach does not exist", classify.BadMailbox},
		{"5.0.0", "smtp;550 User unknown", classify.BadMailbox},
		{"5.0.0", "smtp;550 Requested action not taken: mailbox unavailable", classify.BadMailbox},
		{"5.1.2", "x-sluice;domain nowhere.test does not exist", classify.BadDomain},
		{"5.1.10", "x-sluice;domain null.test accepts no mail (null MX)", classify.BadDomain},
		{"5.1.8", "smtp;550 5.1.8 sender domain does not exist", classify.InvalidSender},
		{"5.2.1", "smtp;550 5.2.1 mailbox disabled", classify.InactiveMailbox},
		{"4.2.2", "smtp;452 4.2.2 The recipient's inbox is out of storage space", classify.QuotaIssues},
		{"5.0.0", "smtp;552 Mailbox is full", classify.QuotaIssues},
		{"5.7.1", "smtp;550 5.7.1 Service unavailable; client host blocked using Spamhaus", classify.SpamRelated},
		{"5.7.1", "smtp;554 5.7.1 Message rejected as SPAM", classify.SpamRelated},
		{"5.7.1", "smtp;550 5.7.1 Relaying denied", classify.RelayingIssues},
		{"5.7.26", "smtp;550 5.7.26 unauthenticated", classify.PolicyRelated},
		{"4.7.0", "smtp;421 4.7.0 try again later", classify.PolicyRelated},
		{"5.6.0", "smtp;554 5.6.0 virus found", classify.VirusRelated},
		{"5.6.3", "smtp;554 5.6.3 conversion needed", classify.ContentRelated},
		{"5.3.4", "smtp;552 5.3.4 too big", classify.ContentRelated},
		{"4.4.1", "x-sluice;connection timed out", classify.NoAnswerFromHost},
		{"4.4.2", "x-sluice;connection lost", classify.BadConnection},
		{"5.4.6", "x-sluice;loop", classify.RoutingErrors},
		{"4.4.3", "x-sluice;look up MX", classify.RoutingErrors},
		{"5.4.7", "", classify.MessageExpired},
		{"5.5.1", "smtp;503 5.5.1 bad sequence", classify.ProtocolErrors},
		{"5.5.0", "smtp;550 5.5.0 no such user here", classify.BadMailbox},
		{"5.5.0", "smtp;550 5.5.0 hm", classify.ProtocolErrors},
		{"4.5.3", "smtp;452 4.5.3 too many recipients", classify.PolicyRelated},
		{"4.0.0", "smtp;451 greylisted, come back later", classify.PolicyRelated},
		{"4.0.0", "smtp;451 hm", classify.Other},
		{"", "", classify.Other},
		{"nonsense", "x", classify.Other},
	} {
		s := classify.Subject{Reply: classify.ParseReply(c.diag), Host: "mx.example.com"}
		s.Reply.Enhanced = c.status
		if got := rules.Judge(&s).Category; got != c.want {
			t.Errorf("%s %q: %s, want %s", c.status, c.diag, got, c.want)
		}
	}
}

// replies are what the cost of a reply is measured with.
var replies = []struct{ name, host, text string }{
	{"short", "mx.example.com", "421 4.7.0 too many connections"},
	{"gmail", "gmail-smtp-in.l.google.com", "421-4.7.28 [192.0.2.1 15] Our system has detected an unusual rate of unsolicited mail originating from your IP address. To protect our users from spam, mail sent from your IP address has been temporarily rate limited. Please visit https://support.google.com/mail/?p=UnsolicitedRateLimitError to review our Bulk Email Senders Guidelines. d2e1a72fcca58-6cd9a31 - gsmtp"},
	{"unknown user", "mx.example.com", "550 5.1.1 <somebody@example.com>: Recipient address rejected: User unknown in virtual mailbox table"},
	{"nothing known", "mx.example.com", "451 zq7-18a2 hold on: x81 q-bert 7719-aa"},
}

func TestJudgeDoesNotAllocate(t *testing.T) {
	rules := config.BuiltinRules()
	for _, r := range replies {
		s := classify.Subject{Reply: classify.ParseReply(r.text), Host: r.host}
		if n := testing.AllocsPerRun(100, func() { rules.Judge(&s) }); n > 0 {
			t.Errorf("%s: %v allocations", r.name, n)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	rules := config.BuiltinRules()
	for _, r := range replies {
		s := classify.Subject{Reply: classify.ParseReply(r.text), Host: r.host}
		b.Run(strings.ReplaceAll(r.name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rules.Judge(&s)
			}
		})
	}
}

// TestUnknownIsNoPenalty: a reply that holds no word known slows nothing down.
func TestUnknownIsNoPenalty(t *testing.T) {
	rules := config.BuiltinRules()
	for _, text := range []string{"421 4.7.0 xyzzy", "421 hm", "450 4.7.1 qqq", "554 5.7.1 hm", "451 4.3.0 hm", "421"} {
		if j := rules.Judge(&classify.Subject{Reply: classify.ParseReply(text), Host: "mx.example.com"}); slows(j.Cause.String()) {
			t.Errorf("%s: %v by %s", text, j.Cause, name(j.CauseRule))
		}
	}
}
