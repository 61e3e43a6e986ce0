package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mta/sluice/internal/policy"
)

// fuzzLoader touches neither the disk nor the environment.
func fuzzLoader() *Loader {
	return &Loader{
		ReadFile: func(string) ([]byte, error) { return nil, fs.ErrNotExist },
		ReadDir:  func(string) ([]fs.DirEntry, error) { return nil, fs.ErrNotExist },
		Stat:     func(string) (fs.FileInfo, error) { return nil, fs.ErrNotExist },
		Getenv:   func(string) (string, bool) { return "", false },
		Hostname: "mta.test", Files: 1024,
	}
}

// checkParse holds what is promised of any text: no panic, bounded time, places inside
// the text, and a snapshot that answers when there is no error.
func checkParse(t *testing.T, text string) {
	t.Helper()
	snap, diags := fuzzLoader().Parse("f.conf", text)
	lines := strings.Count(text, "\n") + 1
	for _, d := range diags {
		if d.Line > lines || d.Line < 0 || d.Text == "" || strings.ContainsRune(d.Text, '\n') && !strings.Contains(text, "\n") {
			t.Errorf("%q: %+v", text, d)
		}
	}
	if (snap == nil) != diags.HasErrors() {
		t.Errorf("%q: snapshot %v, findings %v", text, snap != nil, diags)
	}
	if snap == nil {
		return
	}
	r := NewResolver(snap)
	for b := range snap.Bindings { // any order
		r.Queue(b, "example.com")
		r.Host(b, "mx.example.com", nil)
	}
	shown := snap.Show(true).String()
	if _, diags := Format("f.conf", shown); diags.HasErrors() {
		t.Errorf("%q: shown as\n%s\n%v", text, shown, diags.Err())
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/cases/*.conf", "testdata/*.conf"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data))
		}
	}
	for _, s := range []string{
		"a = ( b ( c [ d = e ] ) )", "Domain x {\nDomain y {\n", "a = \"\\\"\\\\\\x\"", "/* x */ # y\n'z'", "include include include", "a = [ b = ] c",
		"Host 10.0.0.0/8 { max-smtp-out = 1 }", "Binding default { bind_address = ::1 weight = 3 }", "User u { password = \"$2b$\" }", strings.Repeat("a {", 40),
		"ESMTP_Listener { auth = off Listen [::1]:25 { tenant = \"( x\" } }", "Domain \"/[/\" { }", "tls = \"x {\n}", "Host \"a\\\\\" {}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		checkParse(t, text)
		checkFormat(t, text)
	})
}

// genText makes texts of pieces of the language: mostly wrong, often nearly right.
func genText(t *rapid.T) string {
	piece := rapid.SampledFrom([]string{
		"{", "}", "=", "(", ")", "[", "]", "\n", "\n\n", " ", "  ", "# c\n", "/* b */", "/* two\nlines */", "\"q\"", "\"a\\\"b\"", "\"a\\\\\"", "'", "w\\",
		"tls", "no", "Domain", "example.com", "\"/re/\"", "Binding", "b", "Binding_Group", "g", "Host", "mx.test", "max_outbound_connections", "5", "-1",
		"retry-after", "10m", "include", "ESMTP_Listener", "Listen", "127.0.0.1:25", "x = 1", "tls = no\n", "Domain d {", "}\n", "a/b", "é", "( 1\n 2 # x\n )",
	})
	var b strings.Builder
	for _, p := range rapid.SliceOfN(piece, 0, 60).Draw(t, "pieces") {
		b.WriteString(p)
		if rapid.Bool().Draw(t, "space") {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// genGood makes configurations without errors of syntax.
func genGood(t *rapid.T, depth int) string {
	comment := rapid.SampledFrom([]string{"", "", "", "\n", "\n\n\n", " # c\n", "/* b */ ", "\n# own\n", "\n  /* o\n   p */\n", "# x\r\n"})
	value := rapid.SampledFrom([]string{"1", "\"a b\"", "( )", "( 1 2 )", "(a\n b # c\n)", "[ k = v ]", "[ k = ( 1\n2 )\n l = \"\\\"\" ]", "w/x", "\"/\\.re$/\""})
	name := rapid.SampledFrom([]string{"tls", "Max-SMTP-Out", "x", "retry_after", "Binding", "include"})
	var b strings.Builder
	for range rapid.IntRange(0, 4).Draw(t, "n") {
		c := func() { b.WriteString(" " + comment.Draw(t, "comment") + " ") }
		c()
		switch k := rapid.IntRange(0, 4).Draw(t, "kind"); {
		case k < 3 || depth > 3:
			b.WriteString(name.Draw(t, "name"))
			c()
			b.WriteString("=")
			// A comment may stand here, a line end may not: the value would be looked for on this line.
			b.WriteString(" " + value.Draw(t, "value"))
		case k == 3:
			b.WriteString(rapid.SampledFrom([]string{"Domain", "binding_group", "USER", "foo"}).Draw(t, "stanza"))
			b.WriteString(" " + rapid.SampledFrom([]string{"x", "\"x y\"", "a\\", "\"/\\.fr$/\""}).Draw(t, "label") + " {")
			c()
			b.WriteString(genGood(t, depth+1))
			c()
			b.WriteString("}")
		default:
			b.WriteString("include some/file")
		}
	}
	return b.String()
}

func TestFormatProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		checkFormat(t, genText(rt))
		good := genGood(rt, 0)
		if _, diags := Format("g", good); len(diags) > 0 {
			rt.Fatalf("%q: %v", good, diags)
		}
		checkFormat(t, good)
	})
}

func TestParseProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { checkParse(t, genText(rt)) })
}

// TestShowIsAConfiguration holds that what `config show` prints means the same.
func TestShowIsAConfiguration(t *testing.T) {
	files, _ := filepath.Glob("testdata/cases/*.conf")
	for _, f := range append(files, "testdata/whole.conf") {
		snap, diags := (&Loader{Hostname: "mta.test", Check: true}).Load(f)
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		text := snap.Show(false).String()
		again, diags := (&Loader{Hostname: "mta.test", Check: true}).Parse(f, text)
		if diags.HasErrors() {
			t.Fatalf("%s:\n%s\n%v", f, text, diags.Err())
		}
		strip := func(s string) string {
			var b strings.Builder
			for l := range strings.Lines(s) {
				before, _, _ := strings.Cut(l, "  #")
				b.WriteString(strings.TrimRight(before, " \n") + "\n")
			}
			return b.String()
		}
		if a, b := strip(text), strip(again.Show(false).String()); a != b {
			t.Errorf("%s:\n%s\nbecame\n%s", f, a, b)
		}
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestIncludes(t *testing.T) {
	dir := t.TempDir()
	main := write(t, dir, "sluice.conf", `
		include "conf.d"
		Domain "a.test" { include sub/limits.conf }
		Binding b { include "conf.d/../sub/bind.conf" }`)
	write(t, dir, "conf.d/20.conf", "max_outbound_connections = 20")
	write(t, dir, "conf.d/10.conf", "max_outbound_connections = 10 spool { directory = here }")
	write(t, dir, "conf.d/.hidden", "nonsense")
	write(t, dir, "conf.d/deep/x.conf", "nonsense")
	write(t, dir, "sub/limits.conf", "# of a domain\nmax_outbound_connections = 3")
	write(t, dir, "sub/bind.conf", "bind_address = 10.0.0.1")
	snap, diags := Load(main)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if q := snap.Queue("b", "x.test"); q.Limits[0].Max != 20 || q.Session.Source4.String() != "10.0.0.1" {
		t.Errorf("%+v", q.Limits[0])
	}
	l := snap.Queue("b", "a.test").Limits[0]
	if l.Max != 3 || l.Origin.File != filepath.Join(dir, "sub/limits.conf") || l.Origin.Line != 2 {
		t.Errorf("%+v", l)
	}
	if snap.Spool.Directory != filepath.Join(dir, "here") || snap.Account.Directory != filepath.Join(dir, "sluice-data/accounting") {
		t.Errorf("paths are not relative to the main file: %q %q", snap.Spool.Directory, snap.Account.Directory)
	}
}

func TestIncludeLoopsAndMissing(t *testing.T) {
	dir := t.TempDir()
	main := write(t, dir, "sluice.conf", "\ninclude a.conf\ninclude gone.conf\ntls = bad")
	write(t, dir, "a.conf", "include \"b.conf\"")
	write(t, dir, "b.conf", "include sluice.conf\nuse_ipv6 = bad")
	_, diags := Load(main)
	got := strings.ReplaceAll(diagText(diags), dir+"/", "")
	for _, want := range []string{
		"b.conf:1:9: error: include \"sluice.conf\": the file includes itself: sluice.conf > a.conf > b.conf > sluice.conf\n",
		"sluice.conf:3:9: error: include \"gone.conf\": no such file or directory\n",
		"b.conf:2:12: error: use_ipv6", "sluice.conf:4:7: error: tls",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestLargeInput(t *testing.T) {
	l := fuzzLoader()
	l.ReadFile = func(string) ([]byte, error) { return make([]byte, MaxFileSize+1), nil }
	if _, diags := l.Load("big.conf"); !diags.HasErrors() {
		t.Error("a file beyond the bound was read")
	}
	var b strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&b, "unknown_option_%d = 1 x%d { y = 2 }\n", i, i)
	}
	_, diags := fuzzLoader().Parse("f", b.String())
	if n := diags.Errors(); n != maxFindings+1 {
		t.Errorf("%d errors", n)
	}
	deep := strings.Repeat("Domain x {\n", 5000) + strings.Repeat("a = ( ", 5000)
	checkParse(t, deep)
	checkFormat(t, strings.Repeat("( ", 100))
}

func TestManyWarningsAreNoError(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "Binding b%d { bind_address = 10.0.0.1 }\n", i)
	}
	if snap, diags := fuzzLoader().Parse("f", b.String()); snap == nil || diags.Warnings() != maxFindings+1 {
		t.Errorf("%d warnings, %v", diags.Warnings(), diags.Err())
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pw", "geheim\nsecond line\n")
	write(t, dir, "cred/db", "tief")
	env := map[string]string{"PW": "offen", "CREDENTIALS_DIRECTORY": filepath.Join(dir, "cred")}
	l := &Loader{Getenv: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}
	path := write(t, dir, "sluice.conf", `User a { password = file:pw } User b { password = env:PW } User c { password = credential:db } User d { password = "klar text" }`)
	snap, diags := l.Load(path)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	for name, want := range map[string]policy.Secret{
		"a": {Value: "geheim", Ref: "file:pw"}, "b": {Value: "offen", Ref: "env:PW"}, "c": {Value: "tief", Ref: "credential:db"}, "d": {Value: "klar text"},
	} {
		if got := snap.Users[name].Password; got != want {
			t.Errorf("%s: %+q", name, got)
		}
	}
	if s := snap.Show(true).String(); strings.Contains(s, "klar text") || !strings.Contains(s, "file:pw") {
		t.Errorf("shown:\n%s", s)
	}
	env["CREDENTIALS_DIRECTORY"] = ""
	if _, diags := l.Load(path); !diags.HasErrors() || !strings.Contains(diagText(diags), "1:") {
		t.Errorf("%v", diags)
	}
	l.Check = true
	if _, diags := l.Load(path); diags.HasErrors() || diags.Warnings() != 1 {
		t.Errorf("%v", diags)
	}
	for _, bad := range []string{"credential:../x", "credential:", "file:none", "env:NONE"} {
		if _, diags := l.Parse(path, "User a { password = \""+bad+"\" }"); !diags.HasErrors() {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestMissingFile(t *testing.T) {
	_, diags := Load(filepath.Join(t.TempDir(), "none.conf"))
	if len(diags) != 1 || !strings.HasSuffix(diags[0].String(), "none.conf: error: read "+diags[0].File+": no such file or directory") {
		t.Errorf("%v", diags)
	}
	if err := diags.Err(); err == nil || errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
}

func TestDefault(t *testing.T) {
	s := Default()
	if len(s.Listeners) != 2 || s.Listeners[0].Address != "127.0.0.1:2525" || s.Listeners[1].Address != "127.0.0.1:8025" || s.Listeners[1].Kind != policy.ListenControl {
		t.Errorf("%+v", s.Listeners)
	}
	if len(s.Listeners[0].RelayNetworks) != 2 || s.Spool.Directory != "sluice-data/spool" || s.Bindings["default"] == nil || s.DrainTimeout != 10*time.Second {
		t.Errorf("%+v", s)
	}
	q := s.Queue("default", "example.com")
	if q.Session.EHLO != s.Hostname || q.Retry.After(1) != 20*time.Minute || q.Retry.After(9) != 12*time.Hour || !q.Session.UseIPv4 || q.Session.UseIPv6 || len(q.Session.Prohibited) == 0 {
		t.Errorf("%+v %+v", q, q.Session)
	}
}
