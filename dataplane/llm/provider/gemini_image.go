package provider

import (
	"errors"
	"strconv"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// geminiRatios are the sizes that OpenAI's callers ask for, as Google's models
// want them: they choose the number of pixels themselves.
var geminiRatios = map[string]string{
	"256x256": "1:1", "512x512": "1:1", "1024x1024": "1:1",
	"1536x1024": "3:2", "1024x1536": "2:3", "1792x1024": "16:9", "1024x1792": "9:16",
}

// writeImage writes a call for images of OpenAI's format: Google's models draw
// in the answer to a chat.
func (g *Gemini) writeImage(w *geminiWriter, request *llm.Request) error {
	prompt, _ := request.Fields.Text(llm.FieldPrompt)
	if prompt == "" {
		return errors.New("an image by Gemini takes a prompt that is one text")
	}
	w.name("contents")
	w.open('[')
	w.open('{')
	w.text("role", "user")
	w.name("parts")
	w.open('[')
	w.open('{')
	w.text("text", prompt)
	w.out = append(w.out, "}]}]"...)
	w.name("generationConfig")
	w.open('{')
	w.list("responseModalities", []string{"TEXT", "IMAGE"})
	llm.Members(request.Body, func(name string, value []byte) bool {
		switch {
		case name == "n" && value[0] >= '1' && value[0] <= '9' && string(value) != "1":
			w.raw("candidateCount", string(value))
		case name == "size" && value[0] == '"' && geminiRatios[llm.Unquote(value)] != "":
			w.name("imageConfig")
			w.open('{')
			w.text("aspectRatio", geminiRatios[llm.Unquote(value)])
			w.close('}')
		}
		return true
	})
	w.close('}')
	return nil
}

// geminiImages writes the images of an answer as OpenAI's format has them.
func geminiImages(answer *Answer, object *llm.Object) error {
	usage, _ := geminiCounts(object)
	if object.Kind(geminiUsageMetadata) == '{' {
		answer.Usage = usage
	}
	w := geminiWriter{out: append(make([]byte, 0, len(answer.Body)+geminiSlack), '{')}
	w.raw("created", strconv.FormatInt(time.Now().Unix(), 10))
	w.name("data")
	w.open('[')
	empty := len(w.out)
	llm.Elements(object.Value(geminiCandidates), func(text []byte) bool {
		var candidate, part llm.Object
		if candidate.Read(text, geminiCandidateNames) != nil {
			return true
		}
		geminiParts(&candidate, &part, func(part *llm.Object) {
			var blob llm.Object
			if part.Kind(geminiInlineData) != '{' || part.Kind(geminiThought) == 't' ||
				blob.Read(part.Value(geminiInlineData), geminiBlobNames) != nil || blob.Kind(1) != '"' {
				return
			}
			w.open('{')
			w.name("b64_json")
			w.out = append(w.out, blob.Value(1)...)
			w.close('}')
		})
		return true
	})
	if len(w.out) == empty {
		return &AnswerError{Reason: "no generation candidates received from Gemini, or max_tokens too short"}
	}
	w.close(']')
	if usage.Input == llm.Reported {
		w.name("usage")
		w.open('{')
		w.raw("input_tokens", strconv.FormatInt(usage.Prompt(), 10))
		w.raw("output_tokens", strconv.FormatInt(usage.Completion(), 10))
		w.raw("total_tokens", strconv.FormatInt(usage.Total(), 10))
		w.close('}')
	}
	answer.Body = append(w.out, '}')
	return nil
}
