package plugin

import (
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
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
	// Cost is in the currency of the prices; Priced says that there were any.
	Cost   float64
	Priced bool
	// Input and Output are the bodies, with log_payloads; else nil. They hold no
	// credentials.
	Input, Output []byte
}
