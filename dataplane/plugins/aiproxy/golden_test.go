package aiproxy_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the files under testdata")

const (
	chatBody = `{"messages":[{"role":"system","content":"你是一名数学家。"},{"role":"user","content":"1 + 1 = ?"}],"temperature":0.1,"user":"u\u0031","seed":12345678901234567890,"top_k":5}`
	chatOK   = `{"id":"chatcmpl-1", "object":"chat.completion","created":1790000000,"model":"gpt-4-0613","choices":[{"index":0,"message":{"role":"assistant","content":"The sum is 2."},"finish_reason":"stop"}],"usage":{"prompt_tokens":25,"completion_tokens":12,"total_tokens":37}}`

	chunkOpen  = `data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-4-0613","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}` + "\n\n"
	chunkText  = `data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-4-0613","choices":[{"index":0,"delta":{"content":"Two, of "},"finish_reason":null}],"usage":null}` + "\n\n"
	chunkMore  = `data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-4-0613","choices":[{"index":0,"delta":{"content":"course."},"finish_reason":null}],"usage":null}` + "\n\n"
	chunkEnd   = `data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-4-0613","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}` + "\n\n"
	chunkUsage = `data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-4-0613","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":4,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":8}}}` + "\n\n"
	endMark    = "data: [DONE]\n\n"
)

// config is an ai-proxy configuration as the control plane completes it. more is
// put in as further members, each with a comma behind it; %s in it is the
// provider's address.
func config(route, more string) string {
	return `{` + more + `"route_type":"` + route + `","auth":{"header_name":"Authorization","header_value":"Bearer TOP-SECRET"},` +
		`"model":{"provider":"openai","name":"gpt-4","options":{"max_tokens":512,"temperature":1.0,"input_cost":10,"output_cost":10,"upstream_url":"%s/v1/chat/completions"}},` +
		`"logging":{"log_statistics":true,"log_payloads":false},"response_streaming":"allow","max_request_body_size":1048576,"model_name_header":true,"llm_format":"openai"}`
}

func TestGolden(t *testing.T) {
	streamBody := strings.Replace(chatBody, `"user":`, `"stream":true,"user":`, 1)
	withUsage := strings.Replace(chatBody, `"user":`, `"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true},"user":`, 1)
	sse := func(chunks ...string) reply { return reply{kind: "text/event-stream; charset=utf-8", chunks: chunks} }
	whole := func(body string) reply { return reply{chunks: pieces(body, 3)} }
	status := func(code int, kind, body string) reply {
		return reply{status: code, kind: kind, chunks: pieces(body, 2)}
	}
	cut := func(r reply) reply { r.cut = true; return r }
	packed := func(r reply) reply { r.packed = true; return r }
	cookie := func(r reply) reply { r.header = "Set-Cookie: __cf=1\r\nX-Request-Id: up-1\r\n"; return r }
	const html = "<html><body>Internal Server Error</body></html>"
	const refused = `{"error":{"message":"Incorrect API key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`
	chat, completions, preserve := config("llm/v1/chat", ""), config("llm/v1/completions", ""), config("preserve", "")
	completionOK := `{"id":"cmpl-1","object":"text_completion","model":"gpt-3.5-turbo-instruct","choices":[{"text":"You cannot.","index":0,"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":3,"total_tokens":11}}`
	completionBody := `{"prompt":"Why can't you divide by zero?"}`
	completionChunk := `data: {"id":"cmpl-1","object":"text_completion","model":"gpt-3.5-turbo-instruct","choices":[{"text":"You cannot.","index":0,"logprobs":null,"finish_reason":null}]}` + "\n\n"
	completionEnd := `data: {"id":"cmpl-1","object":"text_completion","model":"gpt-3.5-turbo-instruct","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}]}` + "\n\n"

	responses := config("llm/v1/responses", "")
	for _, tt := range []struct {
		name, config string
		request      string // body; target and headers below
		target       string
		header       http.Header
		reply        reply
	}{
		{name: "chat", config: chat, request: chatBody, reply: cookie(whole(chatOK))},
		{name: "chat-no-content-type", config: chat, request: chatBody, header: http.Header{"Content-Type": nil}, reply: whole(chatOK)},
		{name: "chat-gzip-to-plain", config: chat, request: chatBody, reply: packed(whole(chatOK))},
		{name: "chat-gzip-to-gzip", config: chat, request: chatBody, header: http.Header{"Accept-Encoding": {"br, gzip"}}, reply: packed(whole(chatOK))},
		{name: "chat-plain-to-gzip", config: chat, request: chatBody, header: http.Header{"Accept-Encoding": {"gzip;q=0.5"}}, reply: whole(chatOK)},
		{name: "chat-no-usage", config: chat, request: chatBody, reply: whole(`{"model":"m","choices":[{"message":{"content":" 123456789 "}}]}`)},
		{name: "chat-401", config: chat, request: chatBody, reply: cookie(status(401, "application/json", refused))},
		{name: "chat-401-gzip", config: chat, request: chatBody, reply: packed(status(401, "application/json", refused))},
		{name: "chat-500-html", config: chat, request: chatBody, reply: status(500, "text/html", html)},
		{name: "chat-malformed", config: chat, request: chatBody, reply: whole(chatOK[:100])},
		{name: "chat-html-200", config: chat, request: chatBody, reply: reply{kind: "text/html", chunks: []string{html}}},
		{name: "chat-html-type-json-body", config: chat, request: chatBody, reply: reply{kind: "text/html", chunks: []string{chatOK}}},
		{name: "chat-wrong-shape", config: chat, request: chatBody, reply: whole(`{"object":"chat.completion","nothing":"here"}`)},
		{name: "chat-no-body", config: chat, request: chatBody, reply: reply{}},
		{name: "chat-truncated", config: chat, request: chatBody, reply: cut(whole(chatOK))},
		{name: "chat-payloads", config: strings.Replace(chat, `"log_payloads":false`, `"log_payloads":true`, 1), request: chatBody, reply: whole(chatOK)},
		{name: "chat-form", config: strings.Replace(completions, "gpt-4", "gpt-3.5-turbo-instruct", 1), request: "prompt=1+%2B+1+%3D+%3F&user=u%22",
			header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, reply: whole(completionOK)},
		{name: "chat-reasoning-model", config: strings.Replace(chat, "gpt-4", "o3-mini", 1), request: `{"messages":[{"role":"user","content":"hi"}],"max_tokens":9,"stream":null}`, reply: whole(chatOK)},
		{name: "chat-stream", config: chat, request: streamBody, reply: cookie(sse(chunkOpen, chunkText[:30], chunkText[30:]+chunkMore, chunkEnd+chunkUsage, endMark))},
		{name: "chat-stream-with-usage", config: chat, request: withUsage, reply: sse(chunkOpen, chunkText, chunkMore, chunkEnd, chunkUsage, endMark)},
		{name: "chat-stream-no-usage", config: chat, request: streamBody, reply: sse(chunkOpen, chunkText, chunkMore, chunkEnd, endMark)},
		{name: "chat-stream-gzip", config: chat, request: streamBody, header: http.Header{"Accept-Encoding": {"gzip"}}, reply: packed(sse(chunkOpen, chunkText, chunkMore, chunkEnd, chunkUsage, endMark))},
		{name: "chat-stream-crlf-comments", config: chat, request: streamBody, reply: sse(": hi\r\n\r\n", strings.ReplaceAll(chunkOpen+chunkText+chunkEnd, "\n", "\r\n"), "data: [DONE]")},
		{name: "chat-stream-always", config: strings.Replace(chat, `"allow"`, `"always"`, 1), request: chatBody, reply: sse(chunkOpen, chunkText, chunkEnd, endMark)},
		{name: "chat-stream-401", config: chat, request: streamBody, reply: packed(status(401, "application/json", refused))},
		{name: "chat-stream-cut", config: chat, request: streamBody, reply: cut(sse(chunkOpen, chunkText, chunkMore[:40]))},
		{name: "chat-stream-cut-gzip", config: chat, request: streamBody, reply: cut(packed(sse(chunkOpen, chunkText, chunkMore)))},
		{name: "chat-stream-truncated", config: chat, request: streamBody, reply: sse(chunkOpen, chunkText, chunkMore[:40])},
		{name: "chat-stream-no-end-mark", config: chat, request: streamBody, reply: sse(chunkOpen, chunkText, chunkEnd)},
		{name: "chat-stream-error-frame", config: chat, request: streamBody, reply: sse(chunkOpen, chunkText, `data: {"error":{"message":"overloaded","type":"server_error","param":null,"code":null}}`+"\n\n")},
		{name: "chat-stream-malformed-first", config: chat, request: streamBody, reply: sse("data: {oops\n\n", chunkText)},
		{name: "chat-stream-malformed-later", config: chat, request: streamBody, reply: sse(chunkOpen, "data: {oops\n\n", chunkText, chunkEnd, endMark)},
		{name: "chat-stream-empty", config: chat, request: streamBody, reply: sse()},
		{name: "chat-stream-html", config: chat, request: streamBody, reply: reply{kind: "text/html", chunks: []string{html}}},
		{name: "chat-stream-brotli", config: chat, request: streamBody, reply: reply{kind: "text/event-stream", header: "Content-Encoding: br\r\n", chunks: []string{"\x0b\x02\x80abcde\x03"}}},
		{name: "chat-stream-lines", config: chat, request: streamBody, reply: reply{kind: "application/x-ndjson", chunks: []string{`{"model":"m","choices":[{"delta":{"content":"Two"}}]}` + "\n" + `{"choices":[{"del`, `ta":{},"finish_reason":"stop"}]}` + "\n"}}},
		{name: "chat-stream-payloads", config: strings.Replace(chat, `"log_payloads":false`, `"log_payloads":true`, 1), request: streamBody, reply: sse(chunkOpen, chunkText, chunkMore, chunkEnd, endMark)},
		{name: "completions", config: completions, request: completionBody, reply: whole(completionOK)},
		{name: "completions-wrong-shape", config: completions, request: completionBody, reply: whole(`{"choices":null}`)},
		{name: "completions-malformed", config: completions, request: completionBody, reply: whole(`{"choices":`)},
		{name: "completions-400", config: completions, request: completionBody, reply: status(400, "application/json", `{"error":{"message":"bad"}}`)},
		{name: "completions-stream", config: completions, request: `{"prompt":["a b","c"],"stream":true}`, reply: sse(completionChunk, completionEnd, endMark)},
		{name: "completions-stream-truncated", config: completions, request: `{"prompt":"a b","stream":true}`, reply: cut(sse(completionChunk))},
		{name: "responses-stream", config: responses, request: responseBody, target: "/v1/responses", reply: sse(responseOpen, responseText[:40], responseText[40:]+responseEnd)},
		{name: "responses-stream-cut", config: responses, request: responseBody, target: "/v1/responses", reply: cut(sse(responseOpen, responseText, responseEnd[:40]))},
		{name: "preserve", config: strings.Replace(preserve, "/v1/chat/completions", "", 1), request: `{"input": "x", "model":"gpt-4", "Input":1}`, reply: whole(`{"object":"list","data":[],"usage":{"prompt_tokens":5,"total_tokens":5}}`)},
		{name: "preserve-get", config: preserve, request: "", reply: whole(`[1]`)},
		{name: "preserve-500-html", config: preserve, request: `{"a":1}`, reply: status(500, "text/html", html)},
		{name: "preserve-stream", config: preserve, request: `{"input":"x","stream":true}`, reply: sse("event: response.created\ndata: {}\n\n", "event: response.completed\ndata: {\"x\":1}\n\n")},
		{name: "preserve-stream-gzip", config: preserve, request: `{"input":"x","stream":true}`, reply: packed(sse("event: a\ndata: {}\n\n", "event: b\ndata: {}\n\n"))},
		{name: "preserve-stream-cut", config: preserve, request: `{"input":"x","stream":true}`, reply: cut(sse("event: a\ndata: {}\n\n", "event: b\nda"))},
		{name: "body-param", config: strings.Replace(chat, `"auth":{"header_name":"Authorization","header_value":"Bearer TOP-SECRET"}`,
			`"auth":{"param_name":"api_key","param_value":"TOP-SECRET","param_location":"body"}`, 1), request: `{"messages":[{"role":"user","content":"hi"}],"api_key":"mine"}`, reply: whole(chatOK)},
		{name: "body-param-payloads", config: strings.Replace(strings.Replace(chat, `"log_payloads":false`, `"log_payloads":true`, 1), `"auth":{"header_name":"Authorization","header_value":"Bearer TOP-SECRET"}`,
			`"auth":{"param_name":"api_key","param_value":"TOP-SECRET","param_location":"body","allow_override":true}`, 1), request: `{"messages":[{"role":"user","content":"hi"}],"api_key":"mine"}`, reply: whole(chatOK)},
		{name: "query-param", config: strings.Replace(chat, `"auth":{"header_name":"Authorization","header_value":"Bearer TOP-SECRET"}`,
			`"auth":{"param_name":"key","param_value":"TOP SECRET","param_location":"query"}`, 1), request: chatBody, target: "/?a=%20b&key=mine;&c", reply: whole(chatOK)},
		{name: "multipart", config: chat, request: "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4\r\n--b--\r\n", header: http.Header{"Content-Type": {"multipart/form-data; boundary=b"}}, reply: whole(chatOK)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := provide(t, tt.reply, false)
			g := serve(t, strings.ReplaceAll(tt.config, "%s", v.url))
			header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer mine"}, "User-Agent": {"test"}, "Accept-Encoding": {"identity"}}
			for name, values := range tt.header {
				header[name] = values
			}
			target, method := tt.target, http.MethodPost
			if target == "" {
				target = "/some/path?x=1"
			}
			if tt.request == "" {
				method = http.MethodGet
				delete(header, "Content-Type")
			}
			got := g.do(t, method, target, header, tt.request)
			line := g.logged(t)
			var out strings.Builder
			fmt.Fprintf(&out, "== the provider received\n")
			select {
			case s := <-v.seen:
				fmt.Fprintf(&out, "%s\n%s\n%s\n", s.head, headers(s.header, "X-Kong-Request-Id", "X-Forwarded-"), s.body)
			default:
				t.Fatal("the provider was not asked")
			}
			body := got.body
			if got.header.Get("Content-Encoding") == "gzip" {
				body = unpack(t, body)
			}
			fmt.Fprintf(&out, "\n== the caller received\n%d\n%s\n%s", got.status, headers(got.header, "X-Kong-Request-Id", "Date", "X-Kong-Upstream-Latency", "X-Kong-Proxy-Latency", "X-Kong-Response-Latency"), body)
			if got.broken {
				out.WriteString("\n-- broken off --")
			}
			fmt.Fprintf(&out, "\n\n== the log holds\n%s\n", times.ReplaceAllString(block(t, line), `$1:0`))
			host := strings.TrimPrefix(v.url, "http://")
			text := requestID.ReplaceAllString(strings.ReplaceAll(out.String(), host, "provider"), "ID")
			golden(t, tt.name+".txt", text)
			if own := g.log.String(); strings.Contains(own+line, "SECRET") || strings.Contains(own+line, "mine") || strings.Contains(own, "数学家") {
				t.Errorf("a key or a prompt was logged:\n%s\n%s", own, line)
			}
		})
	}
}

// A call to the responses API and the events of its answer.
const (
	responseBody = `{"input":"1 + 1 = ?","stream":true}`
	responseOpen = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_a\",\"model\":\"m-1\"}}\n\n"
	responseText = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"delta\":\"Two\"}\n\n"
	responseEnd  = "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":2,\"response\":{\"id\":\"resp_a\",\"status\":\"completed\",\"usage\":{\"input_tokens\":12,\"output_tokens\":9,\"output_tokens_details\":{\"reasoning_tokens\":4},\"total_tokens\":21}}}\n\n"
)

// block is the ai block of a log line.
func block(t *testing.T, line string) string {
	t.Helper()
	var object struct{ AI json.RawMessage }
	if err := json.Unmarshal([]byte(line), &object); err != nil {
		t.Fatalf("log line %s: %v", line, err)
	}
	return string(object.AI)
}

var (
	times     = regexp.MustCompile(`("(?:llm_latency|time_per_token|time_to_first_token)"):[0-9.]+`)
	requestID = regexp.MustCompile(`[0-9a-f]{32}`)
)

// headers writes headers in order, without those that start with one of the
// names.
func headers(h http.Header, without ...string) string {
	var lines []string
	for name, values := range h {
		if !slices.ContainsFunc(without, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			value := strings.Join(values, " | ")
			if name == "Content-Length" && h.Get("Content-Encoding") == "gzip" {
				value = "?"
			}
			lines = append(lines, name+": "+value+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
