package provider

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

// geminiWriter appends JSON, with a comma wherever something stands before.
type geminiWriter struct{ out []byte }

func (w *geminiWriter) comma() {
	if n := len(w.out); n > 0 && w.out[n-1] != '{' && w.out[n-1] != '[' && w.out[n-1] != ':' {
		w.out = append(w.out, ',')
	}
}

func (w *geminiWriter) name(name string) {
	w.comma()
	w.out = append(llm.AppendQuoted(w.out, name), ':')
}

func (w *geminiWriter) open(bracket byte) {
	w.comma()
	w.out = append(w.out, bracket)
}

func (w *geminiWriter) close(bracket byte) { w.out = append(w.out, bracket) }

// text appends a member that is a text.
func (w *geminiWriter) text(name, value string) {
	w.name(name)
	w.out = llm.AppendQuoted(w.out, value)
}

// raw appends a member whose value is JSON already; an empty one is left out.
func (w *geminiWriter) raw(name, value string) {
	if value != "" {
		w.name(name)
		w.out = append(w.out, value...)
	}
}

// list appends a member that is a list of texts; an empty one is left out.
func (w *geminiWriter) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	w.name(name)
	w.open('[')
	for _, value := range values {
		w.comma()
		w.out = llm.AppendQuoted(w.out, value)
	}
	w.close(']')
}

// element opens an object that is an element with one member open in it, as the
// pieces of a turn are: {"inlineData":{
func (w *geminiWriter) element(name string) {
	w.open('{')
	w.name(name)
	w.open('{')
}

// done closes what element opened.
func (w *geminiWriter) done() { w.out = append(w.out, "}}"...) }
