package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is imported is a configuration that can be asked; what is not is named.
func TestImport(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "stalwart.toml"), filepath.Join(dir, "sluice.conf")
	text := "[queue.outbound.limits]\nmx = 7\n\n[queue.outbound.timeouts]\nmail-from = \"3m\"\n\n[session.auth]\nwait = \"5s\"\n"
	if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, status := command("import", "stalwart", from)
	if status != exitDone || errs != from+":8:1: note: session.auth.wait has no counterpart\n" || !strings.Contains(out, "#   line 8: session.auth.wait") {
		t.Fatalf("%d %s\n%s", status, errs, out)
	}
	if err := os.WriteFile(to, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]string{"mx": "Max_Mx_Hosts = 7\n", "mail-from": "Mailfrom_Timeout = 3m\n"} {
		if out, errs, status := command("config", "eval", "--config", to, "domain", "one.example", option); out != want || status != exitDone {
			t.Errorf("%s: %d %s %s", option, status, out, errs)
		}
	}
	for args, want := range map[string]int{"sendmail " + from: exitUsage, "stalwart " + from + ".not": exitFailed, "stalwart " + dir: exitFailed, "stalwart": exitUsage} {
		if _, errs, status := command(append([]string{"import"}, strings.Fields(args)...)...); status != want || errs == "" {
			t.Errorf("import %s: %d %s", args, status, errs)
		}
	}
}
