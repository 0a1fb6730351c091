package aiproxy_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	compare "github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiproxy"
)

// replay runs a streamed call through the handler alone, where the pieces that an
// answer comes in are the test's to choose, and gives what the caller gets.
func replay(t testing.TB, h *aiproxy.Handler, target, body string, s script, pieces []string) string {
	t.Helper()
	r := plugintest.Request(t, http.MethodPost, target, body)
	r.Header.Set("Content-Type", "application/json")
	if err := h.Access(r); err != nil {
		t.Fatal(err)
	}
	plugintest.Respond(r, s.status, http.Header{"Content-Type": {s.kind}}, "")
	if err := h.Header(r); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, piece := range pieces {
		passed, err := h.Body(r, []byte(piece), false)
		out.Write(passed)
		if err != nil {
			return out.String() + "-- broken off: " + err.Error()
		}
	}
	if s.cut {
		out.Write(h.Cut(r, io.ErrUnexpectedEOF))
		return out.String() + "-- cut --"
	}
	passed, err := h.Body(r, nil, true)
	out.Write(passed)
	if err != nil {
		out.WriteString("-- broken off: " + err.Error())
	}
	return out.String()
}

// handler builds a handler for callers of a format.
func (v *vendorSetup) handler(t testing.TB, format string) *aiproxy.Handler {
	t.Helper()
	return build(t, v.config(format, "http://127.0.0.1:1"))
}

// cutByChance cuts a text at n places of chance.
func cutByChance(rng *rand.Rand, text string, n int) []string {
	places := []int{0, len(text)}
	for range n {
		places = append(places, rng.IntN(len(text)+1))
	}
	slices.Sort(places)
	var out []string
	for i := range len(places) - 1 {
		if part := text[places[i]:places[i+1]]; part != "" {
			out = append(out, part)
		}
	}
	return out
}

// TestProviderSplits checks that what a caller gets of a stream does not depend on
// the pieces that it came in: one cut at many places of each stream, and many cuts
// at places of chance.
func TestProviderSplits(t *testing.T) {
	for _, v := range vendors {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(len(v.name)), 7))
			paths, err := filepath.Glob(filepath.Join("testdata", "providers", v.name, "*.script"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				name := strings.TrimSuffix(filepath.Base(path), ".script")
				kind, _, _ := strings.Cut(name, ".")
				if !caseKinds[kind].streams {
					continue
				}
				s := readScript(t, path)
				for _, format := range v.callers(kind) {
					h := v.handler(t, format)
					target, body := v.call(t, format, kind)
					play := func(pieces []string) string { return invented(replay(t, h, target, body, s, pieces)) }
					want := play([]string{s.body})
					check := func(pieces []string) bool {
						got := play(pieces)
						if got != want {
							t.Errorf("%s, %s, in the pieces %q (-whole +pieces):\n%s", name, format, pieces, compare.Diff(want, got))
						}
						return got == want
					}
					// Every place is cut by the pieces of one byte of TestProviders.
					step := 7
					if name != "stream-tools" {
						step = 61
					}
					for at := 1 + rng.IntN(step); at < len(s.body); at += step {
						if !check([]string{s.body[:at], s.body[at:]}) {
							break
						}
					}
					for n := 1; n <= 64; n *= 2 {
						if !check(cutByChance(rng, s.body, n)) {
							break
						}
					}
				}
			}
		})
	}
}

// fragment is a part of what a provider streams: the opening of a call, a piece of
// its arguments, or its end.
type fragment struct {
	call  int
	opens bool
	ends  bool
	text  string
}

// A call that a provider asks for.
type toolCall struct{ ID, Arguments string }

// interleave writes the pieces of calls in an order of chance, in which the pieces
// of each stay in theirs. Calls open in their order.
func interleave(rng *rand.Rand, calls []toolCall) []fragment {
	queues := make([][]fragment, len(calls))
	for i, call := range calls {
		queues[i] = append(queues[i], fragment{call: i, opens: true})
		for rest := []rune(call.Arguments); len(rest) > 0; {
			n := 1 + rng.IntN(len(rest)) // no character is cut, since each piece is a text
			queues[i] = append(queues[i], fragment{call: i, text: string(rest[:n])})
			rest = rest[n:]
		}
		queues[i] = append(queues[i], fragment{call: i, ends: true})
	}
	var out []fragment
	opened := 0
	for {
		var ready []int
		for i, q := range queues {
			if len(q) > 0 && i <= opened {
				ready = append(ready, i)
			}
		}
		if len(ready) == 0 {
			return out
		}
		i := ready[rng.IntN(len(ready))]
		if queues[i][0].opens {
			opened++
		}
		out = append(out, queues[i][0])
		queues[i] = queues[i][1:]
	}
}

// quoted is a text as JSON.
func quoted(text string) string { return string(llm.AppendQuoted(nil, text)) }

// interleavers write a stream with calls in which their pieces interleave as far
// as the vendor's format allows that.
var interleavers = map[string]func([]fragment, []toolCall) script{
	"openai": openAIInterleaved, "azure": openAIInterleaved, "vllm": openAIInterleaved, "deepseek": openAIInterleaved,
	"mistral-openai": openAIInterleaved, "huggingface": openAIInterleaved, "dashscope": openAIInterleaved,
	"bedrock": func(fragments []fragment, calls []toolCall) script {
		var out []byte
		add := func(event, payload string) {
			out = llm.AppendFrame(out, event, "application/json", []byte(payload))
		}
		add("messageStart", `{"role":"assistant"}`)
		for _, f := range fragments {
			block := fmt.Sprintf(`{"contentBlockIndex":%d`, f.call+1)
			switch {
			case f.opens:
				add("contentBlockStart", block+`,"start":{"toolUse":{"toolUseId":`+quoted(calls[f.call].ID)+`,"name":"stock"}}}`)
			case f.ends:
				add("contentBlockStop", block+`}`)
			default:
				add("contentBlockDelta", block+`,"delta":{"toolUse":{"input":`+quoted(f.text)+`}}}`)
			}
		}
		add("messageStop", `{"stopReason":"tool_use"}`)
		add("metadata", `{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}`)
		return script{status: 200, kind: "application/vnd.amazon.eventstream", body: string(out)}
	},
	"cohere-v2": func(fragments []fragment, calls []toolCall) script {
		var out strings.Builder
		add := func(kind, more string) {
			fmt.Fprintf(&out, "event: %s\ndata: {\"type\":%q%s}\n\n", kind, kind, more)
		}
		add("message-start", `,"id":"c-1","delta":{"message":{"role":"assistant"}}`)
		for _, f := range fragments {
			index := fmt.Sprintf(`,"index":%d`, f.call)
			switch {
			case f.opens:
				add("tool-call-start", index+`,"delta":{"message":{"tool_calls":{"id":`+quoted(calls[f.call].ID)+`,"type":"function","function":{"name":"stock","arguments":""}}}}`)
			case f.ends:
				add("tool-call-end", index)
			default:
				add("tool-call-delta", index+`,"delta":{"message":{"tool_calls":{"function":{"arguments":`+quoted(f.text)+`}}}}`)
			}
		}
		add("message-end", `,"delta":{"finish_reason":"TOOL_CALL","usage":{"billed_units":{"input_tokens":3,"output_tokens":4}}}`)
		return script{status: 200, kind: "text/event-stream", body: out.String()}
	},
	// Anthropic's blocks follow each other; so do the pieces here, call by call.
	"anthropic": func(fragments []fragment, calls []toolCall) script {
		fragments = slices.Clone(fragments)
		slices.SortStableFunc(fragments, func(a, b fragment) int { return cmp.Compare(a.call, b.call) })
		var out strings.Builder
		add := func(kind, more string) {
			fmt.Fprintf(&out, "event: %s\ndata: {\"type\":%q%s}\n\n", kind, kind, more)
		}
		add("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],"usage":{"input_tokens":3,"output_tokens":1}}`)
		for _, f := range fragments {
			index := fmt.Sprintf(`,"index":%d`, f.call)
			switch {
			case f.opens:
				add("content_block_start", index+`,"content_block":{"type":"tool_use","id":`+quoted(calls[f.call].ID)+`,"name":"stock","input":{}}`)
			case f.ends:
				add("content_block_stop", index)
			default:
				add("content_block_delta", index+`,"delta":{"type":"input_json_delta","partial_json":`+quoted(f.text)+`}`)
			}
		}
		add("message_delta", `,"delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":4}`)
		add("message_stop", "")
		return script{status: 200, kind: "text/event-stream", body: out.String()}
	},
	// Gemini's and Ollama's calls come whole, one or more in an event.
	"gemini": func(fragments []fragment, calls []toolCall) script {
		var out strings.Builder
		var parts []string
		for i, call := range calls {
			parts = append(parts, `{"functionCall":{"id":`+quoted(call.ID)+`,"name":"stock","args":`+call.Arguments+`}}`)
			// The order of chance says which calls share an event.
			if i == len(calls)-1 || fragments[i+1].text == "" {
				fmt.Fprintf(&out, "data: {\"candidates\":[{\"content\":{\"parts\":[%s]}}],\"responseId\":\"r1\"}\r\n\r\n", strings.Join(parts, ","))
				parts = nil
			}
		}
		out.WriteString("data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":4}}\r\n\r\n")
		return script{status: 200, kind: "text/event-stream", body: out.String()}
	},
	"ollama": func(fragments []fragment, calls []toolCall) script {
		var out strings.Builder
		var parts []string
		for i, call := range calls {
			parts = append(parts, `{"id":`+quoted(call.ID)+`,"function":{"name":"stock","arguments":`+call.Arguments+`}}`)
			if i == len(calls)-1 || fragments[i+1].text == "" {
				fmt.Fprintf(&out, "{\"model\":\"m-1\",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[%s]},\"done\":false}\n", strings.Join(parts, ","))
				parts = nil
			}
		}
		out.WriteString("{\"model\":\"m-1\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done_reason\":\"stop\",\"done\":true,\"prompt_eval_count\":3,\"eval_count\":4}\n")
		return script{status: 200, kind: "application/x-ndjson", body: out.String()}
	},
}

func openAIInterleaved(fragments []fragment, calls []toolCall) script {
	var out strings.Builder
	add := func(choices, more string) {
		fmt.Fprintf(&out, "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"m-1\",\"choices\":[%s]%s}\n\n", choices, more)
	}
	delta := func(delta, finish string) string {
		return `{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}`
	}
	add(delta(`{"role":"assistant","content":null}`, "null"), "")
	for _, f := range fragments {
		switch {
		case f.opens:
			add(delta(fmt.Sprintf(`{"tool_calls":[{"index":%d,"id":%s,"type":"function","function":{"name":"stock","arguments":""}}]}`, f.call, quoted(calls[f.call].ID)), "null"), "")
		case !f.ends:
			add(delta(fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}`, f.call, quoted(f.text)), "null"), "")
		}
	}
	add(delta("{}", `"tool_calls"`), "")
	add("", `,"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}`)
	out.WriteString("data: [DONE]\n\n")
	return script{status: 200, kind: "text/event-stream", body: out.String()}
}

// joinedCalls are the calls that a caller puts together from a stream.
func joinedCalls(stream string) ([]toolCall, error) {
	var calls []toolCall
	block := -1
	err := streamEvents(stream, func(_ string, data []byte) error {
		if string(data) == "[DONE]" {
			return nil
		}
		var e struct {
			Choices []struct {
				Delta struct {
					Calls []struct {
						Index    int
						ID       string
						Function struct{ Arguments string }
					} `json:"tool_calls"`
				}
			}
			Type  string
			Block struct{ Type, ID string } `json:"content_block"`
			Delta struct {
				Partial string `json:"partial_json"`
			}
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		for _, choice := range e.Choices {
			for _, call := range choice.Delta.Calls {
				for len(calls) <= call.Index {
					calls = append(calls, toolCall{})
				}
				calls[call.Index].ID += call.ID
				calls[call.Index].Arguments += call.Function.Arguments
			}
		}
		if e.Type == "content_block_start" && e.Block.Type == "tool_use" {
			calls, block = append(calls, toolCall{ID: e.Block.ID}), len(calls)
		}
		if block >= 0 {
			calls[block].Arguments += e.Delta.Partial
		}
		return nil
	})
	return calls, err
}

// TestProviderInterleaving checks that callers get calls whole and in order in
// whatever order their pieces come, and whatever pieces the bytes come in.
func TestProviderInterleaving(t *testing.T) {
	calls := []toolCall{
		{"call_a1", `{"sku":"chair","n":12345678901234567890}`},
		{"call_b2", `{"sku":"\"bed\", 数","deep":{"a":[1,2,{}]}}`},
		{"call_c3", `{}`},
	}
	for _, v := range vendors {
		write := interleavers[v.name]
		if write == nil {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for _, format := range []string{"openai", "anthropic"} {
				h := v.handler(t, format)
				target, body := v.call(t, format, "stream-tools")
				for seed := range uint64(60) {
					rng := rand.New(rand.NewPCG(seed, 1))
					some := calls[:2+seed%2]
					s := write(interleave(rng, some), some)
					got := replay(t, h, target, body, s, cutByChance(rng, s.body, 9))
					var failed bool
					var err error
					if format == "anthropic" {
						failed, err = anthropicStream(got, v.own == format)
					} else {
						failed, err = openAIStream(got, v.passes)
					}
					if err != nil || failed {
						t.Fatalf("%s, seed %d: %v, failed %v in\n%s\nof\n%s", format, seed, err, failed, got, s.body)
					}
					joined, err := joinedCalls(got)
					if err != nil {
						t.Fatal(err)
					}
					if diff := compare.Diff(some, joined); diff != "" {
						t.Fatalf("%s, seed %d (-want +got):\n%s\nin\n%s", format, seed, diff, got)
					}
				}
			}
		})
	}
}
