// Package signals makes metrics and traces of the traffic, above all of the calls
// to models: Metrics for whoever scrapes the node, Exporter for a collector that
// speaks OTLP. Both read what the gateway and its plugins noted about a request
// that is over (plugin.Record); no plugin knows them.
//
// Nothing here holds a request up: metrics are counters in memory, and what goes
// to the collector waits in a queue that drops the oldest when it is full.
package signals

import (
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Limits of labels, since every new value is memory here and at whoever reads.
const (
	// maxModels is how many models have a name of their own in labels; names come
	// from callers. maxConsumers is the same for consumers.
	maxModels, maxConsumers = 1000, 10_000
	// maxSeries is how many combinations are told apart.
	maxSeries = 20_000
	// maxLabel is the longest value of a label, in bytes.
	maxLabel = 256
	// other is where the rest is counted.
	other = "other"
)

// names lets a bounded number of values through. It is safe for concurrent use.
type names struct {
	most int
	mu   sync.RWMutex
	seen map[string]string
}

func newNames(most int) *names { return &names{most: most, seen: make(map[string]string)} }

// label is what stands for a value in labels: the value itself, or other when
// there are too many.
func (n *names) label(value string) string {
	if value == "" {
		return ""
	}
	n.mu.RLock()
	known, ok := n.seen[value]
	n.mu.RUnlock()
	if ok {
		return known
	}
	clean := cleaned(value)
	n.mu.Lock()
	defer n.mu.Unlock()
	if known, ok := n.seen[value]; ok {
		return known
	}
	if len(n.seen) >= n.most {
		return other
	}
	// The value may be part of a request's body, which must not be held.
	n.seen[strings.Clone(value)] = clean
	return clean
}

// cleaned makes a value fit for a label.
func cleaned(value string) string {
	if len(value) > maxLabel {
		value = value[:maxLabel]
		for len(value) > 0 && !utf8.RuneStart(value[len(value)-1]) {
			value = value[:len(value)-1]
		}
		if r, size := utf8.DecodeLastRuneInString(value); r == utf8.RuneError && size == 1 {
			value = value[:len(value)-1]
		}
	}
	return strings.Clone(strings.ToValidUTF8(value, "\uFFFD"))
}

// consumer is how labels name who called: by name as Kong does, else by the ids.
func consumer(r *plugin.Request) string {
	switch c := r.Consumer; {
	case c == nil:
		return ""
	case c.Username != "":
		return c.Username
	case c.CustomID != "":
		return c.CustomID
	default:
		return c.ID
	}
}

// workspace is that of the route.
func workspace(r *plugin.Request) string {
	if r.Record.WorkspaceName == "" {
		return "default" // the one that every entity is in
	}
	return r.Record.WorkspaceName
}

// timePerToken is how long each token of the answer took; false when that cannot
// be said. The first token does not count where it is known when it came.
func timePerToken(c *plugin.ModelCall) (time.Duration, bool) {
	tokens := c.Usage.Completion()
	if !c.Counted() || tokens <= 0 || c.Latency <= 0 {
		return 0, false
	}
	if c.FirstToken > 0 && tokens > 1 {
		return (c.Latency - c.FirstToken) / time.Duration(tokens-1), true
	}
	return c.Latency / time.Duration(tokens), true
}
