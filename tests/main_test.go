// Package tests proves the built binary from outside: real clients, real receivers,
// real signals, all on loopback.
package tests

import (
	"debug/elf"
	"testing"

	"github.com/sluice-mta/sluice/tests/rig"
)

func TestBinaryIsStatic(t *testing.T) {
	f, err := elf.Open(rig.Sluice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary asks for a dynamic loader (%v)", p.Type)
		}
	}
}
