package filelog

import (
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/schema"
)

// customField replaces a field of the log object, or drops it.
type customField struct {
	path  []string
	value schema.Document // absent: drop the field
}

// readCustom reads custom_fields_by_lua. There is no Lua here: a field may be
// dropped by "return nil" or get a literal, which is what most configurations do.
// All else is reported and leaves the field as it is.
func readCustom(sources map[string]string, log *slog.Logger) []customField {
	var fields []customField
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		value, ok := literal(sources[name])
		if !ok {
			log.Warn("custom_fields_by_lua is not supported for this field: only `return nil` and `return <literal>` are",
				"field", name)
			continue
		}
		fields = append(fields, customField{path: strings.Split(name, "."), value: value})
	}
	return fields
}

// applyCustom changes a log object. One that cannot be read stays as it is.
func applyCustom(fields []customField, line []byte) []byte {
	doc, err := schema.Parse(line)
	if err != nil {
		return line
	}
	for _, field := range fields {
		if field.value.IsAbsent() {
			doc = doc.Without(field.path...)
		} else {
			doc = doc.With(field.value, field.path...)
		}
	}
	return doc.AppendJSON(nil)
}

// literal reads a Lua chunk that does no more than return a literal. nil gives
// an absent value.
func literal(source string) (value schema.Document, ok bool) {
	text := strings.TrimSpace(source)
	text, ok = strings.CutPrefix(text, "return")
	if !ok {
		return value, false
	}
	if text != "" && !strings.ContainsAny(text[:1], " \t\r\n\"'-") {
		return value, false // an identifier that begins with return
	}
	text = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), ";"))
	switch text {
	case "", "nil":
		return value, true
	case "true", "false":
		return schema.Bool(text == "true"), true
	}
	if text[0] == '"' || text[0] == '\'' {
		s, ok := luaString(text)
		return schema.String(s), ok
	}
	return number(text)
}

// number reads a decimal or hexadecimal Lua number.
func number(text string) (schema.Document, bool) {
	if n, err := strconv.ParseInt(text, 0, 64); err == nil && !strings.ContainsAny(text, "_oObB") && !octal(text) {
		return schema.Int(n), true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.ContainsAny(text, "_xXpPnNiI") {
		return schema.Document{}, false
	}
	return schema.Float(f), true
}

// octal says that Go would read a number as octal, which Lua does not know.
func octal(text string) bool {
	digits := strings.TrimLeft(text, "-+")
	return len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9'
}

// luaString reads a quoted Lua string that is all of the text.
func luaString(text string) (string, bool) {
	quote := text[0]
	var out []byte
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == quote:
			return string(out), i == len(text)-1
		case c == '\n':
			return "", false
		case c != '\\':
			out = append(out, c)
			continue
		}
		i++
		if i == len(text) {
			return "", false
		}
		if text[i] >= '0' && text[i] <= '9' {
			n, digits := 0, 0
			for digits < 3 && i < len(text) && text[i] >= '0' && text[i] <= '9' {
				n = 10*n + int(text[i]-'0')
				i++
				digits++
			}
			i--
			if n > 255 {
				return "", false
			}
			out = append(out, byte(n))
			continue
		}
		plain, known := luaEscapes[text[i]]
		if !known {
			return "", false
		}
		out = append(out, plain)
	}
	return "", false
}

var luaEscapes = map[byte]byte{
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
	'\\': '\\', '"': '"', '\'': '\'', '\n': '\n',
}
