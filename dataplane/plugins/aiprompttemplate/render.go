package aiprompttemplate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// render fills the placeholders of a template, {{word}}, with values written so
// that they cannot leave a JSON string. What is then left of placeholders, in a
// value too, is missing.
func render(template string, values map[string]string) ([]byte, error) {
	out := make([]byte, 0, len(template)+256)
	rest := template
	for {
		from, to := placeholder(rest)
		if from < 0 {
			break
		}
		value, ok := values[rest[from+2:to-2]]
		if !ok {
			out = append(out, rest[:to]...)
		} else {
			out = append(out, rest[:from]...)
			out = appendEscaped(out, value)
		}
		rest = rest[to:]
	}
	out = append(out, rest...)
	if missing := placeholders(string(out)); missing != nil {
		return nil, &client.Error{Message: "missing template parameters: [" + strings.Join(missing, "], [") + "]"}
	}
	return out, nil
}

// placeholder is where the first placeholder of a text is; -1 when there is none.
func placeholder(text string) (from, to int) {
	for at := 0; ; {
		begin := strings.Index(text[at:], "{{")
		if begin < 0 {
			return -1, -1
		}
		begin += at
		end := begin + 2
		for end < len(text) && word(text[end]) {
			end++
		}
		if end > begin+2 && strings.HasPrefix(text[end:], "}}") {
			return begin, end + 2
		}
		at = begin + 1
	}
}

// placeholders are the words of a text's placeholders, each once.
func placeholders(text string) (words []string) {
	for {
		from, to := placeholder(text)
		if from < 0 {
			return words
		}
		if word := text[from+2 : to-2]; !slices.Contains(words, word) {
			words = append(words, word)
		}
		text = text[to:]
	}
}

func word(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
}

// appendEscaped appends a text as the inside of a JSON string, in the spelling of
// Kong's encoder, which escapes slashes.
func appendEscaped(dst []byte, text string) []byte {
	for i := range len(text) {
		switch c := text[i]; c {
		case '"', '\\', '/':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			if c < 0x20 || c == 0x7f {
				dst = fmt.Appendf(dst, `\u%04x`, c)
			} else {
				dst = append(dst, c)
			}
		}
	}
	return dst
}
