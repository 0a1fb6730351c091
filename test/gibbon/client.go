//go:build unix

package gibbon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Eventually asks again and again until nothing is wrong. It fails the test when
// that takes longer than any machine needs. The text completes "waited for".
func Eventually(t testing.TB, what string, wrong func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		err := wrong()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

// Answer is a whole HTTP answer.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

func (a Answer) String() string { return fmt.Sprintf("%d %s", a.Status, a.Body) }

// Decode reads a JSON body.
func (a Answer) Decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), into); err != nil {
		t.Fatalf("read %s: %v", a, err)
	}
}

// JSON is a JSON object to be sent.
type JSON map[string]any

// Call sends one request over a connection of its own and returns the answer. The
// body is JSON, a string that is JSON already, or nil.
func Call(t testing.TB, method, url string, body any, headers ...string) Answer {
	t.Helper()
	answer, err := Try(t.Context(), method, url, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer
}

// Try is Call for those who expect failures. Headers are written "Name: value".
func Try(ctx context.Context, method, url string, body any, headers ...string) (Answer, error) {
	var content io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case string:
		content, kind = strings.NewReader(b), "application/json"
	default:
		encoded, err := json.Marshal(body)
		if err != nil {
			return Answer{}, err
		}
		content, kind = bytes.NewReader(encoded), "application/json"
	}
	return try(ctx, method, url, content, kind, headers...)
}

func try(ctx context.Context, method, url string, body io.Reader, kind string, headers ...string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return Answer{}, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for _, header := range headers {
		if name, value, ok := strings.Cut(header, ": "); ok {
			req.Header.Set(name, value)
		}
	}
	// A node that was restarted must not be asked over an old connection.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return Answer{}, err
	}
	b, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header, string(b)}, errors.Join(err, response.Body.Close())
}

// Create posts an entity to the node's Admin API, which must take it.
func (n *Node) Create(path string, body JSON) Answer {
	n.t.Helper()
	answer := Call(n.t, http.MethodPost, "http://"+n.Admin+path, body)
	if answer.Status != http.StatusCreated {
		n.t.Fatalf("POST %s: %s", path, answer)
	}
	return answer
}

// AdminURL is the address of a path of the node's Admin API.
func (n *Node) AdminURL(path string) string { return "http://" + n.Admin + path }

// ProxyURL is the address of a path of the node's proxy.
func (n *Node) ProxyURL(path string) string { return "http://" + n.Proxy + path }

// Model is an ai-proxy configuration for chats that has the caller's format and
// goes to an upstream at this URL.
func Model(upstream string) JSON {
	return JSON{"name": "ai-proxy", "config": JSON{
		"route_type": "llm/v1/chat",
		"auth":       JSON{"header_name": "Authorization", "header_value": "Bearer NONE"},
		"model":      JSON{"provider": "openai", "name": "gpt-4", "options": JSON{"upstream_url": upstream}},
	}}
}

// Chat is the body of a chat request with one user message.
func Chat(text string) JSON {
	return JSON{"messages": []JSON{{"role": "user", "content": text}}}
}
