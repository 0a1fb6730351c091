// Package aiprompttemplate lets callers name a prepared call in place of their
// messages or prompt, and fills its placeholders with what they send along.
package aiprompttemplate

import (
	"errors"
	"net/http"
	"strings"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/exchange"
)

// Plugin is ai-prompt-template's entry in the list of plugins.
var Plugin = plugin.Of("ai-prompt-template", New)

var _ plugin.Accessor = (*Handler)(nil) // runs in the access phase, and in no other

// loggedBody is the most of a body that goes into a log line, in bytes.
const loggedBody = 1 << 20

// The answers to requests that cannot be run, in Kong's words.
var (
	errNotJSON     = &client.Error{Message: "this LLM route only supports application/json requests"}
	errBoth        = &client.Error{Message: "cannot run 'messages' and 'prompt' templates at the same time"}
	errNeither     = &client.Error{Message: "only 'llm/v1/chat' and 'llm/v1/completions' formats are supported for templating"}
	errUntemplated = &client.Error{Message: "this LLM route only supports templated requests"}
	errProperties  = &client.Error{Message: "properties must be an object"}
)

// Handler is one configured instance.
type Handler struct {
	templates        map[string]string // by name
	allowUntemplated bool
	logOriginal      bool
	bodyLimit        int64
	format           client.Format
	limits           llm.Limits
}

// New readies a handler for one configured instance.
func New(cfg *pluginpb.AiPromptTemplate, env plugin.Env) (*Handler, error) {
	h := &Handler{
		templates:        make(map[string]string),
		allowUntemplated: true,
		logOriginal:      cfg.GetLogOriginalRequest(),
		bodyLimit:        1 << 20,
		limits:           llm.Limits{Depth: env.Limits.Depth, Values: env.Limits.Values},
	}
	// Each of these may be null, which means the default.
	if cfg.AllowUntemplatedRequests != nil {
		h.allowUntemplated = cfg.GetAllowUntemplatedRequests()
	}
	if cfg.MaxRequestBodySize != nil {
		h.bodyLimit = cfg.GetMaxRequestBodySize()
	}
	for _, t := range cfg.GetTemplates() {
		// Of several templates of one name Kong takes the first.
		if _, taken := h.templates[t.GetName()]; !taken {
			h.templates[t.GetName()] = t.GetTemplate()
		}
	}
	format := client.NewOpenAI(llm.Chat, "")
	format.Limits = h.limits
	h.format = format
	return h, nil
}

// Access replaces the body when it refers to a template.
func (h *Handler) Access(r *plugin.Request) error {
	err := h.access(r)
	if told, ok := errors.AsType[*client.Error](err); ok {
		return plugin.JSON(http.StatusBadRequest, client.AppendError(nil, told.Message))
	}
	return err
}

func (h *Handler) access(r *plugin.Request) error {
	if h.logOriginal {
		// A body that cannot be read is dealt with below.
		if body, err := r.Body(h.bodyLimit); err == nil && body != nil {
			body = r.WithoutSecrets(body)
			r.Log.Set(llm.AppendQuoted(nil, body[:min(len(body), loggedBody)]), "ai", "payload", "original_request")
		}
	}
	call, err := exchange.Inspect(r, h.format, h.bodyLimit)
	if errors.Is(err, client.ErrUnreadable) || err == nil && call.Body == nil {
		return errNotJSON
	}
	if err != nil {
		return err
	}
	field := llm.FieldMessages
	switch chat, completion := call.Fields.Has(llm.FieldMessages), call.Fields.Has(llm.FieldPrompt); {
	case chat && completion:
		return errBoth
	case completion:
		field = llm.FieldPrompt
	case !chat:
		return errNeither
	}
	text, _ := call.Fields.Text(field)
	name, ok := reference(text)
	if !ok {
		if h.allowUntemplated {
			return nil
		}
		return errUntemplated
	}
	template, ok := h.templates[name]
	if !ok {
		return &client.Error{Message: "could not find template name [" + name + "]"}
	}
	values, err := h.properties(call.Body)
	if err != nil {
		return err
	}
	body, err := render(template, values)
	if err != nil {
		return err
	}
	r.SetBody(body)
	return nil
}

// reference gives the name of the template that a text refers to.
func reference(text string) (name string, ok bool) {
	text, begins := strings.CutPrefix(text, "{template://")
	name, ends := strings.CutSuffix(text, "}")
	return name, begins && ends
}

var names = llm.NewNames("properties")

// properties reads the values for placeholders.
func (h *Handler) properties(body []byte) (map[string]string, error) {
	var o llm.Object
	if err := o.ReadWithin(body, names, h.limits); err != nil {
		if ambiguous, ok := errors.AsType[*llm.AmbiguousError](err); ok {
			return nil, &client.Error{Message: ambiguous.Error()}
		}
		return nil, errNotJSON
	}
	switch o.Kind(0) {
	case 0:
		return nil, nil
	case '{':
	default:
		return nil, errProperties
	}
	values := make(map[string]string)
	var err error
	llm.Members(o.Value(0), func(name string, value []byte) bool {
		switch _, twice := values[name]; {
		case twice:
			err = &client.Error{Message: (&llm.AmbiguousError{Name: name}).Error()}
		case value[0] != '"':
			err = &client.Error{Message: "property values must be a string, got " + luaType(value[0])}
		default:
			values[name] = llm.Unquote(value)
		}
		return err == nil
	})
	return values, err
}

// luaType is what Kong calls the type of a JSON value that begins with a byte.
func luaType(first byte) string {
	switch first {
	case '{', '[':
		return "table"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "userdata"
	}
	return "number"
}
