// Package airequesttransformer has a model rewrite the body of a request before
// it goes on.
package airequesttransformer

import (
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/rewriter"
)

// Plugin is ai-request-transformer's entry in the list of plugins.
var Plugin = plugin.Of("ai-request-transformer", New)

var (
	_ plugin.Accessor = (*Handler)(nil)
	_ plugin.Closer   = (*Handler)(nil)
)

// Handler is one configured instance.
type Handler struct {
	rewriter *rewriter.Rewriter
	limit    int64
}

// New readies a handler for one configured instance.
func New(cfg *pluginpb.AiRequestTransformer, env plugin.Env) (*Handler, error) {
	w, err := rewriter.New(cfg, env)
	if err != nil {
		return nil, err
	}
	h := &Handler{rewriter: w, limit: 1 << 20}
	if cfg.MaxRequestBodySize != nil {
		h.limit = cfg.GetMaxRequestBodySize()
	}
	return h, nil
}

// Access puts what the model makes of the body in its place. Later plugins see it
// and the upstream gets it; the content type stays.
func (h *Handler) Access(r *plugin.Request) error {
	body, err := r.Body(h.limit)
	if err != nil {
		return err
	}
	text, err := h.rewriter.Rewrite(r, body)
	if err != nil {
		return err
	}
	r.SetBody([]byte(text))
	return nil
}

// Close lets go of the handler's connections.
func (h *Handler) Close() error { return h.rewriter.Close() }
