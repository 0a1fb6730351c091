package schema

import "slices"

// Deprecated lists what the schema says of the deprecated fields that a body
// sets, each text once. The body has not gone through Expand; current is the
// stored entity for a PATCH, absent else.
func (s *Schema) Deprecated(body, current Document) []string {
	var texts []string
	collectDeprecated(s.shapeFor(body, current), body, &texts)
	slices.Sort(texts)
	return slices.Compact(texts)
}

func collectDeprecated(rec *record, doc Document, texts *[]string) {
	for _, m := range doc.Members() {
		f := rec.inputField(m.Name)
		if f == nil || m.Value.unset() {
			continue
		}
		if text := f.rules.GetDeprecation().GetMessage(); text != "" {
			*texts = append(*texts, text)
		}
		f.collectDeprecated(m.Value, texts)
	}
}

func (f *field) collectDeprecated(v Document, texts *[]string) {
	switch {
	case f.record != nil:
		collectDeprecated(f.record, v, texts)
	case f.elem != nil:
		for _, e := range v.Elements() {
			f.elem.collectDeprecated(e, texts)
		}
	case f.values != nil:
		for _, m := range v.Members() {
			f.values.collectDeprecated(m.Value, texts)
		}
	}
}
