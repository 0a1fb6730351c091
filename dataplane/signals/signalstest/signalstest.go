// Package signalstest has a collector for tests: it takes traces and metrics by
// OTLP, over gRPC and HTTP, and remembers them.
package signalstest

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Collector is a collector on loopback.
type Collector struct {
	// GRPC and HTTP are its URLs.
	GRPC, HTTP string

	collectortrace.UnimplementedTraceServiceServer
	mu      sync.Mutex
	headers []string
	spans   []*tracepb.Span
	metrics []*metricspb.Metric
	text    strings.Builder
}

// Start starts a collector that lives as long as the test.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := new(Collector)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(server, c)
	collectormetrics.RegisterMetricsServiceServer(server, metrics{c: c})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	over := httptest.NewServer(c)
	c.GRPC, c.HTTP = "http://"+l.Addr().String(), over.URL
	t.Cleanup(func() {
		over.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve OTLP: %v", err)
		}
	})
	return c
}

// Headers are those that came, each as name: value.
func (c *Collector) Headers() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.headers...)
}

// Spans are those that came, in their order.
func (c *Collector) Spans() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*tracepb.Span(nil), c.spans...)
}

// Metrics are those that came, in their order.
func (c *Collector) Metrics() []*metricspb.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*metricspb.Metric(nil), c.metrics...)
}

// Text is everything that came, headers left out, as text to look through.
func (c *Collector) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// Text is the value of an attribute as text, empty when it is not there.
func Text(attributes []*commonpb.KeyValue, key string) string {
	for _, a := range attributes {
		if a.GetKey() == key {
			return text(a.GetValue())
		}
	}
	return ""
}

func text(v *commonpb.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_ArrayValue:
		var parts []string
		for _, item := range v.ArrayValue.GetValues() {
			parts = append(parts, text(item))
		}
		return fmt.Sprint(parts)
	case *commonpb.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *commonpb.AnyValue_DoubleValue:
		return fmt.Sprint(v.DoubleValue)
	}
	return fmt.Sprint(v)
}

// Export takes traces.
func (c *Collector) Export(ctx context.Context, in *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	c.note(ctx)
	c.addTraces(in)
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

type metrics struct {
	collectormetrics.UnimplementedMetricsServiceServer
	c *Collector
}

func (m metrics) Export(ctx context.Context, in *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	m.c.note(ctx)
	m.c.addMetrics(in)
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

func (c *Collector) note(ctx context.Context) {
	in, _ := metadata.FromIncomingContext(ctx)
	c.addHeaders(in)
}

func (c *Collector) addHeaders(from map[string][]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, values := range from {
		for _, value := range values {
			c.headers = append(c.headers, strings.ToLower(name)+": "+value)
		}
	}
}

func (c *Collector) addTraces(in *collectortrace.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.WriteString(prototext.Format(in))
	for _, resource := range in.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

func (c *Collector) addMetrics(in *collectormetrics.ExportMetricsServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.WriteString(prototext.Format(in))
	for _, resource := range in.GetResourceMetrics() {
		for _, scope := range resource.GetScopeMetrics() {
			c.metrics = append(c.metrics, scope.GetMetrics()...)
		}
	}
}

// ServeHTTP takes traces and metrics over HTTP.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	data, err := io.ReadAll(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.addHeaders(r.Header)
	switch r.URL.Path {
	case "/v1/traces":
		in := new(collectortrace.ExportTraceServiceRequest)
		if err = proto.Unmarshal(data, in); err == nil {
			c.addTraces(in)
		}
	case "/v1/metrics":
		in := new(collectormetrics.ExportMetricsServiceRequest)
		if err = proto.Unmarshal(data, in); err == nil {
			c.addMetrics(in)
		}
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}
