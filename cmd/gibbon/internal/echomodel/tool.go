package echomodel

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

type tool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
	} `json:"function"`
}

type toolCall struct {
	ID       string           `json:"id"`
	Type     string           `json:"type"`
	Function toolCallFunction `json:"function"`
}

type toolCallFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// toolChoice is the request member "tool_choice". The zero value leaves the
// choice to the model, and the echo model then calls nothing.
type toolChoice struct {
	required bool
	allowed  []string // nil: any function of the request
	given    bool
}

func (t *toolChoice) UnmarshalJSON(data []byte) error {
	var mode *string
	if json.Unmarshal(data, &mode) == nil {
		if mode == nil {
			return nil
		}
		t.given = true
		return t.setMode(*mode)
	}
	type named struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	var object struct {
		Type string `json:"type"`
		named
		AllowedTools struct {
			Mode  string  `json:"mode"`
			Tools []named `json:"tools"`
		} `json:"allowed_tools"`
	}
	if json.Unmarshal(data, &object) != nil {
		return invalid("tool_choice", "tool_choice must be a string or an object")
	}
	t.given = true
	switch object.Type {
	case "function":
		t.required, t.allowed = true, []string{object.Function.Name}
		return nil
	case "allowed_tools":
		t.allowed = []string{}
		for _, tool := range object.AllowedTools.Tools {
			t.allowed = append(t.allowed, tool.Function.Name)
		}
		return t.setMode(object.AllowedTools.Mode)
	}
	return invalid("tool_choice", "the echo model has no tool_choice of type %q", object.Type)
}

func (t *toolChoice) setMode(mode string) error {
	switch mode {
	case "none", "auto":
	case "required":
		t.required = true
	default:
		return invalid("tool_choice", "there is no tool_choice %q", mode)
	}
	return nil
}

// pick returns the function to call: nil unless a call is required, else the
// first of the request's functions that the choice allows.
func (t *toolChoice) pick(tools []tool) (*tool, error) {
	for _, tool := range tools {
		if tool.Type == "function" && tool.Function.Name == "" {
			return nil, invalid("tools", "a function has no name")
		}
	}
	if t.given && len(tools) == 0 {
		return nil, invalid("tool_choice", "tool_choice needs tools")
	}
	if !t.required {
		return nil, nil
	}
	for i := range tools {
		if tools[i].Type == "function" && (t.allowed == nil || slices.Contains(t.allowed, tools[i].Function.Name)) {
			return &tools[i], nil
		}
	}
	return nil, invalid("tool_choice", "tool_choice allows no function that the request has")
}

const (
	exampleDepth = 32      // levels of a schema that are followed
	exampleText  = 200     // runes of the text that an example repeats
	exampleBytes = 1 << 20 // size of an example
)

// exampleOf is a JSON text that fits a plain JSON schema: const, else the
// first enum, else default, else the first anyOf or oneOf, else by type, where
// a string is the start of text, a number the minimum or 0, an array has as
// few items as it may, up to one, and an object has all its properties in
// alphabetical order. References are not followed. No schema gives {}. Param
// is the request member to blame when the schema is too large.
func exampleOf(param string, schema json.RawMessage, text string) (string, error) {
	if len(schema) == 0 || string(schema) == "null" {
		return "{}", nil
	}
	runes := 0
	for at := range text {
		if runes == exampleText {
			text = text[:at]
			break
		}
		runes++
	}
	said, err := marshal(text)
	if err != nil {
		return "", err
	}
	e := example{said: said}
	if !e.write(schema, 0) {
		return "", invalid(param, "the schema is too large for the echo model")
	}
	return e.out.String(), nil
}

type example struct {
	said []byte // what strings say, as JSON
	out  bytes.Buffer
}

// write adds an example of schema, and reports false when it is too large or
// too deep. A schema that cannot be understood allows anything, so a string.
func (e *example) write(schema json.RawMessage, depth int) bool {
	if depth > exampleDepth || e.out.Len() > exampleBytes {
		return false
	}
	var s struct {
		Type       json.RawMessage            `json:"type"`
		Const      json.RawMessage            `json:"const"`
		Enum       []json.RawMessage          `json:"enum"`
		Default    json.RawMessage            `json:"default"`
		AnyOf      []json.RawMessage          `json:"anyOf"`
		OneOf      []json.RawMessage          `json:"oneOf"`
		Minimum    json.RawMessage            `json:"minimum"`
		Items      json.RawMessage            `json:"items"`
		MinItems   int                        `json:"minItems"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal(schema, &s) != nil {
		e.out.Write(e.said)
		return true
	}
	switch {
	case s.Const != nil:
		return e.copy(s.Const)
	case len(s.Enum) > 0:
		return e.copy(s.Enum[0])
	case s.Default != nil:
		return e.copy(s.Default)
	case len(s.AnyOf) > 0:
		return e.write(s.AnyOf[0], depth+1)
	case len(s.OneOf) > 0:
		return e.write(s.OneOf[0], depth+1)
	}
	switch kind := firstType(s.Type); {
	case kind == "object" || kind == "" && s.Properties != nil:
		e.out.WriteByte('{')
		for i, name := range slices.Sorted(maps.Keys(s.Properties)) {
			if i > 0 {
				e.out.WriteByte(',')
			}
			key, err := marshal(name)
			if err != nil {
				return false
			}
			e.out.Write(key)
			e.out.WriteByte(':')
			if !e.write(s.Properties[name], depth+1) {
				return false
			}
		}
		e.out.WriteByte('}')
	case kind == "array":
		e.out.WriteByte('[')
		if s.MinItems > 0 && s.Items != nil && !e.write(s.Items, depth+1) {
			return false
		}
		e.out.WriteByte(']')
	case kind == "integer" || kind == "number":
		if s.Minimum == nil {
			s.Minimum = json.RawMessage("0")
		}
		return e.copy(s.Minimum)
	case kind == "boolean":
		e.out.WriteString("false")
	case kind == "null":
		e.out.WriteString("null")
	default:
		e.out.Write(e.said)
	}
	return true
}

// copy adds a value that the schema holds, without its white space.
func (e *example) copy(value json.RawMessage) bool {
	return json.Compact(&e.out, value) == nil && e.out.Len() <= exampleBytes
}

// firstType reads the member "type": a name, or an array of names.
func firstType(raw json.RawMessage) string {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return name
	}
	var names []string
	if json.Unmarshal(raw, &names) == nil && len(names) > 0 {
		return names[0]
	}
	return ""
}
