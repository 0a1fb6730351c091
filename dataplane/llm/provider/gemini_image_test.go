package provider

import (
	"errors"
	"regexp"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

// TestGeminiImages shows both ways of a call for images.
func TestGeminiImages(t *testing.T) {
	call := &Call{Settings: &Settings{Route: llm.Images}, Format: llm.OpenAI, Model: "gemini-2.5-flash-image"}
	for _, tt := range []struct{ body, want string }{
		{`{"model":"m","prompt":"a lamp","n":1,"size":"1024x1024","response_format":"b64_json"}`,
			`{"contents":[{"role":"user","parts":[{"text":"a lamp"}]}],"generationConfig":{"responseModalities":["TEXT","IMAGE"],"imageConfig":{"aspectRatio":"1:1"}}}`},
		{`{"prompt":"a \"lamp\"","n":10,"size":"auto"}`,
			`{"contents":[{"role":"user","parts":[{"text":"a \"lamp\""}]}],"generationConfig":{"responseModalities":["TEXT","IMAGE"],"candidateCount":10}}`},
		{`{"prompt":["a"]}`, ""},
	} {
		var request llm.Request
		if err := client.NewOpenAI(llm.Images, "").Read(client.Incoming{Body: []byte(tt.body)}, &request); err != nil {
			t.Fatal(err)
		}
		got, err := (&Gemini{}).Request(call, &request)
		if (err != nil) != (tt.want == "") || string(got) != tt.want {
			t.Errorf("%s, %v, want %s", got, err, tt.want)
		}
	}
	created := regexp.MustCompile(`^\{"created":[0-9]+`)
	for _, tt := range []struct{ body, want string }{
		{`{"candidates":[{"content":{"parts":[{"text":"Here."},{"inlineData":{"mimeType":"image/png","data":"iVBO"},"thought":true},{"inlineData":{"mimeType":"image/png","data":"aGk="}}]}},{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"aG8="}}]}}],` +
			`"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1290,"totalTokenCount":1294},"modelVersion":"v"}`,
			`{"created":0,"data":[{"b64_json":"aGk="},{"b64_json":"aG8="}],"usage":{"input_tokens":4,"output_tokens":1290,"total_tokens":1294}}`},
		{`{"candidates":[{"content":{"parts":[{"inlineData":{"data":"aGk="}}]}}]}`, `{"created":0,"data":[{"b64_json":"aGk="}]}`},
		{`{"candidates":[{"content":{"parts":[{"text":"I cannot."}]}}]}`, ""},
		{`{"candidates":[]}`, ""},
		{`<html>`, ""},
	} {
		answer, err := (&Gemini{}).Response(call, []byte(tt.body))
		if tt.want == "" {
			if _, ok := errors.AsType[*AnswerError](err); !ok {
				t.Errorf("%s: %v", tt.body, err)
			}
			continue
		}
		if got := created.ReplaceAllString(string(answer.Body), `{"created":0`); err != nil || got != tt.want {
			t.Errorf("%s, %v, want %s", got, err, tt.want)
		}
	}
}
