package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sluice-mta/sluice/internal/policy"
)

// maxNested is how deep stanzas stand in each other at most.
const maxNested = 4

// Restore makes a configuration of what policy.Show gave of it elsewhere: to be compared
// with, never to be run. Secrets are not in it. It reads no file; main stands for the
// path of the file, for defaults that are relative to it.
func (l *Loader) Restore(main string, shown policy.ShownScope) (*policy.Snapshot, error) {
	root := policy.NewRoot()
	if err := restore(root, &shown, 0); err != nil {
		return nil, err
	}
	snap, _ := policy.Build(root, policy.Environment{File: main, Hostname: l.hostname(), Directory: filepath.Dir(main)})
	return snap, nil
}

func restore(into *policy.Scope, shown *policy.ShownScope, depth int) error {
	if depth > maxNested {
		return errors.New("stanzas stand too deep in each other")
	}
	for _, x := range shown.Options {
		if err := restoreOption(into, x); err != nil {
			return fmt.Errorf("%s = %.100s (%s:%d): %w", x.Name, x.Value, x.File, x.Line, err)
		}
	}
	for i := range shown.Stanzas {
		x := &shown.Stanzas[i]
		st := policy.LookupStanza(x.Stanza)
		if st == nil || !st.In.Has(into.Kind) {
			return fmt.Errorf("%q in %s is no stanza that this version knows", x.Stanza, into.Path)
		}
		kind, label := kindIn(st, into), policy.Label{Text: x.Label}
		if st.Labelled && !st.Listen {
			var err error
			if label, err = policy.ParseLabel(kind, x.Label); err != nil {
				return fmt.Errorf("%s %q: %w", x.Stanza, x.Label, err)
			}
		}
		at := policy.Origin{File: x.File, Line: x.Line, Column: 1}
		if err := restore(into.Open(kind, label, at), x, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func restoreOption(into *policy.Scope, x policy.ShownOption) error {
	o := policy.Lookup(into.Kind, x.Name)
	if o == nil {
		return fmt.Errorf("no option of %s that this version knows", into.Path)
	}
	at := policy.Origin{File: x.File, Line: x.Line, Column: 1}
	if o.Type == policy.TypeSecret {
		into.Set(o, policy.Value{Text: strings.Trim(x.Value, `"`)}, at)
		return nil
	}
	var wrong error
	items, _ := parse("x = "+x.Value+"\n", func(_, _ int, text string) { wrong = errors.New(text) })
	if wrong != nil || len(items) != 1 || items[0].kind != itemOption {
		return errors.Join(errors.New("not a value"), wrong)
	}
	r := &run{Loader: &Loader{}}
	raw, ok := r.raw("", items[0].value, o)
	if !ok {
		return errors.New("not a value")
	}
	v, err := o.Parse(x.Name, raw)
	if err != nil {
		return err
	}
	into.Set(o, v, at)
	return nil
}
