//go:build unix

package clients_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// grpcurl runs grpcurl against a node's Admin API. It returns what it printed, and
// the exit code.
func grpcurl(t *testing.T, n *gibbon.Node, data, symbol string, words ...string) (out, problem string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := []string{"-plaintext"}
	if data != "" {
		args = append(args, "-d", data)
	}
	args = append(append(append(args, n.Admin), words...), symbol)
	cmd := exec.CommandContext(ctx, gibbon.GRPCurl(t), slices.DeleteFunc(args, func(s string) bool { return s == "" })...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("grpcurl %q: %v", args, err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// call calls a method of the Entities service, which must succeed, and returns the
// entity.
func call(t *testing.T, n *gibbon.Node, method string, request gibbon.JSON) map[string]any {
	t.Helper()
	data, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	out, problem, code := grpcurl(t, n, string(data), "gibbon.admin.v1.Entities/"+method)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s", method, data, code, problem)
	}
	var answer struct{ Body map[string]any }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("%s %s answers %s: %v", method, data, out, err)
	}
	return answer.Body
}

func TestGRPCurl(t *testing.T) {
	t.Parallel()
	n := gibbon.Run(t)
	n.Start()

	out, problem, code := grpcurl(t, n, "", "list")
	if code != 0 || !slices.Contains(strings.Fields(out), "gibbon.admin.v1.Entities") {
		t.Errorf("list: exit code %d\n%s%s", code, out, problem)
	}
	for symbol, want := range map[string]string{
		"gibbon.admin.v1.Entities": "rpc Upsert ( .gibbon.admin.v1.UpsertRequest ) returns ( .gibbon.admin.v1.EntityResponse )",
		"gibbon.entity.v1.Service": "connect_timeout", // entities are described, though they travel as Structs
		"gibbon.plugin.v1.AiProxy": "route_type",
	} {
		out, problem, code := grpcurl(t, n, "", symbol, "describe")
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("describe %s: exit code %d, want %q\n%s%s", symbol, code, want, out, problem)
		}
	}

	// A REST write is seen by gRPC.
	n.Create("/services", gibbon.JSON{"name": "over-rest", "url": "http://example.com:8080/base"})
	rest := gibbon.Call(t, http.MethodGet, n.AdminURL("/services/over-rest"), nil)
	var want map[string]any
	rest.Decode(t, &want)
	if got := call(t, n, "Get", gibbon.JSON{"kind": "services", "ref": "over-rest"}); !equal(t, got, want) {
		t.Errorf("gRPC shows the service %v, REST %s", got, rest)
	}
	// And the other way round, for each method that writes.
	call(t, n, "Create", gibbon.JSON{"kind": "services", "body": gibbon.JSON{"name": "over-grpc", "url": "http://example.com/one"}})
	restShows(t, n, "/services/over-grpc", "path", "/one")
	call(t, n, "Update", gibbon.JSON{"kind": "services", "ref": "over-grpc", "body": gibbon.JSON{"path": "/two"}})
	restShows(t, n, "/services/over-grpc", "path", "/two")
	call(t, n, "Upsert", gibbon.JSON{"kind": "services", "ref": "over-grpc", "body": gibbon.JSON{"host": "example.org"}})
	restShows(t, n, "/services/over-grpc", "host", "example.org")
	restShows(t, n, "/services/over-grpc", "path", nil) // what an upsert leaves out is gone
	call(t, n, "Create", gibbon.JSON{"kind": "routes", "parent_kind": "services", "parent": "over-grpc",
		"body": gibbon.JSON{"name": "r", "paths": []string{"/r"}}})
	restShows(t, n, "/services/over-grpc/routes/r", "name", "r")
	if answer := gibbon.Call(t, http.MethodGet, n.ProxyURL("/r"), nil); answer.Status == http.StatusNotFound {
		t.Errorf("a route that was written over gRPC is not live: %s", answer)
	}

	out, problem, code = grpcurl(t, n, `{"kind":"services"}`, "gibbon.admin.v1.Entities/List")
	var list struct{ Data []struct{ Name string } }
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list.Data) != 2 {
		t.Errorf("List: exit code %d, %v, want two services\n%s%s", code, err, out, problem)
	}
	call(t, n, "Delete", gibbon.JSON{"kind": "routes", "ref": "r"})
	call(t, n, "Delete", gibbon.JSON{"kind": "services", "ref": "over-grpc"})
	if answer := gibbon.Call(t, http.MethodGet, n.AdminURL("/services/over-grpc"), nil); answer.Status != http.StatusNotFound {
		t.Errorf("a service that was deleted over gRPC: %s, want 404", answer)
	}

	// Refusals are those of REST, with gRPC's codes.
	for _, tt := range []struct{ method, request, code, text string }{
		{"Get", `{"kind":"services","ref":"none"}`, "NotFound", "Not found"},
		{"Create", `{"kind":"services","body":{"name":"over-rest","url":"http://x"}}`, "AlreadyExists", "UNIQUE violation detected on"},
		{"Create", `{"kind":"services","body":{"nme":"x","url":"http://x"}}`, "InvalidArgument", "nme: unknown field"},
	} {
		_, problem, code := grpcurl(t, n, tt.request, "gibbon.admin.v1.Entities/"+tt.method)
		if code == 0 || !strings.Contains(problem, "Code: "+tt.code) || !strings.Contains(problem, tt.text) {
			t.Errorf("%s %s: exit code %d\n%s\nwant %s with %q", tt.method, tt.request, code, problem, tt.code, tt.text)
		}
	}
}

// restShows fails the test unless REST has this value for a member of an entity.
func restShows(t *testing.T, n *gibbon.Node, path, member string, want any) {
	t.Helper()
	answer := gibbon.Call(t, http.MethodGet, n.AdminURL(path), nil)
	var entity map[string]any
	answer.Decode(t, &entity)
	if got, ok := entity[member]; !ok || got != want {
		t.Errorf("GET %s: %s, want %s %v", path, answer, member, want)
	}
}

func equal(t *testing.T, a, b any) bool {
	t.Helper()
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	if err := errors.Join(errX, errY); err != nil {
		t.Fatal(err)
	}
	return string(x) == string(y)
}
