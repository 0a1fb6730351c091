package provider

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// bedrockAnswerTool is the name of the tool that a model is made to use when an
// answer must have a form: Converse has no word for that. What the model calls
// it with is the answer.
const bedrockAnswerTool = "answer_in_the_form_asked_for"

// bedrockIsClaude says whether a model is one of Anthropic's.
func bedrockIsClaude(model string) bool { return strings.Contains(model, "claude") }

// bedrockExtra is what a call says in Bedrock's own words.
type bedrockExtra struct {
	// tools is a toolConfig, and fields are additionalModelRequestFields.
	tools, fields []byte
	members       []llm.Member
	beta          []byte
}

// bedrockPassed are the members of a call to Converse that callers of OpenAI's
// format may write as they are.
var bedrockPassed = map[string]bool{
	"guardrailConfig": true, "performanceConfig": true, "additionalModelResponseFieldPaths": true,
	"promptVariables": true, "requestMetadata": true, "serviceTier": true,
}

func (e *bedrockExtra) read(origin llm.Format, members []llm.Member) {
	for _, m := range members {
		switch {
		case origin != llm.Anthropic:
			e.member(m.Name, m.Value)
		case m.Name == "anthropic_beta" && m.Value[0] == '[':
			e.beta = m.Value
		}
	}
	// What stands at the top of the call wins over this older place.
	for _, m := range members {
		if origin != llm.Anthropic && m.Name == "bedrock" && m.Value[0] == '{' {
			llm.Members(m.Value, func(name string, value []byte) bool {
				e.member(name, value)
				return true
			})
		}
	}
}

func (e *bedrockExtra) member(name string, value []byte) {
	switch {
	case value[0] == 'n':
	case name == "toolConfig":
		if e.tools == nil {
			e.tools = value
		}
	case name == "additionalModelRequestFields":
		if e.fields == nil {
			e.fields = value
		}
	case bedrockPassed[name]:
		if !slices.ContainsFunc(e.members, func(m llm.Member) bool { return m.Name == name }) {
			e.members = append(e.members, llm.Member{Name: name, Value: value})
		}
	}
}

// bedrockConfigure writes all of a call but what is said.
func bedrockConfigure(w *bedrockWriter, call *Call, chat *llm.ChatCall) {
	var extra bedrockExtra
	extra.read(chat.Origin, chat.Extra)
	forced := bedrockTools(w, chat, extra.tools)
	thinking := bedrockThinking(call, chat, forced)
	if !bedrockIsClaude(call.Model) {
		extra.beta = nil
	}
	bedrockInference(w, call, &chat.Options, thinking != "")
	bedrockFields(w, &extra, thinking)
	latency := call.Options.GetBedrock().GetPerformanceConfigLatency()
	for _, m := range extra.members {
		if m.Name != "performanceConfig" || latency == "" {
			w.raw(m.Name, string(m.Value))
		}
	}
	if latency != "" {
		w.name("performanceConfig")
		w.open('{')
		w.text("latency", latency)
		w.close("}")
	}
	w.text("anthropic_version", cmp.Or(call.Options.GetAnthropicVersion(), "bedrock-2023-05-31"))
}

// bedrockInference writes what tunes the answer. Converse has no top_k. A model of
// Anthropic's that thinks refuses to be tuned.
func bedrockInference(w *bedrockWriter, call *Call, o *llm.Options, thinks bool) {
	limit := cmp.Or(call.MaxTokens, o.Limit())
	temperature, topP := cmp.Or(call.Temperature, o.Temperature), cmp.Or(call.TopP, o.TopP)
	if thinks {
		temperature, topP = "", ""
	}
	if limit == "" && temperature == "" && topP == "" && len(o.Stop) == 0 {
		return
	}
	w.name("inferenceConfig")
	w.open('{')
	w.raw("maxTokens", limit)
	w.raw("temperature", temperature)
	w.raw("topP", topP)
	if len(o.Stop) > 0 {
		w.name("stopSequences")
		w.open('[')
		for _, stop := range o.Stop {
			w.comma()
			w.out = llm.AppendQuoted(w.out, stop)
		}
		w.close("]")
	}
	w.close("}")
}

// bedrockTools writes the tools that the model may use, and says whether it must
// use one. own is what the caller wrote in Bedrock's own words.
func bedrockTools(w *bedrockWriter, chat *llm.ChatCall, own []byte) (forced bool) {
	form := chat.Output.Kind == "json_schema" || chat.Output.Kind == "json_object"
	tools := 0
	for i := range chat.Tools {
		if chat.Tools[i].Name != "" {
			tools++
		}
	}
	if tools == 0 && !form {
		w.raw("toolConfig", string(own))
		return false
	}
	choice := &chat.ToolChoice
	if choice.Mode == "none" && !form && !bedrockHasCalls(chat) {
		return false // there is no word for none, but to offer nothing
	}
	if choice.Mode == "function" && choice.Name != "" {
		form = false // the caller wants a call and not an answer yet
	}
	w.name("toolConfig")
	w.open('{')
	w.name("tools")
	w.open('[')
	for i := range chat.Tools {
		if t := &chat.Tools[i]; t.Name != "" {
			bedrockTool(w, t.Name, t.Description, t.Parameters)
			bedrockCache(w, t.Cache)
		}
	}
	if form {
		schema := chat.Output.Schema
		if len(schema) == 0 || schema[0] != '{' {
			schema = []byte(`{"type":"object"}`)
		}
		bedrockTool(w, bedrockAnswerTool, "Gives the answer to the user. It must be used to answer.", schema)
	}
	w.close("]")
	forced = true
	switch {
	case form && (tools == 0 || choice.Mode == "none"):
		bedrockChoose(w, "tool", bedrockAnswerTool)
	case form || choice.Mode == "required":
		bedrockChoose(w, "any", "")
	case choice.Mode == "function" && choice.Name != "":
		bedrockChoose(w, "tool", choice.Name)
	case choice.Mode == "auto":
		bedrockChoose(w, "auto", "")
		forced = false
	default:
		forced = false
	}
	w.close("}")
	return forced
}

func bedrockChoose(w *bedrockWriter, kind, name string) {
	w.name("toolChoice")
	w.open('{')
	w.name(kind)
	w.open('{')
	if name != "" {
		w.text("name", name)
	}
	w.close("}}")
}

func bedrockTool(w *bedrockWriter, name, description string, parameters []byte) {
	w.open('{')
	w.name("toolSpec")
	w.open('{')
	w.text("name", name)
	if description != "" {
		w.text("description", description)
	}
	w.name("inputSchema")
	w.open('{')
	if len(parameters) == 0 || parameters[0] != '{' {
		parameters = []byte(`{"type":"object","properties":{}}`)
	}
	w.raw("json", string(parameters))
	w.close("}}}")
}

// bedrockHasCalls says whether the chat holds calls, which a model takes only
// together with tools.
func bedrockHasCalls(chat *llm.ChatCall) bool {
	for i := range chat.Messages {
		if len(chat.Messages[i].Calls) > 0 || chat.Messages[i].Role == llm.RoleTool {
			return true
		}
	}
	return false
}

// bedrockBudgets are the tokens to think with, by how hard to think.
var bedrockBudgets = map[string]int{
	"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32768,
}

// bedrockThinking is the JSON of the members that make a model of Anthropic's
// think, one after another; empty when it is not to think.
func bedrockThinking(call *Call, chat *llm.ChatCall, forced bool) string {
	r := &chat.Reasoning
	if !bedrockIsClaude(call.Model) || forced || !bedrockMayThink(chat) {
		return ""
	}
	if r.Mode == "adaptive" {
		text := `"thinking":{"type":"adaptive"}`
		if r.Effort != "" {
			text += `,"output_config":{"effort":` + llm.Quote(r.Effort) + `}`
		}
		return text
	}
	if r.Mode == "disabled" {
		return ""
	}
	// Thoughts count as part of the answer, and some must be left of it: a quarter
	// where the caller counts no tokens.
	budget, err := strconv.Atoi(r.Budget)
	spare := func(int) int { return 1 }
	if err != nil {
		budget = bedrockBudgets[r.Effort]
		spare = func(limit int) int { return limit / 4 }
	}
	if limit, err := strconv.Atoi(cmp.Or(call.MaxTokens, chat.Limit())); err == nil {
		budget = min(budget, limit-spare(limit))
	}
	if budget < 1024 {
		return ""
	}
	return `"thinking":{"type":"enabled","budget_tokens":` + strconv.Itoa(budget) + `}`
}

// bedrockMayThink says whether a model may think in this turn. In the middle of
// its calls it must be given back the thought that led to them, which callers of
// a format without signatures cannot.
func bedrockMayThink(chat *llm.ChatCall) bool {
	for i := len(chat.Messages) - 1; i >= 0; i-- {
		m := &chat.Messages[i]
		switch {
		case m.Role == llm.RoleTool || bedrockIsSystem(m.Role):
		case m.Role != llm.RoleAssistant || len(m.Calls) == 0:
			return true
		default:
			for j := range m.Parts {
				p := &m.Parts[j]
				if p.Kind == llm.PartRedacted || p.Kind == llm.PartReasoning && p.Signature != "" {
					return true
				}
			}
			return false
		}
	}
	return true
}

// bedrockFields writes what only the model behind Converse knows.
func bedrockFields(w *bedrockWriter, extra *bedrockExtra, thinking string) {
	if extra.beta != nil {
		if thinking != "" {
			thinking += ","
		}
		thinking += `"anthropic_beta":` + string(extra.beta)
	}
	if len(extra.fields) == 0 || extra.fields[0] != '{' {
		if thinking != "" {
			w.raw("additionalModelRequestFields", "{"+thinking+"}")
		}
		return
	}
	own := false
	llm.Members(extra.fields, func(name string, _ []byte) bool {
		own = own || name == "thinking" || name == "output_config"
		return !own
	})
	if thinking == "" || own {
		w.raw("additionalModelRequestFields", string(extra.fields))
		return
	}
	inner := strings.TrimSpace(string(extra.fields[1:]))
	if inner != "}" {
		thinking += ","
	}
	w.raw("additionalModelRequestFields", "{"+thinking+inner)
}
