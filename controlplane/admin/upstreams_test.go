package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
)

// balancer is a source of health that knows one upstream.
type balancer struct {
	upstream string
	fares    admin.UpstreamHealth
	marked   []string
}

func (b *balancer) Upstream(_ context.Context, id string) (admin.UpstreamHealth, bool) {
	return b.fares, id == b.upstream
}

func (b *balancer) Mark(_ context.Context, upstream, target, address string, healthy bool) error {
	if address == "10.9.9.9:1" {
		return errors.New("no address 10.9.9.9:1 of the target")
	}
	b.marked = append(b.marked, fmt.Sprint(upstream, " ", target, " ", address, " ", healthy))
	return nil
}

const (
	balancedID = "11111111-1111-4111-8111-111111111111"
	targetID   = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
	idleID     = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
)

// withBalancer serves an upstream of two targets, one of them without weight,
// that a balancer knows, and one that it does not know.
func withBalancer(t *testing.T, b *balancer) http.Handler {
	t.Helper()
	s := newServer(t, func(cfg *admin.Config) { cfg.Health = b })
	must(t, s, 200, "PUT", "/upstreams/"+balancedID, "", `{"name":"up"}`)
	must(t, s, 201, "POST", "/upstreams/up/targets", "", `{"id":"`+targetID+`","target":"app.internal:80","created_at":1700000002}`)
	must(t, s, 201, "POST", "/upstreams/up/targets", "", `{"id":"`+idleID+`","target":"10.0.0.3:80","weight":0,"created_at":1700000001}`)
	must(t, s, 200, "PUT", "/upstreams/new", "", `{}`)
	must(t, s, 201, "POST", "/upstreams/new/targets", "", `{"target":"10.0.0.4:80"}`)
	return s
}

// TestHealth shows what a balancer knows.
func TestHealth(t *testing.T) {
	s := withBalancer(t, &balancer{upstream: balancedID, fares: admin.UpstreamHealth{
		Health: admin.Unhealthy, Balancer: admin.Healthy,
		Targets: map[string]admin.TargetHealth{targetID: {Health: admin.Unhealthy, DNS: "A", Addresses: []admin.AddressHealth{
			{IP: "10.0.0.1", Port: 80, Health: admin.Healthy, Weight: 100},
			{IP: "10.0.0.2", Port: 80, Health: admin.Unhealthy, Weight: 50},
		}}},
	}})
	body := must(t, s, 200, "GET", "/upstreams/up/health", "", "")
	rows := body.Get("data").Elements()
	if len(rows) != 2 {
		t.Fatalf("got %s, want two targets", body)
	}
	for i, want := range []string{
		`"UNHEALTHY" {"host":"app.internal","port":80,"dns":"A","nodeWeight":100,"weight":{"total":150,"available":100,"unavailable":50},` +
			`"addresses":[{"ip":"10.0.0.1","port":80,"health":"HEALTHY","weight":100},{"ip":"10.0.0.2","port":80,"health":"UNHEALTHY","weight":50}]}`,
		`"HEALTHCHECKS_OFF" {"host":"10.0.0.3","port":80,"dns":"A","nodeWeight":0,"weight":{"total":0,"available":0,"unavailable":0},` +
			`"addresses":[{"ip":"10.0.0.3","port":80,"health":"HEALTHCHECKS_OFF","weight":0}]}`,
	} {
		if diff := cmp.Diff(want, rows[i].Get("health").String()+" "+rows[i].Get("data").String()); diff != "" {
			t.Errorf("target %d (-want +got):\n%s", i, diff)
		}
	}
	whole := must(t, s, 200, "GET", "/upstreams/up/health?balancer_health=1", "", "").Get("data")
	if got := whole.Get("health").Text() + " " + whole.Get("balancer_health").Text() + " " + whole.Get("details", "weight").String(); got !=
		`UNHEALTHY HEALTHY {"total":150,"available":100,"unavailable":50}` {
		t.Errorf("the upstream as a whole: %s", got)
	}
	other := must(t, s, 200, "GET", "/upstreams/new/health?balancer_health=1", "", "").Get("data")
	if got := other.Get("health").Text() + " " + other.Get("balancer_health").Text(); got != "HEALTHCHECKS_OFF HEALTHY" {
		t.Errorf("an upstream that the balancer does not know: %s", got)
	}
	must(t, s, 204, "DELETE", "/upstreams/new/targets/10.0.0.4:80", "", "")
	other = must(t, s, 200, "GET", "/upstreams/new/health?balancer_health=1", "", "").Get("data")
	if got := other.Get("balancer_health").Text(); got != "UNHEALTHY" {
		t.Errorf("an upstream without targets: %s", got)
	}
}

// TestMark has a balancer take targets for healthy and unhealthy.
func TestMark(t *testing.T) {
	b := &balancer{upstream: balancedID}
	s := withBalancer(t, b)
	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"/upstreams/up/targets/" + targetID + "/healthy", 204, ""},
		{"/upstreams/up/targets/app.internal:80/unhealthy", 204, ""},
		{"/upstreams/up/targets/app.internal:80/10.0.0.1:80/unhealthy", 204, ""},
		{"/upstreams/" + balancedID + "/targets/app.internal:80/10.0.0.1:80/healthy", 204, ""},
		{"/upstreams/up/targets/app.internal:80/10.9.9.9:1/healthy", 400, `{"message":"no address 10.9.9.9:1 of the target"}`},
		{"/upstreams/new/targets/10.0.0.4:80/healthy", 400, `{"message":"Upstream new has no balancer"}`},
		{"/upstreams/new/targets/10.0.0.9:80/healthy", 404, `{"message":"Not found"}`},
	} {
		if code, _, body := call(t, s, "PUT", tt.path, "", ""); code != tt.status || body != tt.want {
			t.Errorf("PUT %s: got %d %s, want %d %s", tt.path, code, body, tt.status, tt.want)
		}
	}
	if diff := cmp.Diff([]string{
		balancedID + " " + targetID + "  true", balancedID + " " + targetID + "  false",
		balancedID + " " + targetID + " 10.0.0.1:80 false", balancedID + " " + targetID + " 10.0.0.1:80 true",
	}, b.marked); diff != "" {
		t.Errorf("the balancer was told (-want +got):\n%s", diff)
	}
}

// TestHybridHasNoMarks asks a control plane whose data planes have the balancers.
func TestHybridHasNoMarks(t *testing.T) {
	s := newServer(t, func(cfg *admin.Config) { cfg.DataPlanes = func() []admin.DataPlane { return nil } })
	must(t, s, 200, "PUT", "/upstreams/up", "", `{}`)
	must(t, s, 201, "POST", "/upstreams/up/targets", "", `{"target":"10.0.0.1:80"}`)
	for _, path := range []string{"/healthy", "/unhealthy", "/10.0.0.1:80/healthy", "/10.0.0.1:80/unhealthy"} {
		for _, method := range []string{"PUT", "GET", "OPTIONS"} {
			if code, _, body := call(t, s, method, "/upstreams/up/targets/10.0.0.1:80"+path, "", ""); code != 404 {
				t.Errorf("%s %s: got %d %s, want 404", method, path, code, body)
			}
		}
	}
	must(t, s, 200, "GET", "/upstreams/up/health", "", "")
}
