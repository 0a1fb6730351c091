//go:build unix

package soak_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// order is what a prompt tells the model to do, so that callers and models of all
// formats understand each other: soak:<number>:<conduct>.
type order struct {
	number  int
	conduct conduct
}

// conduct is how a model answers.
type conduct string

const (
	well      conduct = "well"
	refuse    conduct = "refuse"    // with a status of 503
	cut       conduct = "cut"       // the connection breaks in the middle
	malformed conduct = "malformed" // something of it is no JSON
	stall     conduct = "stall"     // nothing more comes, until the gateway leaves
	endless   conduct = "endless"   // the same, because the caller is to leave
)

const orderMark = "soak:"

func (o order) String() string {
	return orderMark + strconv.Itoa(o.number) + ":" + string(o.conduct) + ":"
}

// readOrder finds the order in a body of whatever format.
func readOrder(body []byte) (o order, ok bool) {
	_, rest, ok := bytes.Cut(body, []byte(orderMark))
	if !ok {
		return o, false
	}
	parts := strings.SplitN(string(rest[:min(len(rest), 64)]), ":", 3)
	if len(parts) != 3 {
		return o, false
	}
	number, err := strconv.Atoi(parts[0])
	return order{number, conduct(parts[1])}, err == nil
}

// words is the answer to an order, and the counts what it has cost.
func (o order) words() []string {
	words := make([]string, 8+o.number%16)
	for i := range words {
		words[i] = fmt.Sprintf("word-%d-%d ", o.number, i)
	}
	return words
}

func (o order) prompt() int     { return 10 + o.number%90 }
func (o order) completion() int { return 8 + o.number%16 }

const (
	pace    = 10 * time.Millisecond // between the words of a stream
	tooLong = 20 * time.Second      // for the gateway to leave
)

// speaker is how one provider says things. %[1]s is a word or the text, %[2]d and
// %[3]d are the counts.
type speaker struct {
	kind               string // of streams
	whole              string
	begin, word, end   []string // events; a name for SSE stands before a |
	refusal            string
	event              func(text string) string // frames an event
	streamed           string                   // what a body that asks for a stream has
	options, auth, url string                   // of the configuration, as JSON members
}

func sse(text string) string {
	name, data, named := strings.Cut(text, "|")
	if !named {
		return "data: " + text + "\n\n"
	}
	return "event: " + name + "\ndata: " + data + "\n\n"
}

func line(text string) string { return text + "\n" }

// awsFrame is an event of an AWS event stream.
func awsFrame(text string) string {
	event, payload, _ := strings.Cut(text, "|")
	var headers []byte
	for _, header := range [][2]string{{":message-type", "event"}, {":event-type", event}, {":content-type", "application/json"}} {
		headers = append(append(headers, byte(len(header[0]))), header[0]...)
		headers = append(headers, 7) // a text
		headers = append(binary.BigEndian.AppendUint16(headers, uint16(len(header[1]))), header[1]...)
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(12+len(headers)+len(payload)+4))
	out = binary.BigEndian.AppendUint32(out, uint32(len(headers)))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
	out = append(append(out, headers...), payload...)
	return string(binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out)))
}

var speakers = map[string]*speaker{
	"openai": {
		kind: "text/event-stream", event: sse, streamed: `"stream":true`,
		whole: `{"id":"x","object":"chat.completion","created":1,"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"%[1]s"},"finish_reason":"stop"}],"usage":{"prompt_tokens":%[2]d,"completion_tokens":%[3]d,"total_tokens":%[4]d}}`,
		word:  []string{`{"id":"x","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":"%[1]s"},"finish_reason":null}]}`},
		end: []string{`{"id":"x","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
			`{"id":"x","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[],"usage":{"prompt_tokens":%[2]d,"completion_tokens":%[3]d,"total_tokens":%[4]d}}`, `[DONE]`},
		refusal: `{"error":{"message":"come back later","type":"server_error"}}`,
		auth:    `"header_name":"Authorization","header_value":"Bearer soak"`, url: "/v1/chat/completions",
	},
	"anthropic": {
		kind: "text/event-stream", event: sse, streamed: `"stream":true`, options: `,"anthropic_version":"2023-06-01"`,
		whole: `{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[{"type":"text","text":"%[1]s"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":%[2]d,"output_tokens":%[3]d}}`,
		begin: []string{`message_start|{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],"stop_reason":null,"usage":{"input_tokens":%[2]d,"output_tokens":1}}}`,
			`content_block_start|{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`},
		word: []string{`content_block_delta|{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%[1]s"}}`},
		end: []string{`content_block_stop|{"type":"content_block_stop","index":0}`,
			`message_delta|{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":%[3]d}}`,
			`message_stop|{"type":"message_stop"}`},
		refusal: `{"type":"error","error":{"type":"api_error","message":"come back later"}}`,
		auth:    `"header_name":"x-api-key","header_value":"soak"`, url: "/v1/messages",
	},
	"gemini": {
		kind: "text/event-stream", event: sse,
		whole:   `{"candidates":[{"content":{"role":"model","parts":[{"text":"%[1]s"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":%[2]d,"candidatesTokenCount":%[3]d,"totalTokenCount":%[4]d},"modelVersion":"m-1","responseId":"r1"}`,
		word:    []string{`{"candidates":[{"content":{"role":"model","parts":[{"text":"%[1]s"}]},"index":0}],"modelVersion":"m-1","responseId":"r1"}`},
		end:     []string{`{"candidates":[{"content":{"role":"model","parts":[{"text":""}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":%[2]d,"candidatesTokenCount":%[3]d,"totalTokenCount":%[4]d},"modelVersion":"m-1","responseId":"r1"}`},
		refusal: `{"error":{"code":503,"message":"come back later","status":"UNAVAILABLE"}}`,
		auth:    `"header_name":"x-goog-api-key","header_value":"soak"`, url: "/v1beta/models/m-1:generateContent",
	},
	"bedrock": {
		kind: "application/vnd.amazon.eventstream", event: awsFrame, options: `,"bedrock":{"aws_region":"eu-west-1"}`,
		whole:   `{"output":{"message":{"role":"assistant","content":[{"text":"%[1]s"}]}},"stopReason":"end_turn","usage":{"inputTokens":%[2]d,"outputTokens":%[3]d,"totalTokens":%[4]d},"metrics":{"latencyMs":1}}`,
		begin:   []string{`messageStart|{"role":"assistant"}`},
		word:    []string{`contentBlockDelta|{"contentBlockIndex":0,"delta":{"text":"%[1]s"},"p":"abcd"}`},
		end:     []string{`contentBlockStop|{"contentBlockIndex":0}`, `messageStop|{"stopReason":"end_turn"}`, `metadata|{"usage":{"inputTokens":%[2]d,"outputTokens":%[3]d,"totalTokens":%[4]d},"metrics":{"latencyMs":1}}`},
		refusal: `{"message":"come back later"}`,
		auth:    `"aws_access_key_id":"AKIDSOAK","aws_secret_access_key":"soak"`, url: "/model/m-1/converse",
	},
	"ollama": {
		kind: "application/x-ndjson", event: line, streamed: `"stream":true`,
		whole:   `{"model":"m-1","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"%[1]s"},"done":true,"done_reason":"stop","prompt_eval_count":%[2]d,"eval_count":%[3]d}`,
		word:    []string{`{"model":"m-1","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"%[1]s"},"done":false}`},
		end:     []string{`{"model":"m-1","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":%[2]d,"eval_count":%[3]d}`},
		refusal: `{"error":"come back later"}`,
		auth:    `"header_name":"Authorization","header_value":"Bearer soak"`, url: "/api/chat",
	},
}

// fill writes the counts and a text into what a speaker says. The number of
// verbs differs, so that what is left over is no error here.
func (o order) fill(format, text string) string {
	return strings.NewReplacer("%[1]s", text, "%[2]d", strconv.Itoa(o.prompt()), "%[3]d", strconv.Itoa(o.completion()),
		"%[4]d", strconv.Itoa(o.prompt()+o.completion())).Replace(format)
}

// model is a provider. It counts who came, who is there, and who should have left
// and did not.
type model struct {
	*speaker
	came, there, stayed atomic.Int64
	strange             atomic.Pointer[string] // a call that no caller has made
}

// ServeHTTP answers a call as its prompt says. Whether it streams the prompt says
// too: the number of an order is odd for streams.
func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.came.Add(1)
	m.there.Add(1)
	defer m.there.Add(-1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway has gone
	}
	o, ok := readOrder(body)
	streams := o.streams()
	if !ok || m.streamed != "" && bytes.Contains(body, []byte(m.streamed)) != streams {
		text := fmt.Sprintf("%s %s", r.URL, body)
		m.strange.CompareAndSwap(nil, &text)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	switch {
	case o.conduct == refuse:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, m.refusal) // a gateway that has gone is counted elsewhere
	case streams:
		m.stream(w, r, o)
	default:
		m.answer(w, r, o)
	}
}

func (o order) streams() bool { return o.number%2 == 1 }

// wait waits for the gateway to leave.
func (m *model) wait(r *http.Request) {
	late := time.NewTimer(tooLong)
	defer late.Stop()
	select {
	case <-r.Context().Done():
	case <-late.C:
		m.stayed.Add(1)
	}
}

func (m *model) answer(w http.ResponseWriter, r *http.Request, o order) {
	if o.conduct == stall || o.conduct == endless {
		m.wait(r)
		return
	}
	text := o.fill(m.whole, strings.Join(o.words(), ""))
	w.Header().Set("Content-Type", "application/json")
	switch o.conduct {
	case malformed:
		text = text[:len(text)/2]
	case cut:
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = io.WriteString(w, text[:len(text)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // ends the connection
	}
	_, _ = io.WriteString(w, text)
}

func (m *model) stream(w http.ResponseWriter, r *http.Request, o order) {
	flusher := http.NewResponseController(w)
	send := func(events []string, text string) bool {
		for _, event := range events {
			if _, err := io.WriteString(w, m.event(o.fill(event, text))); err != nil {
				return false
			}
		}
		return flusher.Flush() == nil
	}
	w.Header().Set("Content-Type", m.kind)
	if !send(m.begin, "") {
		return
	}
	words := o.words()
	timer := time.NewTimer(0)
	defer timer.Stop()
	from := time.Now()
	for i, word := range words {
		timer.Reset(time.Until(from.Add(time.Duration(i) * pace)))
		select {
		case <-r.Context().Done():
			return
		case <-timer.C:
		}
		if !send(m.word, word) {
			return
		}
		if i != len(words)/2 {
			continue
		}
		switch o.conduct {
		case cut:
			panic(http.ErrAbortHandler)
		case stall, endless:
			m.wait(r)
			return
		case malformed:
			if !send([]string{`nonsense|{"choices":[{"index":}`}, "") {
				return
			}
		}
	}
	send(m.end, "")
}
