package admin_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// answer is an error of the Admin API; asterisks in its texts stand for anything.
type answer struct {
	status  int
	code    int
	name    string
	message string
}

// answers are the errors that clients of Kong meet. What is plain has neither code
// nor name.
var answers = []answer{
	{400, 1, "invalid primary key", `invalid primary key: '{id="expected a valid UUID"}'`},
	{400, 2, "schema violation", "schema violation (*: *)"},
	{400, 2, "schema violation", "2 schema violations (*; *)"},
	// What the tests of Kong Manager and of go-kong compare word for word.
	{400, 2, "schema violation", "schema violation (connect_timeout: value should be between 1 and 2147483646)"},
	{400, 2, "schema violation", "schema violation (paths.1: should start with: / (fixed path) or ~/ (regex path))"},
	{400, 2, "schema violation", "schema violation (paths.1: invalid regex: *"},
	{400, 2, "schema violation", "schema violation (paths.2: invalid regex: *"},
	{400, 2, "schema violation", "schema violation (target: Invalid target; not a valid hostname or ip address)"},
	{400, 2, "schema violation", "schema violation (prefix: must not be one of: env)"},
	{400, 2, "schema violation", "schema violation (kid in jwk.kid must be equal to keys.kid)"},
	{400, 2, "schema violation", "schema violation (values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header')"},
	{400, 2, "schema violation", "schema violation (values of these fields must be distinct: 'hash_on_query_arg', 'hash_fallback_query_arg')"},
	{400, 2, "schema violation", "schema violation (values of these fields must be distinct: 'hash_on_uri_capture', 'hash_fallback_uri_capture')"},
	{400, 2, "schema violation", "2 schema violations (failed conditional validation given value of field 'hash_on'; hash_fallback: expected one of: *"},
	{400, 2, "schema violation", "schema violation (config.garbage: unknown field)"},
	{400, 3, "primary key violation", `primary key violation on key '{id="*"}'`},
	{400, 4, "foreign key violation", `the foreign key '{id="*"}' does not reference an existing 'services' entity.`},
	{400, 4, "foreign key violation", "an existing 'routes' entity references this 'services' entity"},
	{409, 5, "unique constraint violation", `UNIQUE violation detected on '{name="*"}'`},
	{409, 5, "unique constraint violation", `UNIQUE violation detected on '{consumer=null,consumer_group=null,name="*",route=null,service={id="*"}}'`},
	{409, 5, "unique constraint violation", `UNIQUE violation detected on '{consumer={id="*"},group="*"}'`},
	{404, 6, "not found", `could not find the entity with primary key '{id="*"}'`},
	{404, 6, "not found", `could not find the entity with '{name="*"}'`},
	{400, 7, "invalid offset", "'*' is not a valid offset: bad base64 encoding"},
	{400, 7, "invalid offset", "'*' is not a valid offset: bad json encoding"},
	{400, 9, "invalid size", "size must be a number"},
	{400, 9, "invalid size", "size must be an integer between 1 and 1000"},
	{400, 10, "invalid unique name", "invalid value '*': the only accepted ascii characters are alphanumerics or ., -, _, and ~"},
	{400, 10, "invalid unique target", "Invalid target ('*'); not a valid hostname or ip address"},
	{400, 10, "invalid unique tag", "invalid tag '*': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"},
	{400, 11, "invalid options", "invalid option (tags: cannot be null)"},
	{400, 11, "invalid options", "invalid option (tags: invalid filter syntax)"},
	{400, 11, "invalid options", "invalid option (tags: cannot query more than 5 tags)"},
	{400, 11, "invalid options", "invalid option (ttl: must be an integer between 0 and 100000000)"},
	{405, 12, "operation unsupported", "cannot create 'services' entities when not using a database"},
	{405, 12, "operation unsupported", "cannot create or update 'services' entities when not using a database"},
	{405, 12, "operation unsupported", "cannot create or update 'services' entities by 'name' when not using a database"},
	{405, 12, "operation unsupported", "cannot update 'services' entities when not using a database"},
	{405, 12, "operation unsupported", "cannot update 'services' entities by 'name' when not using a database"},
	{405, 12, "operation unsupported", "cannot remove 'services' entities when not using a database"},
	{405, 12, "operation unsupported", "cannot remove 'services' entities by 'name' when not using a database"},
	{400, 13, "foreign keys unresolved", `foreign key unresolved (service.name: the foreign key cannot be resolved with '{name="*"}' for an existing 'services' entity)`},
	{400, 13, "foreign keys unresolved", "* foreign keys unresolved (*; *)"},
	{400, 14, "invalid declarative configuration", "declarative config is invalid: *"},
	{400, 19, "referenced by others", "ca certificate * is still referenced by services (id = *)"},

	{400, 0, "", "Cannot parse JSON body"},
	{500, 0, "", "An unexpected error occurred"}, // code 8 too, whose cause nobody is told
	{503, 0, "", "Service unavailable*"},
	{400, 0, "", "Too many arguments"},
	{400, 0, "", "expected a declarative configuration"},
	{400, 0, "", "custom_id must be an unempty string"},
	{400, 0, "", "this endpoint is only available when wasm is enabled"},
	{400, 0, "", "this endpoint is only available when Kong is configured to not use a database"},
	{400, 0, "", "this endpoint is only available when Kong is configured to run as Control Plane for the cluster"},
	{400, 0, "", "Upstream * has no balancer"},
	{400, 0, "", "invalid unit '*' (expected 'k/K', 'm/M', or 'g/G')"},
	{400, 0, "", "scale must be equal or greater than 0"},
	{400, 0, "", "unknown log level: *"},
	{400, 0, "", "timeout must be greater than or equal to 0"},
	{401, 0, "", "Invalid credentials. Token or User credentials required"},
	{401, 0, "", "Invalid RBAC credentials"},
	{404, 0, "", "Not found"},
	{404, 0, "", "SNI not found"},
	{404, 0, "", "No entity named '*'"},
	{404, 0, "", "No plugin named '*'"},
	{404, 0, "", "No vault named '*'"},
	{404, 0, "", "Filter '*' not found"},
	{404, 0, "", "No partial of type '*'"},
	{404, 0, "", "Workspace '*' not found"},
	{405, 0, "", "Method not allowed"},
	{415, 0, "", ""},
	{405, 0, "", "cannot change log level when not using a database"},
	{501, 0, "", "not implemented with the legacy DNS client"},
}

// unanswered are the errors of Kong that no client can provoke here, and why.
var unanswered = map[string]string{
	"option violations":      "no request takes two options: tags are asked of lists, ttl of writes",
	"transformation error":   "code 15 is a 500 without a code: transformations are of valid entities, and cannot fail",
	"invalid foreign key":    "code 16 is a 500 without a code: references are checked before anything is looked up by one",
	"invalid workspace":      "code 17 is a 500 without a code: a workspace that is not there is a 404",
	"invalid global query":   "code 18 is a 500 without a code: what is looked up everywhere is unique everywhere",
	"invalid search query":   "code 20 is newer than 3.8; a field that cannot be searched is ignored",
	"invalid sync deltas":    "code 21 is newer than 3.8, and of a protocol that is not spoken",
	"Unauthorized":           "401 has the texts of the edition with access control, which name the proof that is missing",
	"failed validating: *":   "every check that is code has a text of its own",
	"not a valid regex: (?P": "is_regex is used by no entity; testdata/rules of the schema has it",
}

// rulesTexts are the texts of the rules, whoever has them.
var rulesTexts = []string{
	"expected an array", "expected a set", "expected a map", "expected a record", "expected a string", "expected a number", "expected a boolean", "expected an integer",
	"unknown field", "required field missing",
	"value must be 5", "value must be null", "value must not be true", "value must not be null",
	"must not be one of: a, b", "expected one of: *, *", "value must be greater than 0",
	"expected a valid timestamp", "expected a valid UUID", "not a valid regex: *",
	"value should be between 0 and 65535", "value should be between 0 and 1000000",
	"length must be 2", "length must be at least 1", "length must be at most 3",
	"should start with: /", "invalid value: *", "expected to contain: *",
	"these sets are mutually exclusive: ('a', 'b'), ('c')",
	"immutable field cannot be updated", "missing primary key", "not a primary key",
	"at least one of these fields must be non-empty: 'custom_id', 'username'",
	"when updating, at least one of these fields must be non-empty: 'custom_id', 'username'",
	"exactly one of these fields must be non-empty: 'a', 'b'",
	"values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header'",
	"all or none of these fields must be set: 'cert_alt', 'key_alt'",
	"only one or none of these fields must be set: 'jwk', 'pem'",
	"these sets are mutually exclusive: ('b'), ('c')",
	"failed conditional validation given value of field 'protocol'",
	"field required for entity check", "field required for entity check when updating",
	"plugin '*' not enabled; add it to the 'plugins' configuration property", "vault '*' is not installed", "unknown type: *",
	"must match the associated route's protocols", "must match the protocols of at least one route pointing to this Plugin's service",
	"invalid utf-8 character sequence detected at position *",
	"Invalid target; not a valid hostname or ip address",
	"* is duplicated", "* already associated with existing certificate '*'",
	"missing host in url", "missing scheme in url", "could not parse url. *",
	"both deprecated and new field are used but their values mismatch: *",
	"does not support insert/upsert/update/delete operations",
	"no such filter",
}

// goldenAnswer is one answer in a golden: a status, and a body that is JSON or
// nothing.
type goldenAnswer struct {
	Status  int `json:"-"`
	Code    int
	Name    string
	Message string
	Fields  json.RawMessage
}

// goldenAnswers reads the answers of both forms of goldens.
func goldenAnswers(t *testing.T) []goldenAnswer {
	t.Helper()
	var all []goldenAnswer
	for _, glob := range []string{"testdata/golden/*.txt", "testdata/entities/*/*.txt"} {
		for _, text := range readAll(t, glob) {
			for part := range strings.SplitSeq(text, "\n--- ") {
				status, rest, _ := strings.Cut(part, "\n")
				var a goldenAnswer
				var err error
				if a.Status, err = strconv.Atoi(status); err != nil {
					continue // what is before the first answer
				}
				for line := range strings.Lines(rest) {
					if strings.HasPrefix(line, "{") {
						// An answer may be anything, such as a list; only errors count.
						_ = json.Unmarshal([]byte(line), &a)
						break
					}
					if strings.HasPrefix(line, "===") {
						break
					}
				}
				all = append(all, a)
			}
		}
	}
	return all
}

// TestEveryAnswerIsThere asks that each error which a client can provoke is in a
// golden, with its status, code, name and message.
func TestEveryAnswerIsThere(t *testing.T) {
	all := goldenAnswers(t)
	for _, want := range answers {
		like := likeness(want.message)
		if !slices.ContainsFunc(all, func(a goldenAnswer) bool {
			return a.Status == want.status && a.Code == want.code && a.Name == want.name && like.MatchString(a.Message)
		}) {
			t.Errorf("no golden has the answer %+v", want)
		}
	}
	for text, why := range unanswered {
		like := likeness("*" + text + "*")
		for _, a := range all {
			if like.MatchString(a.Name) || a.Message != "" && like.MatchString(a.Message) {
				t.Errorf("unanswered has %q (%s), and a golden has it: %+v", text, why, a)
				break
			}
		}
	}
}

// TestEveryTextIsThere asks that each text of a rule is in a golden.
func TestEveryTextIsThere(t *testing.T) {
	said := map[string]bool{}
	add := func(fields []byte) {
		var tree any
		if err := json.Unmarshal(fields, &tree); err != nil {
			t.Fatalf("%s: %v", fields, err)
		}
		w := told{}
		w.add("", tree)
		for _, texts := range w {
			for _, text := range texts {
				said[text] = true
			}
		}
	}
	for _, a := range goldenAnswers(t) {
		if a.Code == 2 {
			add(a.Fields)
		}
	}
	for _, glob := range []string{"entities/*.txt", "rules/*.txt"} {
		for _, text := range readAll(t, filepath.Join("../../schema/testdata", glob)) {
			parts := strings.Split("\n"+text, "\n-- ")
			for _, part := range parts {
				if fields, ok := strings.CutPrefix(part, "fields --\n"); ok {
					add([]byte(fields))
				}
			}
		}
	}
	texts := slices.Collect(maps.Keys(said))
	for _, want := range rulesTexts {
		if !slices.ContainsFunc(texts, likeness(want).MatchString) {
			t.Errorf("no golden has the text %q", want)
		}
	}
	if t.Failed() {
		t.Log(fmt.Sprint(len(texts), " texts are there"))
	}
}
