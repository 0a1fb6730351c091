package signals

import (
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// spanPayload is the most of a body that goes into a span, in bytes.
const spanPayload = 16 << 10

// finishRoot ends the span of the request itself. Its path is shown without the
// query, which may hold credentials, and no header is.
func finishRoot(span trace.Span, r *plugin.Request) {
	set := make([]attribute.KeyValue, 0, 16)
	text := func(key, value string) {
		if value != "" {
			set = append(set, attribute.String(key, cleaned(value)))
		}
	}
	text("http.request.method", r.Method)
	text("url.scheme", r.Scheme)
	text("url.path", r.Path)
	text("server.address", r.ForwardedHost)
	text("client.address", r.ClientIP)
	text("kong.request.id", r.ID)
	text("gibbon.config.version", r.Record.ConfigVersion)
	text("kong.route.name", r.Route.GetName())
	text("kong.route.id", r.Route.GetId())
	text("kong.service.name", r.Service.GetName())
	text("kong.auth.consumer.name", consumer(r))
	text("kong.workspace.name", workspace(r))
	set = append(set, attribute.Int("http.response.status_code", r.Response.Status))
	span.SetAttributes(set...)
	switch {
	case r.Record.Aborted:
		fail(span, "aborted")
	case r.Response.Status >= http.StatusInternalServerError:
		fail(span, strconv.Itoa(r.Response.Status))
	}
	span.End(trace.WithTimestamp(later(r.Started, r.Record.Ended)))
}

func fail(span trace.Span, kind string) {
	span.SetAttributes(attribute.String("error.type", kind))
	span.SetStatus(codes.Error, "")
}

// callAttributes describe one call. Bodies are there only where the call has
// them, which is with log_payloads.
func callAttributes(c *plugin.ModelCall) []attribute.KeyValue {
	set := make([]attribute.KeyValue, 0, 24)
	text := func(key, value string) {
		if value != "" {
			set = append(set, attribute.String(key, cleaned(value)))
		}
	}
	text("gen_ai.operation.name", operation(c.Route))
	text("gen_ai.provider.name", c.Provider)
	text("gen_ai.request.model", c.RequestModel)
	text("gen_ai.response.model", c.ResponseModel)
	text("gen_ai.response.id", c.ID)
	text("gen_ai.output.type", outputType(c.Route))
	text("kong.gen_ai.request.mode", c.Mode())
	text("gibbon.plugin.name", c.Plugin)
	text("gibbon.plugin.id", c.PluginID)
	if n, err := strconv.ParseInt(c.MaxTokens, 10, 64); err == nil {
		set = append(set, attribute.Int64("gen_ai.request.max_tokens", n))
	}
	if f, err := strconv.ParseFloat(c.Temperature, 64); err == nil {
		set = append(set, attribute.Float64("gen_ai.request.temperature", f))
	}
	if len(c.Finish) > 0 {
		reasons := make([]string, len(c.Finish))
		for i, reason := range c.Finish {
			reasons[i] = finish(reason)
		}
		set = append(set, attribute.StringSlice("gen_ai.response.finish_reasons", reasons))
	}
	if c.Status != 0 {
		set = append(set, attribute.Int("http.response.status_code", c.Status))
	}
	if c.Counted() {
		u := &c.Usage
		set = append(set, attribute.Int64("gen_ai.usage.input_tokens", u.Prompt()),
			attribute.Int64("gen_ai.usage.output_tokens", u.Completion()),
			attribute.String("gibbon.gen_ai.usage.source", u.Source().String()))
		for _, detail := range []struct {
			key    string
			tokens llm.Tokens
		}{
			{"gen_ai.usage.cache_read.input_tokens", u.CacheRead},
			{"gen_ai.usage.cache_creation.input_tokens", u.CacheWrite},
			{"gen_ai.usage.reasoning.output_tokens", u.Reasoning},
		} {
			if detail.tokens.Known() {
				set = append(set, attribute.Int64(detail.key, detail.tokens.N()))
			}
		}
		if c.Priced {
			set = append(set, attribute.Float64("kong.gen_ai.llm.cost", c.Cost))
		}
	}
	if c.Input != nil {
		set = append(set, attribute.String("gen_ai.input.messages", messages(c.Input, "messages")))
	}
	if c.Output != nil {
		set = append(set, attribute.String("gen_ai.output.messages", messages(c.Output, "choices")))
	}
	return set
}

// messages is the member of a body that has them, or the whole body where it has
// no such member; cut where it is too long.
func messages(body []byte, member string) string {
	found := body
	llm.Members(body, func(name string, value []byte) bool {
		if name == member {
			found = value
		}
		return name != member
	})
	return strings.ToValidUTF8(string(found[:min(len(found), spanPayload)]), "")
}

// finish is a reason in the words that OpenAI's interface made common.
func finish(reason llm.FinishReason) string {
	switch reason {
	case llm.FinishEnd, llm.FinishStop:
		return "stop"
	case llm.FinishLength, llm.FinishContext:
		return "length"
	case llm.FinishCalls:
		return "tool_calls"
	case llm.FinishFiltered:
		return "content_filter"
	case llm.FinishUnknown:
		return "unknown"
	}
	return string(reason)
}

// operation is what a kind of calls does, in OpenTelemetry's words.
func operation(route llm.Route) string {
	switch route {
	case llm.Chat, llm.Responses, llm.Assistants:
		return "chat"
	case llm.Completions:
		return "text_completion"
	case llm.Embeddings:
		return "embeddings"
	}
	return "generate_content"
}

// outputType is what the answer is; empty when the kind of calls does not say.
func outputType(route llm.Route) string {
	switch route {
	case llm.Chat, llm.Completions, llm.Responses, llm.Transcriptions, llm.Translations:
		return "text"
	case llm.Images, llm.ImageEdits:
		return "image"
	case llm.Speech:
		return "speech"
	}
	return ""
}
