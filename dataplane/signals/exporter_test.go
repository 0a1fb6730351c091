package signals

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/signals/signalstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, cfg Config) *Exporter {
	t.Helper()
	cfg.NodeID, cfg.Version, cfg.Log = "node-1", "1.2.3", slog.New(slog.NewTextHandler(t.Output(), nil))
	e, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// incoming is a request whose head was read.
func incoming(header http.Header) *plugin.Request {
	r := &plugin.Request{
		ID: "0123", Started: time.Unix(1000, 0), Method: "POST", Path: "/chat", Query: "key=hidden", Scheme: "http",
		Header: header, Route: &entitypb.Route{Name: new("chat")}, ClientIP: "192.0.2.1",
	}
	r.SetContext(context.Background())
	return r
}

func over(r *plugin.Request, calls ...plugin.ModelCall) {
	r.Response.Status = 200
	r.Record.Ended = r.Started.Add(time.Second)
	r.Record.ModelCalls = calls
}

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestExport(t *testing.T) {
	for _, http := range []bool{false, true} {
		t.Run(map[bool]string{false: "grpc", true: "http"}[http], func(t *testing.T) {
			collector := signalstest.Start(t)
			cfg := Config{Endpoint: collector.GRPC, HTTP: http, Headers: map[string]string{"x-token": "abc"}}
			if http {
				cfg.Endpoint = collector.HTTP + "/"
			}
			e := open(t, cfg)
			call := answered()
			call.Start, call.ID, call.MaxTokens, call.Temperature = time.Unix(1000, 5e6), "chatcmpl-1", "512", "0.5"
			call.Finish = []llm.FinishReason{llm.FinishEnd}
			call.Input, call.Output = []byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`), []byte("no JSON")
			broken := plugin.ModelCall{Plugin: "ai-request-transformer", Provider: "openai", RequestModel: "m", Route: llm.Chat, Failure: "timeout"}
			r := incoming(map[string][]string{"Traceparent": {parent}, "Tracestate": {"a=b"}})
			e.Begin(r)
			sent := r.Header.Get("Traceparent")
			if !strings.HasPrefix(sent, parent[:36]) || sent == parent || !strings.HasSuffix(sent, "-01") || r.Header.Get("Tracestate") != "a=b" {
				t.Errorf("the upstream gets %q, %q", sent, r.Header["Tracestate"])
			}
			over(r, call, broken)
			e.End(r)
			// Sampling is 0, so that only the caller's wish led to a trace.
			other := incoming(map[string][]string{})
			e.Begin(other)
			if got := other.Header.Get("Traceparent"); !strings.HasSuffix(got, "-00") {
				t.Errorf("a request that is not traced goes on with %q", got)
			}
			over(other)
			e.End(other)
			if err := e.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if spans, exports := e.Lost(); spans != 0 || exports != 0 {
				t.Errorf("lost %d spans, %d exports", spans, exports)
			}

			if got := collector.Headers(); !slices.Contains(got, "x-token: abc") {
				t.Errorf("headers are %q", got)
			}
			spans := collector.Spans()
			if len(spans) != 3 {
				t.Fatalf("got %d spans: %v", len(spans), spans)
			}
			main, second, root := spans[0], spans[1], spans[2]
			if root.GetName() != "kong" || main.GetName() != "kong.gen_ai" || second.GetName() != "kong.gen_ai" {
				t.Errorf("names: %q %q %q", root.GetName(), main.GetName(), second.GetName())
			}
			if !bytes.Equal(main.GetParentSpanId(), root.GetSpanId()) || !bytes.Equal(main.GetTraceId(), root.GetTraceId()) {
				t.Error("the call is not part of the request")
			}
			if took := main.GetEndTimeUnixNano() - main.GetStartTimeUnixNano(); took != uint64(call.Latency) {
				t.Errorf("the call took %d ns, want %d", took, call.Latency)
			}
			for key, want := range map[string]string{
				"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
				"gen_ai.request.max_tokens": "512", "gen_ai.request.temperature": "0.5", "gen_ai.output.type": "text",
				"gen_ai.input.messages": `[{"role":"user","content":"hi"}]`, "gen_ai.output.messages": "no JSON",
				"gen_ai.response.id": "chatcmpl-1", "gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.response.finish_reasons": "[stop]",
				"gen_ai.usage.input_tokens": "25", "gen_ai.usage.output_tokens": "12", "kong.gen_ai.llm.cost": "0.00037",
				"gibbon.gen_ai.usage.source": "reported", "gibbon.plugin.name": "ai-proxy", "error.type": "",
			} {
				if got := signalstest.Text(main.GetAttributes(), key); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
			if got := signalstest.Text(second.GetAttributes(), "error.type"); got != "timeout" || second.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
				t.Errorf("the failed call: %q, %v", got, second.GetStatus())
			}
			for key, want := range map[string]string{"http.request.method": "POST", "url.path": "/chat", "http.response.status_code": "200", "kong.route.name": "chat"} {
				if got := signalstest.Text(root.GetAttributes(), key); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
			if text := collector.Text(); strings.Contains(text, "hidden") {
				t.Error("the query is in what was sent")
			}
			checkMetrics(t, collector.Metrics())
		})
	}
}

func checkMetrics(t *testing.T, metrics []*metricspb.Metric) {
	t.Helper()
	found := map[string]*metricspb.Metric{}
	for _, m := range metrics {
		found[m.GetName()] = m
	}
	tokens := map[string]int64{}
	for _, point := range found["gen_ai.client.token.usage"].GetSum().GetDataPoints() {
		tokens[signalstest.Text(point.GetAttributes(), "gen_ai.token.type")] = point.GetAsInt()
	}
	if tokens["input"] != 25 || tokens["output"] != 12 {
		t.Errorf("tokens are %v", tokens)
	}
	if points := found["kong.gen_ai.llm.cost"].GetSum().GetDataPoints(); len(points) != 1 || points[0].GetAsDouble() != 0.00037 {
		t.Errorf("cost is %v", points)
	}
	points := found["gen_ai.client.operation.duration"].GetHistogram().GetDataPoints()
	if len(points) != 1 || points[0].GetSum() != 0.7 {
		t.Fatalf("durations are %v", points)
	}
	var keys []string
	for _, a := range points[0].GetAttributes() {
		keys = append(keys, a.GetKey())
	}
	want := []string{"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model",
		"kong.auth.consumer.name", "kong.gen_ai.request.mode", "kong.workspace.name"}
	if slices.Sort(keys); !slices.Equal(keys, want) {
		t.Errorf("attributes are %q, want %q", keys, want)
	}
	for _, name := range []string{"gen_ai.server.request.duration", "gen_ai.server.time_per_output_token"} {
		if len(found[name].GetHistogram().GetDataPoints()) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
}

// A collector that is not there costs what would have been sent, and no more.
func TestNoCollector(t *testing.T) {
	e := open(t, Config{Endpoint: "http://127.0.0.1:1", HTTP: true, Sampling: 1})
	for range 10 {
		r := incoming(map[string][]string{})
		e.Begin(r)
		over(r, answered())
		e.End(r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // there is no time left
	if err := e.Close(ctx); err == nil {
		t.Error("closing without time says that all was sent")
	}
	if spans, _ := e.Lost(); spans != 20 {
		t.Errorf("lost %d spans, want 20", spans)
	}
}

func TestRefusedRequest(t *testing.T) {
	e := open(t, Config{Endpoint: "http://127.0.0.1:1", HTTP: true, Sampling: 0})
	r := incoming(nil)
	e.Begin(r)
	over(r)
	e.End(r)
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// stuck takes spans and never comes back before its time is over.
type stuck struct{ got chan int }

func (s *stuck) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	select {
	case s.got <- len(spans):
	default:
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *stuck) Shutdown(context.Context) error { return nil }

func TestQueueIsBounded(t *testing.T) {
	s := &stuck{got: make(chan int, 1)}
	q := newQueue(s, &complaints{log: slog.New(slog.DiscardHandler)})
	span := tracetest.SpanStub{Name: "x", SpanContext: sampled(t)}.Snapshot()
	for range batchSpans {
		q.OnEnd(span)
	}
	<-s.got // one batch is on its way and will stay there
	const more = 100
	for range queueSpans + more {
		q.OnEnd(span) // a test that hangs here is one that waited
	}
	if got := q.dropped.Load(); got != more {
		t.Errorf("dropped %d", got)
	}
	q.mu.Lock()
	waiting, held := len(q.spans), q.bytes
	q.mu.Unlock()
	if waiting > queueSpans || held != waiting*spanBytes {
		t.Errorf("%d spans with %d bytes wait", waiting, held)
	}
	big := tracetest.SpanStub{SpanContext: sampled(t), Attributes: callAttributes(&plugin.ModelCall{Input: make([]byte, spanPayload)})}.Snapshot()
	for range queueSpans {
		q.OnEnd(big)
	}
	q.mu.Lock()
	held = q.bytes
	q.mu.Unlock()
	if held > queueBytes {
		t.Errorf("%d bytes wait, more than %d", held, queueBytes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func sampled(t *testing.T) trace.SpanContext {
	t.Helper()
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled})
}
