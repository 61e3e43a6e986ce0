package spool

import "fmt"

// The room of a segment is reserved when it is made, but a block that was never written
// is marked so in the file system's map. A sync of such blocks changes the map, which
// costs the journal writes of its own; a sync of blocks written before costs the data
// alone. So where the log comes to blocks that were never written, zeros are written
// over those that follow too, and one sync in many pays for the map. The octets read as
// zero before and after: recovery sees no difference.

const (
	// aheadSize is how many octets of zeros are written at once.
	aheadSize = 256 << 10
	// aheadWindow is the largest window, in octets, before which that is worth it: larger
	// ones would have written as many zeros as data for little.
	aheadWindow = aheadSize / 4
	// aheadBlock is what the end of the zeros is a multiple of.
	aheadBlock = 4 << 10
)

var aheadZeros [aheadSize + aheadBlock]byte

// writeAhead prepares the blocks behind the window for the syncs to come. Its failure is
// that of any write to the segment.
func (w *writer) writeAhead() error {
	s, end := w.active, w.base+int64(len(w.win))
	if end <= s.written {
		return nil
	}
	if s.written = end; len(w.win) > aheadWindow {
		return nil
	}
	to := min((end+aheadSize+aheadBlock-1)/aheadBlock*aheadBlock, s.size)
	if _, err := s.file.WriteAt(aheadZeros[:to-end], end); err != nil {
		return fmt.Errorf("write ahead in %s: %w", s.name, err)
	}
	s.written = to
	return nil
}
