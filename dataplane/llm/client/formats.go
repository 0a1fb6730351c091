package client

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

// formats makes the reader and writer of each format that callers may speak.
var formats = map[llm.Format]func(route llm.Route, param string, limits llm.Limits) Format{
	llm.OpenAI: func(route llm.Route, param string, limits llm.Limits) Format {
		o := NewOpenAI(route, param)
		o.Limits = limits
		return o
	},
	llm.Anthropic: func(route llm.Route, param string, limits llm.Limits) Format {
		a := NewAnthropic(route, param)
		a.Limits = limits
		return a
	},
	llm.Gemini: func(route llm.Route, param string, limits llm.Limits) Format {
		g := NewGemini(route, param)
		g.Limits = limits
		return g
	},
	llm.Bedrock: func(route llm.Route, param string, limits llm.Limits) Format {
		b := NewBedrock(route, param)
		b.Limits = limits
		return b
	},
	llm.Cohere: func(route llm.Route, param string, limits llm.Limits) Format {
		c := NewCohere(route, param)
		c.Limits = limits
		return c
	},
	llm.HuggingFace: func(route llm.Route, param string, limits llm.Limits) Format {
		h := NewHuggingFace(route, param)
		h.Limits = limits
		return h
	},
}

// For gives the reader and writer of a format for one kind of calls; ok is false
// when this version has none. param is the name of a member of the body that
// carries credentials; empty when there is none. The empty name is OpenAI's
// format.
func For(name llm.Format, route llm.Route, param string, limits llm.Limits) (f Format, ok bool) {
	if name == "" {
		name = llm.OpenAI
	}
	build, ok := formats[name]
	if !ok {
		return nil, false
	}
	return build(route, param, limits), true
}
