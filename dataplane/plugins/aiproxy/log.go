package aiproxy

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/exchange"
)

// loggedPayload is the most of a body that is kept for the log, in bytes.
const loggedPayload = 1 << 20

// maxReasons is of how many choices of an answer it is noted why they ended.
const maxReasons = 16

// Log reports the call, for the log line and for metrics. Counts and names are
// always told; bodies only with log_payloads.
func (h *Handler) Log(r *plugin.Request) {
	c := h.of(r)
	if c == nil {
		return
	}
	if c.stream.unpacker != nil {
		c.stream.unpacker.close()
	}
	if c.Streams && c.answered && h.conduct.counted {
		if c.Usage.Input != llm.Reported {
			c.Usage.EstimateInput(llm.EstimatePrompt(c.words, true))
		}
		c.Usage.EstimateOutput(llm.EstimateCompletion(c.stream.length.Len()))
	}
	done := plugin.ModelCall{
		Provider: h.providerName, RequestModel: c.RequestModel, ResponseModel: c.ResponseModel,
		Route: c.Route, Streams: c.Streams,
		MaxTokens: c.call.MaxTokens, Temperature: c.call.Temperature,
		ID: c.answerID, Finish: c.reasons,
		Usage: c.Usage, Answered: c.answered, Status: status(r), Failure: failure(r, c),
		Start: r.Record.Dialled, Prices: h.prices,
	}
	if options := c.call.Options; h.providerName == "azure" {
		done.AzureInstance, done.AzureDeployment = options.GetAzureInstance(), options.GetAzureDeploymentId()
		done.AzureVersion = options.GetAzureApiVersion()
	}
	if !done.Start.IsZero() {
		done.Latency, done.FirstToken = since(done.Start, c.done), since(done.Start, c.firstToken)
	}
	if h.logPayload {
		done.Input, done.Output = c.requestLogged, c.answerLogged
		if c.Streams && c.answered {
			done.Output = c.joined()
		}
	}
	exchange.Report(r, h.env, done)
}

// since is how long after the start a moment was; 0 when it never came. What was
// quicker than the clock still happened.
func since(start, moment time.Time) time.Duration {
	if moment.IsZero() {
		return 0
	}
	return max(moment.Sub(start), 1)
}

// status is the provider's; 0 when it gave none.
func status(r *plugin.Request) int {
	if n := len(r.Record.Tries); n > 0 {
		return r.Record.Tries[n-1].Status
	}
	return 0
}

// failure names what went wrong with a call, in the words of OpenTelemetry's
// error.type; empty when nothing did.
func failure(r *plugin.Request, c *call) string {
	upstream := status(r)
	switch {
	case upstream == 0:
		if n := len(r.Record.Tries); n > 0 && r.Record.Tries[n-1].Code == http.StatusGatewayTimeout {
			return "timeout"
		}
		return "connection_error"
	case upstream >= http.StatusBadRequest:
		return strconv.Itoa(upstream)
	case c.stream.failed || c.stream.broken != nil || r.Record.Aborted:
		return "stream_error"
	case !c.answered && c.Route != llm.Preserve:
		return "invalid_response"
	}
	return ""
}

// model is the model that answered, as far as it is known.
func (c *call) model() string {
	if c.ResponseModel != "" {
		return c.ResponseModel
	}
	return c.RequestModel
}
