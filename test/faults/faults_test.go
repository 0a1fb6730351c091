//go:build unix

// Package faults_test gives a real gateway bad input and bad upstreams, and holds
// its answers to Kong's. What each part does in every case is tested beside the
// part; this shows that the whole answers, and goes on.
package faults_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

func TestMain(m *testing.M) { gibbon.Main(m) }

// bodyLimit is the largest proxied and the largest Admin API body here. It is small
// so that a client has sent all of what is too large before the refusal comes: a
// client that still sends when the connection closes may lose the answer.
const bodyLimit = 4 << 10

func start(t *testing.T) *gibbon.Node {
	t.Helper()
	n := gibbon.Run(t)
	n.Settings["KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE"] = "4k"
	n.Settings["KONG_NGINX_ADMIN_CLIENT_MAX_BODY_SIZE"] = "4k"
	n.Start()
	return n
}

// addRoute makes a service with a route of the same name that ai-proxy serves.
func addRoute(n *gibbon.Node, name string, service gibbon.JSON, upstream string, config gibbon.JSON) {
	service["name"] = name
	n.Create("/services", service)
	n.Create("/services/"+name+"/routes", gibbon.JSON{"name": name, "paths": []string{"/" + name}})
	plugin := gibbon.Model(upstream)
	for key, value := range config {
		plugin["config"].(gibbon.JSON)[key] = value
	}
	n.Create("/routes/"+name+"/plugins", plugin)
}

func TestUpstreamFaults(t *testing.T) {
	t.Parallel()
	echo := gibbon.Echo(t)
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		// The client is the gateway; when it leaves, the test says so.
		_, _ = io.WriteString(w, "<h1>It works!</h1>")
	}))
	t.Cleanup(html.Close)
	n := start(t)
	logFile := filepath.Join(t.TempDir(), "requests.log")
	model := "http://" + echo.Echo + "/v1/chat/completions"
	anywhere := "http://localhost:32000"
	addRoute(n, "good", gibbon.JSON{"url": anywhere}, model, nil)
	addRoute(n, "refused", gibbon.JSON{"url": anywhere}, "http://"+gibbon.FreePorts(t, 1)[0]+"/", nil)
	addRoute(n, "slow", gibbon.JSON{"url": anywhere, "read_timeout": 300}, model, nil)
	addRoute(n, "html", gibbon.JSON{"url": anywhere}, html.URL, nil)
	addRoute(n, "small", gibbon.JSON{"url": anywhere}, model, gibbon.JSON{"max_request_body_size": 100})
	n.Create("/plugins", gibbon.JSON{"name": "file-log", "config": gibbon.JSON{"path": logFile}})

	const (
		bad     = "An invalid response was received from the upstream server"
		late    = "The upstream server is timing out"
		noRoute = "no Route matched with those values"
		tooBig  = "Payload too large"
	)
	chat := gibbon.Chat("Hello!")
	for _, tt := range []struct {
		name, path string
		body       any
		headers    []string
		status     int
		text       string // in the body
	}{
		{"nobody listens", "/refused", chat, nil, 502, bad},
		{"nothing comes within read_timeout", "/slow", chat, []string{"X-Echo-Latency: 1m"}, 504, late},
		{"reset before the head", "/good", chat, []string{"X-Echo-Reset-After: 0"}, 502, bad},
		{"reset in the body", "/good", chat, []string{"X-Echo-Reset-After: 100"}, 502, bad},
		{"stall in the body", "/slow", chat, []string{"X-Echo-Stall-After: 100"}, 504, ""},
		{"not JSON", "/html", chat, nil, 500, "transformation failed from type openai://llm/v1/chat"},
		{"an error of the model", "/good", chat, []string{"X-Echo-Status: 429"}, 429, `"error"`},
		{"a body over the plugin's limit", "/small", gibbon.Chat(strings.Repeat("a", 200)), nil, 400,
			"content-type header does not match request body, or bad JSON formatting"},
		{"a body over the node's limit", "/good", gibbon.Chat(strings.Repeat("a", bodyLimit)), nil, 413, tooBig},
		{"no route", "/nowhere", chat, nil, 404, noRoute},
		{"no chat", "/good", `{"question":"?"}`, nil, 400, "request body doesn't contain valid prompts"},
		{"no JSON", "/good", `{"messages":[`, nil, 400, "content-type header does not match request body, or bad JSON formatting"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := append([]string{"Accept: application/json"}, tt.headers...)
			answer := gibbon.Call(t, http.MethodPost, n.ProxyURL(tt.path), tt.body, headers...)
			if answer.Status != tt.status || !strings.Contains(answer.Body, tt.text) {
				t.Errorf("POST %s: %s, want %d with %q", tt.path, answer, tt.status, tt.text)
			}
			if !json.Valid([]byte(answer.Body)) {
				t.Errorf("POST %s: %s, want JSON", tt.path, answer)
			}
			// Nothing of it hurts the next request.
			if answer := gibbon.Call(t, http.MethodPost, n.ProxyURL("/good"), chat); answer.Status != http.StatusOK {
				t.Errorf("a good request afterwards: %s", answer)
			}
		})
	}
	for _, tt := range []struct {
		name, path string
		headers    []string
	}{
		{"cut in the middle of a stream", "/good", []string{"X-Echo-Reset-After: 900"}},
		{"a stream that falls silent", "/slow", []string{"X-Echo-Stall-After: 900"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := gibbon.Chat(strings.Repeat("one two three ", 20))
			body["stream"] = true
			// Slow enough for the first events to be through before the fault.
			events, err := stream(t, n.ProxyURL(tt.path), body, append(tt.headers, "X-Echo-Tokens-Per-Second: 50")...)
			if err == nil {
				t.Errorf("the answer ended as if it were whole: %q", events)
			}
			if len(events) < 2 || !strings.Contains(events[0], `"chat.completion.chunk"`) {
				t.Fatalf("the events were %q, want some of the model's and an error", events)
			}
			var last struct{ Error struct{ Message string } }
			if err := json.Unmarshal([]byte(events[len(events)-1]), &last); err != nil || last.Error.Message == "" {
				t.Errorf("the last event was %s, want an error", events[len(events)-1])
			}
			for _, event := range events {
				if event == "[DONE]" || strings.Contains(event, `"finish_reason":"stop"`) {
					t.Errorf("a stream that was cut says that it is whole: %s", event)
				}
			}
		})
	}
	// Every request has its line, those that failed too: 12, as many good ones, and
	// the two streams.
	const requests = 12*2 + 2
	gibbon.Eventually(t, "a log line for each request", func() error {
		b, err := os.ReadFile(logFile)
		if err != nil {
			return err
		}
		if lines := strings.Count(string(b), "\n"); lines != requests {
			return fmt.Errorf("there are %d, want %d: %s", lines, requests,
				regexp.MustCompile(`"(upstream_uri|status|uri)":[^,]*`).FindAllString(string(b), -1))
		}
		return nil
	})
}

// stream posts a body and returns the data of the events that came, and how the
// answer ended: nil means cleanly.
func stream(t *testing.T, url string, body any, headers ...string) (events []string, err error) {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(string(encoded)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("a stream was asked for and %s came", response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			events = append(events, data)
		}
	}
	return events, lines.Err()
}

func TestAdminBadInput(t *testing.T) {
	t.Parallel()
	n := start(t)
	n.Create("/services", gibbon.JSON{"name": "s", "url": "http://example.com"})
	n.Create("/services/s/routes", gibbon.JSON{"name": "r", "paths": []string{"/r"}})
	const asJSON, asForm = "Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded"
	for _, tt := range []struct {
		name, method, path, kind, body string
		status                         int
		text                           string
	}{
		{"unknown field", "POST", "/services", asJSON, `{"host":"x","hots":"y"}`, 400, "hots: unknown field"},
		{"unknown field in a form", "POST", "/services", asForm, "host=x&hots=y", 400, "hots: unknown field"},
		{"wrong type", "POST", "/services", asJSON, `{"host":"x","port":"eighty"}`, 400, "expected an integer"},
		{"unparsable body", "POST", "/services", asJSON, `{"host":`, 400, "Cannot parse JSON body"},
		{"wrong content type", "POST", "/services", "Content-Type: text/plain", "host=x", 415, ""},
		{"missing parent", "POST", "/services/none/routes", asJSON, `{"paths":["/x"]}`, 404, "Not found"},
		{"missing reference", "POST", "/routes", asJSON, `{"paths":["/x"],"service":{"id":"00000000-0000-4000-8000-000000000000"}}`, 400, "the foreign key"},
		{"duplicate name", "POST", "/services", asJSON, `{"name":"s","host":"x"}`, 409, "UNIQUE violation detected on"},
		{"reference in use", "DELETE", "/services/s", "", "", 400, "an existing 'routes' entity references this 'services' entity"},
		{"unknown plugin", "POST", "/plugins", asJSON, `{"name":"no-such"}`, 400, "plugin 'no-such' not enabled"},
		{"a body over the limit", "POST", "/services", asJSON, `{"host":"` + strings.Repeat("x", bodyLimit) + `"}`, 413, ""},
		{"a path that is none", "GET", "/no/such/path/here", "", "", 404, "Not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var body any
			if tt.body != "" {
				body = tt.body
			}
			answer := gibbon.Call(t, tt.method, n.AdminURL(tt.path), body, tt.kind)
			if answer.Status != tt.status || !strings.Contains(answer.Body, tt.text) {
				t.Errorf("%s %s: %s, want %d with %q", tt.method, tt.path, answer, tt.status, tt.text)
			}
		})
	}
	// None of it has left anything behind.
	for path, want := range map[string]int{"/services": 1, "/routes": 1, "/plugins": 0} {
		var list struct{ Data []json.RawMessage }
		gibbon.Call(t, http.MethodGet, n.AdminURL(path), nil).Decode(t, &list)
		if len(list.Data) != want {
			t.Errorf("GET %s shows %d entities, want %d", path, len(list.Data), want)
		}
	}
}
