package tlspolicy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParsePolicy(t *testing.T) {
	const head = "version: STSv1\nmode: enforce\n"
	tests := []struct {
		name, text string
		want       Policy
		err        string
	}{
		{
			"CRLF", "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.NET\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n",
			Policy{ModeEnforce, []string{"mail.example.com", "*.example.net", "backupmx.example.com"}, 604800 * time.Second},
			"",
		},
		{"LF, no end of line, spaces", "version:STSv1\nmode :testing\nmx:a.test \nmax_age:1", Policy{ModeTesting, []string{"a.test"}, time.Second}, ""},
		{"none needs no mx", "version: STSv1\nmode: none\nmax_age: 0\n", Policy{Mode: ModeNone}, ""},
		{"unknown keys, blank lines", head + "\nx-more: yes: no\nmx: a.test\nmax_age: 9\n", Policy{ModeEnforce, []string{"a.test"}, 9 * time.Second}, ""},
		{"the first counts", head + "mode: none\nmx: a.test\nmax_age: 9\nmax_age: 10\n", Policy{ModeEnforce, []string{"a.test"}, 9 * time.Second}, ""},
		{"a year at most", head + "mx: a.test\nmax_age: 9999999999\n", Policy{ModeEnforce, []string{"a.test"}, longestLife}, ""},
		{"an IDN", head + "mx: bücher.example\nmax_age: 9\n", Policy{ModeEnforce, []string{"xn--bcher-kva.example"}, 9 * time.Second}, ""},
		{"no version", "mode: none\nmax_age: 1\n", Policy{}, "no version"},
		{"another version", "version: STSv2\nmode: none\nmax_age: 1\n", Policy{}, `version "STSv2", not STSv1`},
		{"no mode", "version: STSv1\nmx: a.test\nmax_age: 1\n", Policy{}, "no mode"},
		{"unknown mode", "version: STSv1\nmode: report\nmax_age: 1\n", Policy{}, `unknown mode "report"`},
		{"no max_age", head + "mx: a.test\n", Policy{}, "no max_age"},
		{"negative max_age", head + "mx: a.test\nmax_age: -1\n", Policy{}, `max_age "-1" is no number of seconds`},
		{"long max_age", head + "mx: a.test\nmax_age: 00000000001\n", Policy{}, `max_age "00000000001" is no number of seconds`},
		{"no mx", head + "max_age: 1\n", Policy{}, "mode enforce without mx"},
		{"a bad mx", head + "mx: mail.*.test\nmax_age: 1\n", Policy{}, `mx "mail.*.test" is no host name`},
		{"an address", head + "mx: [192.0.2.1]\nmax_age: 1\n", Policy{}, `mx "[192.0.2.1]" is no host name`},
		{"no colon", head + "hello\n", Policy{}, `line "hello" has no colon`},
		{"a web page", "<!DOCTYPE html>\n<html>\n", Policy{}, `line "<!DOCTYPE html>" has no colon`},
		{"many mx", head + strings.Repeat("mx: a.test\n", maxMX+1) + "max_age: 1\n", Policy{}, "more than 256 mx patterns"},
		{"long", strings.Repeat("x", maxPolicy+1), Policy{}, "longer than 65536 octets"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParsePolicy(tt.text)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Fatalf("got %+v, %v", got, err)
				}
				return
			}
			if err != nil || got.Mode != tt.want.Mode || got.MaxAge != tt.want.MaxAge || !slices.Equal(got.MX, tt.want.MX) {
				t.Fatalf("got %+v, %v", got, err)
			}
			again, err := ParsePolicy(got.text())
			if err != nil || again.text() != got.text() {
				t.Errorf("read again: %+v, %v", again, err)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	p := Policy{MX: []string{"mx.one.test", "*.two.test"}}
	for host, want := range map[string]bool{
		"mx.one.test": true, "mx2.one.test": false, "a.mx.one.test": false, "one.test": false,
		"a.two.test": true, "a.b.two.test": false, "two.test": false, ".two.test": true, "xtwo.test": false, "": false,
	} {
		if got := p.Matches(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}

func TestParseRecord(t *testing.T) {
	for _, tt := range []struct {
		texts []string
		id    string
		ok    bool
	}{
		{[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z", true},
		{[]string{"v=STSv1;id=1"}, "1", true},
		{[]string{"v=STSv1 ; x=y; id=1 ;"}, "1", true},
		{[]string{"some other text", "v=STSv1; id=2;"}, "2", true},
		{[]string{"v=STSv1; id=1;", "v=STSv1; id=1;"}, "", false},
		{[]string{"v=STSv2; id=1;"}, "", false},
		{[]string{"v=STSv1;"}, "", false},
		{[]string{"v=STSv1; id=a-b;"}, "", false},
		{[]string{"v=STSv1; id=" + strings.Repeat("1", 33)}, "", false},
		{[]string{"id=1; v=STSv1"}, "", false},
		{nil, "", false},
	} {
		if id, ok := parseRecord(tt.texts); id != tt.id && ok || ok != tt.ok {
			t.Errorf("%q: %q, %t", tt.texts, id, ok)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add("version: STSv1\r\nmode: enforce\r\nmx: a.test\r\nmax_age: 1\r\n")
	f.Add("version: STSv1\nmode: none\nmax_age: 0")
	f.Add("v=STSv1; id=1;")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePolicy(s)
		if err == nil {
			again, err := ParsePolicy(p.text())
			if err != nil || again.text() != p.text() || p.MaxAge < 0 || p.MaxAge > longestLife {
				t.Fatalf("%q: %+v, %v", s, again, err)
			}
		}
		if id, ok := parseRecord([]string{s}); ok && (id == "" || len(id) > maxID) {
			t.Fatalf("%q: %q", s, id)
		}
	})
}
