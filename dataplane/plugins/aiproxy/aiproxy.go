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
	"strconv"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/provider"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Plugin is ai-proxy's entry in the list of plugins.
var Plugin = plugin.Of("ai-proxy", New)

var (
	_ plugin.Accessor     = (*Handler)(nil)
	_ plugin.HeaderFilter = (*Handler)(nil)
	_ plugin.BodyFilter   = (*Handler)(nil)
	_ plugin.CutFilter    = (*Handler)(nil)
	_ plugin.Logger       = (*Handler)(nil)
)

// Handler is one configured instance.
type Handler struct {
	env      plugin.Env
	settings provider.Settings
	texter   provider.Provider
	caller   *client.OpenAI

	// refusal is why this version cannot run the configuration; then every call is
	// answered with it.
	refusal *plugin.Reject

	providerName string
	model        template
	alias        string
	options      []template // those with placeholders that nothing else resolves
	target       target
	auth         auth
	prices       prices

	streaming  string // allow, deny or always
	bodyLimit  int64
	nameHeader bool
	logPayload bool
}

// auth is how a call proves itself, in a header or in the query; credentials for
// the body are in provider.Settings.
type auth struct {
	header, headerValue string // header in canonical form
	query, queryValue   string
	override            bool
}

// New readies a handler for one configured instance. A configuration that a later
// version will run is taken up, so that it does not keep a node from following
// all the others; its calls are answered with what is missing.
func New(cfg *pluginpb.AiProxy, env plugin.Env) (*Handler, error) {
	model, options := cfg.GetModel(), cfg.GetModel().GetOptions()
	h := &Handler{
		env:          env,
		providerName: model.GetProvider(),
		model:        parseTemplate(model.GetName()),
		alias:        model.GetModelAlias(),
		prices:       newPrices(options),
		streaming:    "allow",
		bodyLimit:    1 << 20,
		nameHeader:   true,
		logPayload:   cfg.GetLogging().GetLogPayloads(),
		settings: provider.Settings{
			Route: llm.Route(cfg.GetRouteType()),
		},
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
	h.setOptions(options)
	param := h.setAuth(cfg.GetAuth())
	h.caller = client.NewOpenAI(h.settings.Route, param)
	limits := llm.Limits{Depth: env.Limits.Depth, Values: env.Limits.Values}
	h.caller.Limits, h.settings.Limits = limits, limits
	if reason := h.unable(cfg); reason != "" {
		env.Log.Warn("this version does not run the configuration; its calls are refused", "reason", reason)
		h.refusal = refuse(501, reason)
		return h, nil
	}
	if h.target.err != nil {
		env.Log.Warn("there is no address to call; calls are refused", "error", h.target.err)
	}
	if h.target.tainted && (h.auth.header != "" || h.auth.query != "" || h.settings.ParamValue != "") {
		// Otherwise a caller could have the credentials sent to a host of its own.
		env.Log.Warn("upstream_url takes its host from the request while credentials are configured; calls are refused")
		h.refusal = refuse(500, "LLM request failed before proxying")
	}
	return h, nil
}

// setOptions readies what the configuration says about the model.
func (h *Handler) setOptions(options *pluginpb.AiModelOptions) {
	if options == nil {
		return
	}
	if options.MaxTokens != nil {
		h.settings.MaxTokens = strconv.FormatInt(options.GetMaxTokens(), 10)
	}
	if options.Temperature != nil {
		h.settings.Temperature = number(options.GetTemperature())
	}
	if options.TopP != nil {
		h.settings.TopP = number(options.GetTopP())
	}
	if options.TopK != nil {
		h.settings.TopK = strconv.FormatInt(int64(options.GetTopK()), 10)
	}
	h.options = optionTemplates(options.ProtoReflect(), nil)
}

// number writes a number as JSON, without an exponent.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// unable finds the provider and says why this version cannot run the
// configuration; empty when it can.
func (h *Handler) unable(cfg *pluginpb.AiProxy) string {
	if format := cfg.GetLlmFormat(); format != "" && format != string(llm.OpenAI) {
		return fmt.Sprintf("llm_format '%s' is not supported by this version of the gateway", format)
	}
	found, ok := provider.Find(h.providerName, cfg.GetModel().GetOptions())
	if !ok {
		return fmt.Sprintf("provider '%s' is not supported by this version of the gateway", h.providerName)
	}
	if _, ok := found.Format(h.settings.Route); !ok {
		return fmt.Sprintf("route type '%s' of provider '%s' is not supported by this version of the gateway",
			h.settings.Route, h.providerName)
	}
	h.texter = found
	endpoint, err := found.Endpoint(&provider.Call{Settings: &h.settings, Options: cfg.GetModel().GetOptions()})
	if err != nil {
		return err.Error()
	}
	h.target = newTarget(endpoint, cfg.GetModel().GetOptions())
	return ""
}

// refuse is an answer in the shape of Kong's AI plugins.
func refuse(status int, message string) *plugin.Reject {
	return plugin.JSON(status, client.AppendError(nil, message))
}
