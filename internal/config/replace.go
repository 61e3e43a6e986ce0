package config

import (
	"fmt"
	"os"

	"github.com/google/renameio/v2"
)

// Replace writes a file anew, whole or not at all, with the mode that it had.
func Replace(path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, reason(err))
	}
	if err := renameio.WriteFile(path, data, info.Mode().Perm(), renameio.WithExistingPermissions()); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}
