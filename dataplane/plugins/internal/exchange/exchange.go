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

// slot is what stands in plugin.Request's Exchange.
type slot struct {
	exchange *Exchange
	views    []*view
	// The memory of the first view, which mostly is the only one.
	first view
	list  [1]*view
}

func slotOf(r *plugin.Request) *slot {
	s, _ := r.Exchange.(*slot)
	return s
}

func makeSlot(r *plugin.Request) *slot {
	s := slotOf(r)
	if s == nil {
		s = &slot{}
		r.Exchange = s
	}
	return s
}

// Of gives the exchange of a request; nil when no plugin has begun one.
func Of(r *plugin.Request) *Exchange {
	if s := slotOf(r); s != nil {
		return s.exchange
	}
	return nil
}

// Begin makes e the exchange of the request. What was read of the body for
// Inspect is let go of: from now on the call is e's.
func Begin(r *plugin.Request, e *Exchange) {
	s := makeSlot(r)
	s.exchange, s.views = e, nil
	s.first, s.list[0] = view{}, nil
}
