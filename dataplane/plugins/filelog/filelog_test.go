package filelog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins/filelog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keeper keeps one resource, which the test closes when it wants the lines.
type keeper struct{ resource io.Closer }

func (k *keeper) Hold(_ plugin.Key, open func() (io.Closer, error)) (io.Closer, error) {
	var err error
	if k.resource == nil {
		k.resource, err = open()
	}
	return k.resource, err
}

func open(t *testing.T, cfg *pluginpb.FileLog, log *slog.Logger) (*filelog.Handler, *keeper) {
	t.Helper()
	env := plugintest.Env(t, "file-log", nil)
	k := new(keeper)
	env.Keeper = k
	if log != nil {
		env.Log = log
	}
	h, err := filelog.New(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	return h, k
}

func lines(t *testing.T, k *keeper, path string) []string {
	t.Helper()
	if err := k.resource.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.SplitAfter(string(data), "\n")
	if last := all[len(all)-1]; last != "" {
		t.Fatalf("the file ends in %q, not in a whole line", last)
	}
	return all[:len(all)-1]
}

// Many writers leave whole lines, each one once.
func TestWholeLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	h, k := open(t, &pluginpb.FileLog{Path: path}, nil)
	const writers, each = 8, 200
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r := plugintest.Request(t, "GET", "/", "")
				r.ID = fmt.Sprintf("%d-%d", w, i)
				r.Header.Set("X-Long", strings.Repeat("x", i*10))
				h.Log(r)
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, line := range lines(t, k, path) {
		var object struct{ Request struct{ ID string } }
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		seen[object.Request.ID]++
	}
	if len(seen) != writers*each {
		t.Errorf("%d lines, want %d", len(seen), writers*each)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("line %s is there %d times", id, n)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&^0o644 != 0 {
		t.Errorf("mode is %v, want 0644 at most", info.Mode())
	}
}

// Lines are there soon without anything being closed.
func TestFlushesBySelf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	h, k := open(t, &pluginpb.FileLog{Path: path}, nil)
	h.Log(plugintest.Request(t, "GET", "/", ""))
	for deadline := time.Now().Add(10 * time.Second); ; {
		if data, err := os.ReadFile(path); err == nil && bytes.HasSuffix(data, []byte("\n")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was written")
		}
	}
	if got := len(lines(t, k, path)); got != 1 {
		t.Errorf("%d lines, want 1", got)
	}
}

// A file that was moved away is left alone after reopen or a reload.
func TestReopen(t *testing.T) {
	for _, reopen := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "log")
		h, k := open(t, &pluginpb.FileLog{Path: path, Reopen: reopen}, nil)
		h.Log(plugintest.Request(t, "GET", "/1", ""))
		for {
			if data, err := os.ReadFile(path); err == nil && len(data) > 0 {
				break
			}
		}
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		if !reopen {
			k.resource.(interface{ Reload() }).Reload()
		}
		h.Log(plugintest.Request(t, "GET", "/2", ""))
		if got := lines(t, k, path); len(got) != 1 || !strings.Contains(got[0], `"uri":"/2"`) {
			t.Errorf("reopen %v: the new file has %q", reopen, got)
		}
	}
}

// A file that cannot be written is no reason to fail a request or a
// configuration.
func TestUnwritable(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "missing", "log")
	h, k := open(t, &pluginpb.FileLog{Path: path}, slog.New(slog.NewTextHandler(&log, nil)))
	h.Log(plugintest.Request(t, "GET", "/", ""))
	if err := k.resource.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "no such file or directory") {
		t.Errorf("the log says %q", log.String())
	}
}

func TestCustomFields(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "log")
	h, k := open(t, &pluginpb.FileLog{Path: path, CustomFieldsByLua: map[string]string{
		"request.headers.x-drop": "return nil",
		"tries":                  " return ; ",
		"service.env":            `return "prod\t\"1\"\065"`,
		"single":                 "return 'it\\'s'",
		"number":                 "return 12",
		"negative":               "return -1.5",
		"hex":                    "return 0x10",
		"flag":                   "return true",
		"computed":               "return kong.request.get_path()",
		"statement":              "local x = 1; return x",
		"octal":                  "return 010",
		"joined":                 `return "a" .. "b"`,
		"name":                   "returnnil",
	}}, slog.New(slog.NewTextHandler(&log, nil)))
	r := plugintest.Request(t, "GET", "/", "")
	r.Header.Set("X-Drop", "1")
	h.Log(r)
	var got map[string]any
	if err := json.Unmarshal([]byte(lines(t, k, path)[0]), &got); err != nil {
		t.Fatal(err)
	}
	if headers := got["request"].(map[string]any)["headers"].(map[string]any); headers["x-drop"] != nil {
		t.Errorf("x-drop is still there: %v", headers)
	}
	for name, want := range map[string]any{
		"tries": nil, "service": map[string]any{"env": "prod\t\"1\"A"}, "single": "it's", "number": 12.0,
		"negative": -1.5, "hex": 16.0, "flag": true, "computed": nil, "statement": nil, "octal": 10.0, "joined": nil, "name": nil,
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	reported := regexp.MustCompile(`field=(\w+)`).FindAllStringSubmatch(log.String(), -1)
	var names []string
	for _, match := range reported {
		names = append(names, match[1])
	}
	if want := []string{"computed", "joined", "name", "statement"}; !slices.Equal(names, want) {
		t.Errorf("reported %v, want %v", names, want)
	}
}

// The line is Kong's log object.
func TestLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	h, k := open(t, &pluginpb.FileLog{Path: path}, nil)
	r := plugintest.Request(t, "POST", "/a?x=1&x=%32&flag&apikey=secret&tab=%09", "")
	r.Started = time.UnixMilli(1732262400119)
	r.Header = http.Header{"Authorization": {"Bearer secret"}, "My-Key": {"secret"}, "X-Two": {"1", "2"}, "User-Agent": nil}
	r.Secret("my-key")
	r.Record = plugin.Record{
		RouteJSON: []byte(`{"id":"r1"}`), ServiceJSON: []byte(`{"id":"s1"}`), Workspace: "w1", WorkspaceName: "default",
		BytesIn: 412, BytesOut: 1893, UpstreamURI: "/v1/chat?my-key=secret",
		Tries: []plugin.Try{
			{IP: "10.0.0.8", Port: 443, Start: time.UnixMilli(1732262400122), Failed: true, Code: 502},
			{IP: "10.0.0.9", Port: 443, Start: time.UnixMilli(1732262400123), Balancing: 1500 * time.Microsecond, Status: 200},
		},
		Dialled: r.Started.Add(4 * time.Millisecond), Answered: r.Started.Add(805 * time.Millisecond), Ended: r.Started.Add(812 * time.Millisecond),
	}
	r.Consumer = &plugin.Consumer{ID: "c1", JSON: []byte(`{"id":"c1"}`)}
	r.Credential = &plugin.Credential{ID: "k1", Consumer: r.Consumer}
	r.Response = plugin.Response{Status: 200, Header: http.Header{"Content-Type": {"application/json"}, "Set-Cookie": {"secret"}}, FromUpstream: true}
	r.Log.SetString("gpt-4", "ai", "proxy", "meta", "request_model")
	r.Log.SetInt(3, "ai", "proxy", "usage", "prompt_tokens")
	h.Log(r)
	const want = `{"request":{"id":"00000000000000000000000000000001","uri":"/a?x=1&x=%32&flag&apikey=REDACTED&tab=%09","url":"http://example.com:8000/a?x=1&x=%32&flag&apikey=REDACTED&tab=%09",` +
		`"querystring":{"x":["1","2"],"flag":true,"apikey":"REDACTED","tab":"\t"},"method":"POST",` +
		`"headers":{"authorization":"REDACTED","host":"example.com","my-key":"REDACTED","x-two":["1","2"]},"size":412},` +
		`"upstream_uri":"/v1/chat?my-key=REDACTED","upstream_status":"502, 200",` +
		`"response":{"status":200,"headers":{"content-type":"application/json","set-cookie":"REDACTED"},"size":1893},` +
		`"latencies":{"request":812,"kong":4,"proxy":801,"receive":7},` +
		`"tries":[{"ip":"10.0.0.8","port":443,"balancer_start":1732262400122,"balancer_start_ns":1732262400122000000,"balancer_latency":0,"balancer_latency_ns":0,"state":"failed","code":502},` +
		`{"ip":"10.0.0.9","port":443,"balancer_start":1732262400123,"balancer_start_ns":1732262400123000000,"balancer_latency":1,"balancer_latency_ns":1500000}],` +
		`"authenticated_entity":{"id":"k1","consumer_id":"c1"},"consumer":{"id":"c1"},"route":{"id":"r1"},"service":{"id":"s1"},` +
		`"client_ip":"127.0.0.1","started_at":1732262400119,"source":"upstream","workspace":"w1","workspace_name":"default",` +
		`"ai":{"proxy":{"meta":{"request_model":"gpt-4"},"usage":{"prompt_tokens":3}}}}` + "\n"
	if diff := cmp.Diff(want, lines(t, k, path)[0]); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}
