package signals

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// answered is a call that went well.
func answered() plugin.ModelCall {
	n := llm.Count
	return plugin.ModelCall{
		Plugin: "ai-proxy", Provider: "openai", RequestModel: "gpt-4o", ResponseModel: "gpt-4o-2024-08-06", Route: llm.Chat,
		Answered: true, Status: 200, Latency: 700 * time.Millisecond,
		Usage: llm.Usage{Input: llm.Reported, Output: llm.Reported, Fresh: n(25), Answer: n(12)},
		Cost:  0.00037, Priced: true,
	}
}

func request(calls ...plugin.ModelCall) *plugin.Request {
	return &plugin.Request{Record: plugin.Record{ModelCalls: calls}}
}

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	stream := answered()
	stream.Streams, stream.FirstToken = true, 40*time.Millisecond
	stream.Cost = 0
	failed := plugin.ModelCall{Provider: "openai", RequestModel: "gpt-4o", Route: llm.Chat, Status: 500, Failure: "500"}
	r := request(answered(), stream, failed)
	r.Consumer = &plugin.Consumer{ID: "1", Username: "alice"}
	r.Record.WorkspaceName = "team"
	m.End(r)
	m.End(request(answered()))
	spent := request()
	spent.Record.Incidents = []plugin.Incident{{Plugin: "ai-prompt-guard", Kind: "budget_spent"}}
	m.End(spent)
	m.End(spent)

	const none = `cache_status="",`
	want := strings.NewReplacer("NONE", none).Replace(`
# HELP gibbon_ai_llm_failures_total Calls to models that failed, by what went wrong.
# TYPE gibbon_ai_llm_failures_total counter
gibbon_ai_llm_failures_total{ai_model="gpt-4o",ai_provider="openai",error_type="500"} 1
# HELP gibbon_plugin_incidents_total What plugins met that is out of the ordinary, by what it was.
# TYPE gibbon_plugin_incidents_total counter
gibbon_plugin_incidents_total{incident="budget_spent",plugin="ai-prompt-guard"} 2
# HELP kong_ai_llm_cost_total AI requests cost per ai_provider/cache in Kong
# TYPE kong_ai_llm_cost_total counter
kong_ai_llm_cost_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="",embeddings_model="",embeddings_provider="",request_mode="oneshot",vector_db="",workspace="default"} 0.00037
kong_ai_llm_cost_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="alice",embeddings_model="",embeddings_provider="",request_mode="oneshot",vector_db="",workspace="team"} 0.00037
# HELP kong_ai_llm_requests_total AI requests total per ai_provider in Kong
# TYPE kong_ai_llm_requests_total counter
kong_ai_llm_requests_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="",embeddings_model="",embeddings_provider="",request_mode="oneshot",vector_db="",workspace="default"} 1
kong_ai_llm_requests_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="alice",embeddings_model="",embeddings_provider="",request_mode="oneshot",vector_db="",workspace="team"} 2
kong_ai_llm_requests_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="alice",embeddings_model="",embeddings_provider="",request_mode="stream",vector_db="",workspace="team"} 1
# HELP kong_ai_llm_tokens_total AI requests cost per ai_provider/cache in Kong
# TYPE kong_ai_llm_tokens_total counter
kong_ai_llm_tokens_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="",embeddings_model="",embeddings_provider="",token_type="completion_tokens",vector_db="",workspace="default"} 12
kong_ai_llm_tokens_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="",embeddings_model="",embeddings_provider="",token_type="prompt_tokens",vector_db="",workspace="default"} 25
kong_ai_llm_tokens_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="",embeddings_model="",embeddings_provider="",token_type="total_tokens",vector_db="",workspace="default"} 37
kong_ai_llm_tokens_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="alice",embeddings_model="",embeddings_provider="",token_type="completion_tokens",vector_db="",workspace="team"} 24
kong_ai_llm_tokens_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="alice",embeddings_model="",embeddings_provider="",token_type="prompt_tokens",vector_db="",workspace="team"} 50
kong_ai_llm_tokens_total{ai_model="gpt-4o",ai_provider="openai",NONEconsumer="alice",embeddings_model="",embeddings_provider="",token_type="total_tokens",vector_db="",workspace="team"} 74
`)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "gibbon_ai_llm_failures_total", "gibbon_plugin_incidents_total",
		"kong_ai_llm_cost_total", "kong_ai_llm_requests_total", "kong_ai_llm_tokens_total"); err != nil {
		t.Error(err)
	}
	histograms := `
# HELP gibbon_ai_time_per_output_token_seconds Time that models took for each token of their answers, the first one of a stream left out.
# TYPE gibbon_ai_time_per_output_token_seconds histogram
`
	for i, bound := range []string{"0.01", "0.025", "0.05", "0.075", "0.1", "0.15", "0.2", "0.3", "0.4", "0.5", "0.75", "1", "2.5", "+Inf"} {
		n := 0 // two of 58.3 ms, and one of (700-40)/11 = 60 ms
		if i >= 3 {
			n = 3
		}
		histograms += fmt.Sprintf("gibbon_ai_time_per_output_token_seconds_bucket{ai_model=\"gpt-4o\",ai_provider=\"openai\",le=%q} %d\n", bound, n)
	}
	histograms += `gibbon_ai_time_per_output_token_seconds_sum{ai_model="gpt-4o",ai_provider="openai"} 0.176666666
gibbon_ai_time_per_output_token_seconds_count{ai_model="gpt-4o",ai_provider="openai"} 3
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(histograms), "gibbon_ai_time_per_output_token_seconds"); err != nil {
		t.Error(err)
	}
	if got := testutil.CollectAndCount(m, "kong_ai_llm_provider_latency_ms"); got != 3 {
		t.Errorf("there are %d latencies, want 3: those of the calls that failed too early are none", got)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	m := NewMetrics()
	for i := range maxModels + 500 {
		c := answered()
		c.RequestModel = fmt.Sprint("model-", i)
		m.End(request(c))
	}
	if got := testutil.CollectAndCount(m, "kong_ai_llm_requests_total"); got != maxModels+1 {
		t.Errorf("there are %d series, want %d models and one for the rest", got, maxModels)
	}
	if got := testutil.ToFloat64(m.requests.WithLabelValues("openai", other, "", "", "", "", "default", "", "oneshot")); got != 500 {
		t.Errorf("the rest is %v, want 500", got)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	m := NewMetrics()
	for i := range maxSeries + 10 {
		c := answered()
		c.RequestModel = fmt.Sprint("model-", i%900)
		r := request(c)
		r.Consumer = &plugin.Consumer{ID: fmt.Sprint("consumer-", i/900)}
		m.End(r)
	}
	if got := len(m.series); got != maxSeries+1 {
		t.Errorf("there are %d series, want %d", got, maxSeries+1)
	}
}

func TestLabelText(t *testing.T) {
	for _, value := range []string{"ok", "", "\xff\xfe", strings.Repeat("ä", 200), "a" + strings.Repeat("ä", 200), strings.Repeat("\x80", 300)} {
		got := newNames(10).label(value)
		if !utf8.ValidString(got) || len(got) > 3*maxLabel {
			t.Errorf("label(%q) = %q", value, got)
		}
	}
	// A label that Prometheus refuses would be a panic.
	c := answered()
	c.RequestModel = "\xff"
	NewMetrics().End(request(c))
}

func TestConcurrentCounting(t *testing.T) {
	m := NewMetrics()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				m.End(request(answered()))
			}
		})
	}
	all.Wait()
	if got := testutil.ToFloat64(m.requests.WithLabelValues("openai", "gpt-4o", "", "", "", "", "default", "", "oneshot")); got != 800 {
		t.Errorf("counted %v, want 800", got)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	m, r := NewMetrics(), request(answered())
	m.End(r)
	if n := testing.AllocsPerRun(100, func() { m.End(r) }); n > 0 {
		t.Errorf("counting a call allocates %v times", n)
	}
}
