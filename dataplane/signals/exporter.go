package signals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Config says where an Exporter sends to. What it leaves open, the standard
// OTEL_EXPORTER_OTLP_* variables say.
type Config struct {
	// Endpoint is the collector's URL. HTTP says that it speaks protobuf over HTTP
	// instead of gRPC.
	Endpoint string
	HTTP     bool
	// Headers go with everything that is sent.
	Headers map[string]string
	// Sampling is the part of requests that is traced, where the caller's
	// traceparent does not decide: 0 to 1.
	Sampling float64
	// NodeID and Version are the node's.
	NodeID, Version string
	Log             *slog.Logger
}

// Exporter sends traces of requests, and metrics of their calls to models, to a
// collector. It is safe for concurrent use.
type Exporter struct {
	spans       *queue
	tracing     *sdktrace.TracerProvider
	tracer      trace.Tracer
	metering    *sdkmetric.MeterProvider
	instruments instruments
	log         *complaints
	carry       propagation.TraceContext

	models, consumers *names
}

// scope is the name under which spans and metrics come.
const scope = "github.com/gibbon-gateway/gibbon"

// Open makes an exporter. Nothing is sent yet, so a collector that is not there is
// no error. Close must follow.
func Open(ctx context.Context, cfg Config) (*Exporter, error) {
	e := &Exporter{log: &complaints{log: cfg.Log}, models: newNames(maxModels), consumers: newNames(maxConsumers)}
	// The variables have the last word about the resource.
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "gibbon"), attribute.String("service.version", cfg.Version),
		attribute.String("service.instance.id", cfg.NodeID),
	), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	spans, err := spanExporter(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the exporter of traces: %w", err)
	}
	values, err := metricExporter(ctx, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the exporter of metrics: %w", err), spans.Shutdown(ctx))
	}
	e.spans = newQueue(spans, e.log)
	e.tracing = sdktrace.NewTracerProvider(
		sdktrace.WithResource(about), sdktrace.WithSpanProcessor(e.spans),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Sampling))),
	)
	e.tracer = e.tracing.Tracer(scope)
	e.metering = sdkmetric.NewMeterProvider(
		sdkmetric.WithResource(about), sdkmetric.WithCardinalityLimit(maxSeries),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(&patient{Exporter: values, log: e.log})),
	)
	if e.instruments, err = newInstruments(e.metering.Meter(scope)); err != nil {
		return nil, errors.Join(err, e.Close(ctx))
	}
	return e, nil
}

func spanExporter(ctx context.Context, cfg Config) (*otlptrace.Exporter, error) {
	if cfg.HTTP {
		options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(strings.TrimRight(cfg.Endpoint, "/") + "/v1/traces")}
		if len(cfg.Headers) > 0 {
			options = append(options, otlptracehttp.WithHeaders(cfg.Headers))
		}
		return otlptracehttp.New(ctx, options...)
	}
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpointURL(cfg.Endpoint)}
	if len(cfg.Headers) > 0 {
		options = append(options, otlptracegrpc.WithHeaders(cfg.Headers))
	}
	return otlptracegrpc.New(ctx, options...)
}

func metricExporter(ctx context.Context, cfg Config) (sdkmetric.Exporter, error) {
	if cfg.HTTP {
		options := []otlpmetrichttp.Option{otlpmetrichttp.WithEndpointURL(strings.TrimRight(cfg.Endpoint, "/") + "/v1/metrics")}
		if len(cfg.Headers) > 0 {
			options = append(options, otlpmetrichttp.WithHeaders(cfg.Headers))
		}
		return otlpmetrichttp.New(ctx, options...)
	}
	options := []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpointURL(cfg.Endpoint)}
	if len(cfg.Headers) > 0 {
		options = append(options, otlpmetricgrpc.WithHeaders(cfg.Headers))
	}
	return otlpmetricgrpc.New(ctx, options...)
}

// patient keeps failures of the collector from the SDK, which would write them
// to standard error past the node's log.
type patient struct {
	sdkmetric.Exporter
	log *complaints
}

func (p *patient) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	if err := p.Exporter.Export(ctx, metrics); err != nil {
		p.log.complain(err)
	}
	return nil
}

// Close sends what is left, as far as ctx lets it, and ends the goroutines.
func (e *Exporter) Close(ctx context.Context) error {
	// The provider of the SDK leaves its processors running when the time is over
	// already, so the queue is not left to it.
	if err := errors.Join(e.spans.Shutdown(ctx), e.tracing.Shutdown(ctx), e.metering.Shutdown(ctx)); err != nil {
		return fmt.Errorf("flush traces and metrics: %w", err)
	}
	return nil
}

// Lost counts what did not reach the collector: spans, and exports that failed.
func (e *Exporter) Lost() (spans, exports uint64) {
	return e.spans.dropped.Load(), e.log.failed.Load()
}

// Begin begins the trace of a request, or goes on with the caller's, and tells the
// upstream by traceparent.
func (e *Exporter) Begin(r *plugin.Request) {
	if r.Header == nil {
		return // refused before its head could be read
	}
	headers := propagation.HeaderCarrier(r.Header)
	ctx, _ := e.tracer.Start(e.carry.Extract(r.Context(), headers), "kong",
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(r.Started))
	e.carry.Inject(ctx, headers)
	r.SetContext(ctx)
}

// End ends the trace of a request and notes the metrics of its calls.
func (e *Exporter) End(r *plugin.Request) {
	if root := trace.SpanFromContext(r.Context()); root.IsRecording() {
		for i := range r.Record.ModelCalls {
			e.trace(r, &r.Record.ModelCalls[i])
		}
		finishRoot(root, r)
	}
	for i := range r.Record.ModelCalls {
		e.measure(r, &r.Record.ModelCalls[i])
	}
}

// trace makes the span of one call.
func (e *Exporter) trace(r *plugin.Request, c *plugin.ModelCall) {
	start := c.Start
	if start.IsZero() {
		start = r.Started // it was never sent
	}
	_, span := e.tracer.Start(r.Context(), "kong.gen_ai", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(start), trace.WithAttributes(callAttributes(c)...))
	if c.Failure != "" {
		fail(span, c.Failure)
	}
	end := start.Add(c.Latency)
	if c.Latency == 0 {
		end = later(start, r.Record.Ended)
	}
	span.End(trace.WithTimestamp(end))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
