//go:build unix

package hybrid_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// streams are answers that are still on their way.
type streams struct {
	done   sync.WaitGroup
	mu     sync.Mutex
	ended  int
	broken []string
}

// openStreams asks for streams of about two seconds and returns when each of them
// has begun.
func openStreams(t *testing.T, n *gibbon.Node, count int) *streams {
	t.Helper()
	body := gibbon.Chat(strings.Repeat("word ", 40))
	body["stream"] = true
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	s := &streams{}
	t.Cleanup(s.done.Wait)
	begun := make(chan error, count)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: requestPatience}
	for range count {
		s.done.Go(func() { s.read(client, n.ProxyURL("/chat"), encoded, begun) })
	}
	for range count {
		if err := <-begun; err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// read reads one stream to its end, and tells when it has begun.
func (s *streams) read(client *http.Client, url string, body []byte, begun chan<- error) {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(string(body)))
	if err != nil {
		begun <- err
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("apikey", apiKey)
	req.Header.Set("X-Echo-Tokens-Per-Second", "20") // an instruction to the model
	response, err := client.Do(req)
	if err != nil {
		begun <- err
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		begun <- fmt.Errorf("a stream was asked for and %s came", response.Status)
		return
	}
	first, events, last := true, 0, ""
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			events, last = events+1, data
			if first {
				begun <- nil
				first = false
			}
		}
	}
	if first {
		begun <- fmt.Errorf("a stream ended before it began: %v", lines.Err())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended++
	if lines.Err() != nil || last != "[DONE]" || events < 40 {
		s.broken = append(s.broken, fmt.Sprintf("%s: a stream ended after %d events with %q (%v)",
			time.Now().Format(time.StampMilli), events, last, lines.Err()))
	}
}

// whole waits for the ends and fails the test unless every stream came whole.
func (s *streams) whole(t *testing.T) {
	t.Helper()
	s.done.Wait()
	for _, problem := range s.broken {
		t.Error(problem)
	}
	t.Logf("%d streams ended", s.ended)
}
