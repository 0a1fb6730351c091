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
	down         *atomic.Bool // nil: the control plane never is
	acknowledged []string     // their user names
	written      atomic.Int64
	refused      atomic.Int64
	longest      time.Duration // that an answer took
	problems     []string
}

func (w *writer) write(n *gibbon.Node, name string) {
	down := w.isDown()
	began := time.Now()
	body, err := json.Marshal(gibbon.JSON{"username": name})
	if err != nil {
		panic(err)
	}
	// The context is not the test's: each write must be answered.
	answer, err := gibbon.Try(context.Background(), http.MethodPost, n.AdminURL("/consumers"), string(body))
	w.longest = max(w.longest, time.Since(began))
	switch {
	case err != nil && (down || w.isDown()): // it may have gone, or come, meanwhile
		w.refused.Add(1)
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

func (w *writer) isDown() bool { return w.down != nil && w.down.Load() }

// writers write to one control plane until they are told to finish.
type writers struct {
	all     [4]writer
	stop    chan struct{}
	running sync.WaitGroup
	once    sync.Once
}

// startWriters starts them. When down is not nil, a control plane that cannot be
// reached at all is no problem while down says so.
func startWriters(t *testing.T, control *gibbon.Node, down *atomic.Bool) *writers {
	t.Helper()
	ws := &writers{stop: make(chan struct{})}
	for i := range ws.all {
		ws.all[i].down = down
		ws.running.Go(func() {
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			for k := 0; ; k++ {
				select {
				case <-ws.stop:
					return
				case <-pace.C:
					ws.all[i].write(control, fmt.Sprintf("writer-%d-%d", i, k))
				}
			}
		})
	}
	t.Cleanup(ws.finish)
	return ws
}

func (ws *writers) finish() {
	ws.once.Do(func() { close(ws.stop) })
	ws.running.Wait()
}

func written(w *writer) *atomic.Int64 { return &w.written }
func refused(w *writer) *atomic.Int64 { return &w.refused }

// more waits until each writer has had so many more answers of a kind.
func (ws *writers) more(t *testing.T, n int64, what string, count func(*writer) *atomic.Int64) {
	t.Helper()
	for i := range ws.all {
		counter := count(&ws.all[i])
		goal := counter.Load() + n
		gibbon.Eventually(t, fmt.Sprintf("%d %s of each writer", n, what), func() error {
			if got := counter.Load(); got < goal {
				return fmt.Errorf("%d are missing", goal-got)
			}
			return nil
		})
	}
}

// check finishes, and fails the test unless everything that was acknowledged is
// stored. It returns how many consumers are stored, which may be more: what was
// refused may have been committed when the connection broke.
func (ws *writers) check(t *testing.T, control *gibbon.Node) (stored int) {
	t.Helper()
	ws.finish()
	names := consumers(t, control)
	for i := range ws.all {
		w := &ws.all[i]
		for _, name := range w.acknowledged {
			if !names[name] {
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
	return len(names)
}

// TestPostgresDiesDuringWrites kills the database with -9 under writers. They are
// told so in time, go on when it is back, and find all that they were promised. The
// data plane serves on, and ends up with all of it.
func TestPostgresDiesDuringWrites(t *testing.T) {
	t.Parallel()
	server := testpg.Server(t)
	echo := gibbon.Echo(t)
	control := gibbon.ControlPlane(t)
	give(control, postgres(t, server))
	bootstrap(t, control)
	control.Start()
	data := gibbon.DataPlane(t, "dataplane", control)
	data.Launch()
	configure(control, echo)
	data.WaitReady()
	inStep(t, control, 1, configured)

	ws := startWriters(t, control, nil)
	ws.more(t, 10, "writes", written)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	ws.more(t, 2, "refusals", refused)
	if answer := gibbon.Call(t, http.MethodGet, "http://"+control.Status+"/status/ready", nil); answer.Status != http.StatusServiceUnavailable {
		t.Errorf("readiness of a control plane without database: %s, want 503", answer)
	}
	if list := fleet(t, control); len(list) != 1 || !list[0].Connected {
		t.Errorf("without database the control plane has the data planes %+v, want the one still connected", list)
	}
	serves(t, data)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ws.more(t, 10, "writes", written)
	stored := ws.check(t, control)

	// One version for each change: none was lost, and none counted twice.
	inStep(t, control, 1, uint64(configured+stored-1)) // one consumer is configure's
	rising(t, "the data plane", data.Log.Applied(t))
	serves(t, data)
}

// TestControlPlaneDiesDuringWrites kills the control plane with -9 under writers.
// What it acknowledged is there in the next process, and at the data plane.
func TestControlPlaneDiesDuringWrites(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, control *gibbon.Node){
		"sqlite": func(*testing.T, *gibbon.Node) {},
		"postgres": func(t *testing.T, control *gibbon.Node) {
			give(control, postgres(t, testpg.Server(t)))
			bootstrap(t, control)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			echo := gibbon.Echo(t)
			control := gibbon.ControlPlane(t)
			prepare(t, control)
			control.Start()
			data := gibbon.DataPlane(t, "dataplane", control)
			data.Launch()
			configure(control, echo)
			data.WaitReady()

			var down atomic.Bool
			ws := startWriters(t, control, &down)
			for range 2 {
				ws.more(t, 10, "writes", written)
				down.Store(true)
				control.Kill()
				serves(t, data)
				control.Start()
				down.Store(false)
			}
			ws.more(t, 10, "writes", written)
			stored := ws.check(t, control)
			inStep(t, control, 1, uint64(configured+stored-1)) // one consumer is configure's
			rising(t, "the data plane", data.Log.Applied(t))
			serves(t, data)
		})
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
