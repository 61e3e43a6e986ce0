package stalwart

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Bounds of what is read.
const (
	maxSize    = 16 << 20 // octets
	maxEntries = 100_000
	maxDepth   = 32 // arrays and tables inside each other
)

// entry is one key of the file with its value.
type entry struct {
	key          string // parts joined by dots
	line, column int
	value        value
}

// value is a value of TOML: a text, a list, or a table (of a condition).
type value struct {
	kind  kind
	text  string // of a scalar, as written but without quotes
	list  []value
	table []field
}

type field struct {
	key   string
	value value
}

type kind uint8

const (
	scalar kind = iota
	list
	table
)

// read parses a file into its keys, in order. Tables inside tables are taken apart.
func read(data []byte) ([]entry, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("larger than %d octets", maxSize)
	}
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, column := at.Position()
			return nil, fmt.Errorf("line %d, column %d: %s", line, column, strings.TrimPrefix(at.Error(), "toml: "))
		}
		return nil, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "toml: "))
	}
	r := reader{}
	r.p.Reset(data)
	prefix := ""
	for r.p.NextExpression() {
		e := r.p.Expression()
		switch e.Kind {
		case unstable.Table:
			prefix = key(e)
		case unstable.ArrayTable:
			prefix = key(e) + "[]"
		case unstable.KeyValue:
			if err := r.keyValue(prefix, e); err != nil {
				return nil, err
			}
		}
	}
	return r.entries, r.p.Error()
}

type reader struct {
	p       unstable.Parser
	entries []entry
}

func (r *reader) keyValue(prefix string, e *unstable.Node) error {
	v, err := r.value(e.Value(), 0)
	if err != nil {
		return err
	}
	at := e.Key()
	at.Next()
	start := r.p.Shape(at.Node().Raw).Start
	return r.add(join(prefix, key(e)), start.Line, start.Column, v)
}

// add takes a table apart, but for one that is a condition.
func (r *reader) add(name string, line, column int, v value) error {
	if v.kind == table {
		for _, f := range v.table {
			if err := r.add(join(name, f.key), line, column, f.value); err != nil {
				return err
			}
		}
		return nil
	}
	if len(r.entries) == maxEntries {
		return fmt.Errorf("more than %d keys", maxEntries)
	}
	r.entries = append(r.entries, entry{key: name, line: line, column: column, value: v})
	return nil
}

func (r *reader) value(n *unstable.Node, depth int) (value, error) {
	if depth > maxDepth {
		return value{}, fmt.Errorf("lists and tables are more than %d deep", maxDepth)
	}
	switch n.Kind {
	case unstable.Array:
		v := value{kind: list}
		for it := n.Children(); it.Next(); {
			x, err := r.value(it.Node(), depth+1)
			if err != nil {
				return value{}, err
			}
			v.list = append(v.list, x)
		}
		return v, nil
	case unstable.InlineTable:
		v := value{kind: table}
		for it := n.Children(); it.Next(); {
			x, err := r.value(it.Node().Value(), depth+1)
			if err != nil {
				return value{}, err
			}
			v.table = append(v.table, field{key(it.Node()), x})
		}
		return v, nil
	}
	return value{text: string(n.Data)}, nil
}

// key is the dotted key of a node.
func key(n *unstable.Node) string {
	var parts []string
	for it := n.Key(); it.Next(); {
		parts = append(parts, string(it.Node().Data))
	}
	return strings.Join(parts, ".")
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}
