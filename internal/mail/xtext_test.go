package mail

import "testing"

func TestDecodeXText(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "a+2Bb": "a+b", "+3D": "=", "x+": "x+", "x+4": "x+4", "+zz": "+zz", "+0A": "\n",
	} {
		if got := DecodeXText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
