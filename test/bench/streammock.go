package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// What the mock of streams answers, by path.
const (
	eventsPath = "/v1/events" // a whole stream, evenly paced
	silentPath = "/v1/silent" // one event, then nothing
	firstPath  = "/v1/first"  // one token, and the end at once

	// The same in Anthropic's format.
	claudeEventsPath = "/v1/claude/events"
	claudeFirstPath  = "/v1/claude/first"
)

const (
	tokens      = 200                  // events with text in one stream
	tokenPause  = 5 * time.Millisecond // between them; without one, writes merge in the kernel
	silence     = time.Minute          // how long a silent stream says nothing
	allEvents   = tokens + 2           // with the usage event and [DONE]
	claudeAll   = tokens + 5           // with the two before the text and the three behind it
	fromClaude  = tokens + 4           // what becomes of them: role, tokens, reason, usage, [DONE]
	doneMessage = "[DONE]"
	claudeDone  = `{"type":"message_stop"}`
)

// A streamMock is a provider that streams. It lives in the bench's own
// process: only the proxies' CPU time is counted.
type streamMock struct {
	address string // host:port
	server  *http.Server
	events  [][]byte // of the whole stream in OpenAI's format
	served  sync.WaitGroup
	err     error // of the server's loop; read after served
	stop    context.CancelFunc
}

func startStreamMock() (*streamMock, error) {
	events, err := streamEvents()
	if err != nil {
		return nil, err
	}
	claude := claudeEvents()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &streamMock{address: listener.Addr().String(), events: events, stop: stop}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+eventsPath, m.flow(events))
	mux.HandleFunc("POST "+claudeEventsPath, m.flow(claude))
	mux.HandleFunc("POST "+firstPath, m.first(events[:1], events[tokens-1:]))
	mux.HandleFunc("POST "+claudeFirstPath, m.first(claude[:3], claude[tokens+2:]))
	mux.HandleFunc("POST "+silentPath, m.fallSilent)
	// Requests end with the mock: a silent one would be waited for otherwise.
	m.server = &http.Server{Handler: mux, BaseContext: func(net.Listener) context.Context { return ctx }}
	m.served.Go(func() { m.err = m.server.Serve(listener) })
	return m, nil
}

func (m *streamMock) close() error {
	m.stop()
	err := m.server.Close()
	m.served.Wait()
	if !errors.Is(m.err, http.ErrServerClosed) {
		err = errors.Join(err, m.err)
	}
	return err
}

// streamEvents are the events of one stream, ready to be written.
func streamEvents() ([][]byte, error) {
	var events [][]byte
	add := func(choices []choice, u *usage) error {
		b, err := json.Marshal(chatResponse{
			ID: "chatcmpl-1", Object: "chat.completion.chunk", Created: 1760000000, Model: "gpt-4o-2024-08-06",
			Choices: choices, Usage: u,
		})
		events = append(events, fmt.Appendf(nil, "data: %s\n\n", b))
		return err
	}
	for i := range tokens {
		c := choice{Delta: &message{"assistant", fmt.Sprintf(" word-%d", i)}}
		if i == tokens-1 {
			stop := "stop"
			c.FinishReason = &stop
		}
		if err := add([]choice{c}, nil); err != nil {
			return nil, err
		}
	}
	if err := add([]choice{}, &usage{512, tokens, 512 + tokens}); err != nil {
		return nil, err
	}
	return append(events, []byte("data: "+doneMessage+"\n\n")), nil
}

// begin reads the request and starts the answer.
func (m *streamMock) begin(w http.ResponseWriter, r *http.Request) (*http.ResponseController, bool) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, false // the client has gone
	}
	w.Header().Set("Content-Type", "text/event-stream")
	return http.NewResponseController(w), true
}

// send writes one event as a chunk of its own.
func send(w http.ResponseWriter, c *http.ResponseController, event []byte) bool {
	_, err := w.Write(event)
	return err == nil && c.Flush() == nil
}

// claudeEvents are the same words in Anthropic's format.
func claudeEvents() [][]byte {
	var events [][]byte
	add := func(name, format string, args ...any) {
		events = append(events, fmt.Appendf(nil, "event: %s\ndata: {\"type\":%q,%s}\n\n", name, name, fmt.Sprintf(format, args...)))
	}
	add("message_start", `"message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-20250514","content":[],"stop_reason":null,"usage":{"input_tokens":512,"output_tokens":1}}`)
	add("content_block_start", `"index":0,"content_block":{"type":"text","text":""}`)
	for i := range tokens {
		add("content_block_delta", `"index":0,"delta":{"type":"text_delta","text":" word-%d"}`, i)
	}
	add("content_block_stop", `"index":0`)
	add("message_delta", `"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":%d}`, tokens)
	return append(events, []byte("event: message_stop\ndata: "+claudeDone+"\n\n"))
}

// flow writes every event at its time, counted from the first, so that a late
// one does not delay the others.
func (m *streamMock) flow(events [][]byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, ok := m.begin(w, r)
		if !ok {
			return
		}
		timer := time.NewTimer(0)
		defer timer.Stop()
		from := time.Now()
		for i, event := range events {
			timer.Reset(time.Until(from.Add(time.Duration(i) * tokenPause)))
			select {
			case <-r.Context().Done():
				return
			case <-timer.C:
			}
			if !send(w, c, event) {
				return
			}
		}
	}
}

// first writes the first token, and behind it all that ends a stream.
func (m *streamMock) first(token, end [][]byte) http.HandlerFunc {
	before, after := bytes.Join(token, nil), bytes.Join(end, nil)
	return func(w http.ResponseWriter, r *http.Request) {
		if c, ok := m.begin(w, r); ok && send(w, c, before) {
			send(w, c, after) // a client that has gone is told of at its side
		}
	}
}

func (m *streamMock) fallSilent(w http.ResponseWriter, r *http.Request) {
	c, ok := m.begin(w, r)
	if !ok || !send(w, c, m.events[0]) {
		return
	}
	timer := time.NewTimer(silence)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
	case <-timer.C:
	}
}
