package provider

import (
	"regexp"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// TestOpenAICallsAreCompleted checks that chunks whose calls lack an index, an id
// or a type get them, and that nothing else of them changes.
func TestOpenAICallsAreCompleted(t *testing.T) {
	chunk := func(calls string) string {
		return `{ "x":1, "choices":[{"index":0, "delta":{"content":null, "tool_calls":[` + calls + `]}, "finish_reason":null}], "y":[] }`
	}
	made := regexp.MustCompile(`"call_[0-9A-Za-z]{20,}"`)
	for _, tt := range []struct {
		name         string
		chunks, want []string // the calls; want is the same when it is nil
	}{
		{"whole", []string{
			`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}`,
			`{"index":0, "function":{"arguments":"{}"}}`,
			`{"index":1,"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}`,
		}, nil},
		{"no type", []string{`{"id":"a", "function":{"name":"f","arguments":"{}"}, "index":0},{"id":"b","type":null,"function":{"name":"f","arguments":"{}"},"index":1}`},
			[]string{`{"id":"a", "function":{"name":"f","arguments":"{}"}, "index":0,"type":"function"},{"id":"b","type":"function","function":{"name":"f","arguments":"{}"},"index":1}`}},
		{"no index", []string{
			`{"id":"a","type":"function","function":{"name":"f","arguments":"{"}}`, `{"id":"a","function":{"arguments":"}"}}`,
			`{"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}`,
		}, []string{
			`{"id":"a","type":"function","function":{"name":"f","arguments":"{"},"index":0}`, `{"id":"a","function":{"arguments":"}"},"index":0}`,
			`{"id":"b","type":"function","function":{"name":"f","arguments":"{}"},"index":1}`,
		}},
		{"the same index for all", []string{`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}`, `{"index":0,"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}`},
			[]string{`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}`, `{"index":1,"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}`}},
		{"counted from 1", []string{`{"index":1,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}`, `{"index":1,"function":{"arguments":"}"}}`},
			[]string{`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}`, `{"index":0,"function":{"arguments":"}"}}`}},
		{"no id", []string{`{"index":0,"type":"function","function":{"name":"f","arguments":"{}"}}`},
			[]string{`{"index":0,"type":"function","function":{"name":"f","arguments":"{}"},"id":"MADE"}`}},
		{"no object", []string{`7,{"id":"a","function":{"name":"f","arguments":"{}"}}`}, []string{`7,{"id":"a","function":{"name":"f","arguments":"{}"},"index":0,"type":"function"}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reader := (&OpenAI{}).Stream(&Call{Settings: &Settings{Route: llm.Chat}})
			want := tt.want
			if want == nil {
				want = tt.chunks
			}
			for i, calls := range tt.chunks {
				frame, ok := reader.Read(llm.ServerEvent{Data: []byte(chunk(calls))})
				if !ok {
					t.Fatal("unreadable")
				}
				if got := made.ReplaceAllString(string(frame.Data), `"MADE"`); got != chunk(want[i]) {
					t.Errorf("%s\nwant %s", got, chunk(want[i]))
				}
			}
		})
	}
	t.Run("a whole answer", func(t *testing.T) {
		reader := (&OpenAI{}).Stream(&Call{Settings: &Settings{Route: llm.Chat}})
		frame, ok := reader.Read(llm.ServerEvent{Data: []byte(`{"object":"chat.completion","choices":[{"index":0,"message":{"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}`)})
		const want = `{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"},"index":0},{"id":"b","type":"function","function":{"name":"f","arguments":"{}"},"index":1}]}}]}`
		if !ok || string(frame.Data) != want {
			t.Errorf("%s\nwant %s", frame.Data, want)
		}
	})
}
