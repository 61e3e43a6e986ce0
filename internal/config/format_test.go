package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

// meaning writes items without positions, comments and spelling.
func meaning(items []*item) string {
	var b strings.Builder
	var val func(v *value)
	val = func(v *value) {
		if v.list == nil && !v.dict {
			fmt.Fprintf(&b, "%q", v.tok.text)
			return
		}
		b.WriteString(v.tok.src)
		for _, e := range v.list {
			val(e)
			b.WriteByte(' ')
		}
	}
	var walk func(items []*item)
	walk = func(items []*item) {
		for _, it := range items {
			fmt.Fprintf(&b, "%d %s ", it.kind, policy.Fold(it.name.text))
			if it.label != nil {
				fmt.Fprintf(&b, "%q ", it.label.text)
			}
			if it.value != nil {
				val(it.value)
			}
			if it.kind == itemStanza {
				b.WriteString("{")
				walk(it.items)
				b.WriteString("}")
			}
			b.WriteString("\n")
		}
	}
	walk(items)
	return b.String()
}

// checkFormat holds what Format promises of any text.
func checkFormat(t *testing.T, src string) {
	t.Helper()
	once, diags := Format("f", src)
	if len(diags) > 0 {
		return
	}
	fail := func(line, col int, text string) { t.Errorf("%q becomes %q: %d:%d: %s", src, once, line, col, text) }
	was, all := parse(src, func(int, int, string) {})
	is, after := parse(once, fail)
	if meaning(was) != meaning(is) {
		t.Errorf("meaning changed\n%q\n%q\n%s\n%s", src, once, meaning(was), meaning(is))
	}
	if a, b := countComments(all), countComments(after); a != b {
		t.Errorf("%d comments became %d\n%q\n%q", a, b, src, once)
	}
	twice, diags := Format("f", once)
	if len(diags) > 0 || twice != once {
		t.Errorf("not idempotent %v\n%q\n%q\n%q", diags, src, once, twice)
	}
}

func countComments(toks []token) (n int) {
	for _, t := range toks {
		if t.kind == tokLine || t.kind == tokBlock {
			n++
		}
	}
	return n
}

func TestFormat(t *testing.T) {
	const src = `# head
Max-Outbound-Connections=5   # why


domain yahoo.com{ max-smtp-out = 3 dkim="enabled" } /* tail */
Binding_group "g" {
  # inside
  binding a { } binding b{ # c
    bind_address=10.0.0.1 }

  prohibited_hosts = ( 10.0.0.0/8
     192.0.2.1 # one
  )
}
INCLUDE more.conf
retry_interval=(5m 10m)
`
	const want = `# head
max_outbound_connections = 5 # why

Domain "yahoo.com" {
  max-smtp-out = 3
  dkim = "enabled"
} /* tail */
Binding_Group "g" {
  # inside
  Binding "a" { }
  Binding "b" { # c
    bind_address = 10.0.0.1
  }

  prohibited_hosts = ( 10.0.0.0/8
    192.0.2.1 # one
  )
}
include "more.conf"
retry_interval = ( 5m 10m )
`
	got, diags := Format("f", src)
	if len(diags) > 0 || got != want {
		t.Errorf("%v\n%s", diags, got)
	}
	checkFormat(t, src)
}

func TestFormatKeepsCommentsEverywhere(t *testing.T) {
	for _, src := range []string{
		"x = /* a */ 1", "x /* a */ = 1", "x = # a\n1", "x\n# a\n=\n# b\n1 # c\n# d",
		"Domain # a\n \"x\" # b\n { # c\n } # d", "Domain \"x\" { /* a */ }", "a = ( # 1\n b /* 2 */ c\n # 3\n )",
		"/* one */ /* two */ a = 1", "/* many\n\n  lines */ a = 1\n\n\n\n# end\n", "a = [ x = 1 # c\n y = ( 1 2 ) ]", "", "# only",
		"host a\\ { }", "host a\\\\b { }", "\ufeffa = 1\r\nb = 2\r\n", "a = ( ( 1\n 2 ) # x\n )", "a = 1 # x\r\n# y\r\n",
	} {
		checkFormat(t, src)
	}
}
