package stalwart

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/config"
)

var update = flag.Bool("update", false, "write the expected results anew")

// TestImport compares what becomes of each file of testdata with the text beside it, which
// must be a configuration in canonical form.
func TestImport(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Import(file, data)
			if err != nil {
				t.Fatal(err)
			}
			checked(t, got.Text)
			text := got.Text + "\n"
			for _, n := range got.Notes {
				text += fmt.Sprintf("# note %d:%d\n", n.Line, n.Column)
			}
			want := strings.TrimSuffix(file, ".toml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if expected, err := os.ReadFile(want); err != nil || text != string(expected) {
				t.Errorf("%v\ngot\n%s\nwant\n%s", err, text, expected)
			}
		})
	}
}

// checked fails when a text is no configuration, or not in canonical form.
func checked(t *testing.T, text string) {
	t.Helper()
	if _, diags := (&config.Loader{Hostname: "mx.test", Check: true}).Parse("made.conf", text); diags.HasErrors() {
		t.Errorf("%v in\n%s", diags, text)
	}
	if again, diags := config.Format("made.conf", text); len(diags) > 0 || again != text {
		t.Errorf("%v: not in canonical form:\n%s\nbut\n%s", diags, text, again)
	}
}

// The values of the example have the names and aliases that they are asked by.
func TestImportedValues(t *testing.T) {
	data, err := os.ReadFile("testdata/seed003.toml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Import("stalwart.toml", data)
	if err != nil {
		t.Fatal(err)
	}
	snap, diags := (&config.Loader{Hostname: "mx.test"}).Parse("made.conf", r.Text)
	if snap == nil {
		t.Fatal(diags)
	}
	for question, want := range map[string]string{
		"mx": "Max_Mx_Hosts = 7", "multihomed": "Max_Addresses_Per_Host = 2", "connect_timeout": "Connect_Timeout = 3m",
		"greeting_timeout": "Greeting_Timeout = 3m", "tls_timeout": "Tls_Timeout = 2m", "ehlo_timeout": "Ehlo_Timeout = 3m",
		"mail-from": "Mailfrom_Timeout = 3m", "rcpt-to": "Rcptto_Timeout = 3m", "data_timeout": "Data_Timeout = 10m",
		"mta_sts_timeout": "Mta_Sts_Timeout = 2m",
	} {
		q, err := snap.ParseQuestion([]string{question})
		if err != nil {
			t.Fatal(err)
		}
		a := snap.Eval(q)
		if got := a.String(); got != want {
			t.Errorf("%s: got %s, want %s", question, got, want)
		}
	}
}

func TestNoTOML(t *testing.T) {
	for text, want := range map[string]string{
		"a = \n":                              "line 1",
		"[queue]\na = 1\na = 2\n":             "read f.toml",
		"[queue.outbound\nmx = 1\n":           "line 1",
		"a = " + strings.Repeat("[", 200_000): "read f.toml",
	} {
		if _, err := Import("f.toml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// Whatever is read: an error, or a configuration in canonical form without errors.
func FuzzImport(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.toml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("queue.outbound.hostname = \"'a\\u0000b'\"\n"))
	f.Add([]byte("\"a\\nb\" = 1\n"))
	f.Add([]byte("queue.outbound.limits.mx = [ { if = \"rcpt_domain = '\\\"{'\", then = 1 } ]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := Import("f.toml", data); err == nil {
			checked(t, r.Text)
		}
	})
}
