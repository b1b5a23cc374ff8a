// Package signalbox is the root of the module; it holds nothing but this test.
package signalbox

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// rows are the layers, the innermost first. A package imports its own row and
// the rows above it, never one below. The longest prefix decides.
var rows = []map[string]bool{
	{"event": true},
	{"handler": true},
	{"internal/record": true, "internal/schema": true, "internal/normalize": true, "internal/inventory": true,
		"internal/rule": true, "internal/correlate": true, "internal/engine": true, "internal/decide": true, "internal/run": true, "internal/ledger": true, "internal/places": true, "packs": true,
		"internal/backtest": true, "internal/ruletest": true, "internal/capture": true, "internal/explain": true, "internal/importer": true, "internal/situation": true},
	{"internal/secret": true, "internal/source": true, "internal/action": true},
	{"internal/eventlog": true, "internal/worker": true, "internal/intake": true, "internal/metrics": true},
	{"internal/source/": true, "internal/action/": true, "internal/api": true},
	{"internal/config": true, "internal/plugins": true, "internal/daemon": true, "internal/cli": true, "cmd": true, "test": true, "bench": true},
}

// pureImports is what the domain may not touch.
var pureImports = []string{"net", "net/http", "os", "os/exec", "syscall", "math/rand", "database/sql", "github.com/nats-io/"}

func row(pkg string) int {
	best, at := -1, -1
	for i, r := range rows {
		for prefix := range r {
			if (pkg == prefix || strings.HasPrefix(pkg, strings.TrimSuffix(prefix, "/")+"/")) && len(prefix) > best {
				best, at = len(prefix), i
			}
		}
	}
	return at
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		from, ok := strings.CutPrefix(p.ImportPath, "signalbox/")
		if !ok {
			continue
		}
		r := row(from)
		if r < 0 {
			t.Errorf("%s is in no row: say where it belongs", from)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, "signalbox/")
			if !ours {
				continue
			}
			if row(to) > r {
				t.Errorf("%s imports %s, which is in a row below it", from, to)
			}
			if edge(from) != "" && edge(to) != "" && edge(from) != edge(to) {
				t.Errorf("%s imports %s: edges never import each other", from, to)
			}
		}
	}
}

// edge names the edge that a package belongs to: "internal/source/syslog".
func edge(pkg string) string {
	for _, prefix := range []string{"internal/source/", "internal/action/"} {
		if rest, ok := strings.CutPrefix(pkg, prefix); ok {
			name, _, _ := strings.Cut(rest, "/")
			return prefix + name
		}
	}
	return ""
}

func TestTheDomainDoesNoIO(t *testing.T) {
	for _, p := range packages(t) {
		from, _ := strings.CutPrefix(p.ImportPath, "signalbox/")
		if row(from) > 2 || from == "handler" || from == "packs" {
			continue
		}
		for _, imp := range p.Imports {
			for _, bad := range pureImports {
				if imp == bad || strings.HasSuffix(bad, "/") && strings.HasPrefix(imp, bad) {
					t.Errorf("%s imports %s: the domain does no I/O", from, imp)
				}
			}
		}
	}
}

// timeless are the packages that decide: the same log gives the same answer,
// so they may not know the time, wait for anything, or draw lots.
var timeless = []string{"internal/engine", "internal/correlate", "internal/decide", "internal/rule"}

// clocks are what package time says of now, or does later.
var clocks = map[string]bool{"Now": true, "Since": true, "Until": true, "After": true, "AfterFunc": true, "Sleep": true,
	"Tick": true, "NewTimer": true, "NewTicker": true}

func TestWhatDecidesKnowsNoTimeAndStartsNothing(t *testing.T) {
	for _, dir := range timeless {
		err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return checkTimeless(t, dir+"/"+path)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func checkTimeless(t *testing.T, path string) error {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	timeName := "" // of package time in this file
	for _, imp := range file.Imports {
		switch name := strings.Trim(imp.Path.Value, `"`); name {
		case "time":
			timeName = "time"
			if imp.Name != nil {
				timeName = imp.Name.Name
			}
		case "math/rand", "math/rand/v2", "crypto/rand", "hash/maphash", "os", "net", "io/fs":
			t.Errorf("%s imports %s: what decides may not", set.Position(imp.Pos()), name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s starts a goroutine: what decides may not", set.Position(n.Pos()))
		case *ast.SelectStmt:
			t.Errorf("%s waits for what comes first: what decides may not", set.Position(n.Pos()))
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && timeName != "" && pkg.Name == timeName && clocks[n.Sel.Name] {
				t.Errorf("%s asks the clock (time.%s): what decides may not", set.Position(n.Pos()), n.Sel.Name)
			}
		}
		return true
	})
	return nil
}
