package config

import (
	"fmt"
	"slices"
	"strings"
)

// Diagnostic is one finding about a configuration.
type Diagnostic struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1; 0: of the file as a whole
	Column  int    `json:"column"` // from 1, in characters
	Warning bool   `json:"warning"`
	Text    string `json:"text"`
}

// String is FILE:LINE:COL: error: TEXT, or warning.
func (d Diagnostic) String() string {
	kind := "error"
	if d.Warning {
		kind = "warning"
	}
	if d.Line == 0 {
		if d.File == "" {
			return kind + ": " + d.Text
		}
		return d.File + ": " + kind + ": " + d.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s", d.File, d.Line, d.Column, kind, d.Text)
}

// Diagnostics are findings in the order of the files and their lines.
type Diagnostics []Diagnostic

// HasErrors reports whether one of them is an error.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return !d.Warning })
}

// Errors and Warnings count them.
func (ds Diagnostics) Errors() (n int) {
	for _, d := range ds {
		if !d.Warning {
			n++
		}
	}
	return n
}

// Warnings counts the warnings.
func (ds Diagnostics) Warnings() int { return len(ds) - ds.Errors() }

// Err returns the errors as one error, or nil when there are none.
func (ds Diagnostics) Err() error {
	var lines []string
	for _, d := range ds {
		if !d.Warning {
			lines = append(lines, d.String())
		}
	}
	if lines == nil {
		return nil
	}
	return fmt.Errorf("configuration:\n%s", strings.Join(lines, "\n"))
}

func (ds Diagnostics) sortBy(order map[string]int) {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		if c := order[a.File] - order[b.File]; c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}
