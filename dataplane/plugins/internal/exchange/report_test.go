package exchange

import (
	"encoding/json"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/price"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

func TestReport(t *testing.T) {
	list, err := price.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	book := new(price.Book)
	book.Set(list)
	n := llm.Count
	counted := llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: n(15), CacheRead: n(10), Answer: n(12)}
	call := plugin.ModelCall{
		Provider: "openai", RequestModel: "my-model", Route: llm.Chat, Answered: true, Usage: counted,
		Latency: 18 * time.Millisecond,
		Prices:  price.Configured(&pluginpb.AiModelOptions{InputCost: proto.Float64(10), OutputCost: proto.Float64(10)}),
	}
	with := func(change func(*plugin.ModelCall)) plugin.ModelCall {
		c := call
		change(&c)
		return c
	}
	current, old := plugin.LayoutCurrent, plugin.Layout38
	for _, tt := range []struct {
		name, plugin string
		layout       plugin.LogLayout
		call         plugin.ModelCall
		want         string
	}{
		{"current", "ai-proxy", current, call, `{"proxy":{"meta":{"plugin_id":"id","provider_name":"openai","request_model":"my-model","response_model":"my-model","request_mode":"oneshot","llm_latency":18},"usage":{"prompt_tokens":25,"completion_tokens":12,"total_tokens":37,"prompt_tokens_details":{"cached_tokens":10},"time_per_token":1.5,"cost":0.00037,"source":"reported"}}}`},
		{"3.8", "ai-proxy", old, call, `{"ai-proxy":{"meta":{"plugin_id":"id","provider_name":"openai","request_model":"my-model","response_model":"my-model","llm_latency":18},"usage":{"prompt_tokens":25,"completion_tokens":12,"total_tokens":37,"time_per_token":1,"cost":0.00037},"cache":{}}}`},
		{"without prices", "ai-proxy", current, with(func(c *plugin.ModelCall) { c.Prices = nil }), `{"proxy":{"meta":{"plugin_id":"id","provider_name":"openai","request_model":"my-model","response_model":"my-model","request_mode":"oneshot","llm_latency":18},"usage":{"prompt_tokens":25,"completion_tokens":12,"total_tokens":37,"prompt_tokens_details":{"cached_tokens":10},"time_per_token":1.5,"cost":0,"source":"reported"}}}`},
		{"3.8 without prices", "ai-proxy-advanced", old, with(func(c *plugin.ModelCall) { c.Prices = nil }), `{"ai-proxy-advanced":{"meta":{"plugin_id":"id","provider_name":"openai","request_model":"my-model","response_model":"my-model","llm_latency":18},"usage":{"prompt_tokens":25,"completion_tokens":12,"total_tokens":37,"time_per_token":1},"cache":{}}}`},
		{"prices of the list", "ai-proxy-advanced", current, with(func(c *plugin.ModelCall) {
			c.Prices, c.ResponseModel, c.Streams, c.FirstToken = nil, "gpt-4o-2024-08-06", true, 4*time.Millisecond
		}), `{"proxy":{"meta":{"plugin_id":"id","provider_name":"openai","request_model":"my-model","response_model":"gpt-4o-2024-08-06","request_mode":"stream","llm_latency":18},"usage":{"prompt_tokens":25,"completion_tokens":12,"total_tokens":37,"prompt_tokens_details":{"cached_tokens":10},"time_per_token":1.5,"time_to_first_token":4,"cost":0.00017,"source":"reported"}}}`},
		{"azure", "ai-proxy", current, with(func(c *plugin.ModelCall) {
			c.Provider, c.AzureInstance, c.AzureDeployment, c.AzureVersion, c.Answered, c.Latency = "azure", "inst", "dep", "2023-05-15", false, 0
		}), `{"proxy":{"meta":{"plugin_id":"id","provider_name":"azure","request_model":"my-model","response_model":"my-model","request_mode":"oneshot","azure_instance_id":"inst","azure_deployment_id":"dep","azure_api_version":"2023-05-15"}}}`},
		{"transformer", "ai-request-transformer", current, with(func(c *plugin.ModelCall) {
			c.Usage = llm.Usage{Input: llm.Estimated, Output: llm.Reported}
			c.Input, c.Output = []byte("{\"a\":\n1}"), []byte{}
		}), `{"ai-request-transformer":{"meta":{"plugin_id":"id","provider_name":"openai","request_model":"my-model","response_model":"my-model","request_mode":"oneshot","llm_latency":18},"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,"time_per_token":0,"cost":0,"source":"estimated"},"cache":{},"payload":{"request":"{\"a\":\n1}","response":""}}}`},
		{"images", "ai-proxy", current, with(func(c *plugin.ModelCall) {
			c.Route, c.Latency = llm.Images, 0
			c.Usage = llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: n(5), ImageIn: n(7), Answer: n(2), AudioOut: n(1), Reasoning: n(0)}
		}), `{"proxy":{"meta":{"plugin_id":"id","provider_name":"openai","request_model":"my-model","response_model":"my-model","request_mode":"oneshot"},"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,"prompt_tokens_details":{"image_tokens":7},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":1},"input_tokens":12,"input_tokens_details":{"text_tokens":5,"image_tokens":7},"output_tokens":3,"output_tokens_details":{"text_tokens":2,"audio_tokens":1,"reasoning_tokens":0},"time_per_token":0,"cost":0.00015,"source":"reported"}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := new(plugin.Request)
			Report(r, plugin.Env{ID: "id", Name: tt.plugin, Models: plugin.Models{Layout: tt.layout, Prices: book}}, tt.call)
			var log struct {
				AI json.RawMessage `json:"ai"`
			}
			if err := json.Unmarshal(r.AppendLog(nil), &log); err != nil {
				t.Fatalf("the log object is no JSON: %v", err)
			}
			// Marshalling makes the spelling of escapes and nothing else the same.
			if got := string(log.AI); got != tt.want && !sameJSON(t, got, tt.want) {
				t.Errorf("ai block:\n got %s\nwant %s", got, tt.want)
			}
			calls := r.Record.ModelCalls
			if len(calls) != 1 || calls[0].Plugin != tt.plugin || calls[0].PluginID != "id" || calls[0].Priced != (calls[0].Prices != nil) {
				t.Errorf("recorded calls: %+v", calls)
			}
		})
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	normal := func(s string) string {
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatalf("%v: %s", err, s)
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	return normal(a) == normal(b)
}
