//go:build unix

package vfs

// extend makes f at least size octets long where room cannot be reserved.
func extend(f osFile, size int64) error {
	st, err := f.Stat()
	if err != nil || st.Size() >= size {
		return err
	}
	return f.Truncate(size)
}
