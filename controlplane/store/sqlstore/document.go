package sqlstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// nullMember returns the JSON object with null as the value of one of its
// members, and every other byte as it was. An object without that member is
// returned as it is.
func nullMember(object []byte, name string) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	first, err := decoder.Token()
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	if first != json.Delim('{') {
		return nil, errors.New("the document is not an object")
	}
	for decoder.More() {
		member, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("read the document: %w", err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, fmt.Errorf("read the document: %w", err)
		}
		if member == name {
			end := int(decoder.InputOffset())
			out := bytes.Clone(object[:end-len(value)])
			out = append(out, "null"...)
			return append(out, object[end:]...), nil
		}
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	return object, nil
}
