package admin_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// object is a JSON object as a client without schemas of its own sees it.
type object = map[string]any

// A tool does on the wire what declarative tools for Kong do: it asks for the
// version, reads everything, fills in what its file leaves out from the
// schemas, compares, and writes the difference in the order of references.
type tool struct {
	t         testing.TB
	h         http.Handler
	workspace string
	tags      []string // it reads and writes only what has all of these
}

// kinds are what the tool handles, in the order in which it creates. Deletion
// goes the other way.
var toolKinds = []toolKind{
	{name: "certificates", key: "", level: 1},
	{name: "ca_certificates", level: 1},
	{name: "consumers", key: "username", level: 1},
	{name: "vaults", key: "prefix", level: 1, optional: true},
	{name: "key_sets", path: "key-sets", key: "name", level: 1, optional: true},
	{name: "partials", key: "name", level: 1, optional: true},
	{name: "licenses", level: 1, optional: true, untagged: true},
	{name: "consumer_groups", key: "name", level: 2, optional: true},
	{name: "snis", key: "name", level: 2},
	{name: "services", key: "name", level: 2, schema: true},
	{name: "upstreams", key: "name", level: 2, schema: true},
	{name: "keys", key: "name", level: 2, optional: true},
	{name: "keyauth_credentials", path: "key-auths", nested: "key-auth", key: "key", level: 2, optional: true},
	{name: "basicauth_credentials", path: "basic-auths", nested: "basic-auth", key: "username", level: 2, optional: true},
	{name: "hmacauth_credentials", path: "hmac-auths", nested: "hmac-auth", key: "username", level: 2, optional: true},
	{name: "jwt_secrets", path: "jwts", nested: "jwt", key: "key", level: 2, optional: true},
	{name: "oauth2_credentials", path: "oauth2", nested: "oauth2", key: "client_id", level: 2, optional: true},
	{name: "acls", nested: "acls", key: "group", level: 2, optional: true},
	{name: "mtls_auth_credentials", path: "mtls-auths", nested: "mtls-auth", key: "subject_name", level: 2, optional: true},
	{name: "routes", key: "name", level: 3, schema: true},
	{name: "targets", key: "target", level: 3, schema: true},
	{name: "plugins", key: "instance_name", level: 4},
}

type toolKind struct {
	name string
	// path is the collection's segment when it is not the name; nested the one
	// below a consumer.
	path, nested string
	// key is the field by which an entity of the file and one of the gateway are
	// the same; "": the id.
	key      string
	level    int
	optional bool // a 404 means that there are none
	untagged bool
	schema   bool // defaults come from GET /schemas/{name}
}

func (k *toolKind) segment() string { return cmp.Or(k.path, k.name) }

// state is a whole configuration: entities by kind, and members by group.
type state struct {
	entities map[string][]object
	members  map[string][]string // ids of consumers by the group's id
}

func (c *tool) request(method, path string, body any) (int, http.Header, object) {
	c.t.Helper()
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		text = string(b)
	}
	code, header, out := call(c.t, c.h, method, path, "", text)
	var answer object
	if out != "" {
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			c.t.Fatalf("%s %s: answered %q: %v", method, path, out, err)
		}
	}
	return code, header, answer
}

// at is the path of these segments in the tool's workspace.
func (c *tool) at(segments ...string) string {
	path := ""
	if c.workspace != "" {
		path = "/" + c.workspace
	}
	for _, s := range segments {
		path += "/" + url.PathEscape(s)
	}
	return path
}

// ping reads the version, of which two numbers count, and makes the workspace
// if it is not there.
func (c *tool) ping() {
	c.t.Helper()
	code, header, root := c.request("GET", "/", nil)
	version, _ := root["version"].(string)
	if code != 200 || !regexp.MustCompile(`^\d+\.\d+`).MatchString(version) {
		c.t.Fatalf("GET /: %d, version %q", code, version)
	}
	if strings.Contains(header.Get("Server"), "ai-gateway") {
		c.t.Errorf("Server is %q, which switches tools into another mode", header.Get("Server"))
	}
	if c.workspace == "" {
		return
	}
	probe := c.at("workspaces", c.workspace)
	switch code, _, _ := c.request("GET", probe, nil); code {
	case 200:
	case 404:
		if code, _, out := c.request("POST", "/workspaces", object{"name": c.workspace}); code != 200 && code != 201 {
			c.t.Fatalf("make the workspace: %d %v", code, out)
		}
		if code, _, _ := c.request("GET", probe, nil); code != 200 {
			c.t.Fatalf("the workspace is not there after it was made: %d", code)
		}
	default:
		c.t.Fatalf("GET %s: %d", probe, code)
	}
	if code, _, root := c.request("GET", c.at("kong"), nil); code != 200 || root["version"] != version {
		c.t.Errorf("GET %s: %d, version %v", c.at("kong"), code, root["version"])
	}
}

// list reads all pages of a collection. It loops for as long as there is an
// offset, as clients do.
func (c *tool) list(path string, tagged, optional bool) []object {
	c.t.Helper()
	all := []object{}
	query := url.Values{"size": {"1000"}}
	if tagged && len(c.tags) > 0 {
		query.Set("tags", strings.Join(c.tags, ","))
	}
	for range 100 {
		code, _, page := c.request("GET", path+"?"+query.Encode(), nil)
		if optional && (code == 404 || code == 400) {
			return nil
		}
		data, ok := page["data"].([]any)
		if code != 200 || !ok {
			c.t.Fatalf("GET %s: %d %v", path, code, page)
		}
		for _, e := range data {
			all = append(all, e.(object))
		}
		offset, more := page["offset"].(string)
		if !more {
			return all
		}
		query.Set("offset", offset)
	}
	c.t.Fatalf("GET %s: the pages do not end", path)
	return nil
}

// dump reads everything.
func (c *tool) dump() *state {
	c.t.Helper()
	s := &state{map[string][]object{}, map[string][]string{}}
	for _, k := range toolKinds {
		if k.name == "targets" {
			for _, u := range s.entities["upstreams"] {
				targets := c.list(c.at("upstreams", u["id"].(string), "targets"), false, false)
				for _, target := range targets {
					if c.selected(target) {
						s.entities[k.name] = append(s.entities[k.name], target)
					}
				}
			}
			continue
		}
		s.entities[k.name] = c.list(c.at(k.segment()), !k.untagged, k.optional)
	}
	c.list(c.at("filter-chains"), true, true)
	for _, path := range [][]string{{"degraphql_routes"}, {"graphql-rate-limiting-advanced", "costs"}} {
		if code, _, _ := c.request("GET", c.at(path...), nil); code != 404 {
			c.t.Errorf("GET %s: %d, want 404", c.at(path...), code)
		}
	}
	for _, g := range s.entities["consumer_groups"] {
		id := g["id"].(string)
		code, _, wrapped := c.request("GET", c.at("consumer_groups", id), nil)
		group, ok := wrapped["consumer_group"].(object)
		if code != 200 || !ok || group["id"] != id {
			c.t.Fatalf("GET consumer group %s: %d %v", id, code, wrapped)
		}
		consumers, _ := wrapped["consumers"].([]any)
		for _, m := range consumers {
			s.members[id] = append(s.members[id], m.(object)["id"].(string))
		}
		slices.Sort(s.members[id])
		s.members[id] = append([]string{}, s.members[id]...)
	}
	// What an entity refers to must be in the dump, else tools stop.
	c.resolves(s)
	return s
}

func (c *tool) selected(e object) bool {
	tags, _ := e["tags"].([]any)
	for _, tag := range c.tags {
		if !slices.Contains(tags, any(tag)) {
			return false
		}
	}
	return true
}

// parents are the foreign fields by which entities hang together.
var parents = map[string]string{
	"service": "services", "route": "routes", "consumer": "consumers", "consumer_group": "consumer_groups",
	"upstream": "upstreams", "certificate": "certificates", "client_certificate": "certificates", "set": "key_sets",
	"ca_certificate": "ca_certificates",
}

func (c *tool) resolves(s *state) {
	c.t.Helper()
	for kind, list := range s.entities {
		for _, e := range list {
			for field, parent := range parents {
				ref, ok := e[field].(object)
				if ok && s.find(parent, "id", ref["id"]) == nil {
					c.t.Errorf("%s %v refers to %s %v, which the dump lacks", kind, e["id"], parent, ref["id"])
				}
			}
		}
	}
}

func (s *state) find(kind, field string, value any) object {
	for _, e := range s.entities[kind] {
		if e[field] == value {
			return e
		}
	}
	return nil
}

// bare is an entity without what tools do not compare.
func bare(kind string, e object) object {
	out := maps.Clone(e)
	delete(out, "created_at")
	delete(out, "updated_at")
	delete(out, "cert_digest") // computed
	if kind == "certificates" {
		delete(out, "snis") // the list of SNIs counts
	}
	// A field that is null and one that is not there are the same to a client
	// with pointers.
	return pruned(out).(object)
}

// pruned takes out nulls, and sorts what is compared as a set.
func pruned(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for name, value := range v {
			if value != nil {
				out[name] = pruned(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = pruned(e)
		}
		slices.SortFunc(out, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		return out
	}
	return v
}

// match gives the entities of a file the ids of those in the gateway that are
// the same, or new ones, and puts ids in the place of names in references.
func (c *tool) match(want, have *state) {
	c.t.Helper()
	ids := map[string]string{} // by kind and what the file calls an entity
	for _, k := range toolKinds {
		for _, e := range want.entities[k.name] {
			for field, kind := range parents {
				if name, ok := e[field].(string); ok {
					id := ids[kind+" "+name]
					if id == "" {
						c.t.Fatalf("%s: no %s %q in the file", k.name, kind, name)
					}
					e[field] = object{"id": id}
				}
			}
			var old object
			if k.key != "" && e[k.key] != nil {
				old = have.same(k, e)
			} else if e["id"] != nil {
				old = have.find(k.name, "id", e["id"])
			}
			switch {
			case old != nil:
				e["id"] = old["id"]
			case e["id"] == nil:
				e["id"] = uuid.NewString()
			}
			if name, ok := e[k.key].(string); ok {
				ids[k.name+" "+name] = e["id"].(string)
			} else {
				ids[k.name+" "+e["id"].(string)] = e["id"].(string)
			}
			for _, tag := range c.tags {
				tags, _ := e["tags"].([]any)
				if !slices.Contains(tags, any(tag)) {
					e["tags"] = append(tags, tag)
				}
			}
		}
	}
	members := map[string][]string{}
	for _, g := range want.entities["consumer_groups"] {
		members[g["id"].(string)] = []string{}
	}
	for group, list := range want.members {
		id := cmp.Or(ids["consumer_groups "+group], group)
		members[id] = []string{}
		for _, name := range list {
			members[id] = append(members[id], cmp.Or(ids["consumers "+name], name))
		}
		slices.Sort(members[id])
	}
	want.members = members
}

// same finds the entity of the gateway that an entity of the file stands for.
func (s *state) same(k toolKind, e object) object {
	for _, old := range s.entities[k.name] {
		if old[k.key] != e[k.key] {
			continue
		}
		if k.nested == "acls" && !reflect.DeepEqual(old["consumer"], e["consumer"]) ||
			k.name == "targets" && !reflect.DeepEqual(old["upstream"], e["upstream"]) {
			continue
		}
		return old
	}
	return nil
}

// change is one thing to do.
type change struct {
	kind    toolKind
	entity  object
	deleted bool
	diff    string
}

// diff compares; members are compared by the caller.
func (c *tool) diff(want, have *state) []change {
	var out []change
	for _, k := range toolKinds {
		for _, e := range want.entities[k.name] {
			old := have.find(k.name, "id", e["id"])
			d := gocmp.Diff(bare(k.name, old), bare(k.name, e))
			if old == nil || d != "" {
				out = append(out, change{kind: k, entity: e, diff: d})
			}
		}
	}
	for _, k := range slices.Backward(toolKinds) {
		for _, old := range have.entities[k.name] {
			if want.find(k.name, "id", old["id"]) == nil {
				out = append(out, change{kind: k, entity: old, deleted: true})
			}
		}
	}
	return out
}

// path is where an entity is written.
func (c *tool) path(k toolKind, e object) string {
	id := e["id"].(string)
	switch {
	case k.name == "targets":
		return c.at("upstreams", e["upstream"].(object)["id"].(string), "targets", id)
	case k.nested != "":
		return c.at("consumers", e["consumer"].(object)["id"].(string), k.nested, id)
	}
	return c.at(k.segment(), id)
}

// sync writes the difference.
func (c *tool) sync(want, have *state) {
	c.t.Helper()
	changes := c.diff(want, have)
	for _, ch := range changes {
		if ch.deleted {
			continue
		}
		path := c.path(ch.kind, ch.entity)
		if ch.kind.name == "certificates" {
			// A PUT without the server names takes them away; they are entities of
			// their own to the tool, which sends those that are there.
			ch.entity["snis"] = have.namesOf(ch.entity["id"])
		}
		if ch.kind.name == "basicauth_credentials" && have.find(ch.kind.name, "id", ch.entity["id"]) != nil {
			path += "?skip_hash=true" // the file has the hash that the dump gave
		}
		code, _, out := c.request("PUT", path, ch.entity)
		if ch.kind.name == "targets" && code == 404 {
			code, _, out = c.request("POST", c.at("upstreams", ch.entity["upstream"].(object)["id"].(string), "targets"), ch.entity)
		}
		if code != 200 && code != 201 || out["id"] != ch.entity["id"] {
			c.t.Fatalf("write %s: %d %v\n%v", path, code, out, ch.entity)
		}
		if ch.kind.name == "basicauth_credentials" {
			ch.entity["password"] = out["password"]
		}
	}
	for group, members := range want.members {
		for _, m := range members {
			if slices.Contains(have.members[group], m) {
				continue
			}
			if code, _, out := c.request("POST", c.at("consumer_groups", group, "consumers"), object{"consumer": m}); code/100 != 2 {
				c.t.Fatalf("add %s to group %s: %d %v", m, group, code, out)
			}
		}
	}
	for group, members := range have.members {
		for _, m := range members {
			if _, kept := want.members[group]; !kept || slices.Contains(want.members[group], m) {
				continue
			}
			if code, _, out := c.request("DELETE", c.at("consumer_groups", group, "consumers", m), nil); code != 204 {
				c.t.Fatalf("take %s out of group %s: %d %v", m, group, code, out)
			}
		}
	}
	for _, ch := range changes {
		if !ch.deleted {
			continue
		}
		// A parent may have taken it along: then 404 is as good, below a parent.
		code, _, out := c.request("DELETE", c.path(ch.kind, ch.entity), nil)
		if code != 204 && !(code == 404 && (ch.kind.nested != "" || ch.kind.name == "targets")) {
			c.t.Fatalf("delete %s %v: %d %v", ch.kind.name, ch.entity["id"], code, out)
		}
	}
}

// namesOf are the server names of a certificate.
func (s *state) namesOf(certificate any) []any {
	names := []any{}
	for _, sni := range s.entities["snis"] {
		if sni["certificate"].(object)["id"] == certificate {
			names = append(names, sni["name"])
		}
	}
	return names
}

// settled fails the test unless the gateway is what the file says.
func (c *tool) settled(want *state, when string) *state {
	c.t.Helper()
	have := c.dump()
	for _, ch := range c.diff(want, have) {
		verb := "is not as the file says"
		if ch.deleted {
			verb = "is there though the file lacks it"
		}
		c.t.Errorf("%s: %s %v %s (-gateway +file)\n%s", when, ch.kind.name, ch.entity["id"], verb, ch.diff)
	}
	if d := gocmp.Diff(want.members, have.members); d != "" {
		c.t.Errorf("%s: members of groups (-file +gateway)\n%s", when, d)
	}
	return have
}

// copyOf is a state that shares nothing with another.
func copyOf(t testing.TB, s *state) *state {
	t.Helper()
	b, err := json.Marshal(s.entities)
	if err != nil {
		t.Fatal(err)
	}
	out := &state{members: maps.Clone(s.members)}
	if err := json.Unmarshal(b, &out.entities); err != nil {
		t.Fatal(err)
	}
	return out
}

// apply brings the gateway to the state of a file and checks that nothing is
// left to do, then that a dump brought back changes nothing.
func (c *tool) apply(file *state) {
	c.t.Helper()
	c.ping()
	have := c.dump()
	want := copyOf(c.t, file)
	c.match(want, have)
	c.fill(want)
	c.sync(want, have)
	after := c.settled(want, "after sync")
	again := copyOf(c.t, after)
	c.fill(again)
	if left := c.diff(again, after); len(left) > 0 {
		c.t.Errorf("a dump with defaults filled in differs from itself: %s %v\n%s", left[0].kind.name, left[0].entity["id"], left[0].diff)
	}
}

func parseState(t testing.TB, text string, members map[string][]string) *state {
	t.Helper()
	s := &state{entities: map[string][]object{}, members: members}
	if err := json.Unmarshal([]byte(text), &s.entities); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDeclarativeTool syncs a file with every kind of entity, then changes it
// and syncs again: the second difference must be empty each time.
func TestDeclarativeTool(t *testing.T) {
	for name, open := range map[string]func(testing.TB) store.Store{"sqlite": openStore, "postgres": openPostgres} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []tool{{}, {tags: []string{"team a", "prod"}}, {workspace: "team-b"}, {workspace: "team-c", tags: []string{"x"}}} {
				t.Run(cmp.Or(c.workspace, "default")+" "+strings.Join(c.tags, ","), func(t *testing.T) {
					t.Parallel()
					c.t, c.h = t, newServerOn(t, open(t), nil)
					if len(c.tags) > 0 {
						// Others' entities must stay.
						must(t, c.h, 201, "POST", "/services", "", `{"name":"theirs","host":"h","tags":["prod"]}`)
					}
					c.apply(parseState(t, wholeFile(), map[string][]string{"gold": {"alice", "bob"}, "empty": nil}))
					c.apply(parseState(t, changedFile(), map[string][]string{"gold": {"bob"}}))
					c.apply(&state{entities: map[string][]object{}, members: map[string][]string{}})
					if len(c.tags) > 0 {
						must(t, c.h, 200, "GET", "/services/theirs", "", "")
					}
				})
			}
		})
	}
}
