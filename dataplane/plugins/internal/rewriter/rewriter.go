// Package rewriter has a model rewrite a text: it is told what to do once and for
// all, gets each text as the words of a user, and what it answers is the new text.
// The two transformer plugins rewrite bodies with it.
package rewriter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/exchange"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/pattern"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/target"
)

// Config is what a configuration says of the rewriting. The messages of both
// plugins have these fields.
type Config interface {
	GetPrompt() string
	GetTransformationExtractPattern() string
	GetHttpTimeout() int32
	GetHttpsVerify() bool
	GetHttpProxyHost() string
	GetHttpProxyPort() int32
	GetHttpsProxyHost() string
	GetHttpsProxyPort() int32
	GetLlm() *pluginpb.AiLlm
}

// Rewriter rewrites texts by one model. It is safe for use by many requests at a
// time.
type Rewriter struct {
	env     plugin.Env
	prompt  string
	target  *target.Target
	format  *client.OpenAI
	extract *pattern.Pattern // nil: all of the answer counts
	// broken is why extract could not be compiled; nil: it could, or there is none.
	broken  error
	calls   http.RoundTripper
	own     *http.Transport // nil: calls go out as those of all plugins do
	timeout time.Duration
	logs    bool // bodies
}

// New readies a rewriter. Close it when it is no longer used.
func New(cfg Config, env plugin.Env) (*Rewriter, error) {
	model := cfg.GetLlm()
	to, err := target.New(target.Config{Route: llm.Chat, Model: model.GetModel(), Auth: model.GetAuth(), Format: llm.Neutral}, env)
	if err != nil {
		return nil, err
	}
	w := &Rewriter{
		env: env, prompt: cfg.GetPrompt(), target: to, calls: env.HTTP,
		format:  client.NewOpenAI(llm.Chat, to.Param()),
		timeout: time.Duration(cfg.GetHttpTimeout()) * time.Millisecond,
		logs:    model.GetLogging().GetLogPayloads(),
	}
	if text := cfg.GetTransformationExtractPattern(); text != "" {
		w.extract, w.broken = pattern.Compile(text, pattern.Options{IgnoreCase: true, MultiLine: true})
		if w.broken != nil {
			env.Log.Warn("transformation_extract_pattern is no regular expression; calls are refused", "error", w.broken)
		}
	}
	if !cfg.GetHttpsVerify() || cfg.GetHttpProxyHost() != "" || cfg.GetHttpsProxyHost() != "" {
		w.own = &http.Transport{
			Proxy:                 proxies(cfg),
			TLSClientConfig:       &tls.Config{InsecureSkipVerify: !cfg.GetHttpsVerify()}, //nolint:gosec // what the operator asked for
			MaxIdleConnsPerHost:   16,
			IdleConnTimeout:       time.Minute,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: w.timeout,
		}
		w.calls = w.own
	}
	return w, nil
}

// proxies chooses the configured proxy by the scheme of the address.
func proxies(cfg Config) func(*http.Request) (*url.URL, error) {
	proxy := func(host string, port int32) *url.URL {
		if host == "" {
			return nil
		}
		return &url.URL{Scheme: "http", Host: net.JoinHostPort(host, strconv.Itoa(int(port)))}
	}
	plain := proxy(cfg.GetHttpProxyHost(), cfg.GetHttpProxyPort())
	secure := proxy(cfg.GetHttpsProxyHost(), cfg.GetHttpsProxyPort())
	return func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme == "https" {
			return secure, nil
		}
		return plain, nil
	}
}

// Close lets go of the rewriter's connections.
func (w *Rewriter) Close() error {
	if w.own != nil {
		w.own.CloseIdleConnections()
	}
	return nil
}

// Timeout is how long one call may take.
func (w *Rewriter) Timeout() time.Duration { return w.timeout }

// errIntrospect is how Kong begins to say that the model could not be asked.
const errIntrospect = "failed to introspect request with AI service: "

// Rewrite has the model rewrite a text. Its error is a *plugin.Reject in Kong's
// words.
func (w *Rewriter) Rewrite(r *plugin.Request, text []byte) (string, error) {
	if w.broken != nil {
		return "", Refuse(http.StatusBadRequest, "failed regex matching ai response: "+w.broken.Error())
	}
	var call target.Call
	report := plugin.ModelCall{Provider: w.target.Name(), Route: llm.Chat}
	said, err := w.ask(r, text, &call, &report)
	if report.RequestModel = call.Model; report.Start.IsZero() {
		return "", w.refusal(err) // nothing was sent
	}
	exchange.Report(r, w.env, report)
	if err != nil {
		return "", w.refusal(err)
	}
	if w.extract == nil {
		return said, nil
	}
	found, ok, err := w.extract.Find(pattern.NewText(said))
	switch {
	case err != nil:
		return "", Refuse(http.StatusBadRequest, "failed regex matching ai response: "+err.Error())
	case !ok:
		return "", Refuse(http.StatusBadRequest, "AI response did not match specified regular expression")
	}
	return found, nil
}

// refusal is an error as the client is told of it.
func (w *Rewriter) refusal(err error) error {
	if proof, ok := errors.AsType[*target.ProofError](err); ok {
		// Kong hands the text over bare here.
		return &plugin.Reject{Status: http.StatusInternalServerError, Body: []byte(target.Failed), Cause: proof}
	}
	if told, ok := errors.AsType[*client.Error](err); ok {
		return Refuse(http.StatusBadRequest, told.Message)
	}
	return err
}

// Refuse is an answer in the shape of Kong's AI plugins.
func Refuse(status int, message string) *plugin.Reject {
	return plugin.JSON(status, client.AppendError(nil, message))
}

// ask makes the call and gives what the model said.
func (w *Rewriter) ask(r *plugin.Request, text []byte, call *target.Call, report *plugin.ModelCall) (string, error) {
	if err := w.target.Begin(r, call); err != nil {
		return "", err
	}
	if err := w.target.Choose(call, "", true); err != nil {
		return "", err
	}
	var request llm.Request
	if err := w.format.Read(client.Incoming{Body: w.question(call.Model, text)}, &request); err != nil {
		return "", err
	}
	body, err := w.target.Body(call, &request)
	if err != nil {
		return "", err
	}
	if err := w.target.Locate(r, call); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(r.Context(), w.timeout)
	defer cancel()
	out, err := w.target.Request(ctx, call, body)
	if err != nil {
		return "", err
	}
	// What comes back is read here and goes no further, so it need not be packed.
	out.Header["Accept-Encoding"] = []string{"identity"}
	if w.logs {
		report.Input = w.target.Shown(call, &request, body)
	}
	report.MaxTokens, report.Temperature = call.MaxTokens, call.Temperature
	report.Start = time.Now()
	answer, status, err := w.send(out)
	report.Latency, report.Status = time.Since(report.Start), status
	if err != nil {
		report.Failure = "request_failed"
		return "", Refuse(http.StatusBadRequest, errIntrospect+"request to ai service failed: "+Plain(err))
	}
	if status < 200 || status > 299 {
		report.Failure = strconv.Itoa(status)
		w.env.Log.Warn("the model's provider refused to rewrite a body", "request_id", r.ID, "status", status)
		return "", Refuse(http.StatusBadRequest, errIntrospect+"status code "+strconv.Itoa(status))
	}
	return w.read(call, answer, report)
}

// send makes an HTTP call and reads what comes back.
func (w *Rewriter) send(out *http.Request) (body []byte, status int, err error) {
	response, err := w.calls.RoundTrip(out)
	if err != nil {
		return nil, 0, err
	}
	body, err = ReadBody(response, w.env.Limits.Response)
	return body, response.StatusCode, err
}

// read gives what the model said.
func (w *Rewriter) read(call *target.Call, body []byte, report *plugin.ModelCall) (string, error) {
	const unreadable = "failed to convert AI response to Kong format: "
	if len(body) == 0 {
		return "", Refuse(http.StatusBadRequest, unreadable+"no response body found when transforming response")
	}
	answer, err := w.target.Provider().Response(&call.Call, body)
	if err != nil {
		report.Failure = "unreadable_answer"
		return "", Refuse(http.StatusBadRequest, unreadable+err.Error())
	}
	report.Answered = true
	report.ResponseModel, report.Usage = answer.Model, answer.Usage
	if w.logs {
		report.Output = body
	}
	if answer.Chat == nil || len(answer.Chat.Choices) == 0 {
		if w.target.Name() == "gemini" {
			return "", Refuse(http.StatusBadRequest, unreadable+"transformation generation candidate breached Gemini content safety")
		}
		return "", Refuse(http.StatusBadRequest, "no 'choices' in upstream AI service response")
	}
	report.ID = answer.Chat.ID
	choice := &answer.Chat.Choices[0]
	report.Finish = []llm.FinishReason{choice.Finish}
	var said strings.Builder
	for i := range choice.Message.Parts {
		if p := &choice.Message.Parts[i]; p.Kind == llm.PartText {
			said.WriteString(p.Text)
		}
	}
	return said.String(), nil
}

// systemless are the Bedrock models that take no system prompt, by the start of
// their names.
var systemless = []string{
	"amazon.titan-", "cohere.command-text-", "cohere.command-light-text-",
	"mistral.mistral-7b-instruct-", "mistral.mixtral-8x7b-instruct-",
}

// question is the chat that has a text rewritten, in OpenAI's format.
func (w *Rewriter) question(model string, text []byte) []byte {
	first := `{"role":"system","content":`
	then := ""
	if w.target.Name() == "bedrock" {
		for _, prefix := range systemless {
			if strings.HasPrefix(model, prefix) {
				// As Kong does: the model is told what to do as if a user spoke.
				first, then = `{"role":"user","content":`, `{"role":"assistant","content":"What is the message?"},`
			}
		}
	}
	out := make([]byte, 0, len(text)+len(text)/8+len(w.prompt)+200)
	out = append(out, `{"messages":[`...)
	out = append(out, first...)
	out = llm.AppendQuoted(out, w.prompt)
	out = append(out, "},"...)
	out = append(out, then...)
	out = append(out, `{"role":"user","content":`...)
	out = llm.AppendQuoted(out, text)
	return append(out, `}],"stream":false}`...)
}

// Plain is the text of an error of an HTTP call without its address, which may
// hold credentials.
func Plain(err error) string {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	return fmt.Sprint(err)
}
