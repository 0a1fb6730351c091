//go:build unix

package hybrid_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/testpg"
	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// TestOutage has traffic on two data planes the whole time, kills the control
// plane and stops Postgres under it, restarts a data plane meanwhile, and brings
// everything back. Nothing that a client asks may fail, streams neither.
func TestOutage(t *testing.T) {
	t.Parallel()
	server := testpg.Server(t)
	pair := certificate(t)
	echo := gibbon.Echo(t)

	control := gibbon.ControlPlane(t)
	give(control, pair)
	give(control, postgres(t, server))
	bootstrap(t, control)
	control.Start()

	stays, restarts := gibbon.DataPlane(t, "stays", control), gibbon.DataPlane(t, "restarts", control)
	for _, n := range []*gibbon.Node{stays, restarts} {
		give(n, pair)
		// Long enough for the balancer to notice.
		n.Settings["GIBBON_DRAIN_DELAY"] = "5s"
		// All clients have one address here, and a machine under load makes them
		// wait on many connections.
		n.Settings["GIBBON_CONNECTIONS_PER_CLIENT"] = "20000"
		n.Launch() // ready once there is something to serve
	}
	configure(control, echo)
	stays.WaitReady()
	restarts.WaitReady()
	inStep(t, control, 2, configured)
	serves(t, stays)
	serves(t, restarts)

	l := startLoad(t, stays, restarts)
	l.flow(t, 100, stays, restarts)
	t.Logf("before the outage: %s", l.summary())

	control.Kill()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	l.flow(t, 200, stays, restarts)
	t.Logf("without control plane: %s", l.summary())

	before := restarts.Log.Applied(t)
	from := restarts.Log.Len()
	streams := openStreams(t, restarts, 50)
	if code := restarts.Stop(); code != 0 {
		t.Errorf("the data plane ended with exit code %d, want 0 since nothing had to be cut", code)
	}
	streams.whole(t)
	restarts.Start()
	restarts.Log.Wait(t, from, `"msg":"configuration applied from the cache"`, fmt.Sprintf(`"config_version":%d`, configured))
	l.flow(t, 200, stays, restarts)
	t.Logf("with a data plane that started from its cache: %s", l.summary())

	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	control.Start()
	inStep(t, control, 2, configured) // nothing was written

	// What is written now reaches both while they carry the traffic. The promise
	// is a second; a failure is only what no load of the machine explains.
	control.Create("/services", gibbon.JSON{"name": "hello", "url": "http://" + echo.Echo + "/"})
	began := time.Now()
	control.Create("/services/hello/routes", gibbon.JSON{"name": "hello", "paths": []string{"/hello"}})
	for _, n := range []*gibbon.Node{stays, restarts} {
		gibbon.Eventually(t, n.Name+" to serve a new route", func() error {
			answer := gibbon.Call(t, http.MethodGet, n.ProxyURL("/hello"), nil)
			if answer.Status != http.StatusOK {
				return errors.New(answer.String())
			}
			return nil
		})
		took := time.Since(began)
		t.Logf("a new route was served by %s after %s", n.Name, took.Round(time.Millisecond))
		if took > 5*time.Second {
			t.Errorf("a new route took %s to reach %s", took, n.Name)
		}
	}
	const last = configured + 2
	inStep(t, control, 2, last)
	l.flow(t, 50, stays, restarts)

	answered, failures := l.finish()
	t.Logf("all in all: %s", l.summary())
	for i, failure := range failures {
		if i == 10 {
			t.Errorf("and %d more", len(failures)-i)
			break
		}
		t.Error(failure)
	}
	if l.nobody > 0 || answered < 1000 {
		t.Errorf("%d requests were answered and %d had no data plane that was up; there was always one", answered, l.nobody)
	}

	rising(t, "the data plane that stayed", stays.Log.Applied(t))
	all := restarts.Log.Applied(t)
	after := all[len(before):]
	rising(t, "the data plane before its restart", before)
	rising(t, "the data plane after its restart", after)
	if after[0] != configured || after[len(after)-1] != last {
		t.Errorf("the restarted data plane applied %d and then %d; want from %d, its cache, to %d", before, after, configured, last)
	}
}
