// Package target is a configured model behind a provider: what a configuration
// says of it is settled once, and each call fills in what depends on the request:
// placeholders, the model's name, the address, the body, the credentials. Plugins
// use it to send a request on (Aim) or to make a call of their own (Request).
//
// It reads no answers; the target's Provider does.
package target

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/identity"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/provider"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Config is what a configuration says of a model.
type Config struct {
	// Route is the kind of calls.
	Route llm.Route
	Model *pluginpb.AiModel
	// Auth may be nil: a model on one's own machine needs no credentials.
	Auth *pluginpb.AiAuth
	// Format is what the callers speak.
	Format llm.Format
}

// Target is a model behind a provider. It is safe for use by many requests at a
// time.
type Target struct {
	provider provider.Provider
	name     string // the provider's
	route    llm.Route
	format   llm.Format
	upstream llm.Format // what the provider speaks
	runs     bool       // the provider has such calls
	settings provider.Settings
	words    wording

	model   template
	alias   string
	options *pluginpb.AiModelOptions
	fields  []optionTemplate // those of options with placeholders
	places  places
	auth    auth
	proof   identity.Source // nil: no identity is to be proved
	refusal error           // why no call can be run; nil: they can
}

// Call is one call to a target, filled in step by step: Begin, Choose, Body,
// Locate, then Aim or Request.
type Call struct {
	provider.Call
	// Address is where the call goes, from Locate on.
	Address Address
}

// Unspecified is what a model is called that neither the call nor the
// configuration names.
const Unspecified = "UNSPECIFIED"

// Failed is what callers are told when a call cannot be sent for a reason that is
// none of their business.
const Failed = "LLM request failed before proxying"

// ProofError says that a call could not be readied to be sent, because the gateway
// cannot prove who it is or must not send its credentials where the call would
// go. Callers are told no more than Failed.
type ProofError struct{ Err error }

// Error says what went wrong, for the node's log.
func (e *ProofError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *ProofError) Unwrap() error { return e.Err }

// ErrNoProvider says that this version does not run a provider.
var ErrNoProvider = errors.New("provider is not supported by this version of the gateway")

// New readies a target. Its error is ErrNoProvider, with the provider's name, and
// nothing else: a configuration whose calls cannot be run for another reason is
// taken up, and its calls say what is wrong.
func New(cfg Config, env plugin.Env) (*Target, error) {
	model := cfg.Model
	options := model.GetOptions()
	found, ok := provider.Find(model.GetProvider(), options)
	if !ok {
		return nil, fmt.Errorf("%q: %w", model.GetProvider(), ErrNoProvider)
	}
	t := &Target{
		provider: found,
		name:     model.GetProvider(),
		route:    cfg.Route,
		format:   cfg.Format,
		words:    wordingOf(model.GetProvider(), options),
		model:    parseTemplate(model.GetName()),
		alias:    model.GetModelAlias(),
		options:  options,
		places:   newPlaces(options, found),
		settings: provider.Settings{
			Route:  cfg.Route,
			Limits: llm.Limits{Depth: env.Limits.Depth, Values: env.Limits.Values, Event: env.Limits.Event},
		},
	}
	t.upstream, t.runs = found.Format(cfg.Route)
	if options != nil {
		t.fields = optionTemplates(options.ProtoReflect(), nil, nil)
		t.setOptions(options)
	}
	t.setAuth(cfg.Auth)
	t.setProof(cfg.Auth, env)
	if len(t.fields) > 0 && !t.places.whole {
		t.places.probe(t.probeHost)
	}
	if t.places.err != nil {
		env.Log.Warn("there is no address to call; calls are refused", "error", t.places.err)
	}
	if t.places.tainted && t.credentialed() {
		// Otherwise a caller could have the credentials sent to a host of its own.
		t.refuse(errors.New("the host comes from the request while credentials are configured"))
	}
	if t.refusal != nil {
		env.Log.Warn("calls are refused", "error", t.refusal)
	}
	return t, nil
}

func (t *Target) refuse(err error) {
	if t.refusal == nil {
		t.refusal = &ProofError{err}
	}
}

// setOptions readies what the configuration says about every call.
func (t *Target) setOptions(options *pluginpb.AiModelOptions) {
	if options.MaxTokens != nil {
		t.settings.MaxTokens = strconv.FormatInt(options.GetMaxTokens(), 10)
	}
	if options.Temperature != nil {
		t.settings.Temperature = number(options.GetTemperature())
	}
	if options.TopP != nil {
		t.settings.TopP = number(options.GetTopP())
	}
	if options.TopK != nil {
		t.settings.TopK = strconv.FormatInt(int64(options.GetTopK()), 10)
	}
}

// number writes a number as JSON, without an exponent.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// probeHost is the host that calls would go to with one value in all placeholders.
func (t *Target) probeHost(value string) (string, error) {
	options := proto.CloneOf(t.options)
	for i := range t.fields {
		t.fields[i].set(options.ProtoReflect(), value)
	}
	endpoint, err := t.provider.Endpoint(&provider.Call{Settings: &t.settings, Options: options, Format: t.format, Model: "model"})
	return endpoint.Host, err
}

// Provider is the provider that is called, which reads its answers.
func (t *Target) Provider() provider.Provider { return t.provider }

// Name is the provider's name in configurations, and Route the kind of calls.
func (t *Target) Name() string { return t.name }

// Route is the kind of calls.
func (t *Target) Route() llm.Route { return t.route }

// Param is the member of the body that carries credentials, for the caller's
// format to look for; empty: none does.
func (t *Target) Param() string { return t.settings.ParamName }

// Begin begins a call in the name of a request: it fills placeholders in, and
// names the configured model, which may be empty. Its error is a *client.Error
// when the request is at fault, else a *ProofError.
func (t *Target) Begin(r *plugin.Request, call *Call) error {
	if t.refusal != nil {
		return t.refusal
	}
	call.Settings, call.Format, call.Options = &t.settings, t.format, t.options
	var err error
	if call.Model, err = t.model.resolve(r); err != nil {
		return err
	}
	if len(t.fields) == 0 {
		return nil
	}
	options := proto.CloneOf(t.options)
	for i := range t.fields {
		value, err := t.fields[i].text.resolve(r)
		if err != nil {
			return err
		}
		t.fields[i].set(options.ProtoReflect(), value)
	}
	call.Options = options
	return nil
}

// Choose settles which model is asked: the configured one, which a caller may
// only repeat, by its alias where it has one; else the one that the caller asked
// for. nameless says that a call may name none. Its error is a *client.Error.
func (t *Target) Choose(call *Call, asked string, nameless bool) error {
	allowed := call.Model
	if t.alias != "" {
		allowed = t.alias
	}
	switch {
	case allowed != "" && asked != "" && foundation(asked) != foundation(allowed):
		return &client.Error{Message: "cannot use own model - must be: " + allowed}
	case call.Model != "":
	case asked != "":
		call.Model = asked
	case nameless:
		call.Model = Unspecified
	default:
		return &client.Error{Message: "model parameter not found in request, nor in gateway configuration"}
	}
	return nil
}

// foundation is the name of a model that may be given as the ARN of one of
// Amazon's, which belongs to no account.
func foundation(name string) string {
	if !strings.HasPrefix(name, "arn:") {
		return name
	}
	if _, plain, ok := strings.Cut(name, "::foundation-model/"); ok {
		return plain
	}
	return name
}

// Body writes the body to send: the caller's with edits where the provider speaks
// its format, else one in the provider's. The error is a *client.Error in Kong's
// words.
func (t *Target) Body(call *Call, request *llm.Request) ([]byte, error) {
	switch {
	case t.passes():
		return t.passed(request), nil
	case !t.runs:
		return nil, &client.Error{Message: t.words.none(t.name, t.route)}
	}
	body, err := t.provider.Request(&call.Call, request)
	if err == nil {
		return body, nil
	}
	if told, ok := errors.AsType[*provider.CallError](err); ok {
		return nil, &client.Error{Message: told.Message}
	}
	if told, ok := errors.AsType[*client.Error](err); ok && !t.words.reasons {
		// The caller's own body is what cannot be read.
		return nil, told
	}
	return nil, &client.Error{Message: t.words.failed(t.name, t.route, err)}
}

// passes says that calls go through a provider that has no word on them: on a
// preserve route nothing needs to be known of a body.
func (t *Target) passes() bool { return t.route == llm.Preserve && !t.runs }

// passed is a body on its way through, with the credentials that go into it.
func (t *Target) passed(request *llm.Request) []byte {
	if request.Format != llm.OpenAI || t.settings.ParamValue == "" ||
		t.settings.ParamOverride && request.Fields.Has(llm.FieldParam) {
		return request.Body
	}
	var edits llm.Edits
	edits.Set(llm.FieldParam, t.settings.ParamValue)
	return edits.AppendTo(nil, &request.Fields)
}

// Shown is the body as Body writes it with credentials in it written over, for
// logs; nil when it cannot be written.
func (t *Target) Shown(call *Call, request *llm.Request, body []byte) []byte {
	if t.settings.ParamValue == "" || request.Body == nil {
		return body
	}
	settings := t.settings
	settings.ParamValue, settings.ParamOverride = `"REDACTED"`, false
	shown := call.Call
	shown.Settings = &settings
	if t.passes() {
		return nil // nothing is known of where credentials stand in it
	}
	body, err := t.provider.Request(&shown, request)
	if err != nil {
		return nil
	}
	return body
}

// Runs says whether the provider has calls of the target's kind, and Upstream
// what it speaks for them.
func (t *Target) Runs() bool { return t.runs }

// Upstream is the format that the provider speaks.
func (t *Target) Upstream() llm.Format { return t.upstream }
