// Package exchange is the call to a model that the ai-* plugins of one request
// share, so that none of them parses it again.
package exchange

import (
	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Exchange is one call to a model and what came back.
type Exchange struct {
	// Request is the caller's call. It is empty once the answer has begun, so that
	// a long stream does not hold on to its prompt.
	Request llm.Request
	// Route, Provider and RequestModel say what is asked of whom.
	Route        llm.Route
	Provider     string
	RequestModel string
	// ResponseModel is the model that answered; empty until it is known.
	ResponseModel string
	// Streams says that the answer is streamed.
	Streams bool
	// Usage is what the call has used, as far as it is known.
	Usage llm.Usage
	// Owner is the state of the plugin that sends the call.
	Owner any
}

// Of gives the exchange of a request; nil when no plugin has begun one.
func Of(r *plugin.Request) *Exchange {
	e, _ := r.Exchange.(*Exchange)
	return e
}

// Begin makes e the exchange of the request.
func Begin(r *plugin.Request, e *Exchange) { r.Exchange = e }
