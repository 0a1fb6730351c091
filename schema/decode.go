package schema

// DecodeForm reads a form body, urlencoded unless the content type says
// multipart, and coerces its texts by the schema. Current is the stored entity
// of a PATCH, whose body may leave out the field that picks the subschema;
// absent else. The error is ErrTooManyArguments or wraps ErrBadForm.
func (s *Schema) DecodeForm(contentType string, body []byte, current Document) (Document, error) {
	args, err := readForm(contentType, body)
	if err != nil {
		return Document{}, err
	}
	form := &formNode{}
	for _, a := range args {
		form.add(a)
	}
	// The key of the subschema decides how the rest is read, wherever it
	// stands in the body, so it is coerced first.
	key := s.entity.GetSubschemaKey()
	var head Document
	if n := form.named[key]; n != nil {
		head = head.With(n.coerce(s.record.byName[key]), key)
	}
	rec := s.shapeFor(head, current)
	out := form.record(rec, s.TTL())
	return out, nil
}
