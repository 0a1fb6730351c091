package provider

import (
	"strconv"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// openAIFix is what a piece of a call lacks that OpenAI's callers look for. Some
// servers leave out what they take for granted, and official clients then fail,
// or put the pieces of two calls into one. The zero value changes nothing.
type openAIFix struct {
	index int    // the call's number among those of its choice, from 1 on
	id    string // one that was made up
	kind  bool   // the type
}

// complete writes what the calls of the event's chunk lack into it, for callers
// of OpenAI's format. All else stays byte for byte.
func (s *openAIStream) complete() {
	var chunk llm.Object
	if chunk.Read(s.frame.Data, answerNames) != nil {
		return
	}
	fixes := s.fixes
	choices := openAIEach(chunk.Value(answerChoices), func(dst, text []byte) []byte {
		var choice, delta llm.Object
		if choice.Read(text, choiceNames) != nil || choice.Kind(choiceDelta) != '{' || choice.Has(choiceMessage) ||
			delta.Read(choice.Value(choiceDelta), deltaNames) != nil || delta.Kind(deltaCalls) != '[' {
			return append(dst, text...)
		}
		calls := openAIEach(delta.Value(deltaCalls), func(dst, text []byte) []byte {
			var call llm.Object
			if len(fixes) == 0 || call.Read(text, callNames) != nil {
				fixes = fixes[min(1, len(fixes)):]
				return append(dst, text...)
			}
			var edits llm.Edits
			if fix := &fixes[0]; fix.index > 0 {
				edits.Set(callIndex, strconv.Itoa(fix.index-1))
			}
			if fixes[0].id != "" {
				edits.Set(callID, string(llm.AppendQuoted(nil, fixes[0].id)))
			}
			if fixes[0].kind {
				edits.Set(callType, `"function"`)
			}
			fixes = fixes[1:]
			return edits.AppendTo(dst, &call)
		})
		var ofDelta, ofChoice llm.Edits
		ofDelta.Set(deltaCalls, string(calls))
		ofChoice.Set(choiceDelta, string(ofDelta.AppendTo(nil, &delta)))
		return ofChoice.AppendTo(dst, &choice)
	})
	var edits llm.Edits
	edits.Set(answerChoices, string(choices))
	s.fixed = edits.AppendTo(s.fixed[:0], &chunk)
	s.frame.Data = s.fixed
}

// openAIEach writes an array anew, element by element.
func openAIEach(array []byte, f func(dst, element []byte) []byte) []byte {
	out := []byte{'['}
	llm.Elements(array, func(element []byte) bool {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = f(out, element)
		return true
	})
	return append(out, ']')
}
