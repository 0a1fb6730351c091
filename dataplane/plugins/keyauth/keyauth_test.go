package keyauth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/keyauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func consumers(t *testing.T) *plugin.Consumers {
	t.Helper()
	c := plugin.NewConsumers()
	c.Add(&entitypb.Consumer{Id: "c1", Username: proto.String("bob"), CustomId: proto.String("b-7")}, nil)
	c.Add(&entitypb.Consumer{Id: "c2", Username: proto.String("nobody")}, nil)
	for _, key := range []*entitypb.KeyauthCredential{
		{Id: "k1", Key: "secret"},
		{Id: "k2", Key: "past", ExpiresAt: time.Now().Add(-time.Hour).Unix()},
		{Id: "k3", Key: "future", ExpiresAt: time.Now().Add(time.Hour).Unix()},
	} {
		key.Consumer = &entitypb.Reference{Id: "c1"}
		if err := c.AddKey(key); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestAccess(t *testing.T) {
	const form, json = "application/x-www-form-urlencoded", "application/json; charset=utf-8"
	const multi = "multipart/form-data; boundary=b"
	part := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	type config = pluginpb.KeyAuth
	body := func(c *config) { c.KeyInBody = true }
	for _, tt := range []struct {
		name, method, target string
		header               http.Header
		body                 string
		change               func(*config)
		want                 string // the consumer's id, or status and message
		query, rest          string // of the upstream request, where the key is hidden
	}{
		{name: "header", header: http.Header{"Apikey": {"secret"}}, want: "c1"},
		{name: "header, not asked for", header: http.Header{"Apikey": {"secret"}}, change: func(c *config) { c.KeyInHeader = false }, want: "401 No API key found in request"},
		{name: "query", target: "/?a=1&apikey=secret", want: "c1"},
		{name: "encoded query", target: "/?api%6bey=s%65cret", want: "c1"},
		{name: "header before query", target: "/?apikey=secret", header: http.Header{"Apikey": {"other"}}, want: "401 Unauthorized"},
		{name: "first name with a value", header: http.Header{"Second": {"secret"}}, change: func(c *config) { c.KeyNames = []string{"first", "second"} }, want: "c1"},
		{name: "none", want: "401 No API key found in request"},
		{name: "empty", header: http.Header{"Apikey": {""}}, want: "401 No API key found in request"},
		{name: "bare query", target: "/?apikey", want: "401 No API key found in request"},
		{name: "unknown", header: http.Header{"Apikey": {"nonsense"}}, want: "401 Unauthorized"},
		{name: "expired", header: http.Header{"Apikey": {"past"}}, want: "401 Unauthorized"},
		{name: "not expired yet", header: http.Header{"Apikey": {"future"}}, want: "c1"},
		{name: "repeated header", header: http.Header{"Apikey": {"secret", "secret"}}, want: "401 Duplicate API key found"},
		{name: "repeated query", target: "/?apikey=secret&apikey=secret", want: "401 Duplicate API key found"},
		{name: "body, not asked for", method: "POST", header: http.Header{"Content-Type": {form}}, body: "apikey=secret", want: "401 No API key found in request"},
		{name: "form", method: "POST", header: http.Header{"Content-Type": {form}}, body: "x=1&apikey=secret", change: body, want: "c1"},
		{name: "json", method: "POST", header: http.Header{"Content-Type": {json}}, body: `{"apikey":"secret"}`, change: body, want: "c1"},
		{name: "json list", method: "POST", header: http.Header{"Content-Type": {json}}, body: `{"apikey":["secret"]}`, change: body, want: "401 Duplicate API key found"},
		{name: "broken json", method: "POST", header: http.Header{"Content-Type": {json}}, body: `{"apikey":"secret"`, change: body, want: "401 No API key found in request"},
		{name: "multipart", method: "POST", header: http.Header{"Content-Type": {multi}}, body: part("apikey", "secret") + "--b--\r\n", change: body, want: "c1"},
		{name: "other body", method: "POST", header: http.Header{"Content-Type": {"text/plain"}}, body: "apikey=secret", change: body, want: "401 No API key found in request"},
		{name: "hidden", target: "/?apikey=secret&q=%zz;1&apikey2=x", change: func(c *config) { c.HideCredentials = true }, want: "c1", query: "q=%zz;1&apikey2=x"},
		{name: "hidden in a form", method: "POST", header: http.Header{"Content-Type": {form}}, body: "x=%31&apikey=secret", change: func(c *config) { body(c); c.HideCredentials = true }, want: "c1", rest: "x=%31"},
		{name: "hidden in json", method: "POST", header: http.Header{"Content-Type": {json}}, body: `{"n":1.50,"apikey":"secret"}`, change: func(c *config) { body(c); c.HideCredentials = true }, want: "c1", rest: `{"n":1.50}`},
		{name: "hidden in multipart", method: "POST", header: http.Header{"Content-Type": {multi}}, body: part("apikey", "secret") + part("x", "1") + "--b--\r\n", change: func(c *config) { body(c); c.HideCredentials = true }, want: "c1", rest: part("x", "1") + "--b--\r\n"},
		{name: "preflight", method: "OPTIONS", want: "401 No API key found in request"},
		{name: "preflight passes", method: "OPTIONS", change: func(c *config) { c.RunOnPreflight = false }, want: ""},
		{name: "anonymous by name", change: func(c *config) { c.Anonymous = proto.String("nobody") }, want: "c2 anonymous"},
		{name: "anonymous by id", header: http.Header{"Apikey": {"nonsense"}}, change: func(c *config) { c.Anonymous = proto.String("c2") }, want: "c2 anonymous"},
		{name: "anonymous is not needed", header: http.Header{"Apikey": {"secret"}}, change: func(c *config) { c.Anonymous = proto.String("c2") }, want: "c1"},
		{name: "anonymous is unknown", change: func(c *config) { c.Anonymous = proto.String("ghost") }, want: "anonymous consumer ghost is configured but doesn't exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := &config{KeyNames: []string{"apikey"}, KeyInHeader: true, KeyInQuery: true, RunOnPreflight: true}
			if tt.change != nil {
				tt.change(cfg)
			}
			h, err := keyauth.New(cfg, plugintest.Env(t, "key-auth", consumers(t)))
			if err != nil {
				t.Fatal(err)
			}
			method, target := tt.method, tt.target
			if method == "" {
				method = "GET"
			}
			if target == "" {
				target = "/"
			}
			r := plugintest.Request(t, method, target, tt.body)
			for name, values := range tt.header {
				r.Header[name] = values
			}
			got := outcome(r, h.Access(r))
			if got != tt.want {
				t.Errorf("outcome is %q, want %q", got, tt.want)
			}
			if !cfg.HideCredentials {
				return
			}
			if r.Upstream.Query != tt.query {
				t.Errorf("the query that goes upstream is %q, want %q", r.Upstream.Query, tt.query)
			}
			rest, err := r.Body(0)
			if err != nil || string(rest) != tt.rest {
				t.Errorf("the body that goes upstream is %q, %v; want %q", rest, err, tt.rest)
			}
		})
	}
}

func outcome(r *plugin.Request, err error) string {
	var reject *plugin.Reject
	switch {
	case errors.As(err, &reject):
		if reject.Header.Get("WWW-Authenticate") != "Key" {
			return "no challenge"
		}
		return "401 " + reject.Message
	case err != nil:
		return err.Error()
	case r.Consumer == nil:
		return ""
	case r.Credential == nil:
		return r.Consumer.ID + " anonymous"
	}
	return r.Consumer.ID
}

// The upstream learns who calls, and a client cannot claim to be somebody.
func TestIdentityHeaders(t *testing.T) {
	cfg := &pluginpb.KeyAuth{KeyNames: []string{"apikey"}, KeyInHeader: true, HideCredentials: true, Anonymous: proto.String("nobody"), Realm: proto.String("here")}
	h, err := keyauth.New(cfg, plugintest.Env(t, "key-auth", consumers(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		key  string
		want http.Header
	}{
		{"secret", http.Header{
			"X-Consumer-Id": {"c1"}, "X-Consumer-Username": {"bob"}, "X-Consumer-Custom-Id": {"b-7"}, "X-Credential-Identifier": {"k1"},
		}},
		{"nonsense", http.Header{
			"X-Consumer-Id": {"c2"}, "X-Consumer-Username": {"nobody"}, "X-Anonymous-Consumer": {"true"},
		}},
	} {
		r := plugintest.Request(t, "GET", "/", "")
		r.Header = http.Header{"Apikey": {tt.key}, "X-Consumer-Custom-Id": {"forged"}, "X-Anonymous-Consumer": {"forged"}}
		if err := h.Access(r); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, r.Header); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.key, diff)
		}
	}
}

func TestRealm(t *testing.T) {
	cfg := &pluginpb.KeyAuth{KeyNames: []string{"apikey"}, KeyInHeader: true, RunOnPreflight: true, Realm: proto.String("here")}
	h, err := keyauth.New(cfg, plugintest.Env(t, "key-auth", nil))
	if err != nil {
		t.Fatal(err)
	}
	var reject *plugin.Reject
	if err := h.Access(plugintest.Request(t, "GET", "/", "")); !errors.As(err, &reject) {
		t.Fatal(err)
	}
	if got, want := reject.Header.Get("WWW-Authenticate"), `Key realm="here"`; got != want {
		t.Errorf("challenge %q, want %q", got, want)
	}
}

// A body beyond the limit is passed on and has no key in it.
func TestLargeBody(t *testing.T) {
	cfg := &pluginpb.KeyAuth{KeyNames: []string{"apikey"}, KeyInBody: true, RunOnPreflight: true}
	h, err := keyauth.New(cfg, plugintest.Env(t, "key-auth", consumers(t)))
	if err != nil {
		t.Fatal(err)
	}
	r := plugintest.Request(t, "POST", "/", "x")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetSource(http.NoBody, plugin.MaxBufferedBody+1)
	if got, want := outcome(r, h.Access(r)), "401 No API key found in request"; got != want {
		t.Errorf("outcome is %q, want %q", got, want)
	}
}

func FuzzBody(f *testing.F) {
	f.Add("application/json", `{"apikey":"x"}`)
	f.Add("application/x-www-form-urlencoded", "apikey=x&b=%")
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"apikey\"\r\n\r\nx\r\n--b--\r\n")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		cfg := &pluginpb.KeyAuth{KeyNames: []string{"apikey"}, KeyInBody: true, HideCredentials: true, RunOnPreflight: true}
		h, err := keyauth.New(cfg, plugintest.Env(t, "key-auth", nil))
		if err != nil {
			t.Fatal(err)
		}
		r := plugintest.Request(t, "POST", "/", body)
		r.Header.Set("Content-Type", contentType)
		first := outcome(r, h.Access(r))
		if !strings.HasPrefix(first, "401 ") {
			return // the key could not be taken out
		}
		// What was taken out is gone.
		if again := outcome(r, h.Access(r)); first == "401 Unauthorized" && again != "401 No API key found in request" {
			t.Errorf("found %q, then %q", first, again)
		}
	})
}
