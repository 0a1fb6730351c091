// Package aiproxy sends the calls of a route to a large language model: it checks
// that a body is a call, chooses the model, puts in the configured options and
// credentials, sets the upstream, and reads what comes back, streamed or not,
// for errors and token counts.
//
// The formats are not known here: the caller's is read and written by llm/client,
// the provider's by llm/provider.
package aiproxy

import (
	"fmt"
	"net/http"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/price"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/provider"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/target"
)

// Plugin is ai-proxy's entry in the list of plugins.
var Plugin = plugin.Of("ai-proxy", New)

var (
	_ plugin.Accessor     = (*Handler)(nil)
	_ plugin.HeaderFilter = (*Handler)(nil)
	_ plugin.BodyFilter   = (*Handler)(nil)
	_ plugin.CutFilter    = (*Handler)(nil)
	_ plugin.IdleFilter   = (*Handler)(nil)
	_ plugin.Logger       = (*Handler)(nil)
)

// Handler is one configured instance.
type Handler struct {
	env    plugin.Env
	target *target.Target
	// provider is the target's, which reads its answers.
	provider provider.Provider
	caller   client.Format
	// translator is the caller's format again where its callers can be served by
	// any provider; nil: by one that speaks the format.
	translator client.Translator
	// foreign says that the provider speaks another format than the caller.
	foreign bool
	route   llm.Route
	conduct conduct

	// refusal is why this version cannot run the configuration; then every call is
	// answered with it.
	refusal *plugin.Reject

	providerName string
	prices       *price.Prices

	streaming  string // allow, deny or always
	bodyLimit  int64
	nameHeader bool
	logPayload bool
}

// New readies a handler for one configured instance. A configuration that a later
// version will run is taken up, so that it does not keep a node from following
// all the others; its calls are answered with what is missing.
func New(cfg *pluginpb.AiProxy, env plugin.Env) (*Handler, error) {
	model := cfg.GetModel()
	h := &Handler{
		env:          env,
		route:        llm.Route(cfg.GetRouteType()),
		conduct:      conductOf(llm.Route(cfg.GetRouteType())),
		providerName: model.GetProvider(),
		prices:       price.Configured(model.GetOptions()),
		streaming:    "allow",
		bodyLimit:    1 << 20,
		nameHeader:   true,
		logPayload:   cfg.GetLogging().GetLogPayloads(),
	}
	// Each of these may be null, which means the default.
	if cfg.ResponseStreaming != nil {
		h.streaming = cfg.GetResponseStreaming()
	}
	if cfg.MaxRequestBodySize != nil {
		h.bodyLimit = cfg.GetMaxRequestBodySize()
	}
	if cfg.ModelNameHeader != nil {
		h.nameHeader = cfg.GetModelNameHeader()
	}
	if reason := h.setFormats(cfg); reason != "" {
		env.Log.Warn("this version does not run the configuration; its calls are refused", "reason", reason)
		h.refusal = plugin.JSON(http.StatusNotImplemented, client.AppendError(nil, reason))
	}
	return h, nil
}

// setFormats readies both sides and says why this version cannot run the
// configuration; empty when it can.
func (h *Handler) setFormats(cfg *pluginpb.AiProxy) string {
	format := llm.Format(cfg.GetLlmFormat())
	if format == "" {
		format = llm.OpenAI
	}
	to, err := target.New(target.Config{Route: h.route, Model: cfg.GetModel(), Auth: cfg.GetAuth(), Format: format}, h.env)
	if err != nil {
		return fmt.Sprintf("provider '%s' is not supported by this version of the gateway", h.providerName)
	}
	limits := llm.Limits{Depth: h.env.Limits.Depth, Values: h.env.Limits.Values, Event: h.env.Limits.Event}
	caller, ok := client.For(format, h.route, to.Param(), limits)
	if !ok {
		return fmt.Sprintf("llm_format '%s' is not supported by this version of the gateway", format)
	}
	h.target, h.provider, h.caller = to, to.Provider(), caller
	h.translator, _ = caller.(client.Translator)
	h.foreign = h.route != llm.Preserve && to.Upstream() != format
	return ""
}

// refuse is an answer in the shape of the caller's errors; for callers of
// OpenAI's format that is the shape of Kong's AI plugins.
func (h *Handler) refuse(status int, message string) *plugin.Reject {
	return plugin.JSON(status, h.caller.AppendError(nil, &llm.Failure{Status: status, Message: message}))
}
