package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
)

// setAside copies damaged octets of a segment to the quarantine, counts them and names
// them in the log. Octets that were set aside before are not counted again. A copy that
// fails (full disk) is said, and stops nothing.
func (d *Disk) setAside(epoch uint32, off int64, b []byte, why string) {
	name := path.Join(d.dir, quarantine, fmt.Sprintf("%08x-%08x.rec", epoch, off))
	err := d.copyAside(name, b)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	d.mu.Lock()
	d.quarantined++
	d.mu.Unlock()
	if err != nil {
		d.logf(slog.LevelError, "spool: damaged record of %d octets at %d of segment %08x (%s); no copy of it: %v", len(b), off, epoch, why, err)
		return
	}
	d.logf(slog.LevelError, "spool: damaged record of %d octets at %d of segment %08x (%s) is in %s", len(b), off, epoch, why, name)
}

func (d *Disk) copyAside(name string, b []byte) error {
	f, err := d.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.fs.SyncDir(path.Dir(name))
	}
	return err
}
