package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
	"github.com/gibbon-gateway/gibbon/schema"
)

// An entitySuite says what is special about a kind of entity; the cases that
// every kind has follow from it and from the rules of its proto. Requests are
// written as "POST /services {json}"; what begins with neither { nor [ is a
// form.
type entitySuite struct {
	kind string
	// path is the collection; "": the one of the schema.
	path string
	// setup makes what the entity refers to. Ids in it are fixed.
	setup []string
	// least is the least body that is accepted, full one with every field that
	// can be set, form the same as full in a form, and other one that shares no
	// unique value with the two.
	least, full, form, other string
	// key is the value that full gives to the endpoint key; "": there is none.
	key string
	// decides is the field that picks the rules of the others: where it is wrong,
	// Kong looks at nothing else.
	decides string
	// listed says that the lists below a parent are not those of the kind in
	// general: they have no token that is like others, and no tags.
	listed bool
	// off says that the kind answers 400 to everything.
	off bool
	// fixed are fields that no generic case touches.
	fixed []string
	// kept are fields that the cases about all fields at once leave alone, since
	// an entity without them is refused.
	kept []string
	// base are members that a body needs for the rules of a field to be reached,
	// by the field's name.
	base map[string]string
	// before are elements that stand before a broken one, by the field's name: the
	// first one of a field that picks the rules of others has a text of its own.
	before map[string]any
	// broken are bodies that break what no rule of a single field says, by the
	// name of the rule: members that are merged into least.
	broken map[string]string
	// more are sequences of requests of their own, by name.
	more map[string][]string
}

// suiteStore is a store that is emptied between cases: opening one for each of
// them would take most of the time.
type suiteStore struct {
	store.Store
	catalogue *schema.Catalogue
}

func (s *suiteStore) empty(t *testing.T) {
	t.Helper()
	_, err := s.Update(context.Background(), "test", func(tx store.Tx) error {
		var all []store.Entity
		for e, err := range tx.All() {
			if err != nil {
				return err
			}
			if doc, err := schema.Parse(e.Document); err != nil || e.Kind != "workspaces" || doc.Get("name").Text() != "default" {
				all = append(all, e)
			}
		}
		// What others refer to falls in a later round.
		for len(all) > 0 {
			var left []store.Entity
			for _, e := range all {
				err := tx.Delete(e.Kind, e.ID)
				switch err.(type) {
				case *store.ReferencedError:
					left = append(left, e)
				default:
					if err != nil && err != store.ErrNotFound {
						return err
					}
				}
			}
			if len(left) == len(all) {
				return fmt.Errorf("%d entities cannot be deleted", len(left))
			}
			all = left
		}
		return nil
	})
	if err != nil {
		t.Fatalf("empty the store: %v", err)
	}
}

// TestEntities runs the cases of every kind and compares with
// testdata/entities/<kind>/<case>.txt.
func TestEntities(t *testing.T) { testEntities(t, *update, openStore) }

// TestEntitiesPostgres asks for the same bytes from the other database.
func TestEntitiesPostgres(t *testing.T) { testEntities(t, false, openPostgres) }

func testEntities(t *testing.T, update bool, open func(testing.TB) store.Store) {
	seen := map[string]bool{}
	for _, suite := range slices.Concat(entitySuites, trafficSuites) {
		seen[suite.kind] = true
		t.Run(suite.kind, func(t *testing.T) {
			t.Parallel()
			st := &suiteStore{open(t), catalogue(t)}
			s, ok := st.catalogue.Entity(suite.kind)
			if !ok {
				t.Fatalf("no entity %s", suite.kind)
			}
			server := newServerOn(t, st, nil)
			dir := filepath.Join("testdata", "entities", suite.kind)
			known := map[string]bool{}
			for name, requests := range suite.cases(t, s) {
				known[name+".txt"] = true
				t.Run(name, func(t *testing.T) {
					st.empty(t)
					runCase(t, server, filepath.Join(dir, name+".txt"), slices.Concat(suite.setup, requests), len(suite.setup), update)
				})
			}
			suite.sweep(t, dir, known, update)
		})
	}
	for _, s := range catalogue(t).Entities() {
		if !seen[s.Kind()] && s.HasPaths() {
			t.Errorf("no cases for %s", s.Kind())
		}
	}
}

// sweep finds golden files that no case has any more.
func (suite *entitySuite) sweep(t *testing.T, dir string, known map[string]bool, update bool) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		switch {
		case known[f.Name()]:
		case update:
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("%s belongs to no case", f.Name())
		}
	}
}

// runCase sends the requests and compares. The setup must succeed and is not
// written down.
func runCase(t *testing.T, h http.Handler, path string, requests []string, setup int, update bool) {
	t.Helper()
	n := &names{}
	var b strings.Builder
	for i, request := range requests {
		line, body, _ := strings.Cut(request, "\n")
		title := ""
		if rest, ok := strings.CutPrefix(line, "# "); ok {
			title = rest
			line, body, _ = strings.Cut(body, "\n")
		}
		line, body = n.show(t, line), n.show(t, body)
		method, target, _ := strings.Cut(line, " ")
		contentType := ""
		if body != "" {
			contentType = form
			if strings.HasPrefix(body, "{") || strings.HasPrefix(body, "[") {
				contentType = "application/json"
			}
		}
		code, header, out := call(t, h, method, target, contentType, body)
		if i < setup {
			if code/100 != 2 {
				t.Fatalf("setup %s %s: %d %s", line, body, code, out)
			}
			n.hide(out)
			continue
		}
		if title != "" {
			fmt.Fprintf(&b, "# %s\n", title)
		}
		fmt.Fprintf(&b, "%s\n", n.hide(line))
		if body != "" {
			fmt.Fprintf(&b, "%s\n", n.hide(body))
		}
		fmt.Fprintf(&b, "--- %d\n", code)
		if allow := header.Get("Allow"); allow != "" {
			fmt.Fprintf(&b, "Allow: %s\n", allow)
		}
		if out != "" {
			fmt.Fprintf(&b, "%s\n", n.hide(out))
		}
		b.WriteString("\n")
		if code >= 500 {
			t.Errorf("%s %s: %d %s", line, body, code, out)
		}
	}
	if update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (a new golden file is written by -update)", err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got)\n%s", path, diff)
	}
}

// with merges members into a JSON body; a value of undefined takes one out.
func with(t testing.TB, body string, members map[string]any) string {
	t.Helper()
	all := map[string]any{}
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	maps.Copy(all, members)
	for name, value := range all {
		if value == undefined {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type absent struct{}

// undefined, as a member's value, is no member.
var undefined = absent{}

const nestedID = "33333333-3333-4333-8333-333333333333"

const missingID = "99999999-9999-4999-8999-999999999999"

// cases are those of every kind, and the kind's own.
func (suite *entitySuite) cases(t *testing.T, s *schema.Schema) map[string][]string {
	t.Helper()
	path := suite.collection(t)
	post := func(body string) string { return "POST " + path + "\n" + body }
	// The id of what the first request made.
	own := path + "/" + fmt.Sprintf("<id %d>", suite.ids(t)+1)
	first, second := "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	least, full := post(suite.least), post(suite.full)
	cases := map[string][]string{
		"create":        {least},
		"create_full":   {full},
		"create_form":   {post(suite.form)},
		"get":           {full, "GET " + own, "HEAD " + own},
		"get_missing":   {"GET " + path + "/" + missingID, "GET " + path + "/nothing"},
		"patch_missing": {"PATCH " + path + "/" + missingID + "\n{}"},
		"put_create":    {"PUT " + path + "/" + missingID + "\n" + suite.least, "GET " + path + "/" + missingID},
		"put_replace":   {full, "PUT " + own + "\n" + suite.least, "GET " + own},
		"delete":        {full, "DELETE " + own, "GET " + own, "DELETE " + own},
		"list":          {"GET " + path, full, "GET " + path, "GET " + path + "?size=1", "GET " + path + "?size=0", "GET " + path + "?size=a", "GET " + path + "?offset=nonsense"},
		"unknown_field": {post(with(t, suite.least, map[string]any{"nonsense": 1})), full, "PATCH " + own + "\n" + `{"nonsense":1}`},
		"empty_body":    {post("{}"), "POST " + path, "PUT " + path + "/" + missingID + "\n{}"},
		"duplicate_id":  {post(with(t, suite.least, map[string]any{"id": missingID})), post(with(t, suite.other, map[string]any{"id": missingID}))},
		"methods":       {full, "OPTIONS " + path, "OPTIONS " + path + "/" + missingID, "TRACE " + path, "PUT " + path + "\n{}", "POST " + path + "/" + missingID + "\n{}"},
	}
	times := map[string]any{"id": first, "created_at": 946684800}
	rules := newRules(t, suite.kind, false)
	if slices.ContainsFunc(rules.fields, func(f *ruleField) bool { return f.name == "updated_at" }) {
		times["updated_at"] = 946684800
	}
	cases["times"] = []string{
		post(with(t, suite.least, times)), "PATCH " + path + "/" + first + "\n{}", "PUT " + path + "/" + first + "\n" + suite.least,
		"PATCH " + path + "/" + first + "\n" + `{"created_at":null}`, post(with(t, suite.other, map[string]any{"created_at": nil})),
	}
	cases["id_in_body"] = []string{
		post(with(t, suite.least, map[string]any{"id": first})), "PATCH " + path + "/" + first + "\n" + `{"id":"` + second + `"}`, "PATCH " + path + "/" + first + "\n" + `{"id":"x"}`,
		"PUT " + path + "/" + first + "\n" + with(t, suite.least, map[string]any{"id": second}), "PUT " + path + "/" + first + "\n" + with(t, suite.least, map[string]any{"id": "x"}),
		"GET " + path + "/" + second,
	}
	if s.TTL() {
		cases["broken_ttl"] = nil
		for _, ttl := range []any{"x", -1, 1.5, 100000001, true, []any{}} {
			cases["broken_ttl"] = append(cases["broken_ttl"], post(with(t, suite.least, map[string]any{"ttl": ttl})))
		}
		cases["ttl"] = []string{
			post(with(t, suite.least, map[string]any{"id": first, "ttl": 100000})), "PATCH " + path + "/" + first + "\n{}", "GET " + path, "PUT " + path + "/" + first + "\n" + suite.least,
			"PATCH " + path + "/" + first + "\n" + `{"ttl":100000}`, "PATCH " + path + "/" + first + "\n" + `{"ttl":0}`, "PATCH " + path + "/" + first + "\nttl=100000",
			"PATCH " + path + "/" + first + "\n" + `{"ttl":null}`,
		}
	} else {
		cases["unknown_field"] = append(cases["unknown_field"], post(with(t, suite.least, map[string]any{"ttl": 1})))
	}
	if suite.key != "" {
		key := path + "/" + suite.key
		cases["bad_key"] = []string{"GET " + path + "/a%20b%2Fc", "PATCH " + path + "/a%20b%2Fc\n{}", "PUT " + path + "/a%20b%2Fc\n" + suite.least, "DELETE " + path + "/a%20b%2Fc"}
		cases["get_key"] = []string{full, "GET " + key}
		cases["put_key"] = []string{
			"PUT " + key + "\n" + with(t, suite.full, map[string]any{"id": first}), "PUT " + key + "\n" + with(t, suite.other, map[string]any{"id": second}),
			"GET " + path + "/" + second, "DELETE " + key, "GET " + key,
		}
		cases["unicode_key"] = []string{
			"PUT " + path + "/gr%C3%BC%C3%9Fe\n" + suite.least, "GET " + path + "/grüße", "GET " + path + "/gr%c3%bc%c3%9fe", "DELETE " + path + "/gr%C3%BC%C3%9Fe", "GET " + path + "/%ff",
		}
		cases["patch_key"] = []string{full, "PATCH " + key + "\n{}", "PATCH " + path + "/nothing\n{}"}
	}
	if suite.off {
		maps.DeleteFunc(cases, func(name string, _ []string) bool { return name != "create" && name != "methods" })
		cases["list"] = []string{"GET " + path, "GET " + path + "/" + missingID}
		return cases
	}
	if s.HasTags() && !suite.listed {
		cases["tags"] = []string{
			post(with(t, suite.least, map[string]any{"id": first, "tags": []string{"red", "blue"}})),
			post(with(t, suite.other, map[string]any{"id": second, "tags": []string{"red"}})),
			"GET " + path + "?tags=red,blue", "GET " + path + "?tags=blue/green", "GET " + path + "?tags=green",
			"GET " + path + "?tags=", "GET " + path + "?tags=a,b/c", "GET /tags/red", "GET /tags?size=1",
		}
	}
	suite.boundCases(t, s, rules, cases, post, own)
	cases["patch_null"] = []string{full, "PATCH " + own + "\n" + with(t, "{}", rules.each(suite, func(f *ruleField) any {
		if f.nullable() {
			return nil
		}
		return undefined
	}))}
	cases["patch_empty"] = []string{full, "PATCH " + own + "\n" + with(t, "{}", rules.each(suite, func(f *ruleField) any {
		switch {
		case f.name == suite.decides:
			return undefined
		case f.typ == "map":
			return map[string]any{}
		case f.typ == "array" || f.typ == "set":
			return []any{}
		}
		return undefined
	}))}
	cases["patch_whole"] = []string{full, "PATCH " + own + "\n" + suite.full}
	undecided := func(f *ruleField) any {
		if f.name == suite.decides {
			return undefined
		}
		return nil
	}
	cases["null"] = []string{post(with(t, suite.least, rules.each(suite, undecided)))}
	cases["wrong_type"] = []string{post(with(t, suite.least, rules.each(suite, func(f *ruleField) any {
		if undecided(f) == undefined {
			return undefined
		}
		return f.wrongType()
	})))}
	if suite.decides != "" {
		cases["undecided"] = []string{
			post(with(t, suite.least, map[string]any{suite.decides: nil})),
			post(with(t, suite.least, map[string]any{suite.decides: 7})), post(with(t, suite.least, map[string]any{suite.decides: "wrong"})),
		}
	}
	for _, f := range rules.fields {
		suite.fieldCases(t, s, f, cases, post)
	}
	for name, members := range suite.broken {
		var m map[string]any
		if err := json.Unmarshal([]byte(members), &m); err != nil {
			t.Fatalf("broken %s: %v", name, err)
		}
		for k, v := range m {
			if v == "(absent)" {
				m[k] = undefined
			}
		}
		cases["broken_"+name] = []string{post(with(t, suite.least, m))}
	}
	for name, requests := range suite.more {
		cases[name] = requests
	}
	return cases
}

// collection is the path of the kind's collection.
func (suite *entitySuite) collection(t testing.TB) string {
	t.Helper()
	s, ok := catalogue(t).Entity(suite.kind)
	if !ok {
		t.Fatalf("no entity %s", suite.kind)
	}
	if suite.path != "" {
		return suite.path
	}
	return "/" + s.Path()
}

// ids is the number of ids that the setup and the full body use.
func (suite *entitySuite) ids(t *testing.T) int {
	n := &names{}
	for _, request := range suite.setup {
		n.hide(request)
	}
	n.hide(suite.full)
	return len(n.ids)
}

// bodyFor is the least body with what the rules of a field need.
func (suite *entitySuite) bodyFor(t *testing.T, s *schema.Schema, f *ruleField) string {
	t.Helper()
	members := map[string]any{}
	if base := suite.base[f.path[0]]; base != "" {
		if err := json.Unmarshal([]byte(base), &members); err != nil {
			t.Fatalf("base of %s: %v", f.path[0], err)
		}
	}
	if f.config != "" {
		members[suite.decides] = f.config
	}
	return with(t, suite.least, members)
}

// boundCases are about what holds an entity to others: what it refers to is
// deleted, or another one has the same values in the fields that are unique
// together.
func (suite *entitySuite) boundCases(t *testing.T, s *schema.Schema, rules *ruleSet, cases map[string][]string, post func(string) string, own string) {
	t.Helper()
	full, other := map[string]any{}, map[string]any{}
	if err := errors.Join(json.Unmarshal([]byte(suite.full), &full), json.Unmarshal([]byte(suite.other), &other)); err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Foreign() {
		parent, _ := full[f.Field].(map[string]any)
		id, _ := parent["id"].(string)
		target, ok := catalogue(t).Entity(f.Kind)
		if id == "" || !ok {
			t.Errorf("the full body does not refer to %s", f.Field)
			continue
		}
		name := "cascade_"
		if f.OnDelete == schemapb.OnDelete_ON_DELETE_UNSPECIFIED {
			name = "in_use_"
		}
		where := "/" + target.Path() + "/" + id
		cases[name+f.Field] = []string{post(suite.full), "DELETE " + where, "GET " + own, "GET " + where}
		if suite.path != "" {
			continue // it is below the parent anyway
		}
		members := map[string]any{"id": nestedID, f.Field: map[string]any{"id": missingID}}
		if base := suite.base[f.Field]; base != "" {
			if err := json.Unmarshal([]byte(base), &members); err != nil {
				t.Fatal(err)
			}
		}
		below := where + "/" + s.NestedPath()
		child := below + "/" + nestedID
		cases["nested_"+f.Field] = []string{
			"GET " + below, "POST " + below + "\n" + with(t, suite.least, members), "GET " + below, "GET " + child, "PATCH " + child + "\n{}",
			"GET /" + s.Path() + "/" + nestedID + "/" + f.Field, "DELETE /" + s.Path() + "/" + nestedID + "/" + f.Field,
			"PUT " + child + "\n" + with(t, suite.least, members), "GET " + below + "/" + missingID, "DELETE " + child, "DELETE " + child, "PATCH " + child + "\n{}",
			"GET /" + target.Path() + "/" + missingID + "/" + s.NestedPath(), "POST /" + target.Path() + "/" + missingID + "/" + s.NestedPath() + "\n{}",
		}
	}
	for _, together := range rules.entity.GetUniqueTogether() {
		second := map[string]any{}
		for _, name := range s.Unique() {
			if second[name] = other[name]; second[name] == nil {
				second[name] = undefined
			}
		}
		cases["duplicate_"+strings.Join(together.GetValues(), "_")] = []string{post(suite.full), post(with(t, suite.full, second))}
	}
}

// fieldCases break each rule of one field, and try its references and unique
// values.
func (suite *entitySuite) fieldCases(t *testing.T, s *schema.Schema, f *ruleField, cases map[string][]string, post func(string) string) {
	if f.desc == nil || slices.Contains(suite.fixed, f.name) {
		return
	}
	least := suite.bodyFor(t, s, f)
	var requests []string
	for _, b := range f.breaks() {
		members := f.at(b.value)
		if first := suite.before[f.name]; first != nil && len(f.path) == 2 {
			members[f.name] = []any{first, b.value}
		}
		requests = append(requests, "# "+b.rule+"\n"+post(with(t, least, members)))
	}
	if len(requests) > 0 {
		cases["broken_"+f.file()] = requests
	}
	if kind := f.rules.GetReference(); kind != "" && len(f.path) == 1 {
		cases["reference_"+f.name] = []string{
			"# nothing has the id\n" + post(with(t, least, f.at(map[string]any{"id": missingID}))),
			"# no id\n" + post(with(t, least, f.at(map[string]any{}))),
			"# no UUID\n" + post(with(t, least, f.at(map[string]any{"id": "x"}))),
			"# no object\n" + post(with(t, least, f.at(missingID))),
			"# an id and more\n" + post(with(t, least, f.at(map[string]any{"id": missingID, "nonsense": 1}))),
			"# nothing has the unique value\n" + post(with(t, least, f.at(map[string]any{uniqueOf(t, kind): "nothing"}))),
		}
	}
	if (f.rules.GetUnique() || f.rules.GetUniqueAcrossWs()) && len(f.path) == 1 {
		value := map[string]any{}
		if err := json.Unmarshal([]byte(suite.full), &value); err != nil {
			t.Fatal(err)
		}
		if v, ok := value[f.name]; ok {
			cases["duplicate_"+f.name] = []string{post(suite.full), post(with(t, suite.other, f.at(v)))}
		}
	}
}

// uniqueOf is a field by which a kind can be referred to, or any name.
func uniqueOf(t *testing.T, kind string) string {
	s, ok := catalogue(t).Entity(kind)
	if !ok {
		t.Fatalf("no entity %s", kind)
	}
	for _, name := range s.Unique() {
		return name
	}
	return "name"
}

func (f *ruleField) nullable() bool { return !f.rules.GetRequired() && !f.rules.GetAuto() }

func (f *ruleField) file() string {
	name := strings.NewReplacer(".[]", ".elements", ".{}", ".values", ".{key}", ".keys").Replace(strings.Join(f.path, "."))
	if f.config != "" {
		return f.config + "." + name
	}
	return name
}

func (f *ruleField) wrongType() any {
	if f.typ == "string" {
		return 1
	}
	return "wrong"
}

// at is a body with the value in the field's place.
func (f *ruleField) at(value any) map[string]any {
	for i := len(f.path) - 1; i > 0; i-- {
		switch f.path[i] {
		case "[]":
			value = []any{value}
		case "{}":
			value = map[string]any{"key": value}
		case "{key}":
			value = map[string]any{fmt.Sprint(value): f.sample}
		default:
			value = map[string]any{f.path[i]: value}
		}
	}
	return map[string]any{f.path[0]: value}
}

type broken struct {
	rule  string
	value any
}

// breaks are values that break the field's rules, one for each.
func (f *ruleField) breaks() []broken {
	r := f.rules
	var out []broken
	add := func(rule string, value any) { out = append(out, broken{rule, value}) }
	if r.GetAutoUpdate() {
		return nil // whatever is sent is overwritten
	}
	if last := f.path[len(f.path)-1]; r.GetRequired() || last == "[]" || last == "{}" {
		add("null", nil)
	}
	if f.typ != "json" && f.path[len(f.path)-1] != "{key}" {
		add("type", f.wrongType())
	}
	if f.typ == "string" && r.LenMin == nil && len(r.GetOneOf()) == 0 {
		add("an empty text", "")
	}
	if f.typ == "record" && !f.open {
		add("unknown field", map[string]any{"nonsense": 1})
	}
	if len(r.GetOneOf()) > 0 {
		if f.typ == "string" {
			add("one_of", "nonsense")
		} else {
			add("one_of", -7)
		}
	}
	if len(r.GetNotOneOf()) > 0 {
		add("not_one_of", r.GetNotOneOf()[0])
	}
	if b := r.GetBetween(); b != nil {
		add("below", b.GetMin()-1)
		add("above", b.GetMax()+1)
		if f.typ == "integer" {
			add("a fraction", b.GetMin()+0.5)
			add("far above", 99999999999)
		}
	}
	if r.Gt != nil {
		add("gt", r.GetGt())
	}
	if r.GetTimestamp() {
		add("timestamp", -1)
	}
	if r.GetUuid() {
		add("uuid", "nonsense")
	}
	if r.GetLenMin() > 0 {
		if f.typ == "string" {
			add("len_min", strings.Repeat("a", int(r.GetLenMin())-1))
		} else {
			add("len_min", []any{})
		}
	}
	if r.LenMax != nil {
		add("len_max", strings.Repeat("a", int(r.GetLenMax())+1))
	}
	if r.LenEq != nil && f.typ == "string" {
		add("len_eq", "a")
	}
	if r.StartsWith != nil {
		add("starts_with", "nonsense")
	}
	for _, p := range r.GetMatchNone() {
		add("match_none", brokenPatterns[p.GetPattern()])
	}
	if r.Match != nil {
		add("match", "\t nonsense !")
	}
	for _, text := range brokenFormats[r.GetFormat()] {
		add(r.GetFormat(), text)
	}
	return out
}

// brokenPatterns are texts that match what must not match.
var brokenPatterns = map[string]string{"//": "/a//b"}

// brokenFormats are texts that break the checks that are code.
var brokenFormats = map[string][]string{
	"utf8_name":               {"a b", "a/b"},
	"tag":                     {"a,b", "a/b", "a\u007f"},
	"host":                    {"a b", "example.com:80", "1.2.3.4.5"},
	"host_with_optional_port": {"a b", "example.com:port", "1.2.3.400", "::zz"},
	"wildcard_host":           {"a.*.b", "*.a.*", "1.2.3.4", "a.com:80", "a b"},
	"sni":                     {"1.2.3.4", "a.com:80", "a b"},
	"route_host":              {"*.*", "a*", "a b", "a.com:port", "1.2.3.400", "::zz"},
	"ip_or_cidr":              {"nonsense", "1.2.3.4/99"},
	"path":                    {"/a b", "/%zz"},
	"router_path":             {"nonsense", "~/(", "/a/../b", "/%zz"},
	"http_method":             {"get"},
	"header_name":             {"a b"},
	"route_header_name":       {"a b", "Host"},
	"route_header_value":      {"~*("},
	"certificate":             {"nonsense"},
	"key":                     {"nonsense"},
	"redirect_uri":            {"nonsense", "/cb", "https://a.com/cb#part"},
	"json_object":             {"nonsense", "[]"},
	"upstream_name":           {"a b", "10.0.0.1", "up:80"},
	"cookie_name":             {"a;b"},
	"target":                  {"a b", "h:port", "10.0.0.300", "h:65536"},
}
