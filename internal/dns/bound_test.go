package dns

import (
	"strings"
	"testing"
)

// A short file can ask for many records: they are counted, not the lines.
func TestZoneIsBounded(t *testing.T) {
	text := strings.Repeat("$GENERATE 0-65535 b$.test. A 192.0.2.1\n", 3)
	if _, err := parseZone(strings.NewReader(text), "zone", 100); err == nil || err.Error() != "zone: more than 100 records" {
		t.Error(err)
	}
}
