package internal_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluice-mta/sluice/"

// arrows says which rooms each room may import. Import points inward only:
// cmd -> server -> edges -> sched -> limit, route, adapt, classify, policy -> mail.
// vfs and metrics are leaves that any edge may import. A room that is not named here
// does not exist.
var arrows = map[string][]string{
	"mail":     {},
	"handles":  {},
	"policy":   {"mail"},
	"limit":    {"mail", "handles"},
	"route":    {"mail", "policy"},
	"classify": {"mail"},
	"adapt":    {"mail"},
	"sched":    {"mail", "policy", "limit", "route", "classify", "adapt", "handles"},

	"vfs":     {},
	"metrics": {},

	"sched/live":      {"mail", "policy", "limit", "sched", "metrics"},
	"spool":           {"mail", "vfs", "metrics"},
	"state":           {"mail", "vfs", "metrics"},
	"spool/spooltest": {"mail", "spool", "vfs"},
	"dns":             {"mail", "policy", "sched", "metrics"},
	"dns/dnstest":     {"mail", "dns"},
	"tlspolicy":       {"mail", "policy", "sched", "dns", "metrics"},
	"smtp":            {"mail", "metrics"},
	"smtp/smtptest":   {"mail", "smtp"},
	"sign":            {"mail", "metrics"},
	"inject":          {"mail", "policy", "route", "sched", "spool", "sign", "smtp", "metrics"},
	"inject/smtpin":   {"mail", "policy", "route", "sched", "spool", "sign", "smtp", "inject", "metrics"},
	"deliver":         {"mail", "policy", "sched", "classify", "smtp", "metrics"},
	"bounce":          {"mail", "policy", "sched", "classify"},
	"suppress":        {"mail", "policy"},
	"account":         {"mail", "policy", "sched", "classify", "vfs", "metrics"},
	"report":          {"mail", "sched", "classify", "account"},
	"config":          {"mail", "policy", "classify", "vfs"},
	"admin":           {"mail", "policy", "limit", "sched", "spool", "metrics"},
	"admin/client":    {"admin", "policy", "sched"},
	"sim":             {"*"},
	"sim/forecast":    {"*"},
	"sink":            {"mail", "smtp"},
	"load":            {"mail", "smtp"},
	"server":          {"*"},
}

// core names the exact core: deterministic, nothing of the outside in it.
var core = []string{"mail", "handles", "policy", "limit", "route", "classify", "adapt", "sched"}

// outside may not be imported by the core. net/netip is a value type and allowed.
func outside(path string) bool {
	switch path {
	case "os", "sync", "log", "context", "crypto/rand", "unsafe", "net", "math/rand", "bufio", "io/fs", "syscall", "runtime":
		// math/rand: the global functions; math/rand/v2 with an own source is allowed and
		// its global functions are looked for below.
		return true
	}
	for _, p := range []string{"os/", "sync/", "log/", "net/", "syscall/", "golang.org/x/sys", "golang.org/x/net/"} {
		if strings.HasPrefix(path, p) {
			return path != "net/netip" && path != "golang.org/x/net/idna"
		}
	}
	return false
}

var clock = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true,
	"Tick": true, "NewTimer": true, "NewTicker": true,
}

type room struct {
	dir   string
	files []*ast.File
	tests []*ast.File
}

func rooms(t *testing.T) (map[string]*room, *token.FileSet) {
	t.Helper()
	fset := token.NewFileSet()
	found := map[string]*room{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || filepath.Dir(path) == "." {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Dir(path))
		r := found[name]
		if r == nil {
			r = &room{dir: filepath.Dir(path)}
			found[name] = r
		}
		if strings.HasSuffix(path, "_test.go") {
			r.tests = append(r.tests, f)
		} else {
			r.files = append(r.files, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, fset
}

func imports(f *ast.File) []string {
	var out []string
	for _, i := range f.Imports {
		out = append(out, strings.Trim(i.Path.Value, `"`))
	}
	return out
}

func allowed(name string) ([]string, bool) {
	if a, ok := arrows[name]; ok {
		return a, true
	}
	if strings.HasPrefix(name, "config/dialect") {
		return []string{"mail", "policy", "config", "config/dialect"}, true
	}
	return nil, false
}

func TestArrows(t *testing.T) {
	found, fset := rooms(t)
	for name, r := range found {
		may, ok := allowed(name)
		if !ok {
			t.Errorf("room %s is not on the map: add it to arrows and to docs/ARCHITECTURE.md", name)
			continue
		}
		if slices.Contains(may, "*") {
			continue
		}
		for _, f := range r.files {
			for _, imp := range imports(f) {
				inner, ours := strings.CutPrefix(imp, module+"internal/")
				if strings.HasPrefix(imp, module+"cmd") {
					t.Errorf("%s imports %s: nothing imports cmd", fset.Position(f.Pos()).Filename, imp)
				}
				if ours && !slices.Contains(may, inner) {
					t.Errorf("%s imports %s: %s may import only %v", fset.Position(f.Pos()).Filename, inner, name, may)
				}
			}
		}
	}
}

func TestPackageDocs(t *testing.T) {
	found, _ := rooms(t)
	for name, r := range found {
		if len(r.files) == 0 {
			continue
		}
		doc := ""
		for _, f := range r.files {
			doc += f.Doc.Text()
		}
		if !strings.HasPrefix(doc, "Package "+r.files[0].Name.Name+" ") {
			t.Errorf("room %s has no package doc beginning \"Package %s \"", name, r.files[0].Name.Name)
		}
	}
}

func TestNames(t *testing.T) {
	found, _ := rooms(t)
	for name := range found {
		switch filepath.Base(name) {
		case "util", "utils", "common", "helpers", "misc", "base", "types", "shared":
			t.Errorf("room %s: a room is a noun of the trade", name)
		}
	}
}

func TestCoreIsDeterministic(t *testing.T) {
	found, fset := rooms(t)
	imp := importer.ForCompiler(fset, "source", nil)
	for _, name := range core {
		r := found[name]
		if r == nil {
			continue
		}
		for _, f := range r.files {
			for _, i := range imports(f) {
				if outside(i) {
					t.Errorf("%s imports %s: forbidden in the core", fset.Position(f.Pos()).Filename, i)
				}
			}
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
		conf := types.Config{Importer: imp}
		if _, err := conf.Check(module+"internal/"+name, fset, r.files, info); err != nil {
			t.Errorf("type check of %s: %v", name, err)
			continue
		}
		for _, f := range r.files {
			checkFile(t, fset, f, info)
		}
	}
}

// checkFile finds what a deterministic machine must not hold.
func checkFile(t *testing.T, fset *token.FileSet, f *ast.File, info *types.Info) {
	t.Helper()
	commented := map[int]bool{} // lines with a comment that mentions the order
	for _, g := range f.Comments {
		if strings.Contains(g.Text(), "order") {
			for l := fset.Position(g.Pos()).Line; l <= fset.Position(g.End()).Line; l++ {
				commented[l] = true
			}
		}
	}
	bad := func(n ast.Node, what string) {
		t.Errorf("%s: %s is forbidden in the core", fset.Position(n.Pos()), what)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			bad(n, "go")
		case *ast.SelectStmt:
			bad(n, "select")
		case *ast.ChanType:
			bad(n, "a channel")
		case *ast.RangeStmt:
			if tv, ok := info.Types[n.X]; ok {
				if _, isMap := tv.Type.Underlying().(*types.Map); isMap {
					l := fset.Position(n.Pos()).Line
					if !commented[l] && !commented[l-1] {
						bad(n, "range over a map without a comment that says why the order does not matter")
					}
				}
			}
		case *ast.SelectorExpr:
			if obj := info.Uses[n.Sel]; obj != nil && obj.Pkg() != nil {
				_, isFunc := obj.(*types.Func)
				global := isFunc && obj.Parent() == obj.Pkg().Scope()
				if obj.Pkg().Path() == "time" && global && clock[obj.Name()] {
					bad(n, "time."+obj.Name())
				}
				if obj.Pkg().Path() == "math/rand/v2" && global && !strings.HasPrefix(obj.Name(), "New") {
					bad(n, "the global rand."+obj.Name())
				}
			}
		}
		return true
	})
}

func TestRepositorySpeaksOfTheProductAlone(t *testing.T) {
	// Paths of a machine and hosts of registries do not belong in the repository.
	words := []string{"/" + "work/", "/" + "root/", "proxy." + "golang.org", "deb." + "debian.org", "registry." + "npmjs.org"}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n == ".git" || n == ".cache" || n == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if d.Name() == ".git" { // in a worktree a file that names a directory
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > 1<<20 || !info.Mode().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, w := range words {
			if i := strings.Index(string(b), w); i >= 0 {
				t.Errorf("%s: names %q", path, w)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
