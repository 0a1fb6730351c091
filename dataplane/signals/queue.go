package signals

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Limits of what waits for the collector.
const (
	queueSpans = 10_000
	queueBytes = 64 << 20
	// spanBytes is what a span is taken to hold beside its texts.
	spanBytes = 2 << 10
	// batchSpans is how many spans go out at once, batchEvery how long fewer wait.
	batchSpans = 512
	batchEvery = 5 * time.Second
	// exportTime is how long one batch may take.
	exportTime = 10 * time.Second
	// quietTime is how often at most it is logged that the collector fails.
	quietTime = time.Minute
)

// queue hands spans to the collector from a goroutine of its own. What does not
// fit takes the place of the oldest, so that adding never waits.
type queue struct {
	exporter sdktrace.SpanExporter
	log      *complaints
	dropped  atomic.Uint64

	mu     sync.Mutex
	spans  []sdktrace.ReadOnlySpan
	sizes  []int
	bytes  int
	full   chan struct{} // has room for one: a batch is there
	ending chan struct{} // closed by Shutdown
	ended  chan struct{} // closed by the goroutine
	once   sync.Once
	closed error              // what Shutdown came to
	stop   context.CancelFunc // breaks an export off
}

var _ sdktrace.SpanProcessor = (*queue)(nil)

// newQueue starts the goroutine, which Shutdown ends.
func newQueue(exporter sdktrace.SpanExporter, log *complaints) *queue {
	ctx, stop := context.WithCancel(context.Background())
	q := &queue{
		exporter: exporter, log: log, stop: stop,
		full: make(chan struct{}, 1), ending: make(chan struct{}), ended: make(chan struct{}),
	}
	go func() {
		defer close(q.ended)
		q.run(ctx)
	}()
	return q
}

// OnStart has nothing to do.
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd adds a span.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	size := spanBytes
	for _, a := range s.Attributes() {
		if a.Value.Type() == attribute.STRING {
			size += len(a.Value.AsString())
		}
	}
	q.mu.Lock()
	q.spans, q.sizes, q.bytes = append(q.spans, s), append(q.sizes, size), q.bytes+size
	for len(q.spans) > queueSpans || q.bytes > queueBytes {
		q.bytes -= q.sizes[0]
		q.spans[0] = nil
		q.spans, q.sizes = q.spans[1:], q.sizes[1:]
		q.dropped.Add(1)
	}
	enough := len(q.spans) >= batchSpans
	q.mu.Unlock()
	if enough {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
}

// take takes the next batch out.
func (q *queue) take() []sdktrace.ReadOnlySpan {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.spans), batchSpans)
	batch := append([]sdktrace.ReadOnlySpan(nil), q.spans[:n]...)
	for _, size := range q.sizes[:n] {
		q.bytes -= size
	}
	clear(q.spans[:n])
	q.spans, q.sizes = q.spans[n:], q.sizes[n:]
	return batch
}

// run sends batches until Shutdown, and then what is left.
func (q *queue) run(ctx context.Context) {
	ticker := time.NewTicker(batchEvery)
	defer ticker.Stop()
	for {
		last := false
		select {
		case <-ticker.C:
		case <-q.full:
		case <-q.ending:
			last = true
		}
		for batch := q.take(); len(batch) > 0; batch = q.take() {
			q.export(ctx, batch)
		}
		if last {
			return
		}
	}
}

func (q *queue) export(ctx context.Context, batch []sdktrace.ReadOnlySpan) {
	ctx, cancel := context.WithTimeout(ctx, exportTime)
	defer cancel()
	if err := q.exporter.ExportSpans(ctx, batch); err != nil {
		q.dropped.Add(uint64(len(batch)))
		q.log.complain(err)
	}
}

// ForceFlush has nothing to do: only Shutdown waits for the collector.
func (q *queue) ForceFlush(context.Context) error { return nil }

// Shutdown sends what is left, as far as ctx lets it, and ends the goroutine.
func (q *queue) Shutdown(ctx context.Context) error {
	q.once.Do(func() {
		close(q.ending)
		select {
		case <-q.ended:
		case <-ctx.Done():
			q.stop()
			<-q.ended
		}
		q.stop()
		q.closed = q.exporter.Shutdown(ctx)
	})
	return q.closed
}

// complaints counts failures of the collector, and logs one in a while.
type complaints struct {
	log    *slog.Logger
	failed atomic.Uint64
	mu     sync.Mutex
	last   time.Time
}

func (c *complaints) complain(err error) {
	n := c.failed.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && time.Since(c.last) < quietTime {
		return
	}
	c.last = time.Now()
	c.log.Warn("the collector did not take what was sent", "failures", n, "error", err)
}
