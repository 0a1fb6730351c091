package aiproxy_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/aiproxy"
)

// FuzzAnswer has a hostile provider answer callers of each format: whole and
// streamed, framed in each way, packed or not. Nothing panics, what a caller gets
// does not depend on how a stream was cut, and no stream ends in two ways.
func FuzzAnswer(f *testing.F) {
	type pair struct {
		to      cutting
		from    caller
		handler *aiproxy.Handler
	}
	var pairs []pair
	for _, to := range cuttings {
		for _, from := range append(callers[:len(callers):len(callers)], caller{format: to.provider, streamed: to.body}) {
			if from.streamed == "" {
				continue
			}
			handler := quiet(f, with(f, config("llm/v1/chat", ""), `"provider":"openai"`, `"provider":"`+to.provider+`"`,
				`"llm_format":"openai"`, `"llm_format":"`+from.format+`"`, `"options":{`, `"options":{`+to.options))
			text := to.before + to.rest
			f.Add(uint8(len(pairs)), uint8(0), uint16(len(text)/2), []byte(text))
			f.Add(uint8(len(pairs)), uint8(7), uint16(7), []byte(strings.Repeat(to.before, 2)))
			pairs = append(pairs, pair{to, from, handler})
		}
	}
	kinds := []string{"", "text/event-stream", "application/json", "application/x-ndjson", "application/vnd.amazon.eventstream", "text/html", "\x00;"}
	f.Fuzz(func(t *testing.T, which, how uint8, cut uint16, body []byte) {
		p := &pairs[int(which)%len(pairs)]
		kind := kinds[int(how&7)%len(kinds)]
		if kind == "" {
			kind = p.to.kind
		}
		text := string(body)
		header := http.Header{"Content-Type": {kind}}
		if how&8 != 0 {
			header["Content-Encoding"] = []string{"gzip"}
			if how&16 != 0 {
				text = pack(text)
			}
		}
		status := http.StatusOK
		if how&32 != 0 {
			status = http.StatusTooManyRequests
		}
		run := func(pieces ...string) (string, error) {
			r := fuzzed(t, p.handler, &p.to, &p.from, p.from.streamed)
			plugintest.Respond(r, status, header.Clone(), "")
			if err := p.handler.Header(r); err != nil {
				return "", err
			}
			out, err := plugintest.Stream(r, p.handler, pieces...)
			if err != nil && p.from.mark != "" && how&8 == 0 && status == http.StatusOK && strings.HasSuffix(out, p.from.end) {
				t.Errorf("broken off (%v), and whole: %q", err, out)
			}
			if err == nil {
				// A connection that breaks when all is said has nothing to add.
				if more := p.handler.Cut(r, errors.New("reset")); strings.HasSuffix(out, p.from.end) && p.from.mark != "" && kind != "text/html" && len(more) > 0 && status == http.StatusOK {
					t.Errorf("%q follows the end of %q", more, out)
				}
			}
			p.handler.Log(r)
			return out, err
		}
		one, oneErr := run(text)
		at := int(cut) % (len(text) + 1)
		two, twoErr := run(text[:at], text[at:])
		if steady(one) != steady(two) || (oneErr == nil) != (twoErr == nil) {
			t.Errorf("cut at %d:\n%q %v\nwhole:\n%q %v", at, two, twoErr, one, oneErr)
		}
		if p.from.failure == "" {
			return // what is asked for in the path is a stream
		}
		r := fuzzed(t, p.handler, &p.to, &p.from, p.from.body)
		plugintest.Respond(r, status, header.Clone(), text)
		var reject *plugin.Reject
		if err := p.handler.Header(r); err != nil && !errors.As(err, &reject) {
			t.Errorf("whole: %v", err)
		}
		p.handler.Log(r)
	})
}

var made = regexp.MustCompile(`(msg_|chatcmpl-|call_|toolu_)[A-Za-z0-9_-]+|"created":[0-9]+|"id":"[^"]*"`)

// steady is an answer without the ids and times that differ from one to the next.
func steady(out string) string { return made.ReplaceAllString(out, "") }

func fuzzed(t testing.TB, h *aiproxy.Handler, to *cutting, from *caller, body string) *plugin.Request {
	path := "/"
	if from.failure == "" {
		path = to.native
	}
	r := plugintest.Request(t, http.MethodPost, path, body)
	if err := h.Access(r); err != nil {
		t.Fatal(err)
	}
	return r
}
