package echomodel

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzAnswers sends any body to each path of the model: the answer is JSON or
// a stream that ends as it should, a refusal has a message, and the server
// stays up.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		walk, askJSON + `,"stream":true,"stream_options":{"include_usage":true}}`,
		askJSON + `,` + weather + `,"tool_choice":"required"}`,
		askJSON + `,"response_format":{"type":"json_schema","json_schema":{"schema":{"anyOf":[{"type":"array","minItems":1,"items":{}}]}}}}`,
		`{"model":"m","prompt":["a",""],"n":2,"stream":true,"stop":"b"}`, `{"model":"m","prompt":[[1],[2]]}`,
		`{"model":"m","input":[1,2],"dimensions":3}`, `{"model":"m","input":["a"],"encoding_format":"base64","dimensions":1}`,
		`null`, `{"messages":[null]}`, "\xff", `{"tool_choice":{"type":"allowed_tools"}}`,
	} {
		for path := range uint8(3 + len(nativePaths)) {
			f.Add(path, []byte(body))
		}
	}
	s, err := New(Config{Listen: "127.0.0.1:0"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	paths := []string{chatPath, "/v1/completions", "/v1/embeddings"}
	openAI := len(paths)
	paths = append(paths, nativePaths...)
	f.Fuzz(func(t *testing.T, path uint8, body []byte) {
		req := httptest.NewRequest(http.MethodPost, paths[int(path)%len(paths)], bytes.NewReader(body))
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		answer, err := io.ReadAll(w.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		if w.Code == http.StatusInternalServerError {
			t.Fatalf("%s: %q is answered %d: %q", paths[int(path)%len(paths)], body, w.Code, answer)
		}
		if int(path)%len(paths) >= openAI {
			if w.Code != http.StatusOK && !json.Valid(answer) {
				t.Fatalf("status %d with %q", w.Code, answer)
			}
			return
		}
		if !utf8.Valid(answer) {
			t.Fatalf("answer is not UTF-8: %q", answer)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") {
			events := strings.Split(string(answer), "\n\n")
			if n := len(events); n < 3 || events[n-1] != "" || events[n-2] != "data: [DONE]" {
				t.Fatalf("stream ends wrongly: %q", answer)
			}
			for _, event := range events[:len(events)-2] {
				if data, ok := strings.CutPrefix(event, "data: "); !ok || !json.Valid([]byte(data)) {
					t.Fatalf("event %q is not a line of JSON", event)
				}
			}
			return
		}
		var read struct {
			Error *apiError `json:"error"`
		}
		if err := json.Unmarshal(answer, &read); err != nil {
			t.Fatalf("answer %q: %v", answer, err)
		}
		if (w.Code != http.StatusOK) != (read.Error != nil && read.Error.Message != "") {
			t.Fatalf("status %d with %q", w.Code, answer)
		}
	})
}
