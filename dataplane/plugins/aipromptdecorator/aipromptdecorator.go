// Package aipromptdecorator puts configured messages before and behind those of a
// chat, in the caller's own format. All else of the body stays byte for byte.
package aipromptdecorator

import (
	"errors"
	"fmt"
	"net/http"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/exchange"
)

// Plugin is ai-prompt-decorator's entry in the list of plugins.
var Plugin = plugin.Of("ai-prompt-decorator", New)

var _ plugin.Accessor = (*Handler)(nil) // runs in the access phase, and in no other

// The answers to requests that cannot be decorated, in Kong's words.
const (
	notJSON = "this LLM route only supports application/json requests"
	notChat = "this LLM route only supports llm/chat type requests"
)

// Handler is one configured instance.
type Handler struct {
	prompts   prompts
	bodyLimit int64
	format    client.Format
	responses client.Format // OpenAI's, for calls of the responses API
	limits    llm.Limits
	// refusal is why this version cannot run the configuration; then every call is
	// answered with it.
	refusal *plugin.Reject
}

// New readies a handler for one configured instance.
func New(cfg *pluginpb.AiPromptDecorator, env plugin.Env) (*Handler, error) {
	h := &Handler{
		prompts: prompts{
			prepend: messages(cfg.GetPrompts().GetPrepend()),
			append:  messages(cfg.GetPrompts().GetAppend()),
		},
		bodyLimit: 1 << 20,
		limits:    llm.Limits{Depth: env.Limits.Depth, Values: env.Limits.Values},
	}
	if cfg.MaxRequestBodySize != nil {
		h.bodyLimit = cfg.GetMaxRequestBodySize()
	}
	format, ok := client.For(llm.Format(cfg.GetLlmFormat()), llm.Chat, "", h.limits)
	if !ok {
		reason := fmt.Sprintf("llm_format '%s' is not supported by this version of the gateway", cfg.GetLlmFormat())
		env.Log.Warn("this version does not run the configuration; its calls are refused", "reason", reason)
		h.refusal = plugin.JSON(http.StatusNotImplemented, client.AppendError(nil, reason))
		return h, nil
	}
	h.format = format
	if format.Name() == llm.OpenAI {
		h.responses, _ = client.For(llm.OpenAI, llm.Responses, "", h.limits)
	}
	return h, nil
}

func messages(configured []*pluginpb.AiPromptDecoratorMessage) (list []message) {
	for _, m := range configured {
		role := llm.RoleSystem // also when it is null
		if m.Role != nil {
			role = llm.Role(m.GetRole())
		}
		list = append(list, message{role: role, content: m.GetContent()})
	}
	return list
}

// Access gives the request the decorated body.
func (h *Handler) Access(r *plugin.Request) error {
	if h.refusal != nil {
		return h.refusal
	}
	call, err := exchange.Inspect(r, h.format, h.bodyLimit)
	switch told, ok := errors.AsType[*client.Error](err); {
	case err != nil && h.responses != nil && exchange.AsksForMember(r, h.responses, h.bodyLimit):
		return nil // there is nothing to decorate
	case errors.Is(err, client.ErrUnreadable), err == nil && call.Body == nil:
		return refuse(notJSON)
	case ok:
		return refuse(told.Message)
	case err != nil:
		return err
	}
	body, err := decorate(call.Format, call.Body, &h.prompts, h.limits)
	if ambiguous, ok := errors.AsType[*llm.AmbiguousError](err); ok {
		return refuse(ambiguous.Error())
	}
	if err != nil {
		return refuse(notChat)
	}
	r.SetBody(body)
	return nil
}

func refuse(message string) *plugin.Reject {
	return plugin.JSON(http.StatusBadRequest, client.AppendError(nil, message))
}
