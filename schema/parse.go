package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep a document may nest. Kong's parser has a limit of its
// own; this one keeps the recursion here and in every walker bounded.
const maxDepth = 200

// SyntaxError says why bytes are no document: no JSON, a name given twice,
// bad UTF-8, bytes after the value, or too deep a nesting.
type SyntaxError struct {
	Offset int64 // the byte at which it was noticed
	Err    error
}

// Error names the place and the cause; neither holds a value of the input.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not a JSON document at byte %d: %v", e.Offset, e.Err)
}

// Unwrap is the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

var (
	errTooDeep  = errors.New("nested too deep")
	errTrailing = errors.New("more bytes after the value")
	errNoObject = errors.New("not an object")
)

// Parse reads one JSON value. It is stricter than JSON: duplicate names and
// bytes that are no UTF-8 are refused, and so is a nesting of more than 200.
// Numbers keep their text. The error is a *SyntaxError.
func Parse(b []byte) (Document, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(b))
	d, err := parseValue(dec, 0)
	if err == nil {
		if _, err = dec.ReadToken(); err == io.EOF {
			return d, nil
		}
		if err == nil {
			err = errTrailing
		}
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return Document{}, &SyntaxError{Offset: dec.InputOffset(), Err: err}
}

// ParseObject is Parse for a value that must be an object, as every entity is.
// The error is a *SyntaxError, also for JSON of another kind.
func ParseObject(b []byte) (Document, error) {
	d, err := Parse(b)
	if err != nil {
		return Document{}, err
	}
	if d.Kind() != KindObject {
		return Document{}, &SyntaxError{Err: errNoObject}
	}
	return d, nil
}

func parseValue(dec *jsontext.Decoder, depth int) (Document, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return Document{}, err
	}
	switch token.Kind() {
	case 'n':
		return Null(), nil
	case 't':
		return Bool(true), nil
	case 'f':
		return Bool(false), nil
	case '"':
		return String(token.String()), nil
	case '0':
		return Number(token.String()), nil
	}
	if depth == maxDepth {
		return Document{}, errTooDeep
	}
	if token.Kind() == '[' {
		return parseList(dec, depth)
	}
	return parseObject(dec, depth)
}

func parseList(dec *jsontext.Decoder, depth int) (Document, error) {
	var elements []Document
	for dec.PeekKind() != ']' {
		e, err := parseValue(dec, depth+1)
		if err != nil {
			return Document{}, err
		}
		elements = append(elements, e)
	}
	_, err := dec.ReadToken()
	return List(elements...), err
}

func parseObject(dec *jsontext.Decoder, depth int) (Document, error) {
	var members []Member
	for dec.PeekKind() != '}' {
		// PeekKind hides its error; reading the name brings it out.
		token, err := dec.ReadToken()
		if err != nil {
			return Document{}, err
		}
		name := token.String() // the token ends with the next read
		value, err := parseValue(dec, depth+1)
		if err != nil {
			return Document{}, err
		}
		members = append(members, Member{name, value})
	}
	_, err := dec.ReadToken()
	return Object(members...), err
}
