package gibbon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// judged are the settings whose whole effect lies in Load.
var judged = []string{
	"AdminRequireAuth", // refuses a start
	"Role",             // decides what else must be set
	"TrustedIPs",       // becomes Trusted
}

// showing are the methods of Settings that show values. Showing one is not an
// effect.
var showing = []string{"Public"}

// typed is a package of this module, type-checked.
type typed struct {
	at    string // its folder
	files []*ast.File
	info  types.Info
	types *types.Package
}

func typeCheck(at string, set *token.FileSet, files []*ast.File, imports types.Importer) (typed, error) {
	p := typed{at: at, files: files, info: types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}}}
	var err error
	if p.types, err = (&types.Config{Importer: imports}).Check(module+"/"+at, set, files, &p.info); err != nil {
		return p, fmt.Errorf("check the types of %s: %w", at, err)
	}
	return p, nil
}

// program type-checks the packages of this module that the program is made of, as
// they ship, and gives the settings package as all of them see it.
func program(t *testing.T) (all []typed, shared *types.Package) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles", "./cmd/...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	type listed struct {
		ImportPath, Export, Dir string
		GoFiles                 []string
	}
	var ours []listed
	exports := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read what go list says: %v", err)
		}
		exports[p.ImportPath] = p.Export
		if at, ok := folder(p.ImportPath); ok && !within(at, "gen/...") {
			ours = append(ours, p)
		}
	}
	files := token.NewFileSet()
	imports := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})
	for _, p := range ours {
		at, _ := folder(p.ImportPath)
		var parsed []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, file)
		}
		one, err := typeCheck(at, files, parsed, imports)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if shared, err = imports.Import(module + "/internal/settings"); err != nil {
		t.Fatal(err)
	}
	return all, shared
}

// members are the fields and methods of Settings that f selects, not counting
// those that it writes or takes the address of.
func members(p typed, root ast.Node, of types.Type) []string {
	var names []string
	written := map[ast.Expr]bool{}
	ast.Inspect(root, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				written[left] = true
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				written[n.X] = true
			}
		case *ast.SelectorExpr:
			s := p.info.Selections[n]
			if s == nil || written[n] {
				return true
			}
			receiver := s.Recv()
			if pointer, ok := receiver.(*types.Pointer); ok {
				receiver = pointer.Elem()
			}
			if types.Identical(receiver, of) {
				names = append(names, s.Obj().Name())
			}
		}
		return true
	})
	return names
}

// unread gives the settings, by field, that have no effect: nobody outside the
// settings package reads them, neither by the field nor by a method.
func unread(all []typed, shared *types.Package) []string {
	read := map[string]bool{}
	var self typed
	settingsOf := func(p *types.Package) types.Type { return p.Scope().Lookup("Settings").Type() }
	for _, p := range all {
		if p.at == "internal/settings" {
			self = p
			continue
		}
		for _, file := range p.files {
			for _, name := range members(p, file, settingsOf(shared)) {
				read[name] = true
			}
		}
	}
	// What a method reads is read when the method is used, however deep.
	methods := map[string][]string{}
	for _, file := range self.files {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil && !slices.Contains(showing, f.Name.Name) {
				methods[f.Name.Name] = append(methods[f.Name.Name], members(self, f, settingsOf(self.types))...)
			}
		}
	}
	for grown := true; grown; {
		grown = false
		for method, names := range methods {
			for _, name := range names {
				if read[method] && !read[name] {
					read[name], grown = true, true
				}
			}
		}
	}
	var missing []string
	fields := settingsOf(self.types).Underlying().(*types.Struct)
	for i := range fields.NumFields() {
		if f := fields.Field(i); f.Exported() && !read[f.Name()] {
			missing = append(missing, f.Name())
		}
	}
	return missing
}

// marked are the fields of the settings that the table says have no effect.
func marked(self typed) []string {
	var fields []string
	for _, file := range self.files {
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			missing, field := false, ""
			for _, element := range literal.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				if !ok {
					return true
				}
				switch fmt.Sprint(pair.Key) {
				case "Missing":
					missing = true
				case "at":
					ast.Inspect(pair.Value, func(n ast.Node) bool {
						if address, ok := n.(*ast.UnaryExpr); ok {
							if selector, ok := address.X.(*ast.SelectorExpr); ok {
								field = selector.Sel.Name
							}
						}
						return true
					})
				}
			}
			if missing && field != "" {
				fields = append(fields, field)
			}
			return true
		})
	}
	return fields
}

// complaints compares what has no effect with what is said to have none.
func complaints(all []typed, shared *types.Package, judged []string) []string {
	none := unread(all, shared)
	excused := slices.Clone(judged)
	for _, p := range all {
		if p.at == "internal/settings" {
			excused = append(excused, marked(p)...)
		}
	}
	var list []string
	for _, field := range none {
		if !slices.Contains(excused, field) {
			list = append(list, fmt.Sprintf("nobody reads settings.Settings.%s: give it an effect, or say in the table what is missing for one", field))
		}
	}
	for _, field := range excused {
		if !slices.Contains(none, field) {
			list = append(list, fmt.Sprintf("settings.Settings.%s is read, and said to be without effect", field))
		}
	}
	return list
}

// TestEverySettingHasAReader demands of each setting that it changes something,
// or that the table says that it does not.
func TestEverySettingHasAReader(t *testing.T) {
	all, shared := program(t)
	for _, complaint := range complaints(all, shared, judged) {
		t.Error(complaint)
	}
}

// tiny imports one package.
type tiny struct{ p *types.Package }

func (i tiny) Import(path string) (*types.Package, error) {
	if i.p == nil || path != i.p.Path() {
		return nil, fmt.Errorf("no package %s", path)
	}
	return i.p, nil
}

// TestReadersRefuse shows that the test above can fail.
func TestReadersRefuse(t *testing.T) {
	set := token.NewFileSet()
	parse := func(text string) []*ast.File {
		file, err := parser.ParseFile(set, "a.go", text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		return []*ast.File{file}
	}
	self, err := typeCheck("internal/settings", set, parse(`package settings
		type Settings struct { Direct, ByMethod, ByMethodOfMethod, ByUnused, Written, Shown, Unread, Marked, MarkedAndRead, Judged, inner int }
		type Descriptor struct { Missing string; at func(*Settings) any }
		var table = []Descriptor{
			{at: func(s *Settings) any { return &s.Unread }},
			{Missing: "x", at: func(s *Settings) any { return &s.Marked }},
			{Missing: "x", at: func(s *Settings) any { return &s.MarkedAndRead }},
		}
		func (s *Settings) Used() int { return s.ByMethod + s.Deeper() }
		func (s *Settings) Deeper() int { return s.ByMethodOfMethod }
		func (s *Settings) Unused() int { return s.ByUnused }
		func (s *Settings) Public() int { return s.Shown }
		func Load() *Settings { return new(Settings) }`), tiny{})
	if err != nil {
		t.Fatal(err)
	}
	user, err := typeCheck("dataplane", set, parse(`package dataplane
		import "`+module+`/internal/settings"
		type other struct { Unread int }
		func f() int {
			s := settings.Load()
			s.Written = 1
			return s.Direct + s.MarkedAndRead + s.Used() + s.Public() + other{}.Unread
		}`), tiny{self.types})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, field := range []string{"ByUnused", "Written", "Shown", "Unread"} {
		want = append(want, "nobody reads settings.Settings."+field+": give it an effect, or say in the table what is missing for one")
	}
	want = append(want, "settings.Settings.MarkedAndRead is read, and said to be without effect")
	if d := cmp.Diff(want, complaints([]typed{user, self}, self.types, []string{"Judged"})); d != "" {
		t.Errorf("complaints (-want +got):\n%s", d)
	}
}
