package plugin_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
)

type accessOnly struct{ name string }

func (accessOnly) Access(*plugin.Request) error { return nil }

// Phases are found by the methods that a handler has, the configuration by the
// constructor's argument.
func TestOf(t *testing.T) {
	p := plugin.Of("key-auth", func(cfg *pluginpb.KeyAuth, env plugin.Env) (accessOnly, error) {
		if len(cfg.GetKeyNames()) == 0 {
			return accessOnly{}, errors.New("no names")
		}
		return accessOnly{env.Name}, nil
	})
	if p.Name() != "key-auth" || p.Info().GetPriority() != 1250 || p.Config().Name() != "KeyAuth" {
		t.Errorf("name %q, info %v, config %s", p.Name(), p.Info(), p.Config().Name())
	}
	cfg := p.NewConfig()
	if _, err := p.Build(cfg, plugintest.Env(t, "key-auth", nil)); err == nil {
		t.Error("the constructor's error was lost")
	}
	cfg.(*pluginpb.KeyAuth).KeyNames = []string{"apikey"}
	h, err := p.Build(cfg, plugintest.Env(t, "key-auth", nil))
	if err != nil {
		t.Fatal(err)
	}
	if h.Access == nil || h.Header != nil || h.Body != nil || h.Cut != nil || h.Log != nil || h.Close != nil {
		t.Errorf("phases are %+v, want access alone", h)
	}
	if _, err := p.Build(&pluginpb.FileLog{}, plugintest.Env(t, "key-auth", nil)); err == nil {
		t.Error("another plugin's configuration was taken")
	}
}

func withBody(t *testing.T, source io.Reader, length int64) *plugin.Request {
	r := plugintest.Request(t, "POST", "/", "")
	r.SetSource(io.NopCloser(source), length)
	return r
}

func sent(t *testing.T, r *plugin.Request) string {
	t.Helper()
	out := r.OpenBody()
	if out == nil {
		return ""
	}
	data, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestBody(t *testing.T) {
	for _, length := range []int64{10, -1} {
		source := func() io.Reader { return iotest.OneByteReader(strings.NewReader("0123456789")) }
		r := withBody(t, source(), length)
		if r.Rewindable() {
			t.Error("a body that was not read can be sent twice")
		}
		if _, err := r.Body(9); !errors.Is(err, plugin.ErrBodyTooLarge) {
			t.Errorf("length %d, limit 9: %v, want ErrBodyTooLarge", length, err)
		}
		// Nothing of it is lost, neither for a larger limit nor for the upstream.
		if data, err := r.Body(10); string(data) != "0123456789" || err != nil {
			t.Errorf("length %d, limit 10: %q, %v", length, data, err)
		}
		for range 2 {
			if got := sent(t, r); got != "0123456789" || !r.Rewindable() || r.BodyLength() != 10 {
				t.Errorf("sent %q, rewindable %v, length %d", got, r.Rewindable(), r.BodyLength())
			}
		}
		r.SetBody([]byte("new"))
		if data, err := r.Body(0); string(data) != "new" || err != nil || sent(t, r) != "new" || r.BodyLength() != 3 {
			t.Errorf("replaced: %q, %v", data, err)
		}
		r.Reset()

		large := withBody(t, source(), length)
		if _, err := large.Body(4); !errors.Is(err, plugin.ErrBodyTooLarge) {
			t.Errorf("%v, want ErrBodyTooLarge", err)
		}
		if got := sent(t, large); got != "0123456789" {
			t.Errorf("a body beyond the limit is sent as %q", got)
		}
		large.Reset()
	}
	if r := plugintest.Request(t, "GET", "/", ""); r.BodyLength() != 0 || !r.Rewindable() || sent(t, r) != "" {
		t.Error("a request without a body has one")
	}
}

func TestBodyFaults(t *testing.T) {
	broken := errors.New("broken")
	r := withBody(t, io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)), 10)
	for range 2 { // the error stays
		var fault *plugin.ClientError
		if _, err := r.Body(0); !errors.As(err, &fault) || fault.Status != 400 || !errors.Is(err, broken) {
			t.Errorf("%v, want a client's error with status 400", err)
		}
	}
	gone := withBody(t, iotest.ErrReader(broken), 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	gone.SetContext(ctx)
	var fault *plugin.ClientError
	if _, err := gone.Body(0); !errors.As(err, &fault) || fault.Status != 499 {
		t.Errorf("%v, want a client's error with status 499", err)
	}
}

// The memory of a body is not given to another request while a transport may
// still read it.
func TestBodyMemory(t *testing.T) {
	first := withBody(t, strings.NewReader("first"), 5)
	if _, err := first.Body(0); err != nil {
		t.Fatal(err)
	}
	reader := first.OpenBody()
	first.Reset()
	for range 10 {
		other := withBody(t, strings.NewReader("other"), 5)
		if _, err := other.Body(0); err != nil {
			t.Fatal(err)
		}
		defer other.Reset()
	}
	data, err := io.ReadAll(reader)
	if err != nil || string(data) != "first" {
		t.Errorf("read %q, %v", data, err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

func TestReset(t *testing.T) {
	r := plugintest.Request(t, "POST", "/?a=1", "body")
	r.Secret("a")
	r.Exchange = 1
	r.HoldResponse(0)
	r.Log.SetString("x", "ai", "y")
	r.Record.Tries = append(r.Record.Tries, plugin.Try{IP: "127.0.0.1"})
	r.Response.SetBody([]byte("x"))
	r.Reset()
	if got, want := string(r.AppendLog(nil)), string(new(plugin.Request).AppendLog(nil)); got != want {
		t.Errorf("a request that was reset logs %s\nwant %s", got, want)
	}
	if _, held := r.Response.Body(); held || r.Held() != 0 || r.Exchange != nil || r.BodyLength() != 0 || r.Context() != nil {
		t.Error("something is left of the request before")
	}
}

func TestArgs(t *testing.T) {
	for _, tt := range []struct {
		query, without string
		names          []string
	}{
		{"", "", nil},
		{"a=1&b=2", "b=2", []string{"a=1", "b=2"}},
		{"%61=1+2&b", "b", []string{"a=1 2", "b"}},
		{"&&b=1;a=2&a&a=", "b=1;a=2", []string{"b=1;a=2", "a", "a="}},
		{"b=%zz%4", "b=%zz%4", []string{"b=%zz%4"}},
	} {
		var names []string
		for arg := range plugin.Args(tt.query) {
			text := arg.Name
			if !arg.Bare {
				text += "=" + arg.Value
			}
			names = append(names, text)
		}
		if diff := cmp.Diff(tt.names, names); diff != "" {
			t.Errorf("Args(%q) (-want +got):\n%s", tt.query, diff)
		}
		if got := plugin.WithoutArg(tt.query, "a"); got != tt.without {
			t.Errorf("WithoutArg(%q, a) = %q, want %q", tt.query, got, tt.without)
		}
	}
}

func TestConsumers(t *testing.T) {
	c := plugin.NewConsumers()
	c.Add(&entitypb.Consumer{Id: "c1", Username: proto.String("bob")}, nil)
	key := &entitypb.KeyauthCredential{Id: "k1", Key: "secret", Consumer: &entitypb.Reference{Id: "c1"}, ExpiresAt: 1000}
	if err := c.AddKey(key); err != nil {
		t.Fatal(err)
	}
	if err := c.AddKey(&entitypb.KeyauthCredential{Consumer: &entitypb.Reference{Id: "c9"}}); err == nil {
		t.Error("a key of a consumer that is not there was taken")
	}
	for _, tt := range []struct {
		key  string
		at   int64
		want bool
	}{{"secret", 999, true}, {"secret", 1000, false}, {"Secret", 999, false}, {"", 999, false}} {
		found, ok := c.Key(tt.key, time.Unix(tt.at, 0))
		if ok != tt.want || ok && (found.ID != "k1" || found.Consumer.Username != "bob") {
			t.Errorf("Key(%q) at %d = %v, %v", tt.key, tt.at, found, ok)
		}
	}
	for _, ref := range []string{"c1", "bob"} {
		if found, ok := c.Find(ref); !ok || found.ID != "c1" {
			t.Errorf("Find(%q) = %v, %v", ref, found, ok)
		}
	}
	if _, ok := c.Find("alice"); ok {
		t.Error("alice was found")
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\n\x00\x7f\xff\u2028é")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		text := plugin.AppendString(nil, s)
		if err := unmarshal(text, &back); err != nil {
			t.Fatalf("%q is written as %s: %v", s, text, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); strings.ReplaceAll(back, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Errorf("%q came back as %q", s, back)
		}
	})
}
