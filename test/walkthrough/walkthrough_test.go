//go:build unix

// Package walkthrough_test follows the documents: the walk-through, the lines that
// "make run" prints, and those of the READMEs, with the curl of this machine.
package walkthrough_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/internal/testpg"
	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

var update = flag.Bool("update", false, "write testdata/walkthrough.golden anew")

// start starts a gateway with an echo model, as "make run" does.
func start(t *testing.T) *gibbon.Node {
	t.Helper()
	n := gibbon.Run(t)
	n.Args = []string{"--echo-model=" + n.Echo}
	n.Start()
	return n
}

// script is the walk-through; the golden file has the answers to its lines.
func script(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/walkthrough.sh")
	if err != nil {
		t.Fatal(err)
	}
	return commands(string(b))
}

func TestWalkthrough(t *testing.T) {
	t.Parallel()
	n := start(t)
	follow(t, addresses{n.Admin, n.Proxy, n.Echo}, func(int) {}) // a write is live when it is answered
}

// TestWalkthroughWithPostgres follows the same lines on a control plane with
// Postgres and a data plane beside it. The answers are the same to the byte.
func TestWalkthroughWithPostgres(t *testing.T) {
	t.Parallel()
	dsn, err := url.Parse(testpg.New(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := dsn.User.Password()
	echo := gibbon.Echo(t)
	control := gibbon.ControlPlane(t)
	for name, value := range map[string]string{
		"KONG_DATABASE": "postgres", "KONG_PG_HOST": dsn.Hostname(), "KONG_PG_PORT": dsn.Port(),
		"KONG_PG_USER": dsn.User.Username(), "KONG_PG_PASSWORD": password, "KONG_PG_DATABASE": dsn.Path[1:],
	} {
		control.Settings[name] = value
	}
	if r := gibbon.Command(t, control.Settings, "migrations", "bootstrap"); r.Code != 0 {
		t.Fatalf("gibbon migrations bootstrap: %+v", r)
	}
	control.Start()
	data := gibbon.DataPlane(t, "dataplane", control)
	data.Launch()
	follow(t, addresses{control.Admin, data.Proxy, echo.Echo}, func(writes int) {
		t.Helper()
		gibbon.Eventually(t, "the data plane to have the newest version", func() error {
			// Each write makes a version.
			if applied := data.Log.Applied(t); !slices.Contains(applied, uint64(writes)) {
				return fmt.Errorf("it applied %d, not yet %d", applied, writes)
			}
			return nil
		})
	})
}

// follow runs the walk-through. settled returns when so many writes are live.
func follow(t *testing.T, at addresses, settled func(writes int)) {
	t.Helper()
	shell := openTerminal(t, at)
	var (
		mask masks
		got  strings.Builder
	)
	expect := func(path string, status int) {
		t.Helper()
		if answer := gibbon.Call(t, http.MethodGet, "http://"+at.admin+path, nil); answer.Status != status {
			t.Errorf("GET %s: %s, want %d", path, answer, status)
		}
	}
	// What must be so after a line besides its own answer.
	after := map[int]func(){
		2: func() { expect("/plugins/ai-proxy", http.StatusNotFound) }, // there is none yet
		7: func() { settled(4) },
		8: func() { checkUpstream(t, at.echo); checkLine(t, shell.logFile) },
		9: func() { // the plugin was deleted
			expect("/plugins/ai-proxy", http.StatusNotFound)
			expect("/plugins/file-log", http.StatusOK)
			refused := gibbon.Call(t, http.MethodDelete, "http://"+at.admin+"/services/ai-proxy", nil)
			if refused.Status != http.StatusBadRequest || !strings.Contains(refused.Body, "an existing 'routes' entity references this 'services' entity") {
				t.Errorf("DELETE of a service with a route: %s, want 400", refused)
			}
		},
		10: func() { // the route was deleted
			expect("/routes/openai-chat", http.StatusNotFound)
			expect("/plugins/file-log", http.StatusNotFound) // it was the route's
			expect("/services/ai-proxy", http.StatusOK)
			settled(6)
			chat := gibbon.Call(t, http.MethodPost, "http://"+at.proxy+"/openai-chat", gibbon.Chat("still there?"))
			if chat.Status != http.StatusNotFound || !strings.Contains(chat.Body, "no Route matched with those values") {
				t.Errorf("chat after the route was deleted: %s, want 404", chat)
			}
		},
		11: func() { expect("/services/ai-proxy", http.StatusNotFound) },
	}
	lines := script(t)
	if len(lines) != 11 {
		t.Fatalf("the walk-through has %d lines, want 11", len(lines))
	}
	for i, line := range lines {
		out := shell.run(line)
		got.WriteString("$ " + line + "\n" + mask.mask(strings.TrimRight(out.String(), "\n ")) + "\n\n")
		if check := after[i+1]; check != nil {
			check()
		}
	}

	const golden = "testdata/walkthrough.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the walk-through (-want +got):\n%s", diff)
	}
}

// TestWritesAreLiveWhenAnswered asks for each route as soon as its creation was
// answered: on one machine nobody has to wait. Only a write that could not be made
// live within half a second, which a machine under load may need, is answered all
// the same, and the log says so.
func TestWritesAreLiveWhenAnswered(t *testing.T) {
	t.Parallel()
	n := start(t)
	n.Create("/services", gibbon.JSON{"name": "s", "url": "http://" + n.Echo + "/"})
	excused := 0
	live := func(name string, want int) {
		t.Helper()
		answer := gibbon.Call(t, http.MethodGet, n.ProxyURL("/"+name), nil)
		late := len(n.Log.Find("a write was answered before it was live"))
		if answer.Status != want && late == excused {
			t.Errorf("GET /%s right after the write was answered: %s, want %d", name, answer, want)
		}
		excused = late
	}
	for i := range 50 {
		name := fmt.Sprintf("route-%d", i)
		n.Create("/services/s/routes", gibbon.JSON{"name": name, "paths": []string{"/" + name}})
		live(name, http.StatusOK)
		if i%2 == 0 {
			continue
		}
		if answer := gibbon.Call(t, http.MethodDelete, n.AdminURL("/routes/"+name), nil); answer.Status != http.StatusNoContent {
			t.Fatalf("DELETE /routes/%s: %s", name, answer)
		}
		live(name, http.StatusNotFound)
	}
}

// chatSeen is one chat request as the echo model got it.
type chatSeen struct {
	Method, Path string
	Headers      http.Header
	Body         string
}

// upstream returns the requests that the echo model got.
func upstream(t *testing.T, echo string) []chatSeen {
	t.Helper()
	var seen struct{ Requests []chatSeen }
	gibbon.Call(t, http.MethodGet, "http://"+echo+"/_echo/requests", nil).Decode(t, &seen)
	return seen.Requests
}

// checkUpstream judges what the model got of the walk-through's one chat.
func checkUpstream(t *testing.T, echo string) {
	t.Helper()
	seen := upstream(t, echo)
	if len(seen) != 1 {
		t.Fatalf("the model got %d requests, want 1", len(seen))
	}
	r := seen[0]
	if got, want := r.Method+" "+r.Path, "POST /v1/chat/completions"; got != want {
		t.Errorf("the model got %s, want %s", got, want)
	}
	if got, want := r.Headers["Authorization"], []string{"Bearer NONE"}; !slices.Equal(got, want) {
		t.Errorf("the model got Authorization %q, want %q", got, want)
	}
	// The raw members show whether a number came as a number.
	var body map[string]json.RawMessage
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
		t.Fatalf("the model got %s: %v", r.Body, err)
	}
	for name, want := range map[string]string{
		"model":      `"gpt-4-32k"`,
		"max_tokens": `512`,
		"messages":   `[{"role":"system","content":"你是一名数学家。"},{"role":"user","content":"1 + 1 = ?"}]`,
	} {
		if got := string(body[name]); got != want {
			t.Errorf("the model got %s %s, want %s", name, got, want)
		}
	}
	var temperature float64
	if err := json.Unmarshal(body["temperature"], &temperature); err != nil || temperature != 1 {
		t.Errorf("the model got temperature %s, want the number 1", body["temperature"])
	}
}

// checkLine judges the line that file-log wrote of the chat.
func checkLine(t *testing.T, path string) {
	t.Helper()
	lines := logLines(t, path, 1)
	var line struct {
		Request  struct{ Method, URI string }
		Response struct{ Status int }
		Service  struct{ Name string }
		Route    struct{ Name string }
		AI       map[string]struct {
			Meta struct {
				PluginID      string `json:"plugin_id"`
				ProviderName  string `json:"provider_name"`
				RequestModel  string `json:"request_model"`
				ResponseModel string `json:"response_model"`
			}
			Usage struct {
				PromptTokens     int `json:"prompt_tokens"`
				CompletionTokens int `json:"completion_tokens"`
				TotalTokens      int `json:"total_tokens"`
			}
		}
	}
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatalf("the log line %s: %v", lines[0], err)
	}
	if len(lines) != 1 || line.Request.Method != "POST" || line.Request.URI != "/openai-chat" || line.Response.Status != 200 ||
		line.Service.Name != "ai-proxy" || line.Route.Name != "openai-chat" {
		t.Errorf("the log has %q, want one line of the one chat", lines)
	}
	ai, ok := line.AI["proxy"]
	if !ok || !anyID.MatchString(ai.Meta.PluginID) || ai.Meta.ProviderName != "openai" || ai.Meta.RequestModel != "gpt-4-32k" {
		t.Errorf("the log line's ai is %+v, want a proxy block of openai and gpt-4-32k", line.AI)
	}
	if ai.Meta.ResponseModel != "gpt-4-32k" || ai.Usage.PromptTokens != 24 || ai.Usage.CompletionTokens != 7 || ai.Usage.TotalTokens != 31 {
		t.Errorf("the log line's ai.proxy is %+v, want the model and the usage of the answer", ai)
	}
	if strings.Contains(lines[0], "Bearer NONE") {
		t.Errorf("the log line shows the credential: %s", lines[0])
	}
}

// TestRestartKeepsTheConfiguration stops a gateway in the middle of the
// walk-through and goes on with the next process.
func TestRestartKeepsTheConfiguration(t *testing.T) {
	t.Parallel()
	n := start(t)
	shell := newTerminal(t, n)
	lines := script(t)
	read := func() (bodies []string) {
		t.Helper()
		for _, path := range []string{"/services", "/routes", "/plugins"} {
			bodies = append(bodies, gibbon.Call(t, http.MethodGet, n.AdminURL(path), nil).Body)
		}
		return bodies
	}
	chat := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, "1 + 1") })
	for _, line := range lines[:chat] {
		if out := shell.run(line); out.status > 299 {
			t.Fatalf("%s\n%s", line, out)
		}
	}
	before := read()
	if code := n.Stop(); code != 0 {
		t.Errorf("the gateway ended with exit code %d", code)
	}
	n.Start()
	if diff := cmp.Diff(before, read()); diff != "" {
		t.Errorf("the configuration after a restart (-before +after):\n%s", diff)
	}
	if out := shell.run(lines[chat]); out.status != 200 || !strings.Contains(out.body, "Echo: 1 + 1 = ?") {
		t.Errorf("chat after a restart: %s", out)
	}
}

// TestPluginByNameIsAmbiguous covers Gibbon's own way to name a plugin: it works
// while there is one of that name.
func TestPluginByNameIsAmbiguous(t *testing.T) {
	t.Parallel()
	n := start(t)
	n.Create("/services", gibbon.JSON{"name": "s", "url": "http://localhost:32000"})
	var ids []string
	for _, name := range []string{"one", "two"} {
		n.Create("/services/s/routes", gibbon.JSON{"name": name, "paths": []string{"/" + name}})
		var plugin struct{ ID string }
		n.Create("/routes/"+name+"/plugins", gibbon.Model("http://"+n.Echo+"/v1/chat/completions")).Decode(t, &plugin)
		ids = append(ids, plugin.ID)
		want := http.StatusOK
		if len(ids) == 2 {
			want = http.StatusBadRequest
		}
		for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodDelete} {
			if method != http.MethodGet && want == http.StatusOK {
				continue // one to look at is enough; it stays
			}
			var body any
			if method == http.MethodPatch {
				body = gibbon.JSON{"enabled": false}
			}
			answer := gibbon.Call(t, method, n.AdminURL("/plugins/ai-proxy"), body)
			if answer.Status != want {
				t.Errorf("%s /plugins/ai-proxy with %d of them: %s, want %d", method, len(ids), answer, want)
			}
			for _, id := range ids {
				if !strings.Contains(answer.Body, id) {
					t.Errorf("%s /plugins/ai-proxy with %d of them: %s, which does not name %s", method, len(ids), answer, id)
				}
			}
		}
	}
	if answer := gibbon.Call(t, http.MethodDelete, n.AdminURL("/plugins/"+ids[0]), nil); answer.Status != http.StatusNoContent {
		t.Errorf("DELETE by id: %s, want 204", answer)
	}
	if answer := gibbon.Call(t, http.MethodGet, n.AdminURL("/plugins/ai-proxy"), nil); answer.Status != http.StatusOK || !strings.Contains(answer.Body, ids[1]) {
		t.Errorf("GET by name of the one that is left: %s", answer)
	}
}

// TestPrintedLines pastes what "make run" prints. Its address for the echo model
// is the only thing that differs here.
func TestPrintedLines(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "make", "-C", gibbon.Root(t), "--no-print-directory", "-n", "run").CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?m)^\S+/gibbon run --echo-model --prefix \.gibbon$`).Match(out) {
		t.Errorf("make run would run %v\n%s\nwant gibbon run --echo-model --prefix .gibbon", err, out)
	}
	n := start(t)
	n.Log.Wait(t, 0, "/chat -H")
	lines := n.Log.Find("curl ")
	if len(lines) != 3 || !strings.HasPrefix(lines[2], "curl ") {
		t.Fatalf("gibbon run printed %d lines to try, want 3:\n%s", len(lines), n.Log)
	}
	shell := newTerminal(t, n)
	for i, want := range []int{http.StatusCreated, http.StatusCreated, http.StatusOK} {
		out := shell.run(lines[i])
		if out.status != want {
			t.Errorf("%s\n%s\nwant %d", lines[i], out, want)
		}
		if i == 2 && !strings.Contains(out.body, "Echo: Hello!") {
			t.Errorf("%s\n%s\nwant the echo of Hello!", lines[i], out)
		}
	}
}

// TestReadme pastes every curl line of the READMEs, from top to bottom.
func TestReadme(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"README.md", "README.zh-CN.md"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(gibbon.Root(t), name))
			if err != nil {
				t.Fatal(err)
			}
			n := start(t)
			shell := newTerminal(t, n)
			ran := 0
			for _, block := range regexp.MustCompile("(?s)```shell\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
				for _, line := range commands(block[1]) {
					if !strings.HasPrefix(line, "curl ") {
						continue
					}
					ran++
					if out := shell.run(line); out.status < 200 || out.status > 299 {
						t.Errorf("%s\n%s", line, out)
					}
				}
			}
			if ran < 8 {
				t.Errorf("%d curl lines, want those of a first chat, a log and a key", ran)
			}
			// The last block asks callers for a key.
			for header, want := range map[string]int{"apikey: alices-key": 200, "apikey: nobodys-key": 401} {
				answer := gibbon.Call(t, http.MethodPost, n.ProxyURL("/openai-chat"), gibbon.Chat("1 + 1 = ?"), header)
				if answer.Status != want {
					t.Errorf("chat with %s: %s, want %d", header, answer, want)
				}
			}
		})
	}
}
