package plugin

import (
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/price"
)

// ModelCall is one call to a model that a request led to, for logs, metrics and
// traces. A request may lead to several: its own, and those that plugins make to
// change or to judge it.
type ModelCall struct {
	// Plugin is the plugin that made the call: ai-proxy.
	Plugin   string
	PluginID string
	// Provider is the provider's name, and the models those that were asked and that
	// answered. ResponseModel is empty when the answer names none.
	Provider, RequestModel, ResponseModel string
	Route                                 llm.Route
	// AzureInstance, AzureDeployment and AzureVersion are Azure's alone.
	AzureInstance, AzureDeployment, AzureVersion string
	// ID is the answer's id. May be empty.
	ID      string
	Streams bool
	// MaxTokens and Temperature are what was asked, as JSON text. May be empty.
	MaxTokens, Temperature string
	Finish                 []llm.FinishReason
	Usage                  llm.Usage
	// Answered says that the model's answer, and no error, came.
	Answered bool
	// Status is the provider's status; 0 when it gave none. Failure names what went
	// wrong, in the words of OpenTelemetry's error.type; empty: nothing.
	Status  int
	Failure string
	// Start is when the call was sent. Latency is from then until the whole answer
	// was there, FirstToken until its first piece; 0: not known.
	Start               time.Time
	Latency, FirstToken time.Duration
	// Prices are those that the configuration names; nil: it names none, and the
	// node's list is asked.
	Prices *price.Prices
	// Cost is in the currency of the prices; Priced says that there were any. Both
	// are filled in when the call is reported.
	Cost   float64
	Priced bool
	// Input and Output are the bodies, with log_payloads; else nil. They hold no
	// credentials, and stay as they are until the request is over.
	Input, Output []byte
}

// Mode is how the answer came, in Kong's words: oneshot, stream or realtime.
func (c *ModelCall) Mode() string {
	switch {
	case c.Route == llm.Realtime:
		return "realtime"
	case c.Streams:
		return "stream"
	}
	return "oneshot"
}

// Counted says that the numbers of its tokens are there, reported or guessed.
func (c *ModelCall) Counted() bool { return c.Answered && c.Usage.Source() != llm.Unknown }
