//go:build unix

// Package writers_test has many clients write to a real gateway on SQLite at once,
// while others walk its lists. What the store promises under such writes is tested
// beside it; this shows that the whole keeps it over HTTP.
package writers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

func TestMain(m *testing.M) { gibbon.Main(m) }

const (
	clients = 50
	walkers = 4
	// lasting services are there from the first to the last walk; pages are so
	// small that a walk takes several.
	lasting  = 20
	pageSize = 20
	// walkEvery leaves most of the machine to the writers.
	walkEvery = 50 * time.Millisecond
	// patches is how often the owner of a field changes it.
	patches = 5
)

// fields of the shared service. Each belongs to one client, who raises it; all others
// must see it rise, and nobody's change may undo another's.
var fields = []string{"retries", "port", "connect_timeout", "read_timeout", "write_timeout"}

// crowd is all clients together.
type crowd struct {
	node   *gibbon.Node
	client *http.Client
	shared string

	clock   atomic.Int64 // counts what happens, so that one thing can be before another
	written atomic.Int64 // writes that were acknowledged
	won     atomic.Int64 // clients who got the contested name

	mu       sync.Mutex
	lives    map[string]*life // of services, by name
	problems []string
}

// life is when a service was there: for certain from added to leaving, and not at
// all after gone. Zero: it has not come to that.
type life struct{ added, leaving, gone int64 }

// walk is one listing from its first page to its last.
type walk struct {
	from, to int64
	names    map[string]int // how often each was on a page
	pages    int
}

func (c *crowd) problem(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// call sends a request and reads the answer. A status other than the ones that are
// wanted is a problem.
func (c *crowd) call(method, path string, body any, want ...int) (status int, answer []byte, err error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = strings.NewReader(string(text))
	}
	// Not the test's context: each request is to be answered.
	request, err := http.NewRequestWithContext(context.Background(), method, c.node.AdminURL(path), content)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	answer, err = io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return 0, nil, err
	}
	for _, w := range want {
		if response.StatusCode == w {
			return w, answer, nil
		}
	}
	return response.StatusCode, answer, fmt.Errorf("%s %s: %d %s, want %v", method, path, response.StatusCode, answer, want)
}

// add adds a service with a name that is nobody else's.
func (c *crowd) add(name string) error {
	if _, _, err := c.call(http.MethodPost, "/services", gibbon.JSON{"name": name, "host": "h"}, http.StatusCreated); err != nil {
		return err
	}
	c.written.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lives[name] = &life{added: c.clock.Add(1)}
	return nil
}

// remove deletes it again.
func (c *crowd) remove(name string) error {
	c.mu.Lock()
	l := c.lives[name]
	l.leaving = c.clock.Add(1)
	c.mu.Unlock()
	if _, _, err := c.call(http.MethodDelete, "/services/"+name, nil, http.StatusNoContent); err != nil {
		return err
	}
	c.written.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	l.gone = c.clock.Add(1)
	return nil
}

// contest asks for a name that all clients ask for.
func (c *crowd) contest() error {
	status, answer, err := c.call(http.MethodPost, "/services", gibbon.JSON{"name": "contested", "host": "h"},
		http.StatusCreated, http.StatusConflict)
	if err != nil {
		return err
	}
	if status == http.StatusCreated {
		c.won.Add(1)
		c.written.Add(1)
		return nil
	}
	if !strings.Contains(string(answer), "unique constraint violation") {
		return fmt.Errorf("the loser of a contest hears %s", answer)
	}
	return nil
}

// value is what the nth change makes of a field.
func value(n int) int { return 100 + n }

// raise changes one field of the shared service again and again, and looks at the
// others: they belong to others, and rise too.
func (c *crowd) raise(field string) error {
	seen := map[string]int{}
	for n := range patches {
		_, answer, err := c.call(http.MethodPatch, "/services/"+c.shared, gibbon.JSON{field: value(n)}, http.StatusOK)
		if err != nil {
			return err
		}
		c.written.Add(1)
		now, err := raised(answer)
		if err != nil {
			return err
		}
		if now[field] != value(n) {
			return fmt.Errorf("%s was set to %d and is %d", field, value(n), now[field])
		}
		for _, other := range fields {
			if now[other] < seen[other] {
				return fmt.Errorf("%s fell from %d to %d", other, seen[other], now[other])
			}
		}
		seen = now
	}
	return nil
}

// raised reads the fields of the shared service; one that nobody has changed yet
// is 0.
func raised(text []byte) (map[string]int, error) {
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	found := map[string]int{}
	for _, field := range fields {
		number, _ := all[field].(float64)
		if n := int(number); n >= value(0) && n <= value(patches) {
			found[field] = n
		}
	}
	return found, nil
}

// write is what one client does.
func (c *crowd) write(id int) error {
	if id < len(fields) {
		return errors.Join(c.contest(), c.raise(fields[id]))
	}
	goes := fmt.Sprintf("goes-%d", id)
	if err := errors.Join(c.add(fmt.Sprintf("stays-%d", id)), c.add(goes)); err != nil {
		return err
	}
	return errors.Join(c.remove(goes), c.contest())
}

// walk reads all pages of the services.
func (c *crowd) walk() (walk, error) {
	w := walk{from: c.clock.Add(1), names: map[string]int{}}
	for offset, more := "", true; more; {
		_, answer, err := c.call(http.MethodGet, fmt.Sprintf("/services?size=%d&offset=%s", pageSize, offset), nil, http.StatusOK)
		if err != nil {
			return w, err
		}
		var page struct {
			Data   []struct{ Name string }
			Offset *string
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			return w, err
		}
		for _, s := range page.Data {
			w.names[s.Name]++
		}
		if more = page.Offset != nil; more {
			offset = *page.Offset
		}
		w.pages++
	}
	w.to = c.clock.Add(1)
	return w, nil
}

// check holds a walk to what was there.
func (c *crowd) check(t *testing.T, w walk) {
	t.Helper()
	for name, n := range w.names {
		if n > 1 {
			t.Errorf("a walk met %s %d times", name, n)
		}
	}
	for name, l := range c.lives {
		switch n := w.names[name]; {
		case l.added < w.from && (l.leaving == 0 || l.leaving > w.to) && n != 1:
			t.Errorf("a walk met %s %d times, which was there from its start to its end", name, n)
		case l.gone > 0 && l.gone < w.from && n != 0:
			t.Errorf("a walk met %s, which was deleted before", name)
		}
	}
}

// TestManyWriters has 50 clients write and 4 walk. No answer is an error of the
// server, no change is lost, no walk skips or repeats what was there all the time,
// and each write is one version of its own.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	n := gibbon.Run(t)
	n.Start()
	transport := &http.Transport{MaxIdleConnsPerHost: clients + walkers}
	defer transport.CloseIdleConnections()
	c := &crowd{node: n, client: &http.Client{Transport: transport}, shared: "shared", lives: map[string]*life{}}
	for i := range lasting {
		if err := c.add(fmt.Sprintf("lasting-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.add(c.shared); err != nil {
		t.Fatal(err)
	}

	var writing, reading sync.WaitGroup
	for id := range clients {
		writing.Go(func() {
			if err := c.write(id); err != nil {
				c.problem("client %d: %v", id, err)
			}
		})
	}
	done := make(chan struct{})
	walks := make([][]walk, walkers)
	for id := range walkers {
		reading.Go(func() {
			pace := time.NewTicker(walkEvery)
			defer pace.Stop()
			for ended := false; !ended; {
				select {
				case <-done:
					ended = true // after one more walk, over what is left
				case <-pace.C:
				}
				w, err := c.walk()
				if err != nil {
					c.problem("walker %d: %v", id, err)
					return
				}
				walks[id] = append(walks[id], w)
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	for _, problem := range c.problems {
		t.Error(problem)
	}
	if locked := n.Log.Find("database is locked"); len(locked) > 0 {
		t.Errorf("the database was locked: %s", locked)
	}

	pages, all := 0, 0
	for _, list := range walks {
		for _, w := range list {
			c.check(t, w)
			pages, all = pages+w.pages, all+1
		}
	}
	t.Logf("%d writes, %d walks over %d pages", c.written.Load(), all, pages)
	if won := c.won.Load(); won != 1 {
		t.Errorf("%d clients got the one name, want 1", won)
	}
	_, answer, err := c.call(http.MethodGet, "/services/"+c.shared, nil, http.StatusOK)
	if err != nil {
		t.Fatal(err)
	}
	last, err := raised(answer)
	for _, field := range fields {
		if last[field] != value(patches-1) || err != nil {
			t.Errorf("the last change of %s was to %d, and it is %d (%v)", field, value(patches-1), last[field], err)
		}
	}
	c.versions(t)
}

// versions looks for one version for each write, without a gap.
func (c *crowd) versions(t *testing.T) {
	t.Helper()
	want := c.written.Load()
	for offset, more := "", true; more; {
		_, answer, err := c.call(http.MethodGet, "/config/versions?size=100&offset="+offset, nil, http.StatusOK)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Data   []struct{ Version, Created, Updated, Deleted int64 }
			Offset *string
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Data {
			if v.Version != want {
				t.Fatalf("the list has version %d where %d should be", v.Version, want)
			}
			if v.Created+v.Updated+v.Deleted != 1 {
				t.Errorf("version %d has other than one change: %+v", v.Version, v)
			}
			want--
		}
		if more = page.Offset != nil; more {
			offset = *page.Offset
		}
	}
	if want != 0 {
		t.Errorf("the versions up to %d are missing", want)
	}
}
