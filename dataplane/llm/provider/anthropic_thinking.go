package provider

import (
	"strconv"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// anthropicThoughts is how a model is told to think: the member thinking, JSON
// text, and the effort. Both may be empty.
type anthropicThoughts struct{ thinking, effort string }

// The budgets, in tokens, that stand for efforts where a model takes budgets only,
// and the least that the vendor takes.
var anthropicBudgets = map[string]int{
	"minimal": anthropicLeast, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000,
}

const anthropicLeast = 1024

// anthropicThought says how much to think. The limit is raised for it where it was
// nobody's wish.
func anthropicThought(call *Call, c *llm.ChatCall, limit *string) anthropicThoughts {
	if c.Origin != llm.Anthropic {
		// The vendor's own member, which its guide tells users of OpenAI's clients to
		// send along, says more than any effort.
		for _, thinking := range [][]byte{anthropicExtra(c.Extra, "thinking"), anthropicMember(anthropicExtra(c.Extra, "extra_body"), "thinking")} {
			if len(thinking) > 0 && thinking[0] == '{' {
				return anthropicThoughts{thinking: string(thinking)}
			}
		}
	}
	r, model := &c.Reasoning, anthropicModelOf(call.Model)
	switch {
	case r.Mode == "disabled" || r.Effort == "none" || *r == (llm.Reasoning{}):
		return anthropicThoughts{} // no model thinks unasked
	case !model.thinks() || anthropicForced(c) || anthropicForgot(c.Messages):
		return anthropicThoughts{}
	case model.adapts():
		return anthropicThoughts{thinking: `{"type":"adaptive"}`, effort: anthropicEffort(r, model)}
	}
	budget, ok := anthropicBudgets[r.Effort]
	if !ok {
		budget = anthropicBudgets["medium"]
	}
	if n, err := strconv.Atoi(r.Budget); err == nil {
		budget = max(n, anthropicLeast)
	}
	if *limit == "" {
		*limit = strconv.Itoa(budget + anthropicLimit)
	} else if most, err := strconv.Atoi(*limit); err != nil || most <= anthropicLeast {
		return anthropicThoughts{} // no room for a thought and an answer
	} else if budget >= most {
		// Half of what there is leaves something for the answer.
		budget = max(most/2, anthropicLeast)
	}
	return anthropicThoughts{thinking: `{"type":"enabled","budget_tokens":` + strconv.Itoa(budget) + `}`}
}

// anthropicEffort is the vendor's word for an effort, or for a budget of tokens.
func anthropicEffort(r *llm.Reasoning, model anthropicModel) string {
	switch r.Effort {
	case "minimal", "low":
		return "low"
	case "medium", "high", "max":
		return r.Effort
	case "xhigh":
		if model >= 407 {
			return r.Effort
		}
		return "high"
	}
	n, err := strconv.Atoi(r.Budget)
	switch {
	case err != nil:
		return ""
	case n < 4096:
		return "low"
	case n < 16384:
		return "medium"
	}
	return "high"
}

// anthropicForced says that a tool must be used, which rules out thinking.
func anthropicForced(c *llm.ChatCall) bool {
	return len(c.Tools) > 0 && (c.ToolChoice.Mode == "required" || c.ToolChoice.Mode == "function")
}

// anthropicForgot says that the chat goes on after calls whose thoughts the caller
// could not keep, as callers of most formats cannot: a model that thinks wants
// them back.
func anthropicForgot(messages []llm.Message) bool {
	for i := len(messages) - 1; i >= 0; i-- {
		switch m := &messages[i]; m.Role {
		case llm.RoleTool:
		case llm.RoleAssistant:
			if len(m.Calls) == 0 {
				return false
			}
			for j := range m.Parts {
				if p := &m.Parts[j]; p.Kind == llm.PartRedacted || p.Kind == llm.PartReasoning && p.Signature != "" {
					return false
				}
			}
			return true
		default:
			return false
		}
	}
	return false
}
