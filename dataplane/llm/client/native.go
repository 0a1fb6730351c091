package client

import (
	"errors"
	"net/url"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// What the formats of Cohere's and Hugging Face's own callers have in common:
// their bodies pass as they are, and are read for what guards and counts want to
// know.

// nativeNames are the members that a format looks at. The first two are where
// those of OpenAI's format are, and the credentials stand at llm.FieldParam.
func nativeNames(fields []string, route llm.Route, param string) *llm.Names {
	names := make([]string, llm.FieldParam, llm.FieldParam+1)
	if route == llm.Preserve {
		// Nothing but these two is looked at, so nothing else can be ambiguous.
		fields = fields[:llm.FieldStream+1]
	}
	copy(names, fields)
	if param != "" {
		names = append(names, param)
	}
	return llm.NewNames(names...)
}

// nativeRead reads the body of a call.
func nativeRead(in Incoming, into *llm.Request, names *llm.Names, limits llm.Limits) error {
	if len(in.Body) == 0 {
		if into.Route == llm.Preserve {
			return nil
		}
		return ErrUnreadable
	}
	if err := into.Fields.ReadWithin(in.Body, names, limits); err != nil {
		if ambiguous, ok := errors.AsType[*llm.AmbiguousError](err); ok {
			return &Error{Message: ambiguous.Error()}
		}
		return ErrUnreadable
	}
	into.Body = in.Body
	into.Model, _ = into.Fields.Text(llm.FieldModel)
	into.Streams = into.Fields.Kind(llm.FieldStream) == 't'
	return nil
}

// nativeMessage is a message of one text.
func nativeMessage(role llm.Role, text string) llm.Message {
	return llm.Message{Role: role, Plain: true, Parts: []llm.Part{{Kind: llm.PartText, Text: text}}}
}

// nativeFailure is the body of an error that callers of both the vendor's clients
// and Kong's can read: the message stands where either looks for it.
func nativeFailure(dst []byte, f *llm.Failure, more string) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = llm.AppendQuoted(dst, f.Message)
	dst = append(dst, `},`...)
	dst = append(dst, more...)
	return dst
}

// nativeModel is the model that a path names between two of its parts, with the
// escapes undone; empty when it names none.
func nativeModel(path, before, after string) string {
	_, rest, ok := strings.Cut(path, before)
	if !ok {
		return ""
	}
	name, ok := strings.CutSuffix(rest, after)
	if !ok {
		return ""
	}
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}
