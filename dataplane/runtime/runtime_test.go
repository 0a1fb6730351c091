package runtime_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/router"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(t *testing.T, keeper *runtime.Keeper, plugins ...plugin.Plugin) runtime.Options {
	return runtime.Options{
		Version: "7", Plugins: plugins, Keeper: keeper, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Decode: func(string, []byte, proto.Message) error { return nil },
	}
}

// counted is a resource and a handler that counts how it is used.
type counted struct{ opened, closed, handlers int }

type resource struct{ c *counted }

func (r resource) Close() error { r.c.closed++; return nil }

type handler struct{ c *counted }

func (h handler) Close() error { h.c.handlers--; return nil }

func (c *counted) plugin(name string) plugin.Plugin {
	return plugin.Of(name, func(_ *pluginpb.KeyAuth, env plugin.Env) (handler, error) {
		_, err := plugin.Keep(env, "shared", func() (resource, error) { c.opened++; return resource{c}, nil })
		c.handlers++
		return handler{c}, err
	})
}

func ref(id string) *entitypb.Reference {
	if id == "" {
		return nil
	}
	return &entitypb.Reference{Id: id}
}

func instance(id, name, route, service, consumer string) *entitypb.Plugin {
	return &entitypb.Plugin{
		Id: id, Name: name, Enabled: true, Protocols: []string{"http", "https"},
		Route: ref(route), Service: ref(service), Consumer: ref(consumer),
	}
}

func services() []*entitypb.Service {
	return []*entitypb.Service{
		{Id: "s1", Name: proto.String("one"), Protocol: "http", Host: "127.0.0.1", Port: 80, Enabled: true},
		{Id: "s2", Protocol: "http", Host: "127.0.0.1", Port: 81, Enabled: true},
	}
}

func routes() []*entitypb.Route {
	var all []*entitypb.Route
	for _, id := range []string{"r1", "r2"} {
		all = append(all, &entitypb.Route{
			Id: id, Name: proto.String("route-" + id), Protocols: []string{"http"}, Paths: []string{"/" + id}, Service: ref("s" + id[1:]),
		})
	}
	return all
}

// scope is what an instance is bound to.
type scope struct{ route, service, consumer, group string }

func (s scope) String() string { return s.route + "/" + s.service + "/" + s.consumer + "/" + s.group }

func (s scope) instance(name string) *entitypb.Plugin {
	p := instance(s.String(), name, s.route, s.service, s.consumer)
	p.ConsumerGroup = ref(s.group)
	return p
}

// picked is the instance that runs for a request, "" for none.
func picked(t *testing.T, config *runtime.Config, path string, consumer *plugin.Consumer) string {
	t.Helper()
	rt, err := runtime.BuildConfig(config, options(t, new(runtime.Keeper), new(counted).plugin("key-auth")))
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Release()
	_, route, ok := rt.Match(&router.Request{Method: "GET", Scheme: "http", Path: path})
	if !ok {
		t.Fatalf("no route for %s", path)
	}
	got := ""
	for i := range route.Chain.Entries {
		if instance := route.Chain.Entries[i].Pick(consumer); instance != nil {
			got = instance.ID
		}
	}
	return got
}

// The most specific instance runs, in the order of scopes of Kong's Enterprise
// edition.
func TestScopes(t *testing.T) {
	// From the most to the least specific.
	scopes := []scope{
		{"r1", "s1", "c1", ""},
		{"r1", "s1", "", "g1"},
		{"r1", "", "c1", ""},
		{"", "s1", "c1", ""},
		{"r1", "", "", "g1"},
		{"", "s1", "", "g1"},
		{"r1", "s1", "", ""},
		{"", "", "c1", ""},
		{"", "", "", "g1"},
		{"r1", "", "", ""},
		{"", "s1", "", ""},
		{"", "", "", ""},
	}
	group := []*plugin.ConsumerGroup{{ID: "g1", Name: "gold"}}
	for _, tt := range []struct {
		name, path string
		consumer   *plugin.Consumer
		applies    func(scope) bool
	}{
		{"all that there is", "/r1", &plugin.Consumer{ID: "c1", Groups: group}, func(scope) bool { return true }},
		{"nobody", "/r1", nil, func(s scope) bool { return s.consumer == "" && s.group == "" }},
		{"no group", "/r1", &plugin.Consumer{ID: "c1"}, func(s scope) bool { return s.group == "" }},
		{"the group alone", "/r1", &plugin.Consumer{ID: "c2", Groups: group}, func(s scope) bool { return s.consumer == "" }},
		{"neither", "/r1", &plugin.Consumer{ID: "c2", Groups: []*plugin.ConsumerGroup{{ID: "g2"}}}, func(s scope) bool { return s.consumer == "" && s.group == "" }},
		{"another route", "/r2", &plugin.Consumer{ID: "c1", Groups: group}, func(s scope) bool { return s.route == "" && s.service == "" }},
		{"another route, nobody", "/r2", nil, func(s scope) bool { return s == scope{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Each scope with all that are less specific, in any order: the best that
			// applies wins.
			for best := range scopes {
				config := &runtime.Config{Services: services(), Routes: routes()}
				want := ""
				for _, s := range scopes[best:] {
					config.Plugins = append(config.Plugins, s.instance("key-auth"))
					if want == "" && tt.applies(s) {
						want = s.String()
					}
				}
				rand.Shuffle(len(config.Plugins), func(i, j int) {
					config.Plugins[i], config.Plugins[j] = config.Plugins[j], config.Plugins[i]
				})
				if got := picked(t, config, tt.path, tt.consumer); got != want {
					t.Errorf("from %s on: %q runs, want %q", scopes[best], got, want)
				}
			}
			// Each pair.
			for i, first := range scopes {
				for _, second := range scopes[i+1:] {
					want := ""
					for _, s := range []scope{second, first} {
						if tt.applies(s) {
							want = s.String()
						}
					}
					config := &runtime.Config{Services: services(), Routes: routes(), Plugins: []*entitypb.Plugin{second.instance("key-auth"), first.instance("key-auth")}}
					if got := picked(t, config, tt.path, tt.consumer); got != want {
						t.Errorf("%s and %s: %q runs, want %q", first, second, got, want)
					}
				}
			}
		})
	}
}

// Of several groups the one whose name sorts first decides, where their instances
// are equally specific.
func TestGroups(t *testing.T) {
	member := func(group string) *entitypb.ConsumerGroupConsumer {
		return &entitypb.ConsumerGroupConsumer{Id: "m-" + group, Consumer: ref("c1"), ConsumerGroup: ref(group)}
	}
	base := func(plugins ...scope) *runtime.Config {
		config := &runtime.Config{
			Services: services(), Routes: routes(),
			Consumers: []*entitypb.Consumer{{Id: "c1", Username: proto.String("alice")}},
			Groups: []*entitypb.ConsumerGroup{
				{Id: "g1", Name: "silver"}, {Id: "g2", Name: "bronze"}, {Id: "g3", Name: "gold"}, {Id: "g4", Name: "aaa"},
			},
			Members: []*entitypb.ConsumerGroupConsumer{member("g1"), member("g2"), member("g3")},
		}
		for _, s := range plugins {
			config.Plugins = append(config.Plugins, s.instance("key-auth"))
		}
		return config
	}
	// The consumer as the plugins of the configuration find it.
	var consumers *plugin.Consumers
	spy := plugin.Of("file-log", func(_ *pluginpb.FileLog, env plugin.Env) (struct{}, error) {
		consumers = env.Consumers
		return struct{}{}, nil
	})
	config := base()
	config.Plugins = append(config.Plugins, instance("spy", "file-log", "", "", ""))
	rt, err := runtime.BuildConfig(config, options(t, new(runtime.Keeper), spy))
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Release()
	alice, ok := consumers.Find("alice")
	if !ok {
		t.Fatal("the consumer is not there")
	}
	var names []string
	for _, g := range alice.Groups {
		names = append(names, g.Name)
	}
	if diff := cmp.Diff([]string{"bronze", "gold", "silver"}, names); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		name    string
		plugins []scope
		want    string
	}{
		{"the first name", []scope{{group: "g1"}, {group: "g2"}, {group: "g3"}, {group: "g4"}}, "///g2"},
		{"the first that has one", []scope{{group: "g1"}, {group: "g3"}, {group: "g4"}}, "///g3"},
		{"the more specific before the name", []scope{{group: "g2"}, {group: "g1", route: "r1"}}, "r1///g1"},
		{"none of another's groups", []scope{{group: "g4"}}, ""},
		{"both a consumer and a group", []scope{{group: "g2", consumer: "c1"}}, ""},
	} {
		if got := picked(t, base(tt.plugins...), "/r1", alice); got != tt.want {
			t.Errorf("%s: %q runs, want %q", tt.name, got, tt.want)
		}
	}
	bad := base()
	bad.Members = append(bad.Members, member("g9"))
	var refused *runtime.BuildError
	if _, err := runtime.BuildConfig(bad, options(t, new(runtime.Keeper))); !errors.As(err, &refused) || refused.Problems[0].ID != "m-g9" {
		t.Errorf("a membership of no group: %v, want a BuildError that names it", err)
	}
}

// An instance that is bound to a route and to a service that is not the route's
// never runs; neither does a disabled one, or one for other protocols.
func TestNotRun(t *testing.T) {
	other := instance("p1", "key-auth", "r1", "s2", "")
	disabled := instance("p2", "key-auth", "", "", "")
	disabled.Enabled = false
	stream := instance("p3", "key-auth", "", "", "")
	stream.Protocols = []string{"tcp"}
	config := &runtime.Config{Services: services(), Routes: routes(), Plugins: []*entitypb.Plugin{other, disabled, stream}}
	rt, err := runtime.BuildConfig(config, options(t, new(runtime.Keeper), new(counted).plugin("key-auth")))
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Release()
	_, route, _ := rt.Match(&router.Request{Method: "GET", Scheme: "http", Path: "/r1"})
	for i := range route.Chain.Entries {
		if got := route.Chain.Entries[i].Pick(nil); got != nil {
			t.Errorf("%s runs", got.ID)
		}
	}
}

// Higher priorities run first; equal ones in reverse alphabetical order.
func TestOrder(t *testing.T) {
	high := func(name string) plugin.Plugin { return new(counted).plugin(name) } // key-auth's message: 1250
	low := plugin.Of("file-log", func(*pluginpb.FileLog, plugin.Env) (struct{}, error) { return struct{}{}, nil })
	config := &runtime.Config{Routes: routes()[:1], Services: services(), Plugins: []*entitypb.Plugin{
		instance("1", "file-log", "", "", ""), instance("2", "a", "", "", ""), instance("3", "c", "r1", "", ""), instance("4", "b", "", "s1", ""),
	}}
	rt, err := runtime.BuildConfig(config, options(t, new(runtime.Keeper), low, high("a"), high("b"), high("c")))
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Release()
	names := func(c *runtime.Chain) (all []string) {
		for i := range c.Entries {
			all = append(all, c.Entries[i].Pick(nil).Name)
		}
		return all
	}
	global, workspace := rt.Global()
	if want := (runtime.Workspace{Name: "default"}); *workspace != want {
		t.Errorf("a request without a route is of the workspace %v, want %v", *workspace, want)
	}
	_, route, _ := rt.Match(&router.Request{Method: "GET", Scheme: "http", Path: "/r1"})
	if diff := cmp.Diff([]string{"c", "b", "a", "file-log"}, names(route.Chain)); diff != "" {
		t.Errorf("order on the route (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "file-log"}, names(global)); diff != "" {
		t.Errorf("order without a route (-want +got):\n%s", diff)
	}
}

// Instances may ask to run before or after others in the access phase.
func TestOrdering(t *testing.T) {
	// The names are the priorities: z runs first.
	all := []string{"z", "y", "x", "w", "v"}
	var plugins []plugin.Plugin
	for _, name := range all {
		plugins = append(plugins, new(counted).plugin(name))
	}
	type wish struct{ before, after []string }
	for _, tt := range []struct {
		name   string
		wishes map[string]wish
		want   string
		circle bool
	}{
		{"nothing asked", nil, "zyxwv", false},
		{"before", map[string]wish{"v": {before: []string{"y"}}}, "zvyxw", false},
		{"after", map[string]wish{"z": {after: []string{"x"}}}, "yxzwv", false},
		{"what is so already", map[string]wish{"z": {before: []string{"v"}}, "v": {after: []string{"z"}}}, "zyxwv", false},
		{"before several", map[string]wish{"v": {before: []string{"x", "z"}}}, "vzyxw", false},
		{"after several", map[string]wish{"z": {after: []string{"y", "w"}}}, "yxwzv", false},
		{"two before one", map[string]wish{"v": {before: []string{"y"}}, "w": {before: []string{"y"}}}, "zwvyx", false},
		{"two after one", map[string]wish{"z": {after: []string{"w"}}, "y": {after: []string{"w"}}}, "xwzyv", false},
		{"a chain", map[string]wish{"v": {before: []string{"w"}}, "w": {before: []string{"z"}}}, "vwzyx", false},
		{"both at once", map[string]wish{"x": {before: []string{"y"}, after: []string{"v"}}}, "zvxyw", false},
		{"after one that waits", map[string]wish{"z": {after: []string{"x"}}, "y": {after: []string{"z"}}}, "xzywv", false},
		{"one that is not there", map[string]wish{"v": {before: []string{"unheard-of"}, after: []string{"unheard-of"}}}, "zyxwv", false},
		{"two before each other", map[string]wish{"v": {before: []string{"w"}}, "w": {before: []string{"v"}}}, "zyxwv", true},
		{"two after each other", map[string]wish{"v": {after: []string{"w"}}, "w": {after: []string{"v"}}}, "zyxwv", true},
		{"a longer circle", map[string]wish{"z": {after: []string{"v"}}, "v": {after: []string{"x"}}, "x": {after: []string{"z"}}}, "zyxwv", true},
		{"itself", map[string]wish{"x": {before: []string{"x"}}}, "zyxwv", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := &runtime.Config{Services: services(), Routes: routes()}
			for _, name := range all {
				p := instance(name, name, "", "", "")
				if w, ok := tt.wishes[name]; ok {
					p.Ordering = &entitypb.PluginOrdering{
						Before: &entitypb.PluginPhases{Access: w.before}, After: &entitypb.PluginPhases{Access: w.after},
					}
				}
				config.Plugins = append(config.Plugins, p)
			}
			var log strings.Builder
			o := options(t, new(runtime.Keeper), plugins...)
			o.Log = slog.New(slog.NewTextHandler(&log, nil))
			rt, err := runtime.BuildConfig(config, o)
			if err != nil {
				t.Fatal(err)
			}
			defer rt.Release()
			_, route, _ := rt.Match(&router.Request{Method: "GET", Scheme: "http", Path: "/r1"})
			access, rest := "", ""
			for i := range route.Chain.Entries {
				rest += route.Chain.Entries[i].Pick(nil).Name
				access += route.Chain.Entries[route.Chain.Access(i)].Pick(nil).Name
			}
			if access != tt.want {
				t.Errorf("the order is %s, want %s", access, tt.want)
			}
			if rest != "zyxwv" {
				t.Errorf("the order of the other phases is %s", rest)
			}
			if warned := strings.Contains(log.String(), "circle"); warned != tt.circle {
				t.Errorf("a warning: %t, want %t\n%s", warned, tt.circle, log.String())
			}
		})
	}
	// An instance that runs for a consumer only cannot be moved.
	bound := instance("v", "v", "", "", "c1")
	bound.Ordering = &entitypb.PluginOrdering{Before: &entitypb.PluginPhases{Access: []string{"z"}}}
	var log strings.Builder
	o := options(t, new(runtime.Keeper), plugins...)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	rt, err := runtime.BuildConfig(&runtime.Config{Services: services(), Routes: routes(), Plugins: []*entitypb.Plugin{instance("z", "z", "", "", ""), bound}}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Release()
	_, route, _ := rt.Match(&router.Request{Method: "GET", Scheme: "http", Path: "/r1"})
	if route.Chain.Access(0) != 0 || !strings.Contains(log.String(), "ordering of a plugin is ignored") {
		t.Errorf("the first one is %d; logged:\n%s", route.Chain.Access(0), log.String())
	}
}

// What is kept lives from the first runtime that asks for it to the last; a
// handler lives as long as its runtime.
func TestKeeper(t *testing.T) {
	c, keeper := new(counted), new(runtime.Keeper)
	build := func() *runtime.Runtime {
		config := &runtime.Config{Services: services(), Routes: routes(), Plugins: []*entitypb.Plugin{
			instance("p1", "key-auth", "", "", ""), instance("p2", "key-auth", "r1", "", ""),
		}}
		rt, err := runtime.BuildConfig(config, options(t, keeper, c.plugin("key-auth")))
		if err != nil {
			t.Fatal(err)
		}
		return rt
	}
	var live runtime.Live
	if live.Acquire() != nil {
		t.Error("there is a runtime before the first one")
	}
	live.Swap(build())
	held := live.Acquire()
	live.Swap(build())
	if c.opened != 1 || c.closed != 0 || c.handlers != 4 {
		t.Errorf("with a request in progress: %+v", *c)
	}
	held.Release()
	if c.opened != 1 || c.closed != 0 || c.handlers != 2 {
		t.Errorf("when it has ended: %+v", *c)
	}
	if version, ok := live.Version(); version != "7" || !ok {
		t.Errorf("version %q, %v", version, ok)
	}
	live.Swap(nil)
	if c.opened != 1 || c.closed != 1 || c.handlers != 0 || keeper.Kept() != 0 {
		t.Errorf("at the end: %+v, %d kept", *c, keeper.Kept())
	}
}

// A configuration that cannot be put in force is refused as a whole, with all
// that is wrong with it, and nothing of it stays.
func TestBuildErrors(t *testing.T) {
	c, keeper := new(counted), new(runtime.Keeper)
	failing := plugin.Of("file-log", func(_ *pluginpb.FileLog, env plugin.Env) (struct{}, error) {
		if env.ID == "panics" {
			panic("a bug")
		}
		return struct{}{}, errors.New("cannot be")
	})
	config := &runtime.Config{
		Services: services(), Routes: routes(),
		Plugins: []*entitypb.Plugin{
			instance("fine", "key-auth", "", "", ""), instance("p1", "file-log", "", "", ""), instance("panics", "file-log", "r1", "", ""), instance("p3", "unheard-of", "", "", ""),
		},
		Keys: []*entitypb.KeyauthCredential{{Id: "k1", Key: "secret", Consumer: ref("nobody")}},
	}
	config.Routes[1].Service = ref("nothing")
	config.Routes = append(config.Routes, &entitypb.Route{
		Id: "r9", Name: proto.String("route-r9"), Protocols: []string{"http"}, Expression: proto.String(`http.path = "/"`),
	})
	o := options(t, keeper, c.plugin("key-auth"), failing)
	o.Router.Flavor = router.Expressions
	_, err := runtime.BuildConfig(config, o)
	var refused *runtime.BuildError
	if !errors.As(err, &refused) {
		t.Fatalf("%v, want a BuildError", err)
	}
	var got []string
	for _, p := range refused.Problems {
		got = append(got, fmt.Sprintf("%s %s %q %s", p.Kind, p.ID, p.Name, p.Field))
	}
	want := []string{
		`keyauth_credentials k1 "" consumer`, `plugins p1 "file-log" config`, `plugins panics "file-log" config`,
		`plugins p3 "unheard-of" name`, `routes r2 "route-r2" service`, `routes r9 "route-r9" expression`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error holds a key: %v", err)
	}
	if c.handlers != 0 || c.opened != c.closed || keeper.Kept() != 0 {
		t.Errorf("something is left: %+v, %d kept", *c, keeper.Kept())
	}
}

func TestDecode(t *testing.T) {
	data, err := proto.Marshal(services()[0])
	if err != nil {
		t.Fatal(err)
	}
	snapshot := &clusterpb.Snapshot{Format: runtime.Format, Groups: []*clusterpb.Group{
		{Kind: "services", Entities: [][]byte{data}}, {Kind: "of a later control plane", Entities: [][]byte{{1}}},
	}}
	config, err := runtime.Decode(snapshot)
	if err != nil || len(config.Services) != 1 || config.Services[0].GetName() != "one" {
		t.Errorf("%v, %v", config, err)
	}
	// A control plane that knew no other workspace than the default did not name it.
	for _, tt := range []struct {
		format    uint32
		workspace string
		want      string
	}{{1, "", "default"}, {1, "default", "default"}, {2, "default", "default"}, {2, "team", "team"}} {
		snapshot := &clusterpb.Snapshot{Format: tt.format, Groups: []*clusterpb.Group{
			{Kind: "services", Workspace: tt.workspace, WorkspaceId: "its id", Entities: [][]byte{data}},
			{Kind: "services", Workspace: "another", Entities: [][]byte{data}},
		}}
		config, err := runtime.Decode(snapshot)
		if err != nil || len(config.Services) != 2 {
			t.Fatalf("%v, %v", config, err)
		}
		if got := config.Workspace(config.Services[0]); got != tt.want {
			t.Errorf("format %d, workspace %q: the service is of %q, want %q", tt.format, tt.workspace, got, tt.want)
		}
		if got := config.Workspace(config.Services[1]); got != "another" {
			t.Errorf("the second group's service is of %q", got)
		}
		if got := config.WorkspaceIDs[tt.workspace]; got != "its id" {
			t.Errorf("the id of %q is %q", tt.workspace, got)
		}
	}
	for _, bad := range []*clusterpb.Snapshot{
		{Format: runtime.Format + 1},
		{},
		{Format: runtime.Format, Groups: []*clusterpb.Group{{Kind: "routes", Entities: [][]byte{{0xff}}}}},
	} {
		var refused *runtime.BuildError
		if _, err := runtime.Decode(bad); !errors.As(err, &refused) {
			t.Errorf("%v: %v, want a BuildError", bad, err)
		}
	}
}

// Plugin configurations are read by their schemas.
func TestDecoder(t *testing.T) {
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	decode := runtime.Decoder(catalogue)
	var got pluginpb.KeyAuth
	if err := decode("key-auth", []byte(`{"key_names":["x"],"realm":null}`), &got); err != nil {
		t.Fatal(err)
	}
	// What the control plane did not send has its default.
	if len(got.GetKeyNames()) != 1 || got.GetKeyNames()[0] != "x" || got.Realm != nil || !got.GetKeyInHeader() || !got.GetRunOnPreflight() {
		t.Errorf("decoded %v", &got)
	}
	if err := decode("key-auth", []byte(`{`), &got); err == nil {
		t.Error("broken JSON was taken")
	}
	if err := decode("unheard-of", []byte(`{}`), &got); err == nil {
		t.Error("an unknown plugin was taken")
	}
}
