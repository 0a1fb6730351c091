//go:build unix

package hybrid_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/testpg"
	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// writer adds consumers one after the other and remembers the answers.
type writer struct {
	acknowledged []string // their user names
	written      atomic.Int64
	refused      atomic.Int64
	longest      time.Duration // that an answer took
	problems     []string
}

func (w *writer) write(n *gibbon.Node, name string) {
	began := time.Now()
	body, err := json.Marshal(gibbon.JSON{"username": name})
	if err != nil {
		panic(err)
	}
	// The context is not the test's: each write must be answered.
	answer, err := gibbon.Try(context.Background(), http.MethodPost, n.AdminURL("/consumers"), string(body))
	w.longest = max(w.longest, time.Since(began))
	switch {
	case err != nil:
		w.problems = append(w.problems, fmt.Sprintf("%s: %v", name, err))
	case answer.Status == http.StatusCreated:
		w.acknowledged = append(w.acknowledged, name)
		w.written.Add(1)
	case answer.Status == http.StatusServiceUnavailable:
		w.refused.Add(1)
	default:
		w.problems = append(w.problems, fmt.Sprintf("%s: %s", name, answer))
	}
}

// TestPostgresDiesDuringWrites kills the database with -9 under writers. They are
// told so in time, go on when it is back, and find all that they were promised.
func TestPostgresDiesDuringWrites(t *testing.T) {
	t.Parallel()
	server := testpg.Server(t)
	control := gibbon.ControlPlane(t)
	give(control, postgres(t, server))
	bootstrap(t, control)
	control.Start()

	const writers = 4
	var (
		all     [writers]writer
		stop    = make(chan struct{})
		running sync.WaitGroup
	)
	for i := range all {
		running.Go(func() {
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				case <-pace.C:
					all[i].write(control, fmt.Sprintf("writer-%d-%d", i, k))
				}
			}
		})
	}
	finish := sync.OnceFunc(func() { close(stop); running.Wait() })
	t.Cleanup(finish)
	// more waits until each writer has had so many more answers of a kind.
	more := func(what string, n int64, count func(*writer) *atomic.Int64) {
		t.Helper()
		for i := range all {
			counter := count(&all[i])
			goal := counter.Load() + n
			gibbon.Eventually(t, fmt.Sprintf("%d %s of each writer", n, what), func() error {
				if got := counter.Load(); got < goal {
					return fmt.Errorf("%d are missing", goal-got)
				}
				return nil
			})
		}
	}
	written := func(w *writer) *atomic.Int64 { return &w.written }
	refused := func(w *writer) *atomic.Int64 { return &w.refused }

	more("writes", 10, written)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	more("refusals", 2, refused)
	if answer := gibbon.Call(t, http.MethodGet, "http://"+control.Status+"/status/ready", nil); answer.Status != http.StatusServiceUnavailable {
		t.Errorf("readiness of a control plane without database: %s, want 503", answer)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	more("writes", 10, written)
	finish()

	stored := consumers(t, control)
	total := 0
	for i := range all {
		w := &all[i]
		total += len(w.acknowledged)
		for _, name := range w.acknowledged {
			if !stored[name] {
				t.Errorf("%s was acknowledged and is lost", name)
			}
		}
		for _, problem := range w.problems {
			t.Error(problem)
		}
		t.Logf("writer %d: %d acknowledged, %d refused, the longest answer took %s",
			i, len(w.acknowledged), w.refused.Load(), w.longest.Round(time.Millisecond))
		// The promise is 5 s. Twice that is no matter of a busy machine any more.
		if w.longest > 10*time.Second {
			t.Errorf("writer %d waited %s for an answer", i, w.longest)
		}
	}
	if len(stored) < total {
		t.Errorf("%d consumers are stored, %d were acknowledged", len(stored), total)
	}
}

// consumers reads the names of all consumers, page by page.
func consumers(t *testing.T, n *gibbon.Node) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for offset := ""; ; {
		answer := gibbon.Call(t, http.MethodGet, n.AdminURL("/consumers?size=100&offset="+url.QueryEscape(offset)), nil)
		if answer.Status != http.StatusOK {
			t.Fatalf("GET /consumers: %s", answer)
		}
		var page struct {
			Data   []struct{ Username string }
			Offset string
		}
		answer.Decode(t, &page)
		for _, c := range page.Data {
			names[c.Username] = true
		}
		if offset = page.Offset; offset == "" {
			return names
		}
		if len(page.Data) == 0 {
			t.Fatal(errors.New("an empty page with an offset"))
		}
	}
}
