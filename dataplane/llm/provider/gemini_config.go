package provider

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// geminiTune writes the options of an answer; what is configured wins.
func geminiTune(config *geminiWriter, call *Call, o *llm.Options) {
	config.raw("temperature", cmp.Or(call.Temperature, o.Temperature))
	config.raw("topP", cmp.Or(call.TopP, o.TopP))
	config.raw("topK", cmp.Or(call.TopK, o.TopK))
	config.raw("maxOutputTokens", cmp.Or(call.MaxTokens, o.Limit()))
	config.list("stopSequences", o.Stop)
}

// geminiOutput writes the form that an answer must have.
func geminiOutput(config *geminiWriter, o *llm.Output) {
	if o.Kind != "json_object" && o.Kind != "json_schema" {
		return
	}
	config.text("responseMimeType", "application/json")
	if o.Kind == "json_schema" {
		config.raw("responseJsonSchema", string(o.Schema))
	}
}

// geminiThink writes how much the model should think: as a level for the models
// that know levels, as a number of tokens for those before them. Models that do
// not think are not asked to. Thoughts come back to callers who speak of thinking
// and not of effort alone: others have no eye for them.
func geminiThink(config *geminiWriter, model string, r *llm.Reasoning) {
	major := geminiMajor(model)
	if *r == (llm.Reasoning{}) || major == 1 || !strings.HasPrefix(model, "gemini-") ||
		strings.HasPrefix(model, "gemini-2.0") || strings.HasPrefix(model, "gemini-pro") {
		return
	}
	level, budget := "", r.Budget
	switch {
	case r.Mode == "disabled" || r.Effort == "none":
		// The largest models of each generation cannot but think.
		level, budget = "low", "0"
		if strings.Contains(model, "-pro") {
			budget = "128"
		}
	case r.Effort != "":
		level, budget = geminiEffort(model, r.Effort)
	case budget == "" && major < 3:
		budget = "-1" // as much as the model finds right
	}
	config.name("thinkingConfig")
	config.open('{')
	if major >= 3 && level != "" {
		config.text("thinkingLevel", level)
	} else {
		config.raw("thinkingBudget", budget)
	}
	if r.Mode == "enabled" || r.Mode == "adaptive" {
		config.raw("includeThoughts", "true")
	}
	config.close('}')
}

// geminiEffort is an effort as a level and as a number of tokens: the numbers are
// those of Google's own endpoint for OpenAI's clients.
func geminiEffort(model, effort string) (level, budget string) {
	pro := strings.Contains(model, "-pro")
	switch effort {
	case "minimal":
		if pro {
			return "low", "1024"
		}
		return "minimal", "1024"
	case "low":
		return "low", "1024"
	case "medium":
		if strings.HasPrefix(model, "gemini-3-pro") {
			return "high", "8192" // it knows no level between
		}
		return "medium", "8192"
	}
	return "high", "24576"
}

// geminiTools writes the tools: functions as declarations, and Google's own tools
// as they came.
func geminiTools(w *geminiWriter, tools []llm.Tool) error {
	if len(tools) == 0 {
		return nil
	}
	w.name("tools")
	w.open('[')
	declared := false
	for i := range tools {
		t := &tools[i]
		if t.Name == "" {
			continue
		}
		if !declared {
			w.open('{')
			w.name("function_declarations")
			w.open('[')
			declared = true
		}
		geminiDeclare(w, t)
	}
	if declared {
		w.out = append(w.out, "]}"...)
	}
	for i := range tools {
		t := &tools[i]
		if t.Name != "" {
			continue
		}
		if kind := geminiMember(t.JSON, "type"); kind != nil || len(t.JSON) == 0 {
			word := ""
			if len(kind) > 0 && kind[0] == '"' {
				word = llm.Unquote(kind)
			}
			return fmt.Errorf("cannot transform tool of type '%s' to Gemini format", word)
		}
		w.comma()
		w.out = append(w.out, t.JSON...)
	}
	w.close(']')
	return nil
}

func geminiDeclare(w *geminiWriter, t *llm.Tool) {
	w.open('{')
	w.text("name", t.Name)
	if t.Description != "" {
		w.text("description", t.Description)
	}
	if parameters := bytes.TrimSpace(t.Parameters); len(parameters) > 0 && parameters[0] == '{' {
		switch plain, empty := geminiSchema(parameters); {
		case empty:
			// An object without properties is refused; no parameters mean the same.
		case plain:
			w.raw("parameters", string(parameters))
		default:
			w.raw("parametersJsonSchema", string(parameters))
		}
	}
	w.close('}')
}

// geminiSchema says whether a JSON schema keeps to the words that Google's own
// schemas have, and whether it is an object with no properties.
func geminiSchema(schema []byte) (plain, empty bool) {
	plain, empty = true, true
	object := false
	llm.Members(schema, func(name string, value []byte) bool {
		switch name {
		case "type":
			plain = plain && value[0] == '"'
			object = string(value) == `"object"`
		case "properties":
			if value[0] != '{' {
				plain = false
				break
			}
			llm.Members(value, func(_ string, property []byte) bool {
				empty = false
				part, _ := geminiSchema(property)
				plain = plain && property[0] == '{' && part
				return true
			})
		case "items":
			part, _ := geminiSchema(value)
			plain, empty = plain && value[0] == '{' && part, false
		case "anyOf":
			empty = false
			llm.Elements(value, func(schema []byte) bool {
				part, _ := geminiSchema(schema)
				plain = plain && schema[0] == '{' && part
				return true
			})
		case "enum":
			llm.Elements(value, func(word []byte) bool {
				plain = plain && word[0] == '"'
				return plain
			})
		case "format":
			switch string(value) {
			case `"enum"`, `"date-time"`, `"float"`, `"double"`, `"int32"`, `"int64"`:
			default:
				plain = false
			}
		case "required", "description", "title":
		case "$schema", "additionalProperties":
			plain = false // but says nothing of its own in an object with no properties
		case "nullable", "default", "example", "pattern", "minimum", "maximum", "minItems", "maxItems",
			"minLength", "maxLength", "minProperties", "maxProperties", "propertyOrdering":
			empty = false
		default:
			plain, empty = false, false
		}
		return true
	})
	return plain, empty && object
}

// geminiChoice writes which tools must be used.
func geminiChoice(w *geminiWriter, c *llm.ToolChoice) {
	mode, names := "", []string(nil)
	switch c.Mode {
	case "auto":
		mode = "AUTO"
	case "none":
		mode = "NONE"
	case "required":
		mode = "ANY"
	case "function":
		mode, names = "ANY", []string{c.Name}
	default:
		mode, names = geminiAllowed(c.JSON)
	}
	if mode == "" {
		return
	}
	w.name("toolConfig")
	w.element("functionCallingConfig")
	w.text("mode", mode)
	w.list("allowedFunctionNames", names)
	w.done()
}

// geminiAllowed reads OpenAI's choice among some of the tools.
func geminiAllowed(choice []byte) (mode string, names []string) {
	allowed := geminiMember(choice, "allowed_tools")
	llm.Elements(geminiMember(allowed, "tools"), func(tool []byte) bool {
		if name := geminiMember(geminiMember(tool, "function"), "name"); len(name) > 0 && name[0] == '"' {
			names = append(names, llm.Unquote(name))
		}
		return true
	})
	switch {
	case len(names) == 0:
		return "", nil
	case string(geminiMember(allowed, "mode")) == `"required"`:
		return "ANY", names
	}
	// Names may only be given with modes that bind the model to them.
	return "VALIDATED", names
}

// geminiExtra is what a caller says in Google's own words, and the options of
// OpenAI's format that the neutral terms have no word for.
type geminiExtra struct {
	top, config []llm.Member
}

// read takes the members that Google knows. extra_body is how OpenAI's clients
// send what their format lacks; google in it is what Google's own endpoint for
// them reads.
func (e *geminiExtra) read(origin llm.Format, members []llm.Member) {
	for _, m := range members {
		value := bytes.TrimSpace(m.Value)
		if len(value) == 0 || string(value) == "null" {
			continue
		}
		switch name := geminiCamel(m.Name); {
		case geminiTop[name]:
			geminiAdd(&e.top, name, value)
		case name == "generationConfig":
			e.nested(value, func(name string, value []byte) { geminiAdd(&e.config, geminiCamel(name), value) })
		case name == "thinkingConfig":
			geminiAdd(&e.config, name, value)
		case m.Name == "extra_body" || m.Name == "google" && origin == geminiExtraBody:
			var inner []llm.Member
			e.nested(value, func(name string, value []byte) {
				if name != "extra_body" {
					inner = append(inner, llm.Member{Name: name, Value: value})
				}
			})
			e.read(geminiExtraBody, inner)
		case origin == geminiExtraBody && !geminiOwn[name]:
			geminiAdd(&e.top, name, value)
		case origin == llm.OpenAI && geminiOptions[m.Name] != "" && (value[0] == '-' || value[0] >= '0' && value[0] <= '9'):
			if m.Name != "n" || string(value) != "1" {
				geminiAdd(&e.config, geminiOptions[m.Name], value)
			}
		}
	}
}

// geminiExtraBody is where members come from that stand in extra_body.
const geminiExtraBody llm.Format = "extra_body"

var (
	geminiOwn     = map[string]bool{"contents": true, "systemInstruction": true, "tools": true, "model": true}
	geminiTop     = map[string]bool{"cachedContent": true, "safetySettings": true, "labels": true, "toolConfig": true}
	geminiOptions = map[string]string{
		"n": "candidateCount", "seed": "seed",
		"presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty",
	}
)

func (e *geminiExtra) nested(object []byte, f func(name string, value []byte)) {
	llm.Members(object, func(name string, value []byte) bool {
		f(name, value)
		return true
	})
}

func (e *geminiExtra) has(config string) bool {
	return slices.ContainsFunc(e.config, func(m llm.Member) bool { return m.Name == config })
}

// write writes the options of the answer, and what else there is. What the
// gateway itself has written there stands: a caller cannot get around a
// configured bound by naming it in Google's words.
func (e *geminiExtra) write(w, config *geminiWriter) {
	for _, m := range e.config {
		if geminiMember(append(config.out, '}'), m.Name) == nil {
			config.raw(m.Name, string(m.Value))
		}
	}
	if config.close('}'); len(config.out) > len("{}") {
		w.raw("generationConfig", string(config.out))
	}
	for _, m := range e.top {
		w.raw(m.Name, string(m.Value))
	}
}

// geminiAdd adds a member, unless there is one of its name.
func geminiAdd(members *[]llm.Member, name string, value []byte) {
	if !slices.ContainsFunc(*members, func(m llm.Member) bool { return m.Name == name }) {
		*members = append(*members, llm.Member{Name: name, Value: value})
	}
}

// geminiCamel is a name as Google's JSON spells it; it reads snake_case too.
func geminiCamel(name string) string {
	if strings.IndexByte(name, '_') < 0 {
		return name
	}
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] == '_' && i > 0 && i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z' {
			i++
			out = append(out, name[i]-'a'+'A')
			continue
		}
		out = append(out, name[i])
	}
	return string(out)
}
