package signals

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Metrics counts calls to models, under the names that Kong's prometheus plugin
// gives them, and a few things of our own. It is a prometheus.Collector, and safe for
// concurrent use.
type Metrics struct {
	requests, cost, tokens, failures, incidents *prometheus.CounterVec
	latency, firstToken, perToken               *prometheus.HistogramVec

	models, consumers *names

	mu     sync.RWMutex
	series map[seriesKey]*series
}

var _ prometheus.Collector = (*Metrics)(nil)

// seriesKey is what calls are told apart by.
type seriesKey struct{ provider, model, workspace, consumer, mode string }

// series are the counters of one kind of calls, looked up once. Those that Kong
// shows only from the first value on are nil until then.
type series struct {
	key        seriesKey
	requests   prometheus.Counter
	latency    prometheus.Observer
	prompt     lazyCounter
	completion lazyCounter
	total      lazyCounter
	cost       lazyCounter
	firstToken lazyObserver
	perToken   lazyObserver
}

type lazyCounter struct {
	once sync.Once
	prometheus.Counter
}

func (l *lazyCounter) add(n float64, make func() prometheus.Counter) {
	if n > 0 {
		l.once.Do(func() { l.Counter = make() })
		l.Add(n)
	}
}

type lazyObserver struct {
	once sync.Once
	prometheus.Observer
}

func (l *lazyObserver) observe(n float64, make func() prometheus.Observer) {
	l.once.Do(func() { l.Observer = make() })
	l.Observe(n)
}

// Kong's buckets, in milliseconds, and those that OpenTelemetry proposes, in
// seconds.
var (
	latencyBuckets    = []float64{250, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 10000, 30000, 60000}
	firstTokenBuckets = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	perTokenBuckets   = []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5}
	durationBuckets   = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
)

// NewMetrics makes metrics that have counted nothing.
func NewMetrics() *Metrics {
	call := []string{"ai_provider", "ai_model", "cache_status", "vector_db", "embeddings_provider", "embeddings_model", "workspace", "consumer", "request_mode"}
	token := []string{"ai_provider", "ai_model", "cache_status", "vector_db", "embeddings_provider", "embeddings_model", "token_type", "workspace", "consumer"}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels []string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	own := []string{"ai_provider", "ai_model"}
	return &Metrics{
		requests: counter("kong_ai_llm_requests_total", "AI requests total per ai_provider in Kong", call),
		// The two have the same text in Kong.
		cost:    counter("kong_ai_llm_cost_total", "AI requests cost per ai_provider/cache in Kong", call),
		tokens:  counter("kong_ai_llm_tokens_total", "AI requests cost per ai_provider/cache in Kong", token),
		latency: histogram("kong_ai_llm_provider_latency_ms", "LLM response Latency for each AI plugins per ai_provider in Kong", latencyBuckets, call),
		failures: counter("gibbon_ai_llm_failures_total", "Calls to models that failed, by what went wrong.",
			[]string{"ai_provider", "ai_model", "error_type"}),
		incidents: counter("gibbon_plugin_incidents_total", "What plugins met that is out of the ordinary, by what it was.",
			[]string{"plugin", "incident"}),
		firstToken: histogram("gibbon_ai_time_to_first_token_seconds", "Time from sending a call to a model until the first piece of its streamed answer.", firstTokenBuckets, own),
		perToken:   histogram("gibbon_ai_time_per_output_token_seconds", "Time that models took for each token of their answers, the first one of a stream left out.", perTokenBuckets, own),
		models:     newNames(maxModels), consumers: newNames(maxConsumers),
		series: make(map[seriesKey]*series),
	}
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.cost, m.tokens, m.latency, m.failures, m.incidents, m.firstToken, m.perToken}
}

// Describe describes the metrics.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(to)
	}
}

// Collect gives the metrics.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(to)
	}
}

// Begin has nothing to count yet.
func (m *Metrics) Begin(*plugin.Request) {}

// End counts the calls, and the incidents, of a request that is over.
func (m *Metrics) End(r *plugin.Request) {
	for _, incident := range r.Record.Incidents {
		m.incidents.WithLabelValues(incident.Plugin, incident.Kind).Inc()
	}
	for i := range r.Record.ModelCalls {
		m.count(r, &r.Record.ModelCalls[i])
	}
}

func (m *Metrics) count(r *plugin.Request, c *plugin.ModelCall) {
	s := m.find(seriesKey{
		provider: c.Provider, model: m.models.label(c.RequestModel),
		workspace: workspace(r), consumer: m.consumers.label(consumer(r)), mode: c.Mode(),
	})
	s.requests.Inc()
	if c.Latency > 0 {
		s.latency.Observe(float64(c.Latency.Milliseconds()))
	}
	if c.Failure != "" {
		m.failures.WithLabelValues(s.key.provider, s.key.model, c.Failure).Inc()
	}
	if c.FirstToken > 0 {
		s.firstToken.observe(c.FirstToken.Seconds(), func() prometheus.Observer {
			return m.firstToken.WithLabelValues(s.key.provider, s.key.model)
		})
	}
	if each, ok := timePerToken(c); ok {
		s.perToken.observe(each.Seconds(), func() prometheus.Observer {
			return m.perToken.WithLabelValues(s.key.provider, s.key.model)
		})
	}
	if !c.Counted() {
		return
	}
	tokens := func(kind string) func() prometheus.Counter {
		return func() prometheus.Counter {
			k := &s.key
			return m.tokens.WithLabelValues(k.provider, k.model, "", "", "", "", kind, k.workspace, k.consumer)
		}
	}
	s.prompt.add(float64(c.Usage.Prompt()), tokens("prompt_tokens"))
	s.completion.add(float64(c.Usage.Completion()), tokens("completion_tokens"))
	s.total.add(float64(c.Usage.Total()), tokens("total_tokens"))
	s.cost.add(c.Cost, func() prometheus.Counter { return m.cost.WithLabelValues(s.key.call()...) })
}

// call are the values of the labels that requests have.
func (k *seriesKey) call() []string {
	return []string{k.provider, k.model, "", "", "", "", k.workspace, k.consumer, k.mode}
}

// find gives the counters of one kind of calls.
func (m *Metrics) find(key seriesKey) *series {
	m.mu.RLock()
	s := m.series[key]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.series[key]; s != nil {
		return s
	}
	if len(m.series) >= maxSeries {
		key.model, key.consumer = other, other
		if s := m.series[key]; s != nil {
			return s
		}
	}
	s = &series{key: key}
	s.requests = m.requests.WithLabelValues(key.call()...)
	s.latency = m.latency.WithLabelValues(key.call()...)
	m.series[key] = s
	return s
}
