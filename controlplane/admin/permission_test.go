package admin

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/gibbon-gateway/gibbon/schema"
)

// TestPermissionsCoverAllMethods walks what is registered: a method without an
// entry would be refused for ever, and an entry without a method says that a
// name changed.
func TestPermissionsCoverAllMethods(t *testing.T) {
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Catalogue: catalogue})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	seen := map[string]bool{}
	writes := map[string]bool{}
	for _, m := range methods() {
		rule := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
		// What only judges a body writes nothing.
		writes["/"+string(m.Parent().FullName())+"/"+string(m.Name())] =
			rule.GetGet() == "" && !strings.HasPrefix(string(m.Name()), "Validate")
	}
	for service, info := range s.grpc.GetServiceInfo() {
		for _, m := range info.Methods {
			name := "/" + service + "/" + m.Name
			seen[name] = true
			if permissions[name] == denied {
				t.Errorf("%s has no permission entry", name)
			}
			if writes[name] != (permissions[name] == write) {
				t.Errorf("%s has permission %d", name, permissions[name])
			}
		}
	}
	for name := range permissions {
		if !seen[name] {
			t.Errorf("there is no method %s", name)
		}
	}
}

// TestUnlistedMethodIsRefused calls a method that nobody gave a permission.
func TestUnlistedMethodIsRefused(t *testing.T) {
	s := &Server{}
	ctx := withCaller(t.Context(), caller{"ann", Full})
	ran := false
	run := func(context.Context, any) (any, error) { ran = true; return nil, nil }
	info := &grpc.UnaryServerInfo{FullMethod: "/gibbon.admin.v1.Entities/Purge"}
	if _, err := s.guard(ctx, nil, info, run); err == nil || asError(err).Status != http.StatusForbidden {
		t.Errorf("got %v, want a refusal", err)
	}
	if ran {
		t.Error("the method ran")
	}
	streamInfo := &grpc.StreamServerInfo{FullMethod: "/gibbon.admin.v1.Entities/Watch"}
	if err := s.guardStream(nil, streamOf{ctx: ctx}, streamInfo, func(any, grpc.ServerStream) error { ran = true; return nil }); err == nil || ran {
		t.Errorf("the stream got %v, ran: %t", err, ran)
	}
}

// streamOf is a stream that has nothing but a context.
type streamOf struct {
	grpc.ServerStream
	ctx context.Context
}

func (s streamOf) Context() context.Context { return s.ctx }

// TestRoles asks for every method with every role, and without having said who
// asks.
func TestRoles(t *testing.T) {
	s := &Server{}
	for method, need := range permissions {
		if err := s.admit(t.Context(), method); err == nil || asError(err).Status != http.StatusUnauthorized {
			t.Errorf("%s: a caller who was never asked got %v", method, err)
		}
		for role, holds := range map[Role][]permission{
			NoRole: nil, Monitor: {observe}, ReadOnly: {observe, read}, Full: {observe, read, write},
		} {
			err := s.admit(withCaller(t.Context(), caller{"ann", role}), method)
			switch {
			case slices.Contains(holds, need) && err != nil:
				t.Errorf("%s: role %s got %v", method, role, err)
			case !slices.Contains(holds, need) && (err == nil || asError(err).Status != http.StatusForbidden):
				t.Errorf("%s: role %s got %v, want a refusal", method, role, err)
			}
		}
	}
	for _, role := range []Role{Monitor, ReadOnly, Full} {
		if got, err := ParseRole(role.String()); err != nil || got != role {
			t.Errorf("ParseRole(%q) = %s, %v", role, got, err)
		}
	}
	for _, word := range []string{"", "none", "root"} {
		if got, err := ParseRole(word); err == nil {
			t.Errorf("ParseRole(%q) = %s", word, got)
		}
	}
}

// TestLoopbackNames pins who may ask a listener on a loopback address.
func TestLoopbackNames(t *testing.T) {
	s := &Server{cfg: Config{AllowedHosts: []string{"admin.internal"}, GUIOrigins: []string{"https://gui.example:8445"}}}
	for _, tt := range []struct {
		local, host string
		allowed     bool
	}{
		{"127.0.0.1:8001", "localhost", true},
		{"127.0.0.1:8001", "LOCALHOST:8001", true},
		{"127.0.0.1:8001", "127.0.0.1:8001", true},
		{"127.0.0.1:8001", "127.1.2.3", true},
		{"[::1]:8001", "[::1]:8001", true},
		{"127.0.0.1:8001", "", true},
		{"127.0.0.1:8001", "admin.internal:8001", true},
		{"127.0.0.1:8001", "gui.example", true},
		{"127.0.0.1:8001", "evil.example:8001", false},
		{"127.0.0.1:8001", "localhost.evil.example", false},
		{"[::1]:8001", "evil.example", false},
		{"10.0.0.7:8001", "evil.example", true}, // not bound to loopback: any name may mean it
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = tt.host
		addr, err := net.ResolveTCPAddr("tcp", tt.local)
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(addr)))
		if got := s.refuseForeign(r) == nil; got != tt.allowed {
			t.Errorf("listener %s, Host %q: allowed is %t, want %t", tt.local, tt.host, got, tt.allowed)
		}
	}
	s.cfg.Loopback = func(net.Addr) bool { return false }
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = "evil.example"
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})))
	if err := s.refuseForeign(r); err != nil {
		t.Errorf("a listener on all addresses refused %q: %v", r.Host, err)
	}
}

// TestConnectionCounts walks a connection through its states.
func TestConnectionCounts(t *testing.T) {
	var tr traffic
	a, b := &net.TCPConn{}, &net.TCPConn{}
	tr.note(a, http.StateNew)
	tr.note(b, http.StateNew)
	tr.note(a, http.StateActive)
	if got, want := tr.counts(), (counts{accepted: 2, handled: 2, active: 2, reading: 1, writing: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	tr.note(a, http.StateIdle)
	tr.note(b, http.StateClosed)
	if got, want := tr.counts(), (counts{accepted: 2, handled: 2, active: 1, waiting: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	tr.note(a, http.StateHijacked)
	if got, want := tr.counts(), (counts{accepted: 2, handled: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestDataPlaneTTL counts down from when a node was seen last.
func TestDataPlaneTTL(t *testing.T) {
	now := time.Unix(1000, 0)
	dp := DataPlane{LastSeen: now.Add(-10 * time.Second)}
	d, err := fromJSON(dp.row(now, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := d.Get("ttl").Int(); got != 50 {
		t.Errorf("ttl is %d, want 50", got)
	}
}
