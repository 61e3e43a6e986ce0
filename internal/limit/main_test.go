package limit

import "os"

// soak reports whether the long forms are to be played.
func soak() bool { return os.Getenv("SLUICE_SOAK") != "" }
