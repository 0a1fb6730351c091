package aiproxy_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestRoutes checks what goes up and what comes back for the kinds of calls that
// are no chats.
func TestRoutes(t *testing.T) {
	const form = "--b\r\nContent-Disposition: form-data; name=model\r\n\r\ngpt-4\r\n--b\r\nContent-Disposition: form-data; name=file; filename=a.wav\r\n\r\n\x00\x01\xff\r\n--b--\r\n"
	multipart := http.Header{"Content-Type": {"multipart/form-data; boundary=b"}}
	audio := "ID3" + strings.Repeat("\x00\xff", 3000)
	for _, tt := range []struct {
		name, route, path    string // path: of upstream_url
		method, target, body string
		header               http.Header
		reply                reply
		head, up, want       string // up and want: empty: as they came
		status               int
		logged               string
	}{
		{name: "embeddings", route: "llm/v1/embeddings", path: "/v1/embeddings", method: "POST", target: "/ai", body: `{"input":["a b","c"]}`,
			reply: reply{chunks: []string{`{"object":"list","data":[],"model":"e-1","usage":{"prompt_tokens":3,"total_tokens":3}}`}},
			head:  "POST /v1/embeddings", up: `{"input":["a b","c"],"model":"gpt-4"}`, logged: `"prompt_tokens":3`},
		{name: "responses", route: "llm/v1/responses", path: "/v1/responses", method: "POST", target: "/ai", body: `{"model":"gpt-4","input":"hi"}`,
			reply: reply{chunks: []string{`{"id":"resp_1","object":"response","status":"completed","model":"r-1","output":[],"usage":{"input_tokens":7,"output_tokens":2,"total_tokens":9}}`}},
			head:  "POST /v1/responses", up: "any", logged: `"prompt_tokens":7,"completion_tokens":2`},
		{name: "one response", route: "llm/v1/responses", path: "/v1/responses", method: "GET", target: "/ai/resp_1?include=x",
			reply: reply{chunks: []string{`{"id":"resp_1","object":"response"}`}}, head: "GET /v1/responses/resp_1?include=x"},
		{name: "files", route: "llm/v1/files", path: "/v1/files", method: "GET", target: "/ai", reply: reply{chunks: []string{`{"data":[]}`}}, head: "GET /v1/files"},
		{name: "a file's content", route: "llm/v1/files", path: "/v1/files", method: "GET", target: "/ai/file-1/content",
			reply: reply{kind: "application/octet-stream", chunks: []string{audio[:100], audio[100:]}}, want: audio, head: "GET /v1/files/file-1/content"},
		{name: "a file goes", route: "llm/v1/files", path: "/v1/files", method: "DELETE", target: "/ai/file-1", reply: reply{chunks: []string{`{"deleted":true}`}}, head: "DELETE /v1/files/file-1"},
		{name: "steps upwards go nowhere", route: "llm/v1/files", path: "/v1/files", method: "GET", target: "/ai/..%2f..%2fkeys", reply: reply{chunks: []string{`{}`}}, head: "GET /v1/files/..%2F..%2Fkeys"},
		{name: "batches", route: "llm/v1/batches", path: "/v1/batches", method: "POST", target: "/ai/b_1/cancel", reply: reply{chunks: []string{`{"id":"b_1"}`}}, head: "POST /v1/batches/b_1/cancel"},
		{name: "transcriptions", route: "audio/v1/audio/transcriptions", path: "/v1/audio/transcriptions", method: "POST", target: "/ai", body: form, header: multipart,
			reply: reply{chunks: []string{`{"text":"hello"}`}}, head: "POST /v1/audio/transcriptions"},
		{name: "speech", route: "audio/v1/audio/speech", path: "/v1/audio/speech", method: "POST", target: "/ai", body: `{"model":"gpt-4","input":"hi","voice":"v"}`,
			reply: reply{kind: "audio/mpeg", chunks: []string{audio[:10], audio[10:]}}, want: audio, head: "POST /v1/audio/speech", up: "any"},
		{name: "images", route: "image/v1/images/generations", path: "/v1/images/generations", method: "POST", target: "/ai", body: `{"model":"gpt-4","prompt":"a cat"}`,
			reply: reply{chunks: []string{`{"created":1,"data":[{"b64_json":"AA=="}]}`}}, head: "POST /v1/images/generations", up: "any"},
		{name: "an error", route: "llm/v1/files", path: "/v1/files", method: "GET", target: "/ai/file-2", status: 404,
			reply: reply{status: 404, chunks: []string{`{"error":{"message":"No such File object"}}`}}, head: "GET /v1/files/file-2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := provide(t, tt.reply, false)
			g := serve(t, strings.ReplaceAll(with(t, config(tt.route, ""), `"max_tokens":512,"temperature":1.0,`, ``, "/v1/chat/completions", tt.path), "%s", v.url), "/ai")
			header := http.Header{"Content-Type": {"application/json"}}
			if tt.header != nil {
				header = tt.header
			}
			if tt.body == "" {
				header = http.Header{}
			}
			got := g.do(t, tt.method, tt.target, header, tt.body)
			status, up, want := tt.status, tt.up, tt.want
			if status == 0 {
				status = http.StatusOK
			}
			if up == "" {
				up = tt.body
			}
			if want == "" {
				want = strings.Join(tt.reply.chunks, "")
			}
			if got.status != status || got.body != want || got.broken {
				t.Errorf("status %d, broken %v, body %.300q", got.status, got.broken, got.body)
			}
			line := g.logged(t)
			if !strings.Contains(line, tt.logged) {
				t.Errorf("log %s", line)
			}
			select {
			case s := <-v.seen:
				if s.head != tt.head || up != "any" && s.body != up {
					t.Errorf("%s with %.300q went up, want %s with %.300q", s.head, s.body, tt.head, up)
				}
				if s.header.Get("Authorization") != "Bearer TOP-SECRET" {
					t.Errorf("header %v", s.header)
				}
			default:
				t.Errorf("nothing went up: %s", got.body)
			}
		})
	}
}
