package server

import "testing"

func TestPercentFor(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 800},
		{4 << 20, 800},
		{5 << 20, 800},
		{16 << 20, 200},
		{40 << 20, 100},
		{64 << 20, 100},
		{255 << 20, 100},
		{256 << 20, 50},
		{4 << 30, 50},
	} {
		if got := percentFor(c.live); got != c.want {
			t.Errorf("percentFor(%d MiB) = %d, want %d", c.live>>20, got, c.want)
		}
	}
}
