package signals

import (
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// instruments are the metrics that go to the collector: Kong's, which are
// OpenTelemetry's where that has a name. Times are in seconds.
type instruments struct {
	operation, request, firstToken, perToken metric.Float64Histogram
	tokens                                   metric.Int64Counter
	cost                                     metric.Float64Counter
}

func newInstruments(meter metric.Meter) (in instruments, err error) {
	var errs []error
	histogram := func(name, help string, buckets []float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(help), metric.WithExplicitBucketBoundaries(buckets...))
		errs = append(errs, err)
		return h
	}
	in.operation = histogram("gen_ai.client.operation.duration", "How long calls to models took.", durationBuckets)
	in.request = histogram("gen_ai.server.request.duration", "How long requests that led to calls to models took.", durationBuckets)
	in.firstToken = histogram("gen_ai.server.time_to_first_token", "Time until the first piece of a streamed answer.", firstTokenBuckets)
	in.perToken = histogram("gen_ai.server.time_per_output_token", "Time for each token of an answer behind the first.", perTokenBuckets)
	in.tokens, err = meter.Int64Counter("gen_ai.client.token.usage", metric.WithUnit("{token}"), metric.WithDescription("Tokens that calls to models used."))
	errs = append(errs, err)
	in.cost, err = meter.Float64Counter("kong.gen_ai.llm.cost", metric.WithDescription("What calls to models cost, in the currency of the prices."))
	return in, errors.Join(append(errs, err)...)
}

// measure notes the metrics of one call.
func (e *Exporter) measure(r *plugin.Request, c *plugin.ModelCall) {
	ctx, in := r.Context(), &e.instruments
	base := []attribute.KeyValue{
		attribute.String("gen_ai.provider.name", c.Provider),
		attribute.String("gen_ai.request.model", e.models.label(c.RequestModel)),
		attribute.String("gen_ai.response.model", e.models.label(c.ResponseModel)),
		attribute.String("gen_ai.operation.name", operation(c.Route)),
		attribute.String("kong.workspace.name", workspace(r)),
		attribute.String("kong.auth.consumer.name", e.consumers.label(consumer(r))),
		attribute.String("kong.gen_ai.request.mode", c.Mode()),
	}
	with := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(base[:len(base):len(base)], more...)...))
	}
	same := with()
	timed := same
	if c.Failure != "" {
		timed = with(attribute.String("error.type", c.Failure))
	}
	if c.Latency > 0 {
		in.operation.Record(ctx, c.Latency.Seconds(), timed)
	}
	if took := r.Record.Ended.Sub(r.Started); took > 0 {
		in.request.Record(ctx, took.Seconds(), timed)
	}
	if c.FirstToken > 0 {
		in.firstToken.Record(ctx, c.FirstToken.Seconds(), same)
	}
	if each, ok := timePerToken(c); ok {
		in.perToken.Record(ctx, each.Seconds(), same)
	}
	if !c.Counted() {
		return
	}
	if n := c.Usage.Prompt(); n > 0 {
		in.tokens.Add(ctx, n, with(attribute.String("gen_ai.token.type", "input")))
	}
	if n := c.Usage.Completion(); n > 0 {
		in.tokens.Add(ctx, n, with(attribute.String("gen_ai.token.type", "output")))
	}
	if c.Cost > 0 {
		in.cost.Add(ctx, c.Cost, same)
	}
}
