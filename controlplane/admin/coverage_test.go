package admin_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
	"github.com/gibbon-gateway/gibbon/schema"
)

// told are the texts of one error body, by where they stand in its fields.
type told map[string][]string

func (w told) add(path string, v any) {
	switch v := v.(type) {
	case string:
		w[path] = append(w[path], v)
	case map[string]any:
		for name, inner := range v {
			w.add(strings.TrimPrefix(path+"."+name, "."), inner)
		}
	case []any:
		if !strings.HasSuffix(path, "@entity") {
			path += ".[]"
		}
		for _, inner := range v {
			w.add(path, inner)
		}
	}
}

// says reports that one of the bodies has a text at the path that is like the
// pattern, in which an asterisk stands for anything.
func says(bodies []told, path, pattern string) bool {
	like := likeness(pattern)
	return slices.ContainsFunc(bodies, func(w told) bool { return slices.ContainsFunc(w[path], like.MatchString) })
}

// saysWithin reports that a member of the record at the path has the text.
func (w told) saysWithin(path, text string) bool {
	for at, texts := range w {
		if name, ok := strings.CutPrefix(at, path+"."); ok && !strings.Contains(name, ".") && slices.Contains(texts, text) {
			return true
		}
	}
	return false
}

// about reports that something is said about the path, or about what is in it.
func (w told) about(path string) bool {
	for at := range w {
		if at == path || strings.HasPrefix(at, path+".") {
			return true
		}
	}
	return false
}

func likeness(pattern string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `(?s:.*)`) + "$")
}

// goldenFields are the error bodies in the goldens of a kind: those of its suite,
// and those of the engine, where other router flavours and kinds without paths
// have theirs.
func goldenFields(t *testing.T, kind string) []told {
	t.Helper()
	var all []told
	add := func(text string) {
		var fields any
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		w := told{}
		w.add("", fields)
		all = append(all, w)
	}
	for _, text := range readAll(t, filepath.Join("testdata", "entities", kind, "*.txt")) {
		for line := range strings.Lines(text) {
			var body struct {
				Code   int
				Fields json.RawMessage
			}
			if strings.HasPrefix(line, `{"code":2,`) {
				if err := json.Unmarshal([]byte(line), &body); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				add(string(body.Fields))
			}
		}
	}
	for _, text := range readAll(t, "../../schema/testdata/entities/*.txt") {
		_, fields, ok := strings.Cut(text, "\n-- fields --\n")
		if ok && strings.HasPrefix(text, "-- kind --\n"+kind+"\n") {
			add(fields)
		}
	}
	return all
}

func readAll(t *testing.T, glob string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(text)
	}
	return texts
}

// formatTexts are the texts of the checks that are code.
var formatTexts = map[string][]string{
	"utf8_name":               {"invalid value '*': the only accepted ascii characters are alphanumerics or ., -, _, and ~"},
	"tag":                     {"invalid tag '*': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"},
	"host":                    {"invalid value: *", "must not have a port"},
	"host_with_optional_port": {"invalid hostname: *", "invalid ipv4 address: *", "invalid ipv6 address: *", "invalid port number"},
	"wildcard_host": {
		"wildcard must be leftmost or rightmost character", "only one wildcard must be specified", "must not be an IP", "must not have a port", "invalid value: *",
	},
	"sni":                {"must not be an IP", "must not have a port", "invalid value: *"},
	"route_host":         {"invalid wildcard: must have at most one wildcard", "invalid wildcard: must be placed at leftmost or rightmost label", "invalid hostname: *", "invalid ipv4 address: *", "invalid ipv6 address: *", "invalid port number"},
	"ip_or_cidr":         {"invalid ip or cidr range: '*'"},
	"path":               {"invalid path: '*' (characters outside of the reserved list of RFC 3986 found)", "invalid url-encoded value: '*'"},
	"router_path":        {"should start with: / (fixed path) or ~/ (regex path)", "non-normalized path, consider use '*' instead", "invalid regex: '*' (PCRE returned: *)", "invalid url-encoded value: '*'"},
	"http_method":        {"invalid value: *"},
	"header_name":        {"bad header name '*', allowed characters are A-Z, a-z, 0-9, '_', and '-'"},
	"route_header_name":  {"bad header name '*', allowed characters are A-Z, a-z, 0-9, '_', and '-'", "cannot contain 'host' header, which must be specified in the 'hosts' attribute"},
	"route_header_value": {"invalid regex: '*' (PCRE returned: *)"},
	"certificate":        {"invalid certificate: *"},
	"key":                {"invalid key: *"},
	"public_key":         {"invalid key"},
	"redirect_uri":       {"cannot parse '*'", "fragment not allowed in '*'"},
	"json_object":        {"expected the text of a JSON object"},
	"upstream_name":      {"Invalid name ('*'); must be a valid hostname", "Invalid name ('*'); no ip addresses allowed", "Invalid name ('*'); no port allowed"},
	"cookie_name":        {"bad cookie name '*', allowed characters are A-Z, a-z, 0-9, '_', and '-'"},
	"target":             {"Invalid target; not a valid hostname or ip address"},
	"wasm_filter":        {"no such filter"},
}

// customTexts are the texts of the checks of records that are code.
var customTexts = map[string][]string{
	"certificate_matches_key":     {"certificate does not match key"},
	"alt_certificate_matches_key": {"alternative certificate does not match key"},
	"certificates_differ_in_type": {"certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), the provided certificates were both of the same type"},
	"single_ca_certificate": {
		"please submit only one certificate at a time", `certificate expired, "Not After" time is in the past`,
		`certificate does not appear to be a CA because it is missing the "CA" basic constraint`,
	},
	"jwk_loads": {"could not json decode jwk string", "kid in jwk.kid must be equal to keys.kid", "could not load JWK, likely not a valid key"},
	"pem_keys_load": {
		"need to supply a PEM formatted public and/or private key.", "could not load public key", "could not load private key", "public key does not match private key",
	},
	"order_holds": {"a plugin cannot run both before and after '*'", "a plugin cannot run before or after itself"},
	"router_expression": {
		"Router Expression failed validation: cannot set 'expression' with 'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations' simultaneously",
		"Router Expression failed validation: cannot set 'regex_priority' with 'expression' simultaneously",
		"Router Expression failed validation: cannot set 'priority' with 'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations' simultaneously",
		"Router Expression failed validation: illformed http.path.segments.* field",
	},
}

// expected are the texts that a place says when one of its rules is broken, by
// rule. Types and missing values are not replaced by a text of the schema's own.
func (f *ruleField) expected(t *testing.T) map[string][]string {
	t.Helper()
	r := f.rules
	out := map[string][]string{}
	last := f.path[len(f.path)-1]
	if f.desc != nil {
		switch f.typ {
		case "json":
		case "foreign":
			out["type"] = []string{"foreign"}
		case "array", "integer":
			out["type"] = []string{"expected an " + f.typ}
		default:
			out["type"] = []string{"expected a " + f.typ}
		}
		if last == "{key}" {
			delete(out, "type")
		}
		if r.GetRequired() || last == "[]" || last == "{}" {
			out["required"] = []string{"required field missing"}
		}
	}
	add := func(rule string, texts ...string) {
		if r.GetErr() != "" {
			texts = []string{r.GetErr()}
		}
		out[rule] = texts
	}
	if r.Eq != nil {
		add("eq", "value must be "+r.GetEq())
	}
	if r.Ne != nil {
		add("ne", "value must not be "+r.GetNe())
	}
	if list := r.GetNotOneOf(); len(list) > 0 {
		add("not_one_of", "must not be one of: "+strings.Join(list, ", "))
	}
	if list := r.GetOneOf(); len(list) > 0 {
		add("one_of", "expected one of: "+strings.Join(list, ", "))
	}
	if r.Gt != nil {
		add("gt", "value must be greater than "+strconv.FormatFloat(r.GetGt(), 'f', -1, 64))
	}
	if r.GetTimestamp() {
		add("timestamp", "expected a valid timestamp")
	}
	if r.GetUuid() {
		add("uuid", "expected a valid UUID")
	}
	if r.GetIsRegex() {
		add("is_regex", "not a valid regex: *")
	}
	if b := r.GetBetween(); b != nil {
		add("between", fmt.Sprintf("value should be between %d and %d", int64(b.GetMin()), int64(b.GetMax())))
	}
	if r.LenEq != nil {
		add("len_eq", fmt.Sprintf("length must be %d", r.GetLenEq()))
	}
	if r.GetLenMin() > 0 {
		add("len_min", fmt.Sprintf("length must be at least %d", r.GetLenMin()))
	}
	if f.typ == "string" && r.LenMin == nil && r.LenEq == nil && !r.GetUuid() && len(r.GetOneOf()) == 0 {
		add("an empty text", "length must be at least 1")
	}
	if r.LenMax != nil {
		add("len_max", fmt.Sprintf("length must be at most %d", r.GetLenMax()))
	}
	if r.StartsWith != nil {
		add("starts_with", "should start with: "+r.GetStartsWith())
	}
	if r.NotMatch != nil || r.Match != nil {
		add("match", "invalid value: *")
	}
	for rule, patterns := range map[string][]*schemapb.Pattern{"match_none": r.GetMatchNone(), "match_all": r.GetMatchAll()} {
		for i, p := range patterns {
			add(fmt.Sprint(rule, i+1), orElse(p.GetErr(), "invalid value: *"))
		}
	}
	if r.MatchAny != nil {
		add("match_any", orElse(r.GetMatchAny().GetErr(), "invalid value: *"))
	}
	if r.Contains != nil {
		add("contains", "expected to contain: *")
	}
	if r.GetNotPath() {
		add("not_path", "must not be the path of an entity: *")
	}
	if r.GetNotSubschema() {
		add("not_subschema", "must not be one of: *")
	}
	if r.GetDistinct() {
		add("distinct", "* is duplicated")
	}
	if len(r.GetMutuallyExclusiveSubsets()) > 0 {
		add("mutually_exclusive_subsets", "these sets are mutually exclusive: (*), (*)")
	}
	if r.GetImmutable() {
		out["immutable"] = []string{"immutable field cannot be updated"}
	}
	if r.GetFormat() != "" {
		texts := formatTexts[r.GetFormat()]
		if len(texts) == 0 {
			t.Errorf("formatTexts says nothing of %s", r.GetFormat())
		}
		add("format", texts...)
	}
	return out
}

func orElse(text, other string) string {
	if text != "" {
		return text
	}
	return other
}

// unbroken are the rules that no body can break, and why.
var unbroken = map[string]string{
	"updated_at type":                           "what is sent is overwritten before anything is judged",
	"updated_at timestamp":                      "what is sent is overwritten before anything is judged",
	"ca_certificates.cert_digest type":          "what is sent is overwritten before anything is judged",
	"ca_certificates.cert_digest an empty text": "what is sent is overwritten before anything is judged",
	"plugins.name an empty text":                "it names no plugin, which is said first",
	"vaults.name an empty text":                 "it names no type of vault, which is said first",
	"partials.type an empty text":               "it names no type, which is said first",
	"targets.target an empty text":              "it is no address, which is said before any rule is looked at",
}

// TestEveryRuleIsBroken asks that the goldens of each kind have the text of each
// rule of each of its places, where that belongs.
func TestEveryRuleIsBroken(t *testing.T) {
	used := map[string]bool{}
	for _, s := range catalogue(t).Entities() {
		kind := s.Kind()
		rules, bodies := newRules(t, kind, true), goldenFields(t, kind)
		missing := func(rule, path, text string) {
			for _, name := range []string{kind + "." + path + " " + rule, path + " " + rule} {
				if unbroken[name] != "" {
					used[name] = true
					return
				}
			}
			t.Errorf("no golden of %s breaks %s of %s: want a text like %q", kind, rule, path, text)
		}
		for _, f := range rules.fields {
			path := f.shown()
			for rule, texts := range f.expected(t) {
				for _, text := range texts {
					at := path
					if text == "foreign" {
						at, text = path+".id", "missing primary key"
						if target, ok := catalogue(t).Entity(f.rules.GetReference()); ok && subschemaKey(t, target) != "" {
							at, text = path+".id", "*"
						}
					}
					if !says(bodies, at, text) {
						missing(rule, f.config+strings.Repeat(":", min(1, len(f.config)))+path, text)
					}
				}
			}
		}
		for _, f := range rules.fields {
			if f.typ == "record" && !f.open && !slices.ContainsFunc(bodies, func(w told) bool { return w.saysWithin(f.shown(), "unknown field") }) {
				missing("unknown field", f.shown(), "unknown field")
			}
		}
		for _, c := range rules.checks {
			for _, want := range checkTexts(t, c) {
				if !slices.ContainsFunc(bodies, func(w told) bool {
					for path, text := range want {
						if !slices.ContainsFunc(w[path], likeness(text).MatchString) {
							return false
						}
					}
					return true
				}) {
					missing("check", fmt.Sprint(want), fmt.Sprint(want))
				}
			}
		}
	}
	for name := range unbroken {
		if !used[name] {
			t.Errorf("unbroken has %q, which is broken or no rule", name)
		}
	}
}

// TestEveryBreakIsRefused asks that each case which breaks a rule is refused, and
// where it is about one place, that the answer is about that: another rule may
// speak first.
func TestEveryBreakIsRefused(t *testing.T) {
	for _, suite := range slices.Concat(entitySuites, trafficSuites) {
		dir := filepath.Join("testdata", "entities", suite.kind)
		for file, text := range readAll(t, filepath.Join(dir, "broken_*.txt")) {
			for line := range strings.Lines(text) {
				if status, ok := strings.CutPrefix(line, "--- "); ok && status != "400\n" {
					t.Errorf("%s has an answer %s", file, status)
				}
			}
		}
		for _, f := range newRules(t, suite.kind, false).fields {
			file := filepath.Join(dir, "broken_"+f.file()+".txt")
			for line := range strings.Lines(readAll(t, file)[file]) {
				var body struct{ Fields any }
				if strings.HasPrefix(line, `{"code":`) {
					if err := json.Unmarshal([]byte(line), &body); err != nil {
						t.Fatalf("%s: %v", file, err)
					}
					w := told{}
					if w.add("", body.Fields); !w.about(f.shown()) {
						t.Errorf("%s says nothing of %s: %s", file, f.shown(), line)
					}
				}
			}
		}
	}
}

func subschemaKey(t *testing.T, s *schema.Schema) string {
	return newRules(t, s.Kind(), false).entity.GetSubschemaKey()
}

// checkTexts are the texts of a check, each set of which one body has to have, by
// where they stand.
func checkTexts(t *testing.T, c ruleCheck) []map[string]string {
	t.Helper()
	at := func(path string) string { return strings.Join(append(slices.Clone(c.path), path), ".") }
	whole := at("@entity")
	if c.check.GetWhole() {
		whole = strings.Join(c.path, ".")
	}
	one := func(texts ...string) (sets []map[string]string) {
		for _, text := range texts {
			sets = append(sets, map[string]string{whole: orElse(c.check.GetErr(), text)})
		}
		return sets
	}
	quoted := func(names []string) string { return "'" + strings.Join(names, "', '") + "'" }
	switch r := c.check.GetCheck().(type) {
	case *schemapb.Check_AtLeastOneOf:
		return one("at least one of these fields must be non-empty: " + quoted(r.AtLeastOneOf.GetValues()))
	case *schemapb.Check_OnlyOneOf:
		return one("exactly one of these fields must be non-empty: " + quoted(r.OnlyOneOf.GetValues()))
	case *schemapb.Check_Distinct:
		return one("values of these fields must be distinct: " + quoted(r.Distinct.GetValues()))
	case *schemapb.Check_MutuallyRequired:
		return one("all or none of these fields must be set: " + quoted(r.MutuallyRequired.GetValues()))
	case *schemapb.Check_MutuallyExclusive:
		return one("only one or none of these fields must be set: " + quoted(r.MutuallyExclusive.GetValues()))
	case *schemapb.Check_MutuallyExclusiveSets:
		return one("these sets are mutually exclusive: (*), (*)")
	case *schemapb.Check_Conditional:
		set := map[string]string{whole: orElse(r.Conditional.GetThenErr(), "failed conditional validation given value of field '"+r.Conditional.GetIfField()+"'")}
		then, text := r.Conditional.GetThenMatch(), ""
		switch {
		case then.Eq != nil:
			text = "value must be " + then.GetEq()
		case len(then.GetOneOf()) > 0:
			text = "expected one of: " + strings.Join(then.GetOneOf(), ", ")
		case then.GetRequired():
			text = "required field missing"
		case then.LenEq != nil:
			text = fmt.Sprintf("length must be %d", then.GetLenEq())
		default:
			t.Fatalf("%v: no text for this test", then)
		}
		set[at(r.Conditional.GetThenField())] = text
		sets := []map[string]string{set}
		for _, text := range formatTexts[then.GetFormat()] {
			sets = append(sets, map[string]string{whole: set[whole], at(r.Conditional.GetThenField()): text})
		}
		return sets
	case *schemapb.Check_ConditionalAtLeastOneOf:
		then := r.ConditionalAtLeastOneOf
		sets := one(strings.ReplaceAll(then.GetThenErr(), "%s", quoted(then.GetThenAtLeastOneOf())))
		if names := then.GetElseThenAtLeastOneOf(); len(names) > 0 {
			sets = append(sets, one(strings.ReplaceAll(then.GetElseThenErr(), "%s", quoted(names)))...)
		}
		return sets
	case *schemapb.Check_Custom:
		texts := customTexts[r.Custom]
		if len(texts) == 0 {
			t.Errorf("customTexts says nothing of %s", r.Custom)
		}
		return one(texts...)
	}
	t.Fatalf("%v: a check of which this test knows nothing", c.check)
	return nil
}

// TestEveryCaseIsThere asks that each kind has the cases that it must have, by
// name.
func TestEveryCaseIsThere(t *testing.T) {
	restricted := map[string][]string{}
	for _, s := range catalogue(t).Entities() {
		for _, f := range s.Foreign() {
			if s.HasPaths() && f.OnDelete == schemapb.OnDelete_ON_DELETE_UNSPECIFIED {
				restricted[f.Kind] = append(restricted[f.Kind], s.Kind())
			}
		}
	}
	for _, suite := range slices.Concat(entitySuites, trafficSuites) {
		s, ok := catalogue(t).Entity(suite.kind)
		if !ok {
			t.Fatalf("no entity %s", suite.kind)
		}
		if suite.off {
			continue
		}
		rules := newRules(t, suite.kind, false)
		want := []string{
			"create", "create_full", "create_form", "get", "get_missing", "patch_null", "patch_empty", "patch_missing", "put_create", "put_replace",
			"delete", "list", "methods", "unknown_field", "wrong_type", "null", "empty_body", "duplicate_id", "times", "id_in_body",
		}
		if s.EndpointKey() != "" {
			want = append(want, "get_key", "put_key", "patch_key", "bad_key", "unicode_key")
		}
		if s.TTL() {
			want = append(want, "ttl", "broken_ttl")
		}
		if s.HasTags() {
			want = append(want, "tags")
		}
		for _, name := range s.Unique() {
			want = append(want, "duplicate_"+name)
		}
		for _, together := range rules.entity.GetUniqueTogether() {
			want = append(want, "duplicate_"+strings.Join(together.GetValues(), "_"))
		}
		for _, f := range s.Foreign() {
			name := "cascade_" + f.Field
			if f.OnDelete == schemapb.OnDelete_ON_DELETE_UNSPECIFIED {
				name = "in_use_" + f.Field
			}
			want = append(want, name)
			if suite.path == "" {
				want = append(want, "nested_"+f.Field)
			}
			if !slices.Contains(suite.fixed, f.Field) {
				want = append(want, "reference_"+f.Field)
			}
		}
		for _, name := range want {
			if _, err := os.Stat(filepath.Join("testdata", "entities", suite.kind, name+".txt")); err != nil {
				t.Errorf("%s has no case %s", suite.kind, name)
			}
		}
		for _, by := range restricted[suite.kind] {
			text := fmt.Sprintf("an existing '%s' entity references this '%s' entity", by, suite.kind)
			if !slices.ContainsFunc(slices.Collect(maps.Values(readAll(t, filepath.Join("testdata", "entities", by, "*.txt")))), func(file string) bool {
				return strings.Contains(file, text)
			}) {
				t.Errorf("no golden of %s says %q", by, text)
			}
		}
		full := map[string]any{}
		if err := json.Unmarshal([]byte(suite.full), &full); err != nil {
			t.Fatal(err)
		}
		for _, f := range rules.fields {
			if _, ok := full[f.name]; !ok && len(f.path) == 1 && f.desc != nil && !f.rules.GetUuid() && !f.rules.GetTimestamp() && notFull[suite.kind+"."+f.name] == "" {
				t.Errorf("the full body of %s has no %s", suite.kind, f.name)
			}
		}
	}
}

// notFull are the fields that a full body cannot have, and why.
var notFull = map[string]string{
	"routes.sources":              "HTTP routes have none",
	"routes.destinations":         "HTTP routes have none",
	"ca_certificates.cert_digest": "it is computed",
	"keys.pem":                    "a key has jwk or pem",
}

// TestFormsAndJSONAgree asks that the full entity is the same whichever way it
// came.
func TestFormsAndJSONAgree(t *testing.T) {
	for _, suite := range slices.Concat(entitySuites, trafficSuites) {
		if suite.off {
			continue
		}
		form, full := created(t, suite.kind, "create_form"), created(t, suite.kind, "create_full")
		if diff := cmp.Diff(full, form); diff != "" {
			t.Errorf("%s (-JSON +form)\n%s", suite.kind, diff)
		}
	}
}

// created is the entity that a golden ends with, without what differs from one to
// the next.
func created(t *testing.T, kind, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "entities", kind, name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, ok := strings.Cut(string(text), "--- 201\n")
	entity := map[string]any{}
	if err := json.Unmarshal([]byte(body), &entity); !ok || err != nil {
		t.Fatalf("%s of %s answers no entity: %v\n%s", name, kind, err, text)
	}
	for _, name := range []string{"id", "created_at", "updated_at"} {
		delete(entity, name)
	}
	return entity
}
