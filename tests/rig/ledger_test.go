package rig

import "testing"

func TestCompare(t *testing.T) {
	got := Compare([]string{"a", "b", "c"}, map[string]int{"a": 1, "b": 3, "x": 1})
	if got.Accepted != 3 || got.Lost != 1 || got.Repeated != 2 || got.Unknown != 1 {
		t.Errorf("Compare = %v", got)
	}
}
