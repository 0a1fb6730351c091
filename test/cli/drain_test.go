//go:build unix

package cli_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// streaming is a gateway through which a stream runs.
type streaming struct {
	*gibbon.Node
	lines  *bufio.Scanner // of the answer; the first event was read
	events int
}

// startStream starts a gateway with a slow model and a stream of about so many
// tokens, twenty a second.
func startStream(t *testing.T, tokens int, drainStreamTimeout string) *streaming {
	t.Helper()
	echo := gibbon.Echo(t, "--tokens-per-second", "20")
	n := gibbon.Run(t)
	// Streams never have less time than other requests.
	n.Settings["GIBBON_DRAIN_TIMEOUT"] = "100ms"
	n.Settings["GIBBON_DRAIN_STREAM_TIMEOUT"] = drainStreamTimeout
	n.Start()
	n.Create("/services", gibbon.JSON{"name": "ai", "url": "http://localhost:32000"})
	n.Create("/services/ai/routes", gibbon.JSON{"name": "chat", "paths": []string{"/chat"}})
	n.Create("/routes/chat/plugins", gibbon.Model("http://"+echo.Echo+"/v1/chat/completions"))

	body := gibbon.Chat(strings.Repeat("word ", tokens))
	body["stream"] = true
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.ProxyURL("/chat"), strings.NewReader(string(encoded)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	response, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// An answer that was cut has said so before.
		_ = response.Body.Close()
	})
	s := &streaming{Node: n, lines: bufio.NewScanner(response.Body)}
	if response.StatusCode != http.StatusOK || s.next() == "" {
		t.Fatalf("no stream: %s", response.Status)
	}
	return s
}

// next is the data of the next event, or nothing at the end.
func (s *streaming) next() string {
	for s.lines.Scan() {
		if data, ok := strings.CutPrefix(s.lines.Text(), "data: "); ok {
			s.events++
			return data
		}
	}
	return ""
}

// rest reads to the end and returns the last event.
func (s *streaming) rest() (last string) {
	for data := s.next(); data != ""; data = s.next() {
		last = data
	}
	return last
}

func TestDrainWaitsForAStream(t *testing.T) {
	t.Parallel()
	const tokens = 20
	s := startStream(t, tokens, "1m")
	s.Signal(syscall.SIGTERM)
	s.Log.Wait(t, 0, `"msg":"draining"`)
	if last := s.rest(); last != "[DONE]" || s.lines.Err() != nil || s.events < tokens {
		t.Errorf("the stream ended after %d events with %q (%v), want all of it", s.events, last, s.lines.Err())
	}
	if code := s.Wait(); code != 0 {
		t.Errorf("exit code %d, want 0: nothing was cut", code)
	}
	s.Log.Wait(t, 0, `"msg":"drained"`, `"cut":0`)
}

func TestDrainCutsAStreamThatIsTooLong(t *testing.T) {
	t.Parallel()
	s := startStream(t, 5000, "100ms")
	s.Signal(syscall.SIGQUIT) // drains as SIGTERM does
	last := s.rest()
	if s.lines.Err() == nil || !strings.Contains(last, `"error"`) {
		t.Errorf("the stream ended with %q (%v), want an error event and an unclean end", last, s.lines.Err())
	}
	if code := s.Wait(); code != 3 {
		t.Errorf("exit code %d, want 3: a stream was cut", code)
	}
	s.Log.Wait(t, 0, `"msg":"drained"`, `"cut":1`)
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := startStream(t, 5000, "1h")
	s.Signal(syscall.SIGTERM)
	s.Log.Wait(t, 0, `"msg":"draining"`)
	ready := gibbon.Call(t, http.MethodGet, "http://"+s.Status+"/status/ready", nil)
	if ready.Status != http.StatusServiceUnavailable || !strings.Contains(ready.Body, "draining") {
		t.Errorf("readiness while draining: %s, want 503", ready)
	}
	if s.next() == "" {
		t.Error("the stream ended at the first signal")
	}
	s.Signal(syscall.SIGTERM)
	if code := s.Wait(); code != 3 {
		t.Errorf("exit code %d, want 3: a stream was cut", code)
	}
	s.rest()
	if s.lines.Err() == nil {
		t.Error("the stream ended as if it were whole")
	}
}
