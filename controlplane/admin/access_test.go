package admin_test

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// people are those who may call the API in tests.
func people() *admin.Access {
	token := func(name string, role admin.Role) admin.Token {
		return admin.Token{Name: name, Role: role, Hash: sha256.Sum256([]byte(name + "-token-0123456789"))}
	}
	return &admin.Access{Tokens: []admin.Token{
		token("ann", admin.Full), token("bob", admin.ReadOnly), token("mon", admin.Monitor),
	}}
}

func asked(cfg *admin.Config) { cfg.Access = people() }

// callAs is call with more headers.
func callAs(t testing.TB, h http.Handler, method, target, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Host = "localhost:8001"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	out, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, target, err)
	}
	return w.Code, w.Header(), string(out)
}

const (
	ann = "ann-token-0123456789"
	bob = "bob-token-0123456789"
	mon = "mon-token-0123456789"
)

// TestWays is about the ways in which a request could say that it is something
// else than what it is. The decision falls on the method that is called.
func TestWays(t *testing.T) {
	s := newServer(t, asked)
	for _, b := range []string{`{"name":"a.b","host":"h"}`, `{"name":"ü","host":"h"}`} {
		if code, _, out := callAs(t, s, "POST", "/services", b, "Kong-Admin-Token", ann); code != 201 {
			t.Fatalf("POST: %d %s", code, out)
		}
	}
	for _, tt := range []struct {
		name, method, target, body string
		headers                    []string
		want                       int
	}{
		{"a read", "GET", "/services/a.b", "", nil, 200},
		{"a read with a slash behind", "GET", "/services/a.b/", "", nil, 200},
		{"a delete", "DELETE", "/services/a.b", "", nil, 403},
		{"an encoded kind", "DELETE", "/%73ervices/a.b", "", nil, 403},
		{"an encoded name", "DELETE", "/services/%61.b", "", nil, 403},
		{"a name in UTF-8", "DELETE", "/services/%C3%BC", "", nil, 403},
		{"a slash behind", "DELETE", "/services/a.b/", "", nil, 403},
		{"a workspace in front", "DELETE", "/default/services/a.b", "", nil, 403},
		{"a create", "POST", "/services", `{"host":"h"}`, nil, 403},
		{"an update", "PATCH", "/services/a.b", `{"port":1}`, nil, 403},
		{"an upsert", "PUT", "/services/new", `{"host":"h"}`, nil, 403},
		{"a nested create", "POST", "/services/a.b/routes", `{"paths":["/"]}`, nil, 403},
		{"a method that claims to be another", "DELETE", "/services/a.b", "", []string{"X-HTTP-Method-Override", "GET"}, 403},
		{"a POST that claims to be a GET", "POST", "/services", `{"host":"h"}`, []string{"X-HTTP-Method-Override", "GET"}, 403},
		{"a GET that claims to be a DELETE", "GET", "/services/a.b", "", []string{"X-HTTP-Method-Override", "DELETE", "X-HTTP-Method", "DELETE"}, 200},
		{"a token of another in gRPC's metadata", "DELETE", "/services/a.b", "", []string{"Grpc-Metadata-Kong-Admin-Token", ann, "Grpc-Metadata-Authorization", "Bearer " + ann}, 403},
		{"a role in a header", "DELETE", "/services/a.b", "", []string{"Kong-Admin-Role", "full", "X-Role", "full"}, 403},
		{"a role in the query", "DELETE", "/services/a.b?role=full&method=Get", "", nil, 403},
		{"a validation, which changes nothing", "POST", "/schemas/services/validate", `{"host":"h"}`, nil, 200},
		{"no path at all", "GET", "/nothing", "", nil, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, out := callAs(t, s, tt.method, tt.target, tt.body, append(tt.headers, "Kong-Admin-Token", bob)...)
			if code != tt.want {
				t.Errorf("as read-only: %d %s, want %d", code, out, tt.want)
			}
			// Without a token no answer depends on the path. A token elsewhere than in
			// the headers for it is none.
			if code, _, out := callAs(t, s, tt.method, tt.target, tt.body, tt.headers...); code != 401 {
				t.Errorf("without a token: %d %s", code, out)
			}
		})
	}
	if code, _, out := callAs(t, s, "GET", "/services/a.b", "", "Kong-Admin-Token", bob); code != 200 {
		t.Errorf("the service is gone: %d %s", code, out)
	}
}

// TestOnlyObserving walks what a monitoring system may see.
func TestOnlyObserving(t *testing.T) {
	s := newServer(t, asked)
	for _, tt := range []struct {
		target string
		want   int
	}{
		{"/", 200}, {"/status", 200}, {"/endpoints", 200}, {"/timers", 200}, {"/schemas/services", 200}, {"/plugins/enabled", 200},
		{"/services", 403}, {"/consumers", 403}, {"/key-auths", 403}, {"/tags", 403}, {"/plugins/x", 403},
		// Which workspaces there are is nothing to observe either.
		{"/default/services", 403}, {"/nowhere/services", 403}, {"/workspaces", 403},
	} {
		if code, _, out := callAs(t, s, "GET", tt.target, "", "Kong-Admin-Token", mon); code != tt.want {
			t.Errorf("GET %s: %d %s, want %d", tt.target, code, out, tt.want)
		}
	}
}

// TestGuessing is slowed down, over REST and gRPC's port alike, and a client that
// knows its token waits like the others behind its address.
func TestGuessing(t *testing.T) {
	known := catalogue(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := admin.New(admin.Config{Catalogue: known, Access: people()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i := range 5 {
			code, h, out := callAs(t, s, "GET", "/", "", "Kong-Admin-Token", "guess")
			if code != 401 || out != `{"message":"Invalid RBAC credentials"}` || h.Get("Access-Control-Allow-Origin") == "" {
				t.Fatalf("guess %d: %d %s %v", i+1, code, out, h)
			}
		}
		code, h, out := callAs(t, s, "GET", "/", "", "Kong-Admin-Token", ann, "Origin", "http://localhost:8002")
		if code != 429 || h.Get("Retry-After") != "1" || out != `{"message":"Too many bad logins, try again in 1 seconds"}` ||
			h.Get("Access-Control-Allow-Origin") != "http://localhost:8002" {
			t.Errorf("after five guesses: %d %s %v", code, out, h)
		}
		if code, _, _ := callAs(t, s, "GET", "/", ""); code != 401 {
			t.Errorf("without a token, which is no guess: %d, want 401", code)
		}
		time.Sleep(time.Second)
		if code, _, out := callAs(t, s, "GET", "/endpoints", "", "Kong-Admin-Token", ann); code != 200 {
			t.Errorf("a second later: %d %s", code, out)
		}
	})
}

// TestNamedLogins wait by name, whatever address they come from.
func TestNamedLogins(t *testing.T) {
	s := newServer(t, asked)
	if code, _, out := callAs(t, s, "GET", "/", "", "Kong-Admin-User", "bob", "Kong-Admin-Token", ann); code != 401 {
		t.Errorf("the token of another: %d %s", code, out)
	}
	if code, _, out := callAs(t, s, "GET", "/", "", "Kong-Admin-User", "ann", "Kong-Admin-Token", ann); code != 200 {
		t.Errorf("the right token: %d %s", code, out)
	}
}

// TestActor looks for who wrote in the change log and in the access log, and for
// tokens where they must not be.
func TestActor(t *testing.T) {
	st := openStore(t)
	var log lockedBuffer
	s := newServerOn(t, st, func(cfg *admin.Config) {
		cfg.Access = people()
		cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	outputs := []string{}
	for _, c := range [][]string{
		{"Kong-Admin-Token", ann},
		{"Authorization", "bearer " + ann},
		{"Kong-Admin-Token", bob},
		{"Kong-Admin-Token", "wrong-" + ann},
		{"Kong-Admin-Token", ann, "Kong-Admin-Token", ann},
		{"Kong-Admin-User", ann, "Kong-Admin-Token", ann},
	} {
		_, _, out := callAs(t, s, "POST", "/services", `{"host":"h"}`, c...)
		outputs = append(outputs, out)
	}
	_, _, root := callAs(t, s, "GET", "/", "", "Kong-Admin-Token", ann)
	outputs = append(outputs, root, log.String())
	for _, out := range outputs {
		if strings.Contains(out, ann) || strings.Contains(out, bob) {
			t.Errorf("a token is in %s", out)
		}
	}
	for _, want := range []string{"status=201", "actor=ann", "status=403", "actor=bob", "status=401", `actor=""`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
	if got := actors(t, st); strings.Join(got, " ") != "ann ann" {
		t.Errorf("the change log names %q, want ann twice", got)
	}
	open := newServerOn(t, st, nil)
	must(t, open, 201, "POST", "/services", "", `{"host":"h"}`)
	if got := actors(t, st); strings.Join(got, " ") != "ann ann admin" {
		t.Errorf("where nobody is asked the change log names %q", got)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.String()
}

// actors are those in the change log, in order.
func actors(t *testing.T, st store.Store) []string {
	t.Helper()
	var names []string
	err := st.View(t.Context(), func(r store.Reader) error {
		changes, err := r.Changes(0, 1000)
		for _, c := range changes {
			names = append(names, c.Actor)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestGRPCAccess takes the same decisions for gRPC, from metadata.
func TestGRPCAccess(t *testing.T) {
	st := openStore(t)
	s := newServerOn(t, st, asked)
	conn := dial(t, serve(t, s))
	c := adminpb.NewEntitiesClient(conn)
	as := func(pairs ...string) context.Context { return metadata.AppendToOutgoingContext(t.Context(), pairs...) }
	create := func(ctx context.Context) error {
		_, err := c.Create(ctx, &adminpb.CreateRequest{Kind: "services", Body: body(t, map[string]any{"host": "h"})})
		return err
	}
	list := func(ctx context.Context) error {
		_, err := c.List(ctx, &adminpb.ListRequest{Kind: "services"})
		return err
	}
	reflect := func(ctx context.Context) error {
		stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil && err != io.EOF {
			return err
		}
		if _, err = stream.Recv(); err != nil {
			return err
		}
		return stream.CloseSend()
	}
	for _, tt := range []struct {
		name string
		call func(context.Context) error
		with []string
		want codes.Code
		text string
	}{
		{"create without a token", create, nil, codes.Unauthenticated, "Invalid credentials. Token or User credentials required"},
		{"create as nobody", create, []string{"kong-admin-token", "x"}, codes.Unauthenticated, "Invalid RBAC credentials"},
		{"create as read-only", create, []string{"kong-admin-token", bob}, codes.PermissionDenied, "Forbidden: 'bob' has the role read-only, which changes nothing"},
		{"create as full", create, []string{"kong-admin-token", ann}, codes.OK, ""},
		{"create as full, bearer", create, []string{"authorization", "Bearer " + ann}, codes.OK, ""},
		{"list as read-only", list, []string{"kong-admin-token", bob}, codes.OK, ""},
		{"list as monitor", list, []string{"kong-admin-token", mon}, codes.PermissionDenied, "Forbidden: 'mon' has the role monitor, which sees no entities and changes nothing"},
		{"reflection without a token", reflect, nil, codes.Unauthenticated, "Invalid credentials. Token or User credentials required"},
		{"reflection as monitor", reflect, []string{"kong-admin-token", mon}, codes.OK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.call(as(tt.with...))
			if s := status.Convert(err); s.Code() != tt.want || s.Message() != tt.text && tt.want != codes.OK {
				t.Errorf("got %v, want %s %s", err, tt.want, tt.text)
			}
		})
	}
	if got := actors(t, st); strings.Join(got, " ") != "ann ann" {
		t.Errorf("the change log names %q, want ann twice", got)
	}
	// What is refused before its message is read still says so in full.
	var trailer metadata.MD
	err := list(as())
	if s := status.Convert(err); len(s.Details()) == 0 {
		t.Errorf("a refusal has no details: %v", err)
	}
	if _, err := c.List(as(), &adminpb.ListRequest{Kind: "services"}, grpc.Trailer(&trailer)); err == nil {
		t.Error("a call without a token went through")
	}
}

// TestAccessCannotBeTakenAway changes who may call, and tries to let in all.
func TestAccessCannotBeTakenAway(t *testing.T) {
	s := newServer(t, asked)
	if err := s.SetAccess(nil); err == nil {
		t.Error("an API that asks was told not to, and did not mind")
	}
	if code, _, _ := callAs(t, s, "GET", "/", ""); code != 401 {
		t.Errorf("without a token: %d, want 401", code)
	}
	changed := people()
	changed.Tokens = changed.Tokens[1:]
	if err := s.SetAccess(changed); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := callAs(t, s, "GET", "/", "", "Kong-Admin-Token", ann); code != 401 {
		t.Errorf("a token that was taken away: %d, want 401", code)
	}
	if err := s.SetAccess(&admin.Access{}); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := callAs(t, s, "GET", "/", "", "Kong-Admin-Token", bob); code != 401 {
		t.Errorf("with an empty list of tokens: %d, want 401", code)
	}
	open := newServer(t, nil)
	if err := open.SetAccess(nil); err != nil {
		t.Error(err)
	}
	if code, _, _ := callAs(t, open, "GET", "/", ""); code != 200 {
		t.Errorf("where nobody is asked: %d, want 200", code)
	}
}
