package target

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/identity"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
)

// build readies a target of a configuration, which is JSON: model and auth.
func build(t testing.TB, route llm.Route, model, auth string) *Target {
	t.Helper()
	cfg := Config{Route: route, Model: new(pluginpb.AiModel), Format: llm.OpenAI}
	if err := protojson.Unmarshal([]byte(model), cfg.Model); err != nil {
		t.Fatal(err)
	}
	if auth != "" {
		cfg.Auth = new(pluginpb.AiAuth)
		if err := protojson.Unmarshal([]byte(auth), cfg.Auth); err != nil {
			t.Fatal(err)
		}
	}
	built, err := New(cfg, plugintest.Env(t, "ai-proxy", nil))
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// TestOptions checks that placeholders are filled in wherever in the options they
// stand, for each call anew, and that what has none is shared.
func TestOptions(t *testing.T) {
	const plain = `{"provider":"openai","name":"m","options":{"gemini":{"api_endpoint":"e"}}}`
	to := build(t, llm.Chat, plain, "")
	var call Call
	if err := to.Begin(plugintest.Request(t, "POST", "/", "{}"), &call); err != nil {
		t.Fatal(err)
	}
	if call.Options != to.options {
		t.Error("options without placeholders were copied")
	}

	to = build(t, llm.Chat, `{"provider":"openai","name":"$(headers.m)-x","options":{"azure_instance":"a-$(query_params.i)",
		"gemini":{"project_id":"$(uri_captures.p)"},"cache_write_cost_list":[{"ttl":"5m","cost":1},{"ttl":"$(headers.m)","cost":2}]}}`, "")
	for _, value := range []string{"one", "two"} {
		r := plugintest.Request(t, "POST", "/?i="+value, "{}")
		r.Header.Set("m", value)
		r.Named = map[string]string{"p": value}
		if err := to.Begin(r, &call); err != nil {
			t.Fatal(err)
		}
		want := proto.CloneOf(to.options)
		want.AzureInstance = proto.String("a-" + value)
		want.Gemini.ProjectId = proto.String(value)
		want.CacheWriteCostList[1].Ttl = value
		if call.Model != value+"-x" || !proto.Equal(want, call.Options) {
			t.Errorf("model %q, options %v, want %v", call.Model, call.Options, want)
		}
	}
	err := to.Begin(plugintest.Request(t, "POST", "/?i=1", "{}"), &call)
	if told, ok := errors.AsType[*client.Error](err); !ok || told.Message != "headers key m was not provided" {
		t.Errorf("error %v", err)
	}
}

// TestProbe checks what placeholders in the options may do to a provider's host.
func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		name           string
		host           func(value string) (string, error)
		moves, tainted bool
		zone           string
	}{
		{"elsewhere", func(string) (string, error) { return "api.vendor.com", nil }, false, false, ""},
		{"below the vendor", func(v string) (string, error) { return v + ".openai.azure.com", nil }, true, false, ".openai.azure.com"},
		{"in the vendor's name", func(v string) (string, error) { return v + "vendor.com", nil }, true, true, "vendor.com"},
		{"below a top level", func(v string) (string, error) { return v + ".com", nil }, true, true, ".com"},
		{"all of it", func(v string) (string, error) { return v, nil }, true, true, ""},
		{"checked", func(string) (string, error) { return "", errAddress }, true, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p places
			p.probe(tt.host)
			if p.moves != tt.moves || p.tainted != tt.tainted || p.zone != tt.zone {
				t.Errorf("moves %v, tainted %v, zone %q", p.moves, p.tainted, p.zone)
			}
		})
	}
}

// TestRequest checks a call that a plugin sends itself.
func TestRequest(t *testing.T) {
	to := build(t, llm.Chat, `{"provider":"openai","name":"m","options":{"upstream_url":"http://127.0.0.1:8080/a%2Fb?x=1"}}`,
		`{"header_name":"authorization","header_value":"Bearer S","param_name":"key","param_value":"K&","param_location":"query"}`)
	r := plugintest.Request(t, "POST", "/?caller=1", "{}")
	r.Header.Set("Cookie", "mine")
	var call Call
	if err := to.Begin(r, &call); err != nil {
		t.Fatal(err)
	}
	if err := to.Locate(r, &call); err != nil {
		t.Fatal(err)
	}
	out, err := to.Request(t.Context(), &call, []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := out.Method + " " + out.URL.String() + " " + out.Header.Get("Authorization") + " " + string(body)
	if want := `POST http://127.0.0.1:8080/a%2Fb?x=1&key=K%26 Bearer S {"a":1}`; got != want || out.Header.Get("Cookie") != "" {
		t.Errorf("%s, want %s; header %v", got, want, out.Header)
	}
}

// signer proves an identity by a header that shows what it signed.
type signer struct{ err error }

func (s signer) Authorize(_ context.Context, out *identity.Outgoing) error {
	out.Header.Set("X-Signed", out.Method+" "+out.Scheme+"://"+out.Host+out.Path+"?"+out.Query+" "+string(out.Body))
	return s.err
}

func (signer) Close() error { return nil }

// TestProof checks what a source of identity gets to sign, for both kinds of
// calls, and what becomes of its failure.
func TestProof(t *testing.T) {
	to := build(t, llm.Chat, `{"provider":"openai","name":"m","options":{"upstream_url":"https://host/p"}}`, "")
	to.proof = signer{}
	r := plugintest.Request(t, "POST", "/?q=1", `{"old":1}`)
	r.SetBody([]byte(`{"new":1}`))
	var call Call
	for _, step := range []func(*plugin.Request, *Call) error{to.Begin, to.Locate, to.Aim} {
		if err := step(r, &call); err != nil {
			t.Fatal(err)
		}
	}
	const want = `POST https://host/p?q=1 {"new":1}`
	if got := r.Header.Get("X-Signed"); got != want {
		t.Errorf("signed %s, want %s", got, want)
	}
	out, err := to.Request(t.Context(), &call, []byte("{}"))
	if err != nil || out.Header.Get("X-Signed") != "POST https://host/p? {}" {
		t.Errorf("signed %s, error %v", out.Header.Get("X-Signed"), err)
	}
	to.proof = signer{err: http.ErrNotSupported}
	if _, ok := errors.AsType[*ProofError](to.Aim(r, &call)); !ok {
		t.Error("a failed proof is no ProofError")
	}
	if _, err := to.Request(t.Context(), &call, nil); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("error %v", err)
	}
}

// TestCallersCredentials checks that what proves a caller to the gateway goes no
// further where the gateway has credentials of its own, unless callers may
// override them.
func TestCallersCredentials(t *testing.T) {
	const model = `{"provider":"anthropic","name":"m","options":{"upstream_url":"https://host/p","anthropic_version":"x"}}`
	for _, tt := range []struct {
		name, auth, want string
		proof            identity.Source
	}{
		{name: "header", auth: `{"header_name":"x-api-key","header_value":"S"}`, want: "X-Api-Key=S "},
		{name: "body", auth: `{"param_name":"k","param_value":"S","param_location":"body"}`},
		{name: "query", auth: `{"param_name":"k","param_value":"S","param_location":"query"}`},
		{name: "proof", proof: signer{}},
		{name: "override", auth: `{"header_name":"x-api-key","header_value":"S","allow_override":true}`,
			want: "Authorization=own X-Api-Key=own Api-Key=own X-Goog-Api-Key=own Cookie=own "},
		{name: "none", want: "Authorization=own X-Api-Key=own Api-Key=own X-Goog-Api-Key=own Cookie=own "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := build(t, llm.Chat, model, tt.auth)
			if tt.proof != nil {
				to.proof = tt.proof
			}
			r := plugintest.Request(t, "POST", "/", `{}`)
			for _, name := range callers {
				r.Header[name] = []string{"own"}
			}
			var call Call
			for _, step := range []func(*plugin.Request, *Call) error{to.Begin, to.Locate, to.Aim} {
				if err := step(r, &call); err != nil {
					t.Fatal(err)
				}
			}
			got := ""
			for _, name := range callers {
				for _, value := range r.Header[name] {
					got += name + "=" + value + " "
				}
			}
			if got != tt.want {
				t.Errorf("the provider gets %q, want %q", got, tt.want)
			}
		})
	}
}

// TestOutside checks that a host that the request has a say in is marked, and that
// no call of a plugin's own goes to a cloud's metadata in its name.
func TestOutside(t *testing.T) {
	for url, outside := range map[string]bool{"http://$(headers.to)/": true, "http://host/$(headers.to)": false} {
		to := build(t, llm.Chat, `{"provider":"openai","name":"m","options":{"upstream_url":"`+url+`"}}`, "")
		r := plugintest.Request(t, "POST", "/", `{}`)
		r.Header.Set("to", "169.254.169.254")
		var call Call
		for _, step := range []func(*plugin.Request, *Call) error{to.Begin, to.Locate, to.Aim} {
			if err := step(r, &call); err != nil {
				t.Fatal(err)
			}
		}
		_, err := to.Request(t.Context(), &call, nil)
		if r.Upstream.Outside != outside || (err != nil) != outside {
			t.Errorf("%s: outside %v, error %v", url, r.Upstream.Outside, err)
		}
	}
}

// TestChoose checks that a caller gets no other model than the configured one.
func TestChoose(t *testing.T) {
	const arn = "arn:aws:bedrock:eu-west-1::foundation-model/"
	for _, tt := range []struct{ configured, asked, want string }{
		{"m", "", "m"}, {"m", "m", "m"}, {"m", "n", ""}, {"m", arn + "m", "m"}, {"m", arn + "n", ""}, {arn + "m", "m", arn + "m"},
		{"m", "arn:aws:bedrock:eu-west-1:123:inference-profile/m", ""}, {"", "n", "n"},
	} {
		to := build(t, llm.Chat, `{"provider":"bedrock","name":"`+tt.configured+`"}`, "")
		call := Call{}
		call.Model = tt.configured
		err := to.Choose(&call, tt.asked, false)
		if (err != nil) != (tt.want == "") || err == nil && call.Model != tt.want {
			t.Errorf("%q asked for %q: %q, %v", tt.configured, tt.asked, call.Model, err)
		}
	}
}
