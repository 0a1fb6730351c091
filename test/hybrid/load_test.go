//go:build unix

package hybrid_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

const (
	perSecond      = 200
	healthInterval = 50 * time.Millisecond
	// requestPatience bounds one request, and with the rate the requests in flight.
	requestPatience = time.Minute
)

// load is a client behind a balancer. It sends requests at a fixed rate whether
// earlier ones were answered or not, to the data planes that say that they are
// ready in turn, and remembers each failure. Every request must be answered with
// what the model says.
type load struct {
	targets []*target
	body    []byte
	stop    context.CancelFunc
	done    sync.WaitGroup

	mu       sync.Mutex
	failures []string
	delays   []time.Duration // from when a request was due to its whole answer
	nobody   int             // requests that were due while no target was up
}

// target is one data plane as the balancer sees it.
type target struct {
	node     *gibbon.Node
	client   *http.Client
	up       atomic.Bool
	answered atomic.Int64
}

// startLoad sends until the end of the test, or until finish.
func startLoad(t *testing.T, nodes ...*gibbon.Node) *load {
	t.Helper()
	body, err := json.Marshal(gibbon.Chat("Hello!"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &load{body: body, stop: stop}
	for _, n := range nodes {
		l.targets = append(l.targets, &target{node: n, client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: perSecond},
			Timeout:   requestPatience,
		}})
	}
	for _, target := range l.targets {
		target.look(ctx)
		l.done.Go(func() { target.watch(ctx) })
	}
	l.done.Go(func() { l.send(ctx) })
	t.Cleanup(func() { l.finish() })
	return l
}

// watch keeps up in step with what the data plane says of itself.
func (g *target) watch(ctx context.Context) {
	again := time.NewTicker(healthInterval)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			g.look(ctx)
		}
	}
}

func (g *target) look(ctx context.Context) {
	answer, err := gibbon.Try(ctx, http.MethodGet, "http://"+g.node.Status+"/status/ready", nil)
	if ctx.Err() == nil { // else the load is over, and the answer says nothing
		g.up.Store(err == nil && answer.Status == http.StatusOK)
	}
}

func (l *load) send(ctx context.Context) {
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; ; i++ {
		due := began.Add(time.Duration(i) * time.Second / perSecond)
		timer.Reset(time.Until(due)) // at once when it is late
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		chosen := l.choose(i)
		if chosen == nil {
			l.mu.Lock()
			l.nobody++
			l.mu.Unlock()
			continue
		}
		l.done.Go(func() { l.ask(chosen, due) })
	}
}

func (l *load) choose(turn int) *target {
	for i := range l.targets {
		if g := l.targets[(turn+i)%len(l.targets)]; g.up.Load() {
			return g
		}
	}
	return nil
}

// ask does not end with the load: what was begun must be answered.
func (l *load) ask(g *target, due time.Time) {
	err := g.ask(l.body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures = append(l.failures, fmt.Sprintf("%s %s: %v", time.Now().Format(time.StampMilli), g.node.Name, err))
		return
	}
	l.delays = append(l.delays, time.Since(due))
	g.answered.Add(1)
}

func (g *target) ask(body []byte) error {
	req, err := http.NewRequest(http.MethodPost, g.node.ProxyURL("/chat"), strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("apikey", apiKey)
	req.GetBody = nil // nothing is sent twice behind the test's back
	response, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !strings.Contains(string(answer), "Echo: Hello!") {
		return fmt.Errorf("%d %s", response.StatusCode, answer)
	}
	return nil
}

// flow waits until each of these targets has answered so many more requests.
func (l *load) flow(t *testing.T, more int64, nodes ...*gibbon.Node) {
	t.Helper()
	for _, g := range l.targets {
		if !slices.Contains(nodes, g.node) {
			continue
		}
		goal := g.answered.Load() + more
		gibbon.Eventually(t, fmt.Sprintf("%d more answers of %s", more, g.node.Name), func() error {
			if got := g.answered.Load(); got < goal {
				return fmt.Errorf("%d are missing", goal-got)
			}
			return nil
		})
	}
}

// finish sends no more, waits for the answers that are due, and returns what
// went wrong.
func (l *load) finish() (answered int, failures []string) {
	l.stop()
	l.done.Wait()
	for _, g := range l.targets {
		g.client.CloseIdleConnections()
	}
	return len(l.delays), l.failures
}

// summary describes the delays.
func (l *load) summary() string {
	l.mu.Lock()
	delays := slices.Sorted(slices.Values(l.delays))
	failed, nobody := len(l.failures), l.nobody
	l.mu.Unlock()
	at := func(share float64) time.Duration {
		if len(delays) == 0 {
			return 0
		}
		return delays[int(share*float64(len(delays)-1))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d answered, %d failed, %d while nobody was up, p50 %s, p99 %s, longest %s",
		len(delays), failed, nobody, at(0.5), at(0.99), at(1))
}
