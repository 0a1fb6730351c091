package declarative

import (
	"bufio"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/gibbon-gateway/gibbon/schema"
)

// yamlWriter writes block style: what people read and compare line by line.
type yamlWriter struct {
	*bufio.Writer
}

func (w *yamlWriter) begin() {
	w.WriteString(formatField + `: "` + newestFormat + "\"\n" + transformField + ": false\n")
}

func (w *yamlWriter) collection(kind string)     { w.WriteString(kind + ":\n") }
func (w *yamlWriter) entity(doc schema.Document) { w.element(doc, "") }
func (w *yamlWriter) end()                       {}

// element writes an element of a list. The indent is that of its dash.
func (w *yamlWriter) element(doc schema.Document, indent string) {
	w.WriteString(indent + "-")
	switch members := doc.Members(); {
	case len(members) > 0:
		w.WriteByte(' ')
		w.mapping(members, indent+"  ", true)
	case len(doc.Elements()) > 0:
		// A list in a list begins in a line of its own.
		w.WriteByte('\n')
		w.list(doc, indent+"  ")
	default:
		w.WriteByte(' ')
		w.scalar(doc, indent)
	}
}

func (w *yamlWriter) list(doc schema.Document, indent string) {
	for _, e := range doc.Elements() {
		w.element(e, indent)
	}
}

// mapping writes members; the first one may stand in a line that has begun.
func (w *yamlWriter) mapping(members []schema.Member, indent string, begun bool) {
	for _, m := range members {
		if !begun {
			w.WriteString(indent)
		}
		begun = false
		w.WriteString(quoted(m.Name) + ":")
		switch inner := m.Value; {
		case len(inner.Members()) > 0:
			w.WriteByte('\n')
			w.mapping(inner.Members(), indent+"  ", false)
		case len(inner.Elements()) > 0:
			w.WriteByte('\n')
			w.list(inner, indent)
		default:
			w.WriteByte(' ')
			w.scalar(inner, indent)
		}
	}
}

func (w *yamlWriter) scalar(doc schema.Document, indent string) {
	text := doc.Text()
	switch {
	case doc.Kind() != schema.KindString:
		w.WriteString(doc.String())
	case isBlock(text):
		body, ended := strings.CutSuffix(text, "\n")
		w.WriteByte('|')
		if !ended {
			w.WriteByte('-')
		}
		for line := range strings.SplitSeq(body, "\n") {
			w.WriteByte('\n')
			if line != "" {
				w.WriteString(indent + "  " + line)
			}
		}
	default:
		w.WriteString(quoted(text))
	}
	w.WriteByte('\n')
}

// isBlock reports that a text is best written line by line: certificates and
// keys are.
func isBlock(text string) bool {
	if !strings.Contains(strings.TrimSuffix(text, "\n"), "\n") || strings.HasPrefix(text, "\n") || strings.HasSuffix(text, "\n\n") {
		return false
	}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, " ") || strings.HasSuffix(line, " ") {
			return false
		}
		for i := range len(line) {
			if line[i] < ' ' || line[i] > '~' {
				return false
			}
		}
	}
	return true
}

// quoted is a text as it stands in a line: bare when every reader of YAML takes
// it for that text, else in quotes.
func quoted(text string) string {
	if isBare(text) {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r) || r == '\u00a0':
			b.WriteRune(r)
		case r <= 0xffff:
			b.WriteString(`\u`)
			writeHex(&b, uint32(r), 4)
		default:
			b.WriteString(`\U`)
			writeHex(&b, uint32(r), 8)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func writeHex(b *strings.Builder, n uint32, digits int) {
	for i := digits - 1; i >= 0; i-- {
		b.WriteByte("0123456789abcdef"[n>>(4*i)&15])
	}
}

// isBare reports that a text needs no quotes.
func isBare(text string) bool {
	if text == "" || strings.EqualFold(text, "y") || strings.EqualFold(text, "n") {
		return false
	}
	if _, ok := switches[text]; ok {
		return false
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '/':
		case '0' <= c && c <= '9':
		case i > 0 && (c == '-' || c == '.' || c == '@' || c == '+'):
		// A number before a colon is one in base 60 to old readers.
		case i > 0 && c == ':' && i+1 < len(text) && (text[0] < '0' || text[0] > '9'):
		default:
			return false
		}
	}
	n := yaml.Node{Kind: yaml.ScalarNode, Value: text}
	return n.ShortTag() == "!!str"
}
