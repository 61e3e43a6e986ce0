package policy

import (
	"strings"
	"testing"
)

// TestPatternSuffixes holds that the literals never change what matches.
func TestPatternSuffixes(t *testing.T) {
	for text, suffixes := range map[string]string{
		`\.fr$`: ".fr", `^(aol|yahoo).com$`: "com", `^mx`: "", `x|\.fr$`: "", `(?i)\.FR$`: "", `(a\.fr)$`: "a.fr", `a$|b$`: "",
		`\.(fr|de)$`: ".fr .de", `(?m)\.fr$`: "", `\.fr\z`: ".fr", `fr$$`: "", `r+$`: "", `^a\.fr$`: "a.fr", `$`: "",
		`^(wanadoo|orange)\.fr$`: "wanadoo.fr orange.fr", `\.(co|com|org)\.uk$`: "", `(a|b|)x$`: "", `^(gmail|googlemail)\.com$`: "",
	} {
		p, err := newPattern(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.suffixes, " "); suffixes != "" && got != suffixes {
			t.Errorf("%s: suffixes %q, want %q", text, got, suffixes)
		}
		for _, name := range []string{
			"", "x", "a.fr", "www.orange.fr", "orange.fr.test", "aol.com", "yahooXcom", "b", "a.FR", "mx.de", "r", "rr", "x.fr\n", "wanadoo.fr",
			"a.co.uk", "a.com.uk", "a.org.uk", "uk", "ax", "bx", "gmail.com", "googlemail.com", "xgooglemail.com", "mail.com",
		} {
			if p.match(name) != p.re.MatchString(name) {
				t.Errorf("%s: %q", text, name)
			}
		}
	}
}
