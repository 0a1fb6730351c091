package exchange_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/exchange"
)

const chat = `{"messages":[{"role":"user","content":"hi"}]}`

// counted counts how often bodies are read.
type counted struct {
	*client.OpenAI
	reads *int
}

func (c counted) Read(in client.Incoming, into *llm.Request) error {
	*c.reads++
	return c.OpenAI.Read(in, into)
}

func TestInspectReadsOnce(t *testing.T) {
	r := plugintest.Request(t, http.MethodPost, "/", chat)
	reads := 0
	format := counted{OpenAI: client.NewOpenAI(llm.Chat, ""), reads: &reads}
	first, err := exchange.Inspect(r, format, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Another instance's format is another value, and reads alike.
	second, err := exchange.Inspect(r, client.NewOpenAI(llm.Chat, ""), 1<<10)
	if err != nil || second != first || reads != 1 {
		t.Errorf("the second look: same %t, %d reads, error %v; want the first's", second == first, reads, err)
	}
	a, errA := first.Chat()
	b, errB := second.Chat()
	if errA != nil || errB != nil || a != b {
		t.Errorf("chats are %p and %p (%v, %v), want one", a, b, errA, errB)
	}
	// One that looks for more does not.
	other, err := exchange.Inspect(r, client.NewOpenAI(llm.Chat, "api_key"), 0)
	if err != nil || other == first {
		t.Errorf("another format: same %t, error %v; want a view of its own", other == first, err)
	}
	r.SetBody([]byte(`{"messages":[{"role":"user","content":"ho"}]}`))
	replaced, err := exchange.Inspect(r, format, 0)
	if err != nil || replaced == first || !strings.Contains(string(replaced.Body), "ho") || reads != 2 {
		t.Errorf("after SetBody: same %t, %d reads, error %v; want the new body", replaced == first, reads, err)
	}
	if exchange.Of(r) != nil {
		t.Error("a look began an exchange")
	}
	e := &exchange.Exchange{}
	exchange.Begin(r, e)
	if exchange.Of(r) != e {
		t.Error("the exchange that was begun is not there")
	}
}

func TestInspectContentTypes(t *testing.T) {
	for _, tt := range []struct {
		name, kind, body string
		route            llm.Route
		limit            int64
		want             string // the body as it is seen; empty: an error
		told             error  // which one, when it matters
		after            string // the type afterwards
	}{
		{name: "json", kind: "application/json; charset=utf-8", body: chat, want: chat, after: "application/json; charset=utf-8"},
		{name: "json of a kind", kind: "Application/vnd.x+JSON", body: chat, want: chat, after: "Application/vnd.x+JSON"},
		{name: "no type", body: chat, want: chat, after: "application/json"},
		{name: "no type, preserved", body: chat, route: llm.Preserve, want: chat},
		{name: "form", kind: "application/x-www-form-urlencoded", body: "prompt=a+b", want: `{"prompt":"a b"}`, after: "application/json"},
		{name: "text", kind: "text/plain", body: chat, told: client.ErrUnreadable},
		{name: "broken", kind: "application/json", body: chat[1:], told: client.ErrUnreadable},
		{name: "an array", kind: "application/json", body: "[]", told: client.ErrUnreadable},
		{name: "none", kind: "application/json", told: client.ErrUnreadable},
		{name: "at the limit", body: chat, limit: int64(len(chat)), want: chat, after: "application/json"},
		{name: "over the limit", body: chat, limit: int64(len(chat)) - 1, told: client.ErrUnreadable},
		{name: "twice", body: `{"messages":[],"messages":[]}`},
		{name: "another case", body: `{"messages":[],"Model":"a"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := plugintest.Request(t, http.MethodPost, "/", tt.body)
			if tt.kind != "" {
				r.Header.Set("Content-Type", tt.kind)
			}
			route := tt.route
			if route == "" {
				route = llm.Chat
			}
			got, err := exchange.Inspect(r, client.NewOpenAI(route, ""), tt.limit)
			if tt.want == "" {
				if _, ok := errors.AsType[*client.Error](err); !ok || tt.told != nil && err != tt.told {
					t.Fatalf("error %v, want one for the client: %v", err, tt.told)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Body) != tt.want || r.Header.Get("Content-Type") != tt.after {
				t.Errorf("body %s of type %q, want %s of %q", got.Body, r.Header.Get("Content-Type"), tt.want, tt.after)
			}
		})
	}
	t.Run("multipart", func(t *testing.T) {
		r := plugintest.Request(t, http.MethodPost, "/", "--x--")
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		got, err := exchange.Inspect(r, client.NewOpenAI(llm.Chat, ""), 0)
		if err != nil || got.Body != nil || got.Decoder != nil {
			t.Errorf("%+v, %v; want a call without a body", got, err)
		}
	})
	t.Run("client leaves", func(t *testing.T) {
		r := plugintest.Request(t, http.MethodPost, "/", "")
		r.SetSource(io.NopCloser(io.MultiReader(strings.NewReader("{"), broken{})), 100)
		_, err := exchange.Inspect(r, client.NewOpenAI(llm.Chat, ""), 0)
		if _, ok := errors.AsType[*plugin.ClientError](err); !ok {
			t.Errorf("error %v, want the client's", err)
		}
	})
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
