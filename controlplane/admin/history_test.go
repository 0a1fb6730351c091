package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// randomCall makes up a write. Many of them are refused, which is fine: a refused
// write makes no version.
func randomCall(random *rand.Rand) (method, path, body string) {
	pick := func(choices ...string) string { return choices[random.IntN(len(choices))] }
	name := func() string { return pick("a", "b", "c", "d") }
	numbers := func() string { return fmt.Sprint(random.IntN(5)) }
	where := pick("", "", "", "/team")
	ref := func(field string) string {
		return pick("null", fmt.Sprintf(`{%q:%q}`, field, name()))
	}
	kind, one := "", name()
	switch random.IntN(12) {
	case 0, 1:
		kind = "/services"
		body = fmt.Sprintf(`{"name":%q,"host":"h%s","retries":%s,"tags":[%q,%q]}`, one, numbers(), numbers(), name(), "t")
	case 2, 3:
		kind = "/routes"
		body = fmt.Sprintf(`{"name":%q,"paths":["/%s"],"service":%s,"headers":{"x-a":[%q]}}`, one, name(), ref("name"), name())
	case 4:
		kind = pick("/services/", "/routes/", "/consumers/", "/consumer_groups/") + name() + "/plugins"
		body = fmt.Sprintf(`{"name":%q,"instance_name":%s,"enabled":%s}`, pick("key-auth", "file-log"), pick("null", `"`+name()+`"`), pick("true", "false"))
		one = pick("key-auth", "file-log")
		if random.IntN(2) == 0 {
			body = fmt.Sprintf(`{"name":"file-log","config":{"path":"/tmp/%s"}}`, name())
		}
	case 5:
		kind = "/consumers"
		body = fmt.Sprintf(`{"username":%q,"custom_id":%s}`, one, pick("null", `"`+name()+`"`))
	case 6:
		kind = "/consumers/" + name() + "/key-auth"
		body = fmt.Sprintf(`{"key":%q,"ttl":%s}`, one, pick("null", "100000"))
	case 7:
		kind = "/upstreams"
		body = fmt.Sprintf(`{"name":"%s.up","slots":1%s0}`, one, numbers())
		one += ".up"
	case 8:
		kind = "/upstreams/" + name() + ".up/targets"
		body = fmt.Sprintf(`{"target":"%s:80","weight":%s}`, one, numbers())
		one += ":80"
	case 9:
		kind = "/consumer_groups"
		body = fmt.Sprintf(`{"name":%q}`, one)
		if random.IntN(2) == 0 {
			return http.MethodPost, where + kind + "/" + name() + "/consumers", fmt.Sprintf(`{"consumer":%q}`, name())
		}
	case 10:
		kind = "/key-sets"
		body = fmt.Sprintf(`{"name":%q,"tags":[%q]}`, one, name())
	case 11:
		if random.IntN(3) == 0 {
			return pick(http.MethodPut, http.MethodDelete), "/workspaces/team" + pick("", "?cascade=true"), `{"comment":"` + name() + `"}`
		}
		kind = "/vaults"
		body = fmt.Sprintf(`{"name":"env","prefix":"vault-%s","config":{"prefix":"%s_"}}`, one, name())
		one = "vault-" + one
	}
	switch random.IntN(6) {
	case 0, 1:
		return http.MethodPost, where + kind, body
	case 2, 3:
		return http.MethodPut, where + kind + "/" + one, body
	case 4:
		return http.MethodPatch, where + kind + "/" + one, body
	}
	return http.MethodDelete, where + kind + "/" + one, ""
}

func TestRollbackOfRandomWrites(t *testing.T)         { testRollback(t, openStore(t)) }
func TestRollbackOfRandomWritesPostgres(t *testing.T) { testRollback(t, openPostgres(t)) }

// testRollback restores versions out of many, and wants the whole configuration to
// be what it was: the same export, byte for byte.
func testRollback(t *testing.T, st store.Store) {
	t.Parallel()
	s := newServerOn(t, st, nil)
	at := time.Now()
	export := func() (text string) {
		t.Helper()
		if err := st.View(t.Context(), func(r store.Reader) error {
			var out bytes.Buffer
			err := declarative.Export(&out, catalogue(t), r.All(), declarative.YAML, at)
			text = out.String()
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return text
	}
	newest := func() (n uint64) {
		t.Helper()
		if err := st.View(t.Context(), func(r store.Reader) error {
			v, err := r.Version()
			n = v.Number
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	random := rand.New(rand.NewPCG(3, 4))
	must(t, s, 201, "POST", "/workspaces", "", `{"name":"team"}`)
	exports := []string{"", export()}
	methods := map[string]bool{}
	for len(exports) <= 200 {
		method, path, body := randomCall(random)
		if code, _, out := call(t, s, method, path, "", body); code >= 500 {
			t.Fatalf("%s %s %s: %d %s", method, path, body, code, out)
		}
		switch n := newest(); n {
		case uint64(len(exports)):
			exports = append(exports, export())
			methods[method] = true
		case uint64(len(exports)) - 1:
		default:
			t.Fatalf("%s %s made version %d after %d", method, path, n, len(exports)-1)
		}
	}
	if len(methods) != 4 {
		t.Fatalf("only %v made versions", methods)
	}
	for _, kind := range strings.Fields("services routes plugins consumers keyauth_credentials upstreams targets consumer_groups " +
		"consumer_group_consumers key_sets vaults workspaces") {
		if !slices.ContainsFunc(exports, func(text string) bool { return strings.Contains(text, "\n"+kind+":\n") }) {
			t.Errorf("no version has any %s", kind)
		}
	}
	for range 30 {
		number := 1 + random.IntN(len(exports)-1)
		before := export()
		var answer struct {
			Version                   uint64
			RestoredFrom              int `json:"restored_from"`
			Created, Updated, Deleted int
		}
		out := must(t, s, 200, "POST", "/config/rollback", "", fmt.Sprintf(`{"version":%d}`, number))
		if err := json.Unmarshal(out.AppendJSON(nil), &answer); err != nil {
			t.Fatal(err)
		}
		after := export()
		if diff := cmp.Diff(exports[number], after); diff != "" {
			t.Fatalf("version %d restored (-then +now):\n%s", number, diff)
		}
		made := uint64(len(exports))
		if before == after {
			made--
		} else {
			exports = append(exports, after)
		}
		if answer.Version != made || answer.RestoredFrom != number || (answer.Created+answer.Updated+answer.Deleted > 0) != (before != after) {
			t.Errorf("the answer is %+v, want version %d from %d", answer, made, number)
		}
		if n := newest(); n != made {
			t.Errorf("version %d is the newest, want %d", n, made)
		}
	}
}

// TestRollbackRefused wants reasons for each entity, and nothing done.
func TestRollbackRefused(t *testing.T) {
	st := openStore(t)
	s := newServerOn(t, st, nil)
	must(t, s, 201, "POST", "/services", "", `{"name":"a","host":"h"}`)
	must(t, s, 201, "POST", "/services/a/plugins", "", `{"name":"key-auth"}`)
	must(t, s, 201, "POST", "/plugins", "", `{"name":"file-log","instance_name":"log","config":{"path":"/tmp/x"}}`)
	must(t, s, 204, "DELETE", "/plugins/log", "", "")
	must(t, s, 204, "DELETE", "/plugins/key-auth", "", "")
	must(t, s, 204, "DELETE", "/services/a", "", "")

	limited := newServerOn(t, st, func(c *admin.Config) { c.Catalogue.LimitPlugins([]string{"ai-proxy"}) })
	refused := must(t, limited, 400, "POST", "/config/rollback", "", `{"version":3}`)
	var got struct {
		Code          int
		Name, Message string
		Fields        struct {
			Entities []struct {
				Kind, ID, Name, Workspace string
				Errors                    map[string]string
			}
		}
	}
	if err := json.Unmarshal(refused.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	errs := map[string]string{}
	for _, e := range got.Fields.Entities {
		errs[e.Workspace+" "+e.Kind+" "+e.Name] = e.Errors["name"]
	}
	if diff := cmp.Diff(map[string]string{
		"default plugins key-auth": "plugin 'key-auth' not enabled; add it to the 'plugins' configuration property",
		"default plugins log":      "plugin 'file-log' not enabled; add it to the 'plugins' configuration property",
	}, errs); diff != "" || got.Code != 14 || got.Name != "invalid declarative configuration" {
		t.Errorf("the answer %s (-want +got):\n%s", refused, diff)
	}
	must(t, limited, 404, "GET", "/services/a", "", "")
	list := must(t, limited, 200, "GET", "/config/versions?size=1", "", "")
	if n := list.Get("data").Elements()[0].Get("version").Text(); n != "6" {
		t.Errorf("a refused call made version %s", n)
	}
	// A version without them can come back.
	must(t, limited, 200, "POST", "/config/rollback", "", `{"version":1}`)
	must(t, limited, 200, "GET", "/services/a", "", "")

	const form = "--x\r\nContent-Disposition: form-data; name=\"version\"\r\n\r\n1\r\n--x--\r\n"
	must(t, limited, 200, "POST", "/config/rollback", "multipart/form-data; boundary=x", form)

	// A version that is no longer kept.
	if _, err := st.Prune(t.Context(), store.Retention{Versions: 2}); err != nil {
		t.Fatal(err)
	}
	const gone = `{"message":"version 3 is no longer kept: the oldest one is 6, the newest one 7"}`
	for _, path := range []string{"/config/versions/3", "/config/diff?from=3"} {
		if out := must(t, s, 404, "GET", path, "", "").String(); out != gone {
			t.Errorf("GET %s: %s, want %s", path, out, gone)
		}
	}
	if out := must(t, s, 404, "POST", "/config/rollback", "", `{"version":3}`).String(); out != gone {
		t.Errorf("rollback: %s, want %s", out, gone)
	}
	// The oldest one shows what it did no more, since the one before is gone.
	must(t, s, 404, "GET", "/config/diff?to=6", "", "")
	must(t, s, 200, "GET", "/config/diff?from=6", "", "")

	s.Drain()
	must(t, s, 503, "POST", "/config/rollback", "", `{"version":6}`)
}

// TestHistoryWithoutDatabase can be read, and going back is left to the file.
func TestHistoryWithoutDatabase(t *testing.T) {
	s := newFileServer(t)
	out := must(t, s, 405, "POST", "/config/rollback", "", `{"version":0}`).String()
	if want := `{"code":12,"name":"operation unsupported","message":"cannot roll the configuration back when not using a database: ` +
		`load the version's configuration instead"}`; out != want {
		t.Errorf("rollback: %s, want %s", out, want)
	}
	if name := must(t, s, 200, "GET", "/config/versions/1", "", "").Get("services").Elements()[0].Get("name").Text(); name != "shop" {
		t.Errorf("the service of version 1 is %q, want shop", name)
	}
	// What a version is can be loaded.
	body := must(t, s, 200, "GET", "/config/versions/1", "", "").String()
	must(t, s, 201, "POST", "/config", "", `{"_format_version":"3.0"}`)
	must(t, s, 404, "GET", "/services/shop", "", "")
	must(t, s, 201, "POST", "/config", "", body)
	must(t, s, 200, "GET", "/services/shop", "", "")
}

// TestHistoryOverGRPC has the same answers for callers of the other side.
func TestHistoryOverGRPC(t *testing.T) {
	s := newServer(t, nil)
	must(t, s, 201, "POST", "/services", "", `{"name":"a","host":"h"}`)
	must(t, s, 201, "POST", "/services", "", `{"name":"b","host":"h"}`)
	client := adminpb.NewHistoryClient(dial(t, serve(t, s)))
	ctx := t.Context()

	list, err := client.Versions(ctx, &adminpb.VersionsRequest{Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	if n := list.GetData()[0].GetFields()["version"].GetNumberValue(); n != 2 || list.GetOffset() == "" {
		t.Errorf("the first page is %v", list)
	}
	if list, err = client.Versions(ctx, &adminpb.VersionsRequest{Offset: list.GetOffset()}); err != nil || len(list.GetData()) != 1 {
		t.Errorf("the second page is %v, %v", list, err)
	}
	version, err := client.Version(ctx, &adminpb.VersionRequest{Version: "1"})
	if err != nil || len(version.GetBody().GetFields()["services"].GetListValue().GetValues()) != 1 {
		t.Errorf("version 1 is %v, %v", version, err)
	}
	diff, err := client.Diff(ctx, &adminpb.DiffRequest{From: proto.Uint64(0)})
	if err != nil || diff.GetBody().GetFields()["created"].GetNumberValue() != 2 {
		t.Errorf("the difference is %v, %v", diff, err)
	}
	back, err := client.Rollback(ctx, &adminpb.RollbackRequest{Version: proto.Uint64(0)})
	if err != nil || back.GetBody().GetFields()["version"].GetNumberValue() != 3 {
		t.Errorf("the rollback is %v, %v", back, err)
	}
	for what, want := range map[string]codes.Code{"9": codes.NotFound, "x": codes.InvalidArgument, "": codes.InvalidArgument} {
		if _, err := client.Version(ctx, &adminpb.VersionRequest{Version: what}); status.Code(err) != want {
			t.Errorf("version %q: %v, want %v", what, err, want)
		}
	}
	if _, err := client.Rollback(ctx, &adminpb.RollbackRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no version: %v", err)
	}
}
