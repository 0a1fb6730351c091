package proxy_test

import (
	"strings"
	"testing"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// phased is a plugin that notes its phases, and may say who calls.
type phased struct {
	name     string
	note     func(string)
	consumer *plugin.Consumer
	reject   bool
}

func (n *phased) Access(r *plugin.Request) error {
	n.note("access " + n.name)
	if n.consumer != nil {
		r.Consumer = n.consumer
	}
	if n.reject {
		return &plugin.Reject{Status: 403}
	}
	return nil
}

func (n *phased) Header(*plugin.Request) error { n.note("header " + n.name); return nil }
func (n *phased) Log(*plugin.Request)          { n.note("log " + n.name) }

// The access phase runs in the order that plugins ask for, the others in that of
// the priorities; what is bound to a consumer is settled when its turn comes.
func TestOrdering(t *testing.T) {
	up := echo(t)
	for _, tt := range []struct {
		name, want string
		reject     bool
	}{
		{"served", "access a, access c, access b of alice, header c, header b of alice, header a, log c, log b of alice, log a", false},
		{"refused before it is known who calls", "access a, header c, header b, header a, log c, log b, log a", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			notes := make(chan string, 20)
			note := func(what string) { notes <- what }
			config := one(t, up.URL)
			a := everywhere("a", "a")
			a.Ordering = &entitypb.PluginOrdering{Before: &entitypb.PluginPhases{Access: []string{"c"}}}
			own := everywhere("b-alice", "b")
			own.Consumer = &entitypb.Reference{Id: "alice"}
			config.Plugins = []*entitypb.Plugin{a, everywhere("b", "b"), own, everywhere("c", "c")}
			// All have the same priority, so that c comes before b before a.
			first := &phased{name: "a", note: note, consumer: &plugin.Consumer{ID: "alice"}, reject: tt.reject}
			if tt.reject {
				first.consumer = nil
			}
			g := start(t, config, []plugin.Plugin{
				testPlugin("a", first), byID("b", map[string]*phased{"b": {name: "b", note: note}, "b-alice": {name: "b of alice", note: note}}),
				testPlugin("c", &phased{name: "c", note: note}),
			}, nil)
			g.do("GET", "/", nil, nil)
			var got []string
			for len(got) == 0 || got[len(got)-1] != "log a" { // the last of all
				got = append(got, <-notes)
			}
			if have := strings.Join(got, ", "); have != tt.want {
				t.Errorf("the phases were\n%s, want\n%s", have, tt.want)
			}
		})
	}
}

// byID is a plugin with a handler for each of its instances.
func byID(name string, handlers map[string]*phased) plugin.Plugin {
	return plugin.Of(name, func(_ *pluginpb.KeyAuth, env plugin.Env) (*phased, error) { return handlers[env.ID], nil })
}
