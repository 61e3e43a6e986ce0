package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the expected files anew")

// golden compares text with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (write it anew with -update):\n%s", file, got)
	}
}

func diagText(ds Diagnostics) string {
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintln(&b, d)
	}
	return b.String()
}

// TestTwentyErrors names every mistake of a file that has many, each of another kind.
func TestTwentyErrors(t *testing.T) {
	snap, diags := (&Loader{Hostname: "mta.test"}).Load("testdata/twenty.conf")
	if snap != nil {
		t.Error("a configuration with errors was loaded")
	}
	if n := diags.Errors(); n < 20 {
		t.Errorf("%d errors", n)
	}
	golden(t, "testdata/twenty.want", diagText(diags))
}

// TestErrors holds single messages: where, what, what is allowed, the nearest name.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		conf string
		want []string // in the order of the file; each must be the beginning of a line or, after *, part of it
	}{
		{"max_outbound_conections = 5", []string{`1:1: error: unknown option "max_outbound_conections" in global*(did you mean max_outbound_connections?)`}},
		{"max-smtp-ot = 5", []string{"1:1: error: unknown option*(did you mean max-smtp-out?)"}},
		{"Domain example.com {\n  bind_address = 10.0.0.1\n}", []string{`2:3: error: option "bind_address" is not valid in domain "example.com"; it is valid in binding`}},
		{"Domain example.com {\n  Binding b { }\n}", []string{`2:3: error: Binding is not valid in domain "example.com"; it is valid in global, binding_group`}},
		{"a = 1\nDomain \"x.test\" {\n  tls = maybe\n", []string{"1:1: error: unknown option", "2:1: error: the } of this stanza is missing", `3:9: error: tls: "maybe" is not a choice; allowed: ifavailable, no, required`}},
		{"tls = requird", []string{`1:7: error: tls: "requird" is not a choice (did you mean required?); allowed`}},
		// A missing brace hides nothing behind it and breaks nothing behind it.
		{"Domain a.test {\n  tls = no\n\nDomain b.test {\n  tls = bad\n}\n\nBinding_Group g {\n  Binding b {\n    bind_address = 10.0.0.1\n}\n\nBinding c { bind_address = x }", []string{
			"1:1: error: the } of this stanza is missing", `5:9: error: tls: "bad"`, "9:3: error: the } of this stanza is missing", `13:28: error: bind_address: "x" is not an IP address; allowed: an IPv4`,
		}},
		{"Domain \"a.test {\n  tls = no\n}\ntls = bad", []string{`1:8: error: the closing " is missing`, `4:7: error: tls`}},
		{"tls no\ntls = bad", []string{`1:1: error: expected "=" or "{" after "tls", found "no"`, "2:7: error: tls"}},
		{"tls =\nuse_ipv6 = x", []string{"1:5: error: the value of tls is missing", "2:12: error: use_ipv6"}},
		{"ehlo_hostname = a b\ntls = bad", []string{`1:19: error: unexpected "b" after "a"`, "2:7: error: tls"}},
		{"max_connect_rate = 10/s,burst=5\ntls = bad", []string{`1:30: error: "=" in the value of max_connect_rate: a value with = is quoted`, "2:7: error: tls"}},
		{"retry_interval = ( 5m\ntls = bad", []string{`1:18: error: the ")" of this list is missing`, "2:7: error: tls"}},
		{"} tls = bad", []string{`1:1: error: unexpected "}"`, "1:9: error: tls"}},
		{"/* open", []string{"1:1: error: the comment is not closed"}},
		{"Host { }\nHost mx.test\n{ tls = no }", []string{"1:1: error: Host needs a label", `3:3: error: option "tls" is not valid in host "mx.test"`}},
		{"Binding_Group g { cluster_max_outbound_connections = 5 }", []string{"1:19: error: cluster_max_outbound_connections is not valid in a binding_group"}},
		{"Binding_Group g { Binding b { Domain a.test { cluster_max_outbound_connections = 5 } } }", []string{"1:47: error: cluster_max_outbound_connections is not valid in a binding_group"}},
		{"Host 10.0.0.1 { cluster_max_outbound_connections = 5 }", []string{"1:17: error: cluster_max_outbound_connections counts by the host's name"}},
		{"Binding_Group g { Binding b { } }\nBinding_Group h { Binding b { } }", []string{`2:19: error: binding "b" is there already, in binding_group "g" (t.conf:1)`}},
		{"Binding b { bind_address = 10.0.0.1 bind_address_secondary = 10.0.0.2 }", []string{"1:37: error: bind_address_secondary = 10.0.0.2 is of the same family"}},
		{"max_outbound_connections { }", []string{"1:1: error: max_outbound_connections is an option, not a stanza"}},
		{"Binding = x", []string{"1:1: error: Binding is a stanza, not an option"}},
		{"spool x { }", []string{"1:7: error: spool takes no label"}},
		{"Domain *.example.com { }", []string{"1:8: error: Domain \"*.example.com\": * is not a wildcard here"}},
		{"ESMTP_Listener { Listen 127.0.0.1:25 { tls_key = x } } HTTP_Listener { Listen 127.0.0.1:25 { } }", []string{"1:18: error: tls_certificate and tls_key belong together", "1:72: error: another listener has the address 127.0.0.1:25"}},
		{"ESMTP_Listener { tls_certificate = gone.pem tls_key = gone.key Listen 127.0.0.1:25 { } }", []string{"1:18: error: tls_certificate = gone.pem: no such file"}},
		{"tls_key = gone.key", []string{"1:1: error: tls_certificate and tls_key belong together"}},
		{"Domain a.test { tls_certificate = gone.pem tls_key = gone.key }", []string{"1:17: error: tls_certificate = gone.pem: no such file"}},
		{"Binding b { tls_ca = gone.pem }", []string{"1:13: error: tls_ca = gone.pem: no such file"}},
		{"tls_min_version = 1.4", []string{`1:19: error: tls_min_version: "1.4" is not a choice`}},
		{"dns { zone_file = gone.zone }", []string{"1:7: error: zone_file = gone.zone: no such file"}},
		{"mx_rollup = gmial.rollup Rollup gmail.rollup { mx = *.google.com }\nDomain a.test { mx_rollup = nowhere }", []string{`1:1: error: mx_rollup = gmial.rollup: no Rollup of that name, and not a domain; allowed: off, auto, the name of a Rollup, a domain (did you mean gmail.rollup?)`, `2:17: error: mx_rollup = nowhere: no Rollup of that name, and not a domain; allowed: off, auto`}},
		{"User u { password = \"$2b$10$short\" }", []string{"1:21: error: password: not a bcrypt hash"}},
		{"User u { password = credential:pw }", []string{"1:21: error: password: credential:pw: $CREDENTIALS_DIRECTORY is not set"}},
		{"prohibited_hosts = ( 10.0.0.0/8, 10.1.1.1 )", []string{`1:20: error: prohibited_hosts: "10.0.0.0/8," ends with a comma: the entries of a list are separated by white space`}},
		{"weight = 5", []string{`1:1: error: option "weight" is not valid in global; it is valid in binding, tenant`}},
		{"hostname = \"a b\"", []string{`1:12: error: hostname: "a b" is not a host name`}},
		{"message_expiration = 99999999999999999999d", []string{"1:22: error: message_expiration: \"99999999999999999999d\" is too large"}},
		{"quit_timeout = 6s", []string{"1:16: error: quit_timeout: 6s is too large; allowed: seconds*to 5s"}},
		{"a.b = 1\ntls = bad", []string{`1:1: error: "a.b" is not a name`, "2:7"}},
		{"tls = \"\xff\"", []string{"1:7: error: the text is not UTF-8"}},
		{"ehlo_hostname = \"\x00\"", []string{"1:17: error: the text holds a NUL"}},
	} {
		_, diags := (&Loader{Hostname: "mta.test", Getenv: func(string) (string, bool) { return "", false }}).Parse("t.conf", c.conf)
		var errs []string
		for _, d := range diags {
			if !d.Warning {
				errs = append(errs, strings.TrimPrefix(d.String(), "t.conf:"))
			}
		}
		if len(errs) < len(c.want) {
			t.Errorf("%q: %d errors, want %d:\n%s", c.conf, len(errs), len(c.want), strings.Join(errs, "\n"))
			continue
		}
		for i, w := range c.want {
			head, part, _ := strings.Cut(w, "*")
			if strings.Contains(w, "\"*") || strings.Contains(w, ": * is") {
				head, part = w, ""
			}
			if !strings.HasPrefix(errs[i], head) || !strings.Contains(errs[i], part) {
				t.Errorf("%q: error %d\n got %s\nwant %s", c.conf, i, errs[i], w)
			}
		}
		if len(errs) > len(c.want) {
			t.Errorf("%q: more errors than mistakes:\n%s", c.conf, strings.Join(errs, "\n"))
		}
	}
}
