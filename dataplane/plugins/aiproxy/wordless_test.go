package aiproxy

import (
	"net/http"
	"testing"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/provider"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/internal/target"
)

// wordless reads answers into nothing, as no vendor of the list does.
type wordless struct{ provider.Provider }

func (wordless) Response(_ *provider.Call, body []byte) (provider.Answer, error) {
	return provider.Answer{Body: body}, nil
}

// TestNoTransformer checks what a caller of another format is told of an answer
// that there are no neutral terms for: never the foreign bytes.
func TestNoTransformer(t *testing.T) {
	env := plugintest.Env(t, "ai-proxy", nil)
	to, err := target.New(target.Config{Route: llm.Chat, Model: &pluginpb.AiModel{Provider: "openai"}, Format: llm.Anthropic}, env)
	if err != nil {
		t.Fatal(err)
	}
	caller := client.NewAnthropic(llm.Chat, "")
	h := &Handler{
		env: env, target: to, provider: wordless{to.Provider()}, providerName: "openai", route: llm.Chat,
		caller: caller, translator: caller, foreign: true,
	}
	c := &call{handler: h}
	c.Route = llm.Chat
	r := plugintest.Request(t, http.MethodPost, "/", "")
	r.HoldResponse(0)
	plugintest.Respond(r, http.StatusOK, nil, `{"secret":"shape"}`)
	if err := h.answer(r, c, []byte(`{"secret":"shape"}`)); err != nil {
		t.Fatal(err)
	}
	body, _ := r.Response.Body()
	want := `{"type":"error","error":{"type":"api_error","message":"no transformer available from format openai://llm/v1/chat"}}`
	if r.Response.Status != http.StatusInternalServerError || string(body) != want {
		t.Errorf("answered %d %s, want 500 %s", r.Response.Status, body, want)
	}
}
