package gibbon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/gibbon-gateway/gibbon"

// An arrow says what the packages of one place may import. Places are folders
// below the module's root: "x" is that package alone, "x/..." is x and all
// below it, "x/*" is all below x without x itself.
type arrow struct {
	from string
	to   []string
}

// self, among the places that an arrow "x/*" leads to, is the importing
// package's own folder below x: what lies in x/a may import x/a/..., not x/b.
const self = "(self)"

// foundation is what the lowest layers offer to everything above them.
var foundation = []string{"schema/...", "internal/...", "gen/..."}

// arrows is the table of allowed imports. The first arrow whose from fits a
// package is the one that counts, so narrow places stand before wide ones; a
// package that none fits has no place in the tree yet.
//
// A chain of arrows may be shortened: publish imports snapshot, which imports
// store, so publish may name what is the store's.
var arrows = []arrow{
	{"cmd/...", from(foundation, "cmd/...", "controlplane/...", "dataplane/...", "migrations/...", "web/...")},

	{"controlplane", from(foundation, "controlplane/...", "migrations/...", "web/...")},
	{"controlplane/admin/...", from(foundation, "controlplane/admin/...", "controlplane/declarative", "controlplane/history", "controlplane/store", "web/...")},
	{"controlplane/declarative/...", from(foundation, "controlplane/declarative/...", "controlplane/store")},
	{"controlplane/history/...", from(foundation, "controlplane/history/...", "controlplane/store")},
	{"controlplane/snapshot/...", from(foundation, "controlplane/snapshot/...", "controlplane/store")},
	{"controlplane/publish/...", from(foundation, "controlplane/publish/...", "controlplane/snapshot", "controlplane/store")},
	{"controlplane/store", foundation},
	{"controlplane/store/*", from(foundation, "controlplane/store", self, "migrations/...")},

	// The pure structures know nothing of the rest of the data plane.
	{"dataplane/router/...", from(foundation, "dataplane/router/...")},
	{"dataplane/balancer/...", from(foundation, "dataplane/balancer/...")},
	{"dataplane/llm/...", from(foundation, "dataplane/llm/...")},
	{"dataplane/plugins", from(foundation, "dataplane/plugin", "dataplane/plugins/*")},
	{"dataplane/plugins/internal/...", from(foundation, "dataplane/plugin/...", "dataplane/llm/...", "dataplane/plugins/internal/...")},
	{"dataplane/plugins/*", from(foundation, "dataplane/plugin/...", "dataplane/llm/...", "dataplane/plugins/internal/...", self)},
	{"dataplane/...", from(foundation, "dataplane/...")},

	// What a normal path is must be the same to the schema, which refuses route
	// paths that are not in that form, and to the router.
	// So must be which patterns of PCRE's syntax can be run, and what the
	// expressions of routes may say.
	{"schema/...", []string{"schema/...", "internal/uri", "internal/pcre", "internal/expression", "internal/vault", "gen/..."}},
	{"internal/...", []string{"internal/...", "gen/..."}},
	{"gen/...", []string{"gen/..."}},
	{"migrations/...", nil},
	{"web/...", nil},

	// What drives whole processes may look at everything.
	{"test/...", []string{"..."}},
}

// testArrows are what the tests of a place may import besides: some things are
// best tested together with the real one of what stands around them.
var testArrows = []arrow{
	{"controlplane/admin/...", []string{"controlplane/store/..."}},                                      // a real store
	{"controlplane/history/...", []string{"controlplane/store/..."}},                                    // a real store
	{"controlplane/declarative/...", []string{"controlplane/store/..."}},                                // a real store
	{"dataplane/plugins/...", []string{"dataplane/proxy/...", "dataplane/router", "dataplane/runtime"}}, // a real gateway
}

// support is what exists for tests. Only tests and other support import it.
var support = []string{
	"controlplane/store/storetest/...",
	"dataplane/plugin/plugintest/...",
	"dataplane/router/routertest/...",
	"dataplane/signals/signalstest/...",
	"internal/testenv/...",
	"internal/testpg/...",
	"test/...",
}

// aliases are the names of the generated packages, by the folder that holds
// their versions. The packages have these names themselves, so an import
// without a name is right too.
var aliases = map[string]string{
	"gen/gibbon/schema":  "schemapb",
	"gen/gibbon/entity":  "entitypb",
	"gen/gibbon/plugin":  "pluginpb",
	"gen/gibbon/admin":   "adminpb",
	"gen/gibbon/cluster": "clusterpb",
}

// shapeless are names that say nothing of what a package owns.
var shapeless = []string{"utils", "util", "common", "helpers", "helper", "types", "models", "misc", "shared"}

func from(places []string, more ...string) []string { return slices.Concat(places, more) }

// An edge is one import between two packages of this module, by folder.
type edge struct {
	from, to string
	test     bool // stands in a _test.go file
}

func (e edge) String() string {
	if e.test {
		return fmt.Sprintf("a test of %s imports %s", e.from, e.to)
	}
	return fmt.Sprintf("%s imports %s", e.from, e.to)
}

// within tells whether a folder lies in a place.
func within(folder, place string) bool {
	if place == "..." {
		return true
	}
	if parent, ok := strings.CutSuffix(place, "/..."); ok {
		return folder == parent || strings.HasPrefix(folder, parent+"/")
	}
	if parent, ok := strings.CutSuffix(place, "/*"); ok {
		return strings.HasPrefix(folder, parent+"/")
	}
	return folder == place
}

func withinAny(folder string, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool { return within(folder, place) })
}

// violation says what is wrong with an edge, or nothing.
func violation(e edge) string {
	if e.from == e.to { // an external test imports what it tests
		return ""
	}
	if withinAny(e.to, support) {
		if e.test || withinAny(e.from, support) {
			return ""
		}
		return fmt.Sprintf("%s, which is there for tests", e)
	}
	i := slices.IndexFunc(arrows, func(a arrow) bool { return within(e.from, a.from) })
	if i < 0 {
		return fmt.Sprintf("%s, and no arrow starts at %s", e, e.from)
	}
	if e.test && slices.ContainsFunc(testArrows, func(a arrow) bool { return within(e.from, a.from) && withinAny(e.to, a.to) }) {
		return ""
	}
	for _, place := range arrows[i].to {
		if place == self {
			below := strings.TrimSuffix(arrows[i].from, "*")
			name, _, _ := strings.Cut(strings.TrimPrefix(e.from, below), "/")
			place = below + name + "/..."
		}
		if within(e.to, place) {
			return ""
		}
	}
	return fmt.Sprintf("%s; %s may import %s", e, arrows[i].from, strings.Join(arrows[i].to, ", "))
}

// goPackage is what "go list" says of a package.
type goPackage struct {
	ImportPath, Name                   string
	Imports, TestImports, XTestImports []string
}

// folder turns an import path of this module into its folder: "" is the root.
func folder(importPath string) (string, bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func list(t *testing.T) []goPackage {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Imports,TestImports,XTestImports", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read what go list says: %v", err)
		}
		packages = append(packages, p)
	}
	if len(packages) == 0 {
		t.Fatal("go list names no package")
	}
	return packages
}

func TestArrows(t *testing.T) {
	for _, p := range list(t) {
		at, ok := folder(p.ImportPath)
		if !ok {
			t.Fatalf("go list names %s, which is not of this module", p.ImportPath)
		}
		if at == "" {
			continue // the root holds tests of the whole only
		}
		if !slices.ContainsFunc(arrows, func(a arrow) bool { return within(at, a.from) }) {
			t.Errorf("%s has no place in the tree: no arrow starts there", at)
		}
		for _, imports := range []struct {
			paths []string
			test  bool
		}{{p.Imports, false}, {p.TestImports, true}, {p.XTestImports, true}} {
			for _, importPath := range imports.paths {
				if to, ok := folder(importPath); ok {
					if problem := violation(edge{at, to, imports.test}); problem != "" {
						t.Error(problem)
					}
				}
			}
		}
	}
}

// TestArrowsRefuse shows that the table above can fail: it holds each sentence
// about the architecture from both sides.
func TestArrowsRefuse(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		want     bool
	}{
		{"cmd/gibbon", "controlplane", true},
		{"cmd/gibbon", "dataplane", true},
		{"cmd/gibbon", "cmd/gibbon/internal/echomodel", true},
		{"cmd/gibbon", "internal/testenv", false},
		{"controlplane", "cmd/gibbon", false},
		{"controlplane", "controlplane/admin", true},
		{"controlplane", "dataplane", false},
		{"controlplane/snapshot", "dataplane/router", false},
		{"dataplane", "controlplane", false},
		{"dataplane/follow", "controlplane/publish", false},
		{"controlplane/admin", "controlplane/store", true},
		{"controlplane/admin", "controlplane/store/sqlstore", false},
		{"controlplane/admin", "controlplane/publish", false},
		{"controlplane/admin", "controlplane/snapshot", false},
		{"controlplane/declarative", "controlplane/store", true},
		{"controlplane/declarative", "controlplane/admin", false},
		{"controlplane/snapshot", "controlplane/store", true},
		{"controlplane/snapshot", "controlplane/publish", false},
		{"controlplane/publish", "controlplane/snapshot", true},
		{"controlplane/publish", "controlplane/store", true},
		{"controlplane/publish", "controlplane/admin", false},
		{"controlplane/store", "controlplane/store/sqlstore", false},
		{"controlplane/store", "migrations", false},
		{"controlplane/store/sqlstore", "controlplane/store", true},
		{"controlplane/store/sqlstore", "controlplane/store/sqlstore/dialect", true},
		{"controlplane/store/sqlstore", "migrations", true},
		{"controlplane/store/sqlstore", "controlplane/store/storetest", false},
		{"controlplane/store/storetest", "controlplane/store/sqlstore", false},
		{"dataplane", "dataplane/plugins", true},
		{"dataplane/runtime", "dataplane/router", true},
		{"dataplane/router", "dataplane/plugin", false},
		{"dataplane/router", "dataplane/llm", false},
		{"dataplane/balancer", "dataplane/plugin", false},
		{"dataplane/llm/provider/bedrock", "dataplane/llm", true},
		{"dataplane/llm/provider", "dataplane/plugin", false},
		{"dataplane/llm", "dataplane/plugins/internal/exchange", false},
		{"dataplane/plugins", "dataplane/plugins/aiproxy", true},
		{"dataplane/plugins/aiproxy", "dataplane/plugin", true},
		{"dataplane/plugins/aiproxy", "dataplane/llm/provider", true},
		{"dataplane/plugins/aiproxy", "dataplane/plugins/aiproxy/template", true},
		{"dataplane/plugins/aiproxy/template", "dataplane/plugins/aiproxy", true},
		{"dataplane/plugins/aiproxy", "dataplane/plugins/internal/exchange", true},
		{"dataplane/plugins/aiproxy", "dataplane/plugins/keyauth", false},
		{"dataplane/plugins/ai", "dataplane/plugins/aiproxy", false},
		{"dataplane/plugins/aiproxy", "dataplane/plugins", false},
		{"dataplane/plugins/aiproxy", "dataplane/proxy", false},
		{"dataplane/plugins/internal/exchange", "dataplane/plugins/aiproxy", false},
		{"schema", "gen/gibbon/schema/v1", true},
		{"schema", "internal/settings", false},
		{"schema", "controlplane/store", false},
		{"internal/pki", "gen/gibbon/cluster/v1", true},
		{"internal/pki", "schema", false},
		{"internal/testpg", "internal/testenv", true},
		{"internal/pki", "internal/testenv", false},
		{"gen/gibbon/admin/v1", "gen/gibbon/entity/v1", true},
		{"gen/gibbon/admin/v1", "schema", false},
		{"migrations", "schema", false},
		{"test/hybrid", "controlplane/store/sqlstore", true},
		{"dataplane", "test/hybrid", false},
		{"tests", "test/hybrid", false},
		{"elsewhere", "schema", false},
		{"schemas", "gen/gibbon/schema/v1", false},
	} {
		e := edge{from: tt.from, to: tt.to}
		if got := violation(e); (got == "") != tt.want {
			t.Errorf("%s: allowed is %t, want %t (%s)", e, got == "", tt.want, got)
		}
	}
	for _, tt := range []struct {
		from, to string
		want     bool
	}{
		{"controlplane/store/sqlstore", "controlplane/store/storetest", true},
		{"controlplane/store/sqlstore", "internal/testpg", true},
		{"schema", "schema", true},
		{"dataplane/follow", "controlplane/publish", false},
		{"dataplane/plugins/aiproxy", "dataplane/plugin/plugintest", true},
		{"dataplane/plugins/aiproxy", "dataplane/plugins/keyauth", false},
	} {
		e := edge{from: tt.from, to: tt.to, test: true}
		if got := violation(e); (got == "") != tt.want {
			t.Errorf("%s: allowed is %t, want %t (%s)", e, got == "", tt.want, got)
		}
	}
}

// source is one Go file of this module that people write.
type source struct {
	name string // its path below the root
	file *ast.File
}

// habits returns what a file does that no file here does.
func habits(s source) []string {
	var problems []string
	for _, spec := range s.file.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return []string{fmt.Sprintf("%s: import %s: %v", s.name, spec.Path.Value, err)}
		}
		to, ok := folder(importPath)
		if !ok {
			continue
		}
		want, known := aliases[path.Dir(to)]
		switch {
		case within(to, "gen/...") && !known:
			problems = append(problems, fmt.Sprintf("%s imports %s, and no alias is agreed on for it", s.name, to))
		case known && spec.Name != nil && spec.Name.Name != want:
			problems = append(problems, fmt.Sprintf("%s imports %s as %s, not as %s", s.name, to, spec.Name.Name, want))
		}
	}
	for _, decl := range s.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			problems = append(problems, s.name+" has a func init")
		}
	}
	for _, element := range strings.Split(path.Dir(s.name), "/") {
		if slices.Contains(shapeless, element) {
			problems = append(problems, fmt.Sprintf("%s lies in a folder named %q, which says nothing of what it owns", s.name, element))
		}
	}
	return problems
}

func TestHabits(t *testing.T) {
	// Folders that hold no Go of ours: generated, fetched, built, or test input.
	skip := []string{"gen", "third_party", "bin", "node_modules", "testdata"}
	files := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := entry.Name()
			if name != "." && (strings.HasPrefix(base, ".") || slices.Contains(skip, base)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		for _, problem := range habits(source{filepath.ToSlash(name), file}) {
			t.Error(problem)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no Go file was looked at")
	}
}

// TestHabitsRefuse shows that the rules above can fail.
func TestHabitsRefuse(t *testing.T) {
	for _, tt := range []struct {
		name, file, text string
		want             []string
	}{
		{"the agreed alias", "schema/a.go", `import schemapb "` + module + `/gen/gibbon/schema/v1"`, nil},
		{"the package's own name", "schema/a.go", `import "` + module + `/gen/gibbon/schema/v1"`, nil},
		{"another alias", "schema/a.go", `import pb "` + module + `/gen/gibbon/schema/v1"`,
			[]string{"schema/a.go imports gen/gibbon/schema/v1 as pb, not as schemapb"}},
		{"an import for effect", "schema/a.go", `import _ "` + module + `/gen/gibbon/plugin/v1"`,
			[]string{"schema/a.go imports gen/gibbon/plugin/v1 as _, not as pluginpb"}},
		{"a generated package without an alias", "schema/a.go", `import "` + module + `/gen/gibbon/other/v1"`,
			[]string{"schema/a.go imports gen/gibbon/other/v1, and no alias is agreed on for it"}},
		{"somebody else's package", "schema/a.go", `import pb "example.org/gen/gibbon/schema/v1"`, nil},
		{"func init", "schema/a.go", `func init() {}`, []string{"schema/a.go has a func init"}},
		{"a method named init", "schema/a.go", `type t int; func (t) init() {}`, nil},
		{"a shapeless folder", "dataplane/utils/text/a.go", ``,
			[]string{`dataplane/utils/text/a.go lies in a folder named "utils", which says nothing of what it owns`}},
		{"a folder that has such a word in its name", "dataplane/mistypes/a.go", ``, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, err := parser.ParseFile(token.NewFileSet(), tt.file, "package p\n"+tt.text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, habits(source{tt.file, file})); diff != "" {
				t.Errorf("habits of %q (-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

// TestGeneratedPackagesHaveTheirNames holds go_package in proto/ to the names
// that everybody imports the packages under.
func TestGeneratedPackagesHaveTheirNames(t *testing.T) {
	for _, p := range list(t) {
		at, _ := folder(p.ImportPath)
		if !within(at, "gen/...") {
			continue
		}
		if want := aliases[path.Dir(at)]; p.Name != want {
			t.Errorf("%s is package %q, want %q", at, p.Name, want)
		}
	}
}
