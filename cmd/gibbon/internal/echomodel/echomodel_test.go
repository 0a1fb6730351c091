package echomodel

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server until the test ends and returns its base URL.
func start(t *testing.T, cfg Config) string {
	t.Helper()
	base, stop := startStoppable(t, cfg)
	t.Cleanup(stop)
	return base
}

// startStoppable is start for tests that stop the server themselves. stop
// returns after Run has.
func startStoppable(t *testing.T, cfg Config) (base string, stop func()) {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return "http://" + s.Addr().String(), func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	}
}

// newClient returns a client with connections of its own.
func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func newRequest(t *testing.T, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// do sends a request and reads the answer to its end.
func do(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	resp, err := newClient(t).Do(newRequest(t, method, url, body, headers...))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read body: %v", method, url, err)
	}
	return resp, string(got)
}

const (
	chatPath  = "/v1/chat/completions"
	walk      = `{"messages":[{"role":"system","content":"你是一名数学家。"},{"role":"user","content":"1 + 1 = ?"}],"model":"gpt-4-32k","max_tokens":512,"temperature":1.0}`
	weather   = `"tools":[{"type":"function","function":{"name":"weather","description":"Weather in a town","parameters":{"type":"object","properties":{"town":{"type":"string"},"days":{"type":"integer","minimum":1},"unit":{"enum":["C","F"]}},"required":["town"]}}},{"type":"function","function":{"name":"now"}}]`
	askJSON   = `{"model":"m","messages":[{"role":"user","content":"Paris <&> \"今天\" 👩‍👩‍👧"}]`
	longWords = `{"model":"m","messages":[{"role":"user","content":"one two three four five six"}]`
)

// TestGolden pins the bytes of answers: testdata/<name>.golden holds the
// status, the content type and the body.
func TestGolden(t *testing.T) {
	golden(t, start(t, Config{}), []goldenCase{
		{name: "root", method: "GET", path: "/"},
		{name: "models", method: "GET", path: "/v1/models"},

		{name: "chat", path: chatPath, body: walk},
		{name: "chat_stream", path: chatPath, body: askJSON + `,"stream":true}`},
		{name: "chat_stream_usage", path: chatPath, body: longWords + `,"stream":true,"stream_options":{"include_usage":true},"max_tokens":3}`},
		{name: "chat_stream_n", path: chatPath, body: `{"model":"m","n":2,"stream":true,"messages":[{"role":"user","content":"hi"}]}`},
		{name: "chat_n_length", path: chatPath, body: longWords + `,"n":2,"max_tokens":100,"max_completion_tokens":2}`},
		{name: "chat_stop", path: chatPath, body: longWords + `,"stop":["nowhere"," three"]}`},
		{name: "chat_stop_string", path: chatPath, body: longWords + `,"stop":"one"}`},
		{name: "chat_parts", path: chatPath, body: `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"看"},{"type":"image_url","image_url":{"url":"data:,"}},{"type":"input_audio","input_audio":{"data":"","format":"wav"}},{"type":"file","file":{"filename":"a.pdf"}},{"type":"file","file":{"file_id":"f"}}]},{"role":"assistant","content":null}]}`},
		{name: "chat_no_user", path: chatPath, body: `{"model":"m","messages":[{"role":"system","content":"alone"}]}`},
		{name: "chat_json_object", path: chatPath, body: askJSON + `,"response_format":{"type":"json_object"}}`},
		{name: "chat_json_schema", path: chatPath, body: askJSON + `,"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object","properties":{"b":{"type":["string","null"]},"a":{"type":"array","minItems":2,"items":{"type":"boolean"}},"c":{"anyOf":[{"type":"null"},{"type":"string"}]},"d":{"const": {"x" : 1}},"e":{"default":[ ]},"f":{"type":"array","items":true},"g":true}}}}}`},
		{name: "tool_auto", path: chatPath, body: askJSON + `,` + weather + `,"tool_choice":"auto"}`},
		{name: "tool_required", path: chatPath, body: askJSON + `,` + weather + `,"tool_choice":"required"}`},
		{name: "tool_named", path: chatPath, body: askJSON + `,` + weather + `,"n":2,"tool_choice":{"type":"function","function":{"name":"now"}}}`},
		{name: "tool_allowed", path: chatPath, body: askJSON + `,` + weather + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"now"}}]}}}`},
		{name: "tool_stream", path: chatPath, body: askJSON + `,` + weather + `,"stream":true,"stream_options":{"include_usage":true},"tool_choice":"required"}`},
		{name: "tool_length", path: chatPath, body: askJSON + `,` + weather + `,"max_tokens":4,"tool_choice":"required"}`},

		{name: "completion", path: "/v1/completions", body: `{"model":"m","prompt":"从前有座山"}`},
		{name: "completion_many", path: "/v1/completions", body: `{"model":"m","prompt":["a b c d","e"],"n":2,"max_tokens":4}`},
		{name: "completion_tokens", path: "/v1/completions", body: `{"model":"m","prompt":[[1,22],[333]]}`},
		{name: "completion_stream", path: "/v1/completions", body: `{"model":"m","prompt":["a b","🇫🇷"],"stream":true,"stream_options":{"include_usage":true}}`},

		{name: "embedding_float", path: "/v1/embeddings", body: `{"model":"e","input":["hello world","你好"],"dimensions":4}`},
		{name: "embedding_base64", path: "/v1/embeddings", body: `{"model":"e","input":"hello world","dimensions":4,"encoding_format":"base64"}`},
		{name: "embedding_tokens", path: "/v1/embeddings", body: `{"model":"e","input":[1,2,3],"dimensions":2}`},

		{name: "error_json", path: chatPath, body: `{"model":`},
		{name: "error_not_object", path: chatPath, body: `[]`},
		{name: "error_utf8", path: chatPath, body: "{\"model\":\"\xff\"}"},
		{name: "error_kind", path: chatPath, body: `{"model":"m","max_tokens":"512","messages":[{"role":"user","content":"x"}]}`},
		{name: "error_no_model", path: chatPath, body: `{"messages":[{"role":"user","content":"x"}]}`},
		{name: "error_no_messages", path: chatPath, body: `{"model":"m"}`},
		{name: "error_role", path: chatPath, body: `{"model":"m","messages":[{"role":"robot","content":"x"}]}`},
		{name: "error_content", path: chatPath, body: `{"model":"m","messages":[{"role":"user","content":7}]}`},
		{name: "error_part", path: chatPath, body: `{"model":"m","messages":[{"role":"user","content":[{"type":"smell"}]}]}`},
		{name: "error_max_tokens", path: chatPath, body: longWords + `,"max_tokens":0}`},
		{name: "error_n", path: chatPath, body: longWords + `,"n":129}`},
		{name: "error_temperature", path: chatPath, body: longWords + `,"temperature":2.5}`},
		{name: "error_stop", path: chatPath, body: longWords + `,"stop":["a","b","c","d","e"]}`},
		{name: "error_stream_options", path: chatPath, body: longWords + `,"stream_options":{"include_usage":true}}`},
		{name: "error_tool_choice", path: chatPath, body: longWords + `,"tool_choice":"required"}`},
		{name: "error_tool_unknown", path: chatPath, body: longWords + `,` + weather + `,"tool_choice":{"type":"function","function":{"name":"fly"}}}`},
		{name: "error_prompt", path: "/v1/completions", body: `{"model":"m","prompt":{"a":1}}`},
		{name: "error_no_prompt", path: "/v1/completions", body: `{"model":"m"}`},
		{name: "error_input", path: "/v1/embeddings", body: `{"model":"m","input":""}`},
		{name: "error_dimensions", path: "/v1/embeddings", body: `{"model":"m","input":"a","dimensions":3073}`},
		{name: "error_encoding", path: "/v1/embeddings", body: `{"model":"m","input":"a","encoding_format":"hex"}`},
		{name: "error_path", path: "/v1/nothing", body: `{}`},
		{name: "error_method", method: "GET", path: chatPath},
		{name: "error_header", path: chatPath, body: walk, headers: []string{HeaderStatus, "200"}},
		{name: "error_header_text", path: chatPath, body: walk, headers: []string{HeaderLatency, "soon"}},
		{name: "status_401", path: chatPath, body: walk, headers: []string{HeaderStatus, "401"}},
		{name: "status_429", path: chatPath, body: walk, headers: []string{HeaderStatus, "429"}},
		{name: "status_503", path: chatPath, body: `not read`, headers: []string{HeaderStatus, "503"}},
	})
}

// goldenCase is a request whose answer is kept in testdata. Bytes that are no text
// are kept quoted.
type goldenCase struct {
	name, method, path, body string
	headers                  []string
}

func golden(t *testing.T, base string, cases []goldenCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			if tt.method == "" {
				tt.method = http.MethodPost
			}
			resp, body := do(t, tt.method, base+tt.path, tt.body, tt.headers...)
			shown := body
			if !utf8.ValidString(body) {
				shown = strconv.Quote(body)
			}
			got := fmt.Sprintf("%d\n%s\n\n%s", resp.StatusCode, resp.Header.Get("Content-Type"), shown)
			again, body2 := do(t, tt.method, base+tt.path, tt.body, tt.headers...)
			if body2 != body || again.Header.Get("X-Request-Id") != resp.Header.Get("X-Request-Id") {
				t.Errorf("the same request was answered differently:\n%s\n%s", body, body2)
			}
			path := filepath.Join("testdata", tt.name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s %s %s (-want +got):\n%s", tt.method, tt.path, tt.body, diff)
			}
		})
	}
}

func TestRefusalHeaders(t *testing.T) {
	base := start(t, Config{})
	resp, _ := do(t, "PUT", base+"/_echo/requests", "")
	if got, want := resp.Header.Get("Allow"), "DELETE, GET"; got != want {
		t.Errorf("PUT /_echo/requests: Allow = %q, want %q", got, want)
	}
	resp, _ = do(t, "POST", base+chatPath, walk, HeaderStatus, "429")
	if got, want := resp.Header.Get("Retry-After"), "1"; got != want {
		t.Errorf("status 429: Retry-After = %q, want %q", got, want)
	}
	resp, body := do(t, "HEAD", base+"/v1/models", "")
	if resp.StatusCode != 200 || body != "" {
		t.Errorf("HEAD /v1/models = %d %q, want 200 and no body", resp.StatusCode, body)
	}
}

func TestTooLarge(t *testing.T) {
	base := start(t, Config{})
	req := newRequest(t, "POST", base+chatPath, "")
	req.Body = io.NopCloser(io.LimitReader(zeros{}, MaxBody+1))
	resp, err := newClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body errorBody
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusRequestEntityTooLarge || body.Error.Type != "invalid_request_error" {
		t.Errorf("%d bytes: status %d, error %+v", MaxBody+1, resp.StatusCode, body.Error)
	}
	if all := requests(t, base); len(all) != 1 || !all[0].Truncated || all[0].Body != "" {
		t.Errorf("recorded %d requests, truncated %v", len(all), all[0].Truncated)
	}

	// An answer may not outgrow a request by much either.
	text := strings.Repeat("a", 1<<19)
	resp, got := do(t, "POST", base+chatPath, `{"model":"m","n":128,"messages":[{"role":"user","content":"`+text+`"}]}`)
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(got, `"param":"n"`) {
		t.Errorf("128 large choices: status %d, body starts %.200s", resp.StatusCode, got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestEmbeddings(t *testing.T) {
	base := start(t, Config{})
	fetch := func(body string) (out []json.RawMessage) {
		_, got := do(t, "POST", base+"/v1/embeddings", body)
		var e embeddings
		if err := json.Unmarshal([]byte(got), &e); err != nil {
			t.Fatal(err)
		}
		for _, item := range e.Data {
			out = append(out, item.Embedding)
		}
		return out
	}
	floats := fetch(`{"model":"e","input":["the cat sat","the cat SAT","sat the cat","quantum physics"]}`)
	packed := fetch(`{"model":"e","input":"the cat sat","encoding_format":"base64"}`)

	vectors := make([][]float32, len(floats))
	for i, raw := range floats {
		if err := json.Unmarshal(raw, &vectors[i]); err != nil {
			t.Fatal(err)
		}
		if len(vectors[i]) != defaultDimensions {
			t.Errorf("vector %d has %d dimensions, want %d", i, len(vectors[i]), defaultDimensions)
		}
		if length := dot(vectors[i], vectors[i]); math.Abs(length-1) > 1e-5 {
			t.Errorf("vector %d has length %v, want 1", i, length)
		}
	}
	if same := dot(vectors[0], vectors[1]); same < 0.9999 {
		t.Errorf("case changes the vector: cosine %v", same)
	}
	if same := dot(vectors[0], vectors[2]); same < 0.9999 {
		t.Errorf("word order changes the vector: cosine %v", same)
	}
	if other := dot(vectors[0], vectors[3]); math.Abs(other) > 0.2 {
		t.Errorf("texts without a common word: cosine %v", other)
	}

	var text string
	if err := json.Unmarshal(packed[0], &text); err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	unpacked := make([]float32, len(data)/4)
	for i := range unpacked {
		unpacked[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	if diff := cmp.Diff(vectors[0], unpacked); diff != "" {
		t.Errorf("base64 and float differ (-float +base64):\n%s", diff)
	}
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestNewRefuses(t *testing.T) {
	taken, err := New(Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"address in use", Config{Listen: taken.Addr().String()}, "address already in use"},
		{"latency", Config{Latency: -1}, "latency"},
		{"pace", Config{TokensPerSecond: math.NaN()}, "tokens per second"},
		{"endless pace", Config{TokensPerSecond: math.Inf(1)}, "tokens per second"},
		{"status", Config{Status: 302}, "status 302"},
		{"reset", Config{ResetAfter: new(int64(-1))}, "reset after"},
		{"stall", Config{StallAfter: new(int64(-1))}, "stall after"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := New(tt.cfg)
			if err == nil {
				t.Fatal(errors.Join(errors.New("New took it"), s.Close()))
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %q, want it to name %q", err, tt.want)
			}
		})
	}
	if err := taken.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if err := taken.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if err := taken.Run(t.Context()); err == nil {
		t.Error("Run after Close = nil, want an error")
	}
}
