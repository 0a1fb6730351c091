//go:build unix

// Package soak_test keeps a real gateway under load for as long as it is told to:
// callers of two formats before providers of five, whole answers and streams, of
// which some are left in the middle and some meet a provider that fails, while the
// configuration changes every second. Every answer is judged, and at the end the
// process must hold what it held at the beginning.
//
//	make soak        # ten minutes at 300 calls a second
//	GIBBON_TEST_RACE=0 go test ./test/soak -v -duration 1m -rate 60
//
// "make test" runs a few seconds of it, to keep it working; what is said of memory
// counts from a minute on.
package soak_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

func TestMain(m *testing.M) { gibbon.Main(m) }

var (
	rate     = flag.Int("rate", 40, "calls a second, begun on time whatever becomes of those before")
	duration = flag.Duration("duration", 4*time.Second, "how long calls are made")
)

// The shares of the load.
const (
	streamShare = 0.30
	leaveShare  = 0.05 // callers who leave in the middle
	faultShare  = 0.02 // providers that fail
)

var faults = []conduct{refuse, cut, malformed, stall}

var ways = []route{
	{"openai", "openai"}, {"openai", "anthropic"}, {"openai", "gemini"}, {"openai", "bedrock"}, {"openai", "ollama"},
	{"anthropic", "openai"},
}

// serve runs a model on a free port until the test ends.
func serve(t *testing.T, m *model) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: m, ReadHeaderTimeout: tooLong}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		err := server.Close()
		if served := <-served; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// configure makes a route for each way.
func configure(t *testing.T, n *gibbon.Node, models map[string]string) {
	t.Helper()
	n.Create("/services", gibbon.JSON{
		"name": "soak", "url": "http://localhost:32000", "retries": 0, "read_timeout": 1500,
	})
	for _, way := range ways {
		name, to := strings.Trim(way.path(), "/"), speakers[way.provider]
		n.Create("/services/soak/routes", gibbon.JSON{"name": name, "paths": []string{way.path()}})
		n.Create("/routes/"+name+"/plugins", gibbon.JSON{"name": "ai-proxy", "config": json.RawMessage(
			`{"route_type":"llm/v1/chat","llm_format":"` + way.caller + `","auth":{` + to.auth + `},"logging":{"log_statistics":true},` +
				`"model":{"provider":"` + way.provider + `","name":"m-1","options":{"upstream_url":"http://` + models[way.provider] + to.url + `"` + to.options + `}}}`)})
	}
	n.Create("/plugins", gibbon.JSON{"name": "file-log", "config": gibbon.JSON{"path": "/dev/null"}})
}

func TestSoak(t *testing.T) {
	n := gibbon.Run(t)
	// All callers have one address. Sockets to providers go soon after the load, so
	// that the end can be compared with the beginning.
	n.Settings["GIBBON_CONNECTIONS_PER_CLIENT"] = "20000"
	n.Settings["KONG_UPSTREAM_KEEPALIVE_IDLE_TIMEOUT"] = "2"
	n.Settings["KONG_LOG_LEVEL"] = "error" // a provider's faults are no news here
	n.Start()
	models, addresses := map[string]*model{}, map[string]string{}
	for name, speaks := range speakers {
		models[name] = &model{speaker: speaks}
		addresses[name] = serve(t, models[name])
	}
	configure(t, n, addresses)
	transport := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	s := &soak{node: n, client: &http.Client{Transport: transport}, models: models, started: time.Now()}

	// What every process loads once is there before the beginning is measured.
	for i := range 6 * len(ways) {
		s.one(t.Context(), order{number: i, conduct: well})
	}
	before := s.settle(t, sample{goroutines: 1 << 30, files: 1 << 30})
	s.load(t)
	after := s.settle(t, before)
	s.judge(t, before, after)
	fmt.Print(s.page(before, after))
}

// soak is one run.
type soak struct {
	node    *gibbon.Node
	client  *http.Client
	models  map[string]*model
	started time.Time

	there   atomic.Int64 // calls in progress
	changes int

	mu       sync.Mutex
	most     int64 // calls that were in progress at a time
	done     map[conduct]int
	streams  int
	failures []string // the first of them
	failed   int
	late     []time.Duration // from the planned start to the end of well whole answers
	samples  []sample
}

// one makes one call.
func (s *soak) one(ctx context.Context, o order) {
	way := ways[o.number/2%len(ways)]
	planned := time.Now()
	there := s.there.Add(1)
	err := call(ctx, s.client, s.node.Proxy, way, o)
	s.there.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = map[conduct]int{}
	}
	s.done[o.conduct]++
	s.most = max(s.most, there)
	if o.streams() {
		s.streams++
	} else if o.conduct == well {
		s.late = append(s.late, time.Since(planned))
	}
	if err == nil {
		return
	}
	if s.failed++; len(s.failures) < 20 {
		s.failures = append(s.failures, fmt.Sprintf("%s, %s, streams %v: %v", way, o, o.streams(), err))
	}
}

// choose draws a call by the shares of the load.
func choose(number int, random *rand.Rand) order {
	o := order{number: number * 2, conduct: well}
	if random.Float64() < streamShare {
		o.number++
	}
	switch drawn := random.Float64(); {
	case drawn < leaveShare:
		o.conduct = endless
	case drawn < leaveShare+faultShare:
		o.conduct = faults[random.IntN(len(faults))]
	}
	return o
}

// load makes calls at their times, changes the configuration every second and
// takes samples.
func (s *soak) load(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var side, calls sync.WaitGroup
	defer side.Wait()
	defer stop()
	side.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for i := 1; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			body := gibbon.JSON{"tags": []string{fmt.Sprintf("change-%d", i)}}
			answer, err := gibbon.Try(ctx, http.MethodPatch, "http://"+s.node.Admin+"/routes/openai-openai", body)
			if ctx.Err() != nil {
				return
			}
			if err != nil || answer.Status != http.StatusOK {
				t.Errorf("change %d: %v, %v", i, answer, err)
			}
			s.changes = i
		}
	})
	side.Go(func() {
		tick := time.NewTicker(max(*duration/120, time.Second))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			one, err := s.measure(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			s.samples = append(s.samples, one)
		}
	})

	random := rand.New(rand.NewPCG(1, 2))
	limit := int64(20 * *rate)
	from, every := time.Now(), time.Second/time.Duration(*rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range int(duration.Seconds() * float64(*rate)) {
		timer.Reset(time.Until(from.Add(time.Duration(i) * every)))
		<-timer.C
		if s.there.Load() > limit {
			t.Errorf("%d calls are in progress: the gateway, or this machine, does not keep up", limit)
			break
		}
		o := choose(1000+i, random)
		calls.Go(func() { s.one(t.Context(), o) })
	}
	calls.Wait()
}
