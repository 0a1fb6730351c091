// Package aipromptguard lets a prompt pass or refuses it, by patterns.
package aipromptguard

import (
	"errors"
	"fmt"
	"net/http"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/exchange"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/pattern"
)

// Plugin is ai-prompt-guard's entry in the list of plugins.
var Plugin = plugin.Of("ai-prompt-guard", New)

var _ plugin.Accessor = (*Handler)(nil) // runs in the access phase, and in no other

// Handler is one configured instance.
type Handler struct {
	env         plugin.Env
	allow, deny []*pattern.Pattern
	newest      bool // look at the newest message only
	allRoles    bool
	bodyLimit   int64
	format      client.Format
	responses   client.Format // OpenAI's, for calls of the responses API
	vectors     bool          // calls are for vectors
	limits      llm.Limits
	// refusal is why this version cannot run the configuration; then every call is
	// answered with it.
	refusal *plugin.Reject
}

// New readies a handler for one configured instance and compiles its patterns,
// so that no request does. The control plane has refused those that cannot be.
func New(cfg *pluginpb.AiPromptGuard, env plugin.Env) (*Handler, error) {
	h := &Handler{
		env:       env,
		newest:    cfg.GetAllowAllConversationHistory(),
		allRoles:  cfg.GetMatchAllRoles(),
		bodyLimit: 1 << 20,
		limits:    llm.Limits{Depth: env.Limits.Depth, Values: env.Limits.Values},
	}
	if cfg.MaxRequestBodySize != nil {
		h.bodyLimit = cfg.GetMaxRequestBodySize()
	}
	format, ok := client.For(llm.Format(cfg.GetLlmFormat()), llm.Chat, "", h.limits)
	if !ok {
		return h, h.unable(fmt.Sprintf("llm_format '%s' is not supported by this version of the gateway", cfg.GetLlmFormat()))
	}
	h.format = format
	h.vectors = cfg.GetGenaiCategory() == "text/embeddings"
	if format.Name() == llm.OpenAI {
		if h.responses, ok = client.For(llm.OpenAI, llm.Responses, "", h.limits); !ok {
			return h, h.unable("the responses API is not supported by this version of the gateway")
		}
	}
	var err error
	if h.allow, err = compile(cfg.GetAllowPatterns()); err != nil {
		return h, h.broken("allow_patterns", err)
	}
	if h.deny, err = compile(cfg.GetDenyPatterns()); err != nil {
		return h, h.broken("deny_patterns", err)
	}
	return h, nil
}

// unable has every call refused with a reason, so that one instance does not keep
// a node from following all the others. It always gives nil.
func (h *Handler) unable(reason string) error {
	h.env.Log.Warn("this version does not run the configuration; its calls are refused", "reason", reason)
	h.refusal = plugin.JSON(http.StatusNotImplemented, client.AppendError(nil, reason))
	return nil
}

// broken has every call answered with 500, as by Kong: the pattern may come from
// a control plane that took it. It always gives nil.
func (h *Handler) broken(field string, err error) error {
	h.env.Log.Error("a pattern cannot be compiled; calls are answered with 500", "field", field, "error", err)
	h.refusal = &plugin.Reject{Status: http.StatusInternalServerError, Cause: fmt.Errorf("%s: %w", field, err)}
	return nil
}

func compile(texts []string) (patterns []*pattern.Pattern, err error) {
	for i, text := range texts {
		p, err := pattern.Compile(text, pattern.Options{})
		if err != nil {
			return nil, fmt.Errorf("pattern %d: %w", i+1, err)
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// Access refuses the request unless its prompt may pass.
func (h *Handler) Access(r *plugin.Request) error {
	if h.refusal != nil {
		return h.refusal
	}
	call, err := exchange.Inspect(r, h.format, h.bodyLimit)
	switch told, ok := errors.AsType[*client.Error](err); {
	case err != nil && h.responses != nil && exchange.AsksForMember(r, h.responses, h.bodyLimit):
		return nil // there is nothing to judge
	case errors.Is(err, client.ErrUnreadable), err == nil && call.Body == nil:
		return refuse("this LLM route only supports application/json requests")
	case ok:
		return h.bad(r, told.Message)
	case err != nil:
		return err
	}
	prompt, err := h.promptOf(r, call)
	if err != nil {
		return h.bad(r, err.Error())
	}
	return h.judge(r, prompt)
}

// judge holds a prompt against the patterns. One that could not be matched to the
// end is not let through.
func (h *Handler) judge(r *plugin.Request, prompt string) error {
	text := pattern.NewText(prompt)
	at, err := first(h.deny, text)
	switch {
	case err != nil:
		return h.spent(r, "deny_patterns", at)
	case at >= 0:
		return h.bad(r, fmt.Sprintf("prompt matches pattern %d of deny_patterns", at+1))
	case len(h.allow) == 0:
		return nil
	}
	at, err = first(h.allow, text)
	switch {
	case err != nil:
		return h.spent(r, "allow_patterns", at)
	case at < 0:
		return h.bad(r, "prompt matches none of allow_patterns")
	}
	return nil
}

// first gives the place of the first pattern that matches, or that could not be
// decided about; -1 when none matches.
func first(patterns []*pattern.Pattern, text *pattern.Text) (int, error) {
	for i, p := range patterns {
		if matches, err := p.Match(text); matches || err != nil {
			return i, err
		}
	}
	return -1, nil
}

func (h *Handler) spent(r *plugin.Request, field string, at int) error {
	h.env.Log.Warn("a pattern takes too long on a prompt; the call is refused", "request_id", r.ID, "field", field, "pattern", at+1)
	r.Record.Incidents = append(r.Record.Incidents, plugin.Incident{Plugin: "ai-prompt-guard", Kind: "budget_spent"})
	return &plugin.Reject{Status: http.StatusRequestEntityTooLarge, Cause: pattern.ErrBudget}
}

// bad tells the caller nothing but that the prompt is refused. The reason is for
// the operator, and never holds the prompt.
func (h *Handler) bad(r *plugin.Request, reason string) error {
	h.env.Log.Debug("prompt refused", "request_id", r.ID, "reason", reason)
	return refuse("bad request")
}

func refuse(message string) *plugin.Reject {
	return plugin.JSON(http.StatusBadRequest, client.AppendError(nil, message))
}
