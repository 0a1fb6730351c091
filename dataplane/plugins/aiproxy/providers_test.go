package aiproxy_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	compare "github.com/google/go-cmp/cmp"
)

// vendorSetup is how a provider is configured for the harness. Its scripts lie in
// testdata/providers/<name>.
type vendorSetup struct {
	name     string // the folder's
	provider string // empty: the name
	model    string // empty: m-1
	path     string // where its chats go
	options  string // further options, each with a comma before it
	auth     string // empty: a bearer token
	native   nativeCaller
	// passes says that the events of its streams reach callers of OpenAI's format
	// as they are.
	passes bool
	// deaf says that the provider has no words for a kind of call: it is refused
	// before it is sent.
	deaf string
	// own are the callers whose calls that are.
	own string
}

// nativeCaller is one that speaks the provider's own format.
type nativeCaller struct {
	format        string
	whole, stream string // the paths
	body          string
	streamed      string // the body of a call for a stream; empty: the same
}

const bearer = `{"header_name":"Authorization","header_value":"Bearer TOP-SECRET"}`

var geminiCaller = nativeCaller{
	format: "gemini", whole: "/v1beta/models/m-1:generateContent", stream: "/v1beta/models/m-1:streamGenerateContent?alt=sse",
	body: `{ "contents":[{"role":"user","parts":[{"text":"Stock of lamp?"}]}], "generationConfig":{"maxOutputTokens":64} }`,
}

var vendors = []vendorSetup{
	{name: "openai", path: "/v1/chat/completions", passes: true},
	{name: "azure", path: "/openai/deployments/d-1/chat/completions", passes: true,
		auth:    `{"header_name":"api-key","header_value":"TOP-SECRET"}`,
		options: `,"azure_instance":"i-1","azure_deployment_id":"d-1","azure_api_version":"2024-10-21"`},
	{name: "anthropic", path: "/v1/messages", own: "anthropic",
		auth:    `{"header_name":"x-api-key","header_value":"TOP-SECRET"}`,
		options: `,"anthropic_version":"2023-06-01"`},
	{name: "cohere-v1", provider: "cohere", path: "/v1/chat", deaf: "multimodal",
		native: nativeCaller{format: "cohere", whole: "/v1/chat", stream: "/v1/chat",
			body:     `{ "message":"Stock of lamp?", "preamble":"Be short." }`,
			streamed: `{ "message":"Stock of lamp?", "preamble":"Be short.", "stream":true }`}},
	{name: "cohere-v2", provider: "cohere", path: "/v2/chat",
		native: nativeCaller{format: "cohere", whole: "/v2/chat", stream: "/v2/chat",
			body:     `{ "messages":[{"role":"user","content":"Stock of lamp?"}] }`,
			streamed: `{ "messages":[{"role":"user","content":"Stock of lamp?"}], "stream":true }`}},
	{name: "mistral-openai", provider: "mistral", path: "/v1/chat/completions", options: `,"mistral_format":"openai"`, passes: true},
	{name: "mistral-ollama", provider: "mistral", path: "/api/chat", options: `,"mistral_format":"ollama"`},
	{name: "llama2-raw", provider: "llama2", path: "/generate", options: `,"llama2_format":"raw"`, deaf: "multimodal"},
	{name: "llama2-ollama", provider: "llama2", path: "/api/chat", options: `,"llama2_format":"ollama"`},
	{name: "llama2-openai", provider: "llama2", path: "/v1/chat/completions", options: `,"llama2_format":"openai"`, passes: true},
	{name: "gemini", path: "/v1beta/models/m-1:call", native: geminiCaller,
		auth: `{"param_name":"key","param_value":"TOP-SECRET","param_location":"query"}`},
	{name: "vertex", provider: "gemini", path: "/v1/projects/p-1/locations/l-1/publishers/google/models/m-1:call", native: geminiCaller,
		options: `,"gemini":{"api_endpoint":"l-1-aiplatform.googleapis.com","project_id":"p-1","location_id":"l-1"}`},
	{name: "bedrock", model: "anthropic.claude-m-1", path: "/model/m-1/call",
		auth:    `{"aws_access_key_id":"AKID","aws_secret_access_key":"TOP-SECRET"}`,
		options: `,"bedrock":{"aws_region":"eu-west-1"}`,
		native: nativeCaller{format: "bedrock", whole: "/model/anthropic.claude-m-1/converse", stream: "/model/anthropic.claude-m-1/converse-stream",
			body: `{ "messages":[{"role":"user","content":[{"text":"Stock of lamp?"}]}], "inferenceConfig":{"maxTokens":64} }`}},
	{name: "huggingface", path: "/models/m-1", passes: true,
		native: nativeCaller{format: "huggingface", whole: "/generate", stream: "/generate_stream", body: `{ "inputs":"Stock of lamp?", "parameters":{"max_new_tokens":64} }`}},
	{name: "deepseek", path: "/v1/chat/completions", passes: true},
	{name: "xai", path: "/v1/chat/completions", passes: true},
	{name: "cerebras", path: "/v1/chat/completions", passes: true},
	{name: "dashscope", path: "/compatible-mode/v1/chat/completions", passes: true},
	{name: "databricks", path: "/serving-endpoints/v1/chat/completions", passes: true,
		options: `,"databricks":{"workspace_instance_id":"w-1"}`},
	{name: "ollama", path: "/api/chat"},
	{name: "vllm", path: "/v1/chat/completions", passes: true},
}

// A case's kind, which is its name up to the first dot, says what is asked and
// what is expected.
var caseKinds = map[string]struct {
	call    string // the file of the call in testdata/providers/calls/<caller>
	streams bool
	// want is what a caller gets: an answer, a failure told in the stream, the
	// provider's error, or the gateway's own.
	want   string
	native bool // the provider's own callers ask the same
	// target and body are another call of the provider's own callers; empty: their
	// usual one.
	target, body string
	needs        bool // every provider has one
}{
	"chat":            {call: "chat", want: "answer", native: true, needs: true},
	"stream":          {call: "stream", streams: true, want: "answer", native: true, needs: true},
	"tools":           {call: "tools", want: "answer", needs: true},
	"stream-tools":    {call: "stream-tools", streams: true, want: "answer", needs: true},
	"multimodal":      {call: "multimodal", want: "answer", needs: true},
	"error":           {call: "chat", want: "relayed", native: true, needs: true},
	"refused":         {call: "stream", streams: true, want: "relayed", native: true},
	"html":            {call: "chat", want: "relayed", needs: true},
	"malformed":       {call: "chat", want: "own", needs: true},
	"broken":          {call: "chat", want: "own"},
	"truncated":       {call: "stream-tools", streams: true, want: "failure", needs: true},
	"failed":          {call: "stream", streams: true, want: "failure"},
	"generate":        {want: "answer", native: true},
	"rerank":          {want: "answer", native: true, target: "/v2/rerank", body: `{ "query":"A lamp", "documents":["lamp","desk"] }`},
	"generate-stream": {streams: true, want: "answer", native: true},
}

// pieceLengths are how long the pieces are that a script is played in; 0: it is
// played whole.
var pieceLengths = []int{0, 7, 1}

// TestProviders runs every kind of call through the whole gateway to every
// provider: what the provider got and what the caller got are goldens, and the
// caller's bytes are the same whatever pieces the provider's come in.
func TestProviders(t *testing.T) {
	for _, v := range vendors {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join("testdata", "providers", v.name)
			paths, err := filepath.Glob(filepath.Join(folder, "*.script"))
			if err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			up := newPlayer(t)
			gateways := map[string]*gateway{}
			for _, path := range paths {
				name := strings.TrimSuffix(filepath.Base(path), ".script")
				names[name] = true
				v.runCase(t, up, gateways, name, readScript(t, path))
			}
			for kind, k := range caseKinds {
				if k.needs && !names[kind] {
					t.Errorf("there is no script for %s", kind)
				}
			}
			v.checkLogs(t, gateways)
		})
	}
}

// config is the configuration for callers of one format.
func (v *vendorSetup) config(format, url string) string {
	return `{"route_type":"llm/v1/chat","llm_format":"` + format + `","auth":` + cmp.Or(v.auth, bearer) + `,"logging":{"log_statistics":true},` +
		`"model":{"provider":"` + cmp.Or(v.provider, v.name) + `","name":"` + cmp.Or(v.model, "m-1") + `","options":{"upstream_url":"` + url + v.path + `"` + v.options + `}}}`
}

// callers are those who make a kind of call.
func (v *vendorSetup) callers(kind string) []string {
	k := caseKinds[kind]
	var formats []string
	if k.call != "" {
		formats = []string{"openai", "anthropic"}
	}
	// Calls of Hugging Face's own callers are answered by another server.
	if k.native && v.native.format != "" && (v.native.format != "huggingface" || k.call == "" || k.want == "relayed") {
		formats = append(formats, v.native.format)
	}
	return formats
}

// call is the target and the body of a call.
func (v *vendorSetup) call(t *testing.T, format, kind string) (target, body string) {
	k := caseKinds[kind]
	if format == v.native.format {
		if k.target != "" {
			return k.target, k.body
		}
		if k.streams {
			return v.native.stream, cmp.Or(v.native.streamed, v.native.body)
		}
		return v.native.whole, v.native.body
	}
	data, err := os.ReadFile(filepath.Join("testdata", "providers", "calls", format, k.call+".json"))
	if err != nil {
		t.Fatal(err)
	}
	target = "/"
	if format == "anthropic" {
		target = "/v1/messages"
	}
	return target, string(data)
}

func (v *vendorSetup) runCase(t *testing.T, up *player, gateways map[string]*gateway, name string, s script) {
	kind, _, _ := strings.Cut(name, ".")
	if _, known := caseKinds[kind]; !known {
		t.Fatalf("script %s is of no known kind", name)
	}
	var received, answered strings.Builder
	for _, format := range v.callers(kind) {
		g := gateways[format]
		if g == nil {
			g = serve(t, v.config(format, up.url))
			gateways[format] = g
		}
		target, body := v.call(t, format, kind)
		var first string
		for i, piece := range pieceLengths {
			up.play(s, piece)
			got := g.post(t, target, body)
			line := g.logged(t)
			shown := got
			if format == v.native.format && got.body == s.body {
				shown.body = "-- the provider's bytes --"
			}
			text := whatCame(shown, line, t)
			if i == 0 {
				first = text
				fmt.Fprintf(&received, "== %s\n%s\n", format, up.heard().text())
				fmt.Fprintf(&answered, "== %s\n%s\n", format, text)
				if err := v.judge(format, kind, s, got); err != nil {
					t.Errorf("%s, %s: %v in\n%s", name, format, err, text)
				}
			} else if diff := compare.Diff(first, text); diff != "" {
				t.Errorf("%s, %s: in pieces of %d (-whole +pieces):\n%s", name, format, piece, diff)
			}
		}
		// Where the connection ends in an orderly way, a part of an answer is no more
		// of one.
		if s.cut {
			orderly := s
			orderly.cut = false
			up.play(orderly, 0)
			got := g.post(t, target, body)
			if err := v.judge(format, kind, s, got); err != nil {
				t.Errorf("%s, %s, ended in order: %v in\n%s", name, format, err, got.body)
			}
			g.logged(t)
		}
	}
	golden(t, filepath.Join("providers", v.name, name+".upstream"), strings.ReplaceAll(received.String(), "TOP-SECRET", "KEY"))
	golden(t, filepath.Join("providers", v.name, name+".caller"), answered.String())
}

// text writes a call down.
func (a *ask) text() string {
	if a == nil {
		return "-- not asked --\n"
	}
	var out strings.Builder
	fmt.Fprintln(&out, a.target)
	for _, name := range []string{"Accept", "Api-Key", "Authorization", "Content-Type", "Anthropic-Version", "X-Api-Key"} {
		if value := a.header.Get(name); value != "" {
			// A signature depends on the time.
			value, _, _ = strings.Cut(value, " Credential=")
			fmt.Fprintf(&out, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintf(&out, "\n%s\n", a.body)
	return out.String()
}

var (
	// inventedIDs are the ids that the gateway gives where the provider gives none,
	// and createdTimes the moments of answers.
	inventedIDs  = regexp.MustCompile(`"(chatcmpl|cmpl|msg|call|toolu|req)[-_][0-9A-Za-z]{20,}(_[0-9]+)?"`)
	createdTimes = regexp.MustCompile(`"created":[0-9]{10,}`)
)

// invented writes over what the gateway made up in an answer.
func invented(body string) string {
	body = inventedIDs.ReplaceAllString(body, `"$1-ID$2"`)
	return createdTimes.ReplaceAllStringFunc(body, func(text string) string {
		if strings.HasSuffix(text, ":1790000000") {
			return text // the provider's
		}
		return `"created":0`
	})
}

// whatCame writes down what a caller got, and what was counted of it.
func whatCame(got answer, line string, t *testing.T) string {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "%d %s", got.status, got.header.Get("Content-Type"))
	if model := got.header.Get("X-Kong-Llm-Model"); model != "" {
		fmt.Fprintf(&out, ", %s", model)
	}
	if after := got.header.Get("Retry-After"); after != "" {
		fmt.Fprintf(&out, ", again after %s", after)
	}
	fmt.Fprintf(&out, "\n%s\n", invented(got.body))
	if got.broken {
		out.WriteString("-- broken off --\n")
	}
	var logged struct {
		AI struct {
			Proxy struct {
				Meta struct {
					Model string `json:"response_model"`
				}
				Usage map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal([]byte(line), &logged); err != nil {
		t.Fatalf("log line %s: %v", line, err)
	}
	out.WriteString("-- counted:")
	keys := make([]string, 0, 8)
	for key, value := range logged.AI.Proxy.Usage {
		if !strings.Contains(key, "time") && key != "cost" {
			keys = append(keys, fmt.Sprintf(" %s=%s", key, value))
		}
	}
	slices.Sort(keys)
	fmt.Fprintf(&out, "%s, model %q\n", strings.Join(keys, ""), logged.AI.Proxy.Meta.Model)
	return out.String()
}

// judge checks an answer against the rules of the caller's format.
func (v *vendorSetup) judge(format, kind string, s script, got answer) error {
	k := caseKinds[kind]
	if v.deaf == kind {
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, `"message"`) {
			return fmt.Errorf("status %d of a call that the provider has no words for", got.status)
		}
		return nil
	}
	switch {
	case k.want == "relayed" && format == "anthropic" && v.own != format:
		var told struct {
			Type  string
			Error *struct{ Type, Message string }
		}
		if err := json.Unmarshal([]byte(got.body), &told); err != nil {
			return err
		}
		if got.status != s.status || told.Type != "error" || told.Error == nil || told.Error.Type == "" || told.Error.Message == "" {
			return fmt.Errorf("status %d, and no error of the caller's format", got.status)
		}
		return nil
	case k.want == "relayed":
		if got.status != s.status || got.body != s.body || got.header.Get("Content-Type") != s.kind || got.broken {
			return fmt.Errorf("the provider's error is not relayed as it is: %d %s", got.status, got.header.Get("Content-Type"))
		}
		return nil
	case k.want == "own":
		var told struct{ Error *struct{ Message string } }
		if err := json.Unmarshal([]byte(got.body), &told); err != nil {
			return err
		}
		if got.status != http.StatusInternalServerError || told.Error == nil || !strings.HasPrefix(told.Error.Message, "transformation failed from type "+cmp.Or(v.provider, v.name)+"://llm/v1/chat: ") {
			return fmt.Errorf("status %d", got.status)
		}
		return nil
	case got.status != http.StatusOK:
		return fmt.Errorf("status %d", got.status)
	case format == v.native.format:
		if got.body != s.body || got.header.Get("Content-Type") != s.kind {
			return fmt.Errorf("the provider's own caller got other bytes")
		}
		return nil
	case !k.streams && format == "anthropic":
		return anthropicAnswer(got.body)
	case !k.streams:
		return openAIAnswer(got.body)
	}
	var failed bool
	var err error
	if format == "anthropic" {
		failed, err = anthropicStream(got.body, v.own == format)
	} else {
		failed, err = openAIStream(got.body, v.passes)
	}
	if err != nil {
		return err
	}
	if kind := got.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return fmt.Errorf("a stream of %s", kind)
	}
	if want := k.want == "failure"; failed != want {
		return fmt.Errorf("a failure is told: %v, want %v", failed, want)
	}
	return nil
}

// checkLogs checks that no key was logged.
func (v *vendorSetup) checkLogs(t *testing.T, gateways map[string]*gateway) {
	for format, g := range gateways {
		if own := g.log.String(); strings.Contains(own, "SECRET") {
			t.Errorf("%s: a key was logged:\n%s", format, own)
		}
	}
}
