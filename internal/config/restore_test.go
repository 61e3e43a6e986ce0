package config

import (
	"path/filepath"
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

// TestRestore: what Show gives of every configuration there is makes one that shows the
// same and differs in nothing.
func TestRestore(t *testing.T) {
	var files []string
	for _, pattern := range []string{"testdata/cases/*.conf", "../../examples/*.conf", "../../cmd/sluice/testdata/*.conf"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 8 {
		t.Fatalf("only %d configurations found", len(files))
	}
	for _, f := range files {
		snap, found := (&Loader{Check: true, Partial: true}).Load(f)
		if snap == nil {
			t.Fatal(f, found)
		}
		again, err := (&Loader{}).Restore(f, snap.Show(false))
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if a, b := snap.Show(false).String(), again.Show(false).String(); a != b {
			t.Errorf("%s\n%s\nrestored is\n%s", f, a, b)
		}
		for _, d := range policy.Compare(snap, again) {
			t.Errorf("%s: restored it differs: %+v", f, d)
		}
	}
}

// FuzzRestore: whatever is sent, it is refused or makes a configuration; nothing panics.
func FuzzRestore(f *testing.F) {
	f.Add("Domain", "one.test", "max_outbound_connections", "8")
	f.Add("Domain", "/(/", "retry_interval", "( 1 2m )")
	f.Add("Listen", "x", "tls", "maybe")
	f.Add("User", "u", "password", `"***"`)
	f.Fuzz(func(t *testing.T, stanza, label, option, value string) {
		shown := policy.ShownScope{
			Options: []policy.ShownOption{{Name: option, Value: value}},
			Stanzas: []policy.ShownScope{{Stanza: stanza, Label: label, Options: []policy.ShownOption{{Name: option, Value: value}}}},
		}
		for _, s := range []policy.ShownScope{shown, {Stanzas: shown.Stanzas}, {Options: shown.Options}} {
			if snap, err := (&Loader{Hostname: "h"}).Restore("x.conf", s); err == nil {
				policy.Compare(Default(), snap)
			}
		}
	})
}
