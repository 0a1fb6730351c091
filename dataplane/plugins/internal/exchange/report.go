package exchange

import (
	"strconv"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// loggedPayload is the most of a body that goes into a log line, in bytes.
const loggedPayload = 1 << 20

// Report says that a call to a model is over. It prices the call, adds it to the
// request's record, from which metrics and traces are made, and writes it into
// the ai block of the log object. Plugin and PluginID are env's.
//
// Counts and names are always shown; bodies only where the call has them, which
// is with log_payloads, and without the secrets that the request is known to have.
func Report(r *plugin.Request, env plugin.Env, call plugin.ModelCall) {
	call.Plugin, call.PluginID = env.Name, env.ID
	if call.Prices == nil {
		call.Prices = env.Models.Prices.Find(call.Provider, call.ResponseModel, call.RequestModel)
	}
	if call.Priced = call.Prices != nil; call.Priced {
		call.Cost = call.Prices.Cost(&call.Usage).Float()
	}
	call.Input, call.Output = r.WithoutSecrets(call.Input), r.WithoutSecrets(call.Output)
	r.Record.ModelCalls = append(r.Record.ModelCalls, call)

	old := env.Models.Layout == plugin.Layout38
	// The call that a request is about has a name that is the same for all plugins
	// that make it; before 3.10 it was that of the plugin.
	main := call.Plugin == "ai-proxy" || call.Plugin == "ai-proxy-advanced"
	name := call.Plugin
	if main && !old {
		name = "proxy"
	}
	// Both stand in one piece of memory, which is enough for most calls.
	meta := appendMeta(make([]byte, 0, 576), &call, old)
	r.Log.Set(meta[:len(meta):len(meta)], "ai", name, "meta")
	if call.Counted() {
		r.Log.Set(appendUsage(meta[len(meta):], &call, old), "ai", name, "usage")
	}
	if old || !main {
		r.Log.Set([]byte("{}"), "ai", name, "cache")
	}
	if call.Input != nil {
		r.Log.Set(quoted(call.Input), "ai", name, "payload", "request")
	}
	if call.Output != nil {
		r.Log.Set(quoted(call.Output), "ai", name, "payload", "response")
	}
}

// quoted is a body as a JSON string, cut where it is too long.
func quoted(body []byte) []byte {
	return llm.AppendQuoted(nil, body[:min(len(body), loggedPayload)])
}

// appendMeta writes who was asked. old keeps to the keys of Kong 3.8.
func appendMeta(out []byte, c *plugin.ModelCall, old bool) []byte {
	out = append(out, `{"plugin_id":`...)
	out = plugin.AppendString(out, c.PluginID)
	out = appendMember(out, "provider_name", c.Provider)
	out = appendMember(out, "request_model", c.RequestModel)
	// Kong shows the model that was asked when the answer names none.
	if c.ResponseModel != "" {
		out = appendMember(out, "response_model", c.ResponseModel)
	} else {
		out = appendMember(out, "response_model", c.RequestModel)
	}
	if !old {
		out = appendMember(out, "request_mode", c.Mode())
	}
	if c.Latency > 0 {
		out = append(out, `,"llm_latency":`...)
		out = strconv.AppendInt(out, c.Latency.Milliseconds(), 10)
	}
	if c.AzureInstance != "" {
		out = appendMember(out, "azure_instance_id", c.AzureInstance)
	}
	if c.AzureDeployment != "" {
		out = appendMember(out, "azure_deployment_id", c.AzureDeployment)
	}
	if c.AzureVersion != "" {
		out = appendMember(out, "azure_api_version", c.AzureVersion)
	}
	return append(out, '}')
}

func appendMember(out []byte, name, value string) []byte {
	out = append(out, ',', '"')
	out = append(out, name...)
	out = append(out, '"', ':')
	return plugin.AppendString(out, value)
}

// appendUsage writes what the call used.
func appendUsage(out []byte, c *plugin.ModelCall, old bool) []byte {
	u := &c.Usage
	out = append(out, `{"prompt_tokens":`...)
	out = strconv.AppendInt(out, u.Prompt(), 10)
	out = append(out, `,"completion_tokens":`...)
	out = strconv.AppendInt(out, u.Completion(), 10)
	out = append(out, `,"total_tokens":`...)
	out = strconv.AppendInt(out, u.Total(), 10)
	if !old {
		out = llm.AppendOpenAIUsageDetails(out, u)
		if isMedia(c.Route) {
			out = appendMedia(out, u)
		}
	}
	out = append(out, `,"time_per_token":`...)
	out = appendTimePerToken(out, c.Latency, u.Completion(), old)
	if !old && c.FirstToken > 0 {
		out = append(out, `,"time_to_first_token":`...)
		out = strconv.AppendInt(out, c.FirstToken.Milliseconds(), 10)
	}
	// Without prices 3.8 has no cost, later releases have 0.
	if !old || c.Priced {
		out = append(out, `,"cost":`...)
		out = strconv.AppendFloat(out, c.Cost, 'f', -1, 64)
	}
	if !old {
		// Kong does not tell guesses from counts; money that was guessed should be
		// known as such.
		out = append(out, `,"source":"`...)
		out = append(out, u.Source().String()...)
		out = append(out, '"')
	}
	return append(out, '}')
}

// appendTimePerToken writes milliseconds for each token of the answer, 0 when it
// has none: a whole number in 3.8.
func appendTimePerToken(out []byte, latency time.Duration, tokens int64, whole bool) []byte {
	switch ms := latency.Milliseconds(); {
	case tokens <= 0:
		return append(out, '0')
	case whole:
		return strconv.AppendInt(out, ms/tokens, 10)
	default:
		return strconv.AppendFloat(out, float64(ms)/float64(tokens), 'f', -1, 64)
	}
}

// isMedia tells the routes whose usage Kong also shows in the words of OpenAI's
// newer interfaces.
func isMedia(route llm.Route) bool {
	switch route {
	case llm.Images, llm.ImageEdits, llm.Speech, llm.Transcriptions, llm.Translations:
		return true
	}
	return false
}

func appendMedia(out []byte, u *llm.Usage) []byte {
	out = append(out, `,"input_tokens":`...)
	out = strconv.AppendInt(out, u.Prompt(), 10)
	out = append(out, `,"input_tokens_details":{"text_tokens":`...)
	out = strconv.AppendInt(out, u.Prompt()-u.ImageIn.N()-u.AudioIn.N(), 10)
	if u.ImageIn.Known() {
		out = append(out, `,"image_tokens":`...)
		out = strconv.AppendInt(out, u.ImageIn.N(), 10)
	}
	if u.AudioIn.Known() {
		out = append(out, `,"audio_tokens_count":`...)
		out = strconv.AppendInt(out, u.AudioIn.N(), 10)
	}
	out = append(out, `},"output_tokens":`...)
	out = strconv.AppendInt(out, u.Completion(), 10)
	out = append(out, `,"output_tokens_details":{"text_tokens":`...)
	out = strconv.AppendInt(out, u.Answer.N(), 10)
	if u.AudioOut.Known() {
		out = append(out, `,"audio_tokens":`...)
		out = strconv.AppendInt(out, u.AudioOut.N(), 10)
	}
	if u.Reasoning.Known() {
		out = append(out, `,"reasoning_tokens":`...)
		out = strconv.AppendInt(out, u.Reasoning.N(), 10)
	}
	return append(out, '}')
}
