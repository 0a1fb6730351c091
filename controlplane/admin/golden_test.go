package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
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

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/internal/listener"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// serve opens a real listener for an Admin API and returns its address.
func serve(t testing.TB, s *admin.Server) string {
	t.Helper()
	entries, err := listener.Listen("admin_listen", "127.0.0.1:0 http2")
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	open, err := listener.Open(t.Context(), entries, listener.Options{})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	server := listener.Server(listener.Config{Handler: s, Refuse: s.Refuse})
	server.ConnState = s.ConnState
	served := make(chan error, 1)
	go func() { served <- server.Serve(open[0]) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx, server); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return open[0].Addr().String()
}

// exchange sends bytes as they are over a connection of their own.
func exchange(t testing.TB, address, method, request string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatalf("send: %v", err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("read the answer to %q: %v", request, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read the body of the answer to %q: %v", request, err)
	}
	return res, string(body)
}

// A golden file is a sequence of steps on one empty store:
//
//	=== what the step pins
//	POST /services
//	Content-Type: application/json
//
//	{"name":"a"}
//	--- 201
//	Content-Type: application/json; charset=utf-8
//	…
//
//	{"id":"<id 1>",…}
//
// A generated id is written as <id N> by its first appearance, and may be used
// in later requests; times, milliseconds, process ids, sizes and counts are written
// as <now>, <ms>, <pid>, <size> and <n>, and files of testdata/pem as <pem name>. A request may have
// <1001 arguments>. Content-Length is checked against the body and left out. Host
// and Content-Length of the request are added when they are not given.
type step struct {
	title, request, answer string
}

func readSteps(t *testing.T, path string) []step {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for part := range strings.SplitSeq("\n"+string(text), "\n=== ") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		title, rest, _ := strings.Cut(part, "\n")
		request, answer, _ := strings.Cut(rest, "\n--- ")
		steps = append(steps, step{title, strings.Trim(request, "\n"), strings.TrimRight(answer, "\n")})
	}
	return steps
}

func writeSteps(t *testing.T, path string, steps []step) {
	t.Helper()
	var b strings.Builder
	for i, s := range steps {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "=== %s\n%s\n--- %s\n", s.title, s.request, s.answer)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// names replaces what differs from run to run.
type names struct{ ids []string }

var (
	idPattern    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	timePattern  = regexp.MustCompile(`"(created_at|updated_at|last_seen)":1[0-9]{9}(?:\.[0-9]+)?\b`)
	pidPattern   = regexp.MustCompile(`"(master|pid)":[0-9]+|"workers":\[[0-9]+\]`)
	sizePattern  = regexp.MustCompile(`"[0-9.]+ ([KMG]iB)"|("(?:allocated_slabs|capacity|http_allocated_gc)":)[0-9]+`)
	countPattern = regexp.MustCompile(`"(connections_[a-z]+|total_requests)":[0-9]+`)
	ttlPattern   = regexp.MustCompile(`"ttl":(?:9999[0-9]|100000)\b`)
	keyPattern   = regexp.MustCompile(`"(key|secret|client_id|client_secret|access_token|code)":"[0-9A-Za-z]{32}"`)
	hashPattern  = regexp.MustCompile(`\$pbkdf2[^"]*`)
	tokenPattern = regexp.MustCompile(`(offset["=:]+)[A-Za-z0-9+/%=]{40,}`)
	askedPattern = regexp.MustCompile(`"request_id":"[0-9a-f]{32}"`)
	namePattern  = regexp.MustCompile(`<id [0-9]+>`)
)

func (n *names) hide(text string) string {
	text = idPattern.ReplaceAllStringFunc(text, func(id string) string {
		i := slices.Index(n.ids, id)
		if i < 0 {
			i = len(n.ids)
			n.ids = append(n.ids, id)
		}
		return fmt.Sprintf("<id %d>", i+1)
	})
	text = timePattern.ReplaceAllString(text, `"$1":"<now>"`)
	text = pidPattern.ReplaceAllString(text, `"$1":"<pid>"`)
	text = sizePattern.ReplaceAllString(text, `$2"<size> $1"`)
	text = countPattern.ReplaceAllString(text, `"$1":"<n>"`)
	text = ttlPattern.ReplaceAllString(text, `"ttl":"<100000>"`)
	text = keyPattern.ReplaceAllString(text, `"$1":"<$1>"`)
	text = hashPattern.ReplaceAllString(text, `<hash>`)
	text = askedPattern.ReplaceAllString(text, `"request_id":"<request>"`)
	for name, pem := range pems() {
		text = strings.ReplaceAll(text, pem, "<pem "+name+">")
	}
	return tokenPattern.ReplaceAllString(text, `${1}<token>`)
}

// pems are the files of testdata/pem as JSON has them between its quotes. Steps
// name them: <pem rsa.crt>.
var pems = sync.OnceValue(func() map[string]string {
	files, err := filepath.Glob("testdata/pem/*")
	if err != nil || len(files) == 0 {
		panic(fmt.Sprint("no PEM files: ", err))
	}
	texts := map[string]string{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		texts[filepath.Base(path)] = strings.ReplaceAll(string(text), "\n", `\n`)
	}
	return texts
})

func (n *names) show(t *testing.T, text string) string {
	for name, pem := range pems() {
		text = strings.ReplaceAll(text, "<pem "+name+">", pem)
	}
	text = strings.ReplaceAll(text, "<1001 arguments>", strings.Repeat("a&", 1000)+"a")
	return namePattern.ReplaceAllStringFunc(text, func(name string) string {
		var i int
		if _, err := fmt.Sscanf(name, "<id %d>", &i); err != nil || i < 1 || i > len(n.ids) {
			t.Fatalf("no %s yet", name)
		}
		return n.ids[i-1]
	})
}

// wire is the request as it is sent.
func wire(request string) (method, bytes string) {
	head, body, _ := strings.Cut(request, "\n\n")
	lines := strings.Split(head, "\n")
	method, _, _ = strings.Cut(lines[0], " ")
	lines[0] += " HTTP/1.1"
	lower := strings.ToLower(head)
	if !strings.Contains(lower, "\nhost:") {
		lines = append(lines, "Host: localhost:8001")
	}
	if body != "" && !strings.Contains(lower, "\ncontent-length:") && !strings.Contains(lower, "\ntransfer-encoding:") {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return method, strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func answerText(t *testing.T, n *names, res *http.Response, body string) string {
	t.Helper()
	if res.StatusCode != http.StatusNoContent {
		length := res.Header.Get("Content-Length")
		if want := fmt.Sprint(len(body)); length != want && res.Request.Method != http.MethodHead {
			t.Errorf("Content-Length is %q, the body has %s bytes", length, want)
		}
		if length == "" {
			t.Error("the answer has no Content-Length")
		}
	}
	if res.Header.Get("Date") == "" || res.Header.Get("X-Kong-Admin-Latency") == "" {
		t.Error("the answer lacks Date or X-Kong-Admin-Latency")
	}
	res.Header.Del("Content-Length")
	res.Header.Del("Date")
	res.Header.Set("X-Kong-Admin-Latency", "<ms>")
	var head bytes.Buffer
	if err := res.Header.Write(&head); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%d\n%s", res.StatusCode, strings.ReplaceAll(head.String(), "\r\n", "\n"))
	if body != "" {
		text += "\n" + n.hide(body)
	}
	return strings.TrimRight(text, "\n")
}

// TestGolden runs the requests in testdata/golden over a real listener and
// compares every byte that comes back.
func TestGolden(t *testing.T) { testGolden(t, *update, openStore) }

// TestGoldenPostgres asks for the same bytes from the other database.
func TestGoldenPostgres(t *testing.T) { testGolden(t, false, openPostgres) }

func testGolden(t *testing.T, update bool, open func(testing.TB) store.Store) {
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := serve(t, newServerOn(t, open(t), goldenConfig[name]))
			steps := readSteps(t, path)
			n := &names{}
			for i, s := range steps {
				method, request := wire(n.show(t, s.request))
				res, body := exchange(t, address, method, request)
				got := answerText(t, n, res, body)
				if !update {
					if diff := cmp.Diff(s.answer, got); diff != "" {
						t.Errorf("%s\n%s\nanswer (-want +got):\n%s", s.title, s.request, diff)
					}
				}
				steps[i].answer = got
			}
			if update {
				writeSteps(t, path, steps)
			}
		})
	}
}

// goldenConfig adapts the server of some files.
var goldenConfig = map[string]func(*admin.Config){
	"clustering": func(cfg *admin.Config) {
		cfg.LogLevel = discardLog()
		seen := time.Unix(1700000000, 0)
		cfg.PurgeDelay = time.Second
		level := admin.DataPlaneLevel{Current: "notice", Original: "notice"}
		cfg.DataPlaneLevel = func(_ context.Context, id string, change *admin.LevelChange) (admin.DataPlaneLevel, error) {
			switch {
			case id != "11111111-1111-1111-8111-111111111111":
				return admin.DataPlaneLevel{}, errors.New("data plane " + id + ": it is not connected to this control plane")
			case change == nil:
			case change.Level == "":
				level = admin.DataPlaneLevel{Current: level.Original, Original: level.Original}
			default:
				level.Current, level.Left = change.Level, change.Timeout
			}
			return level, nil
		}
		cfg.DataPlanes = func() []admin.DataPlane {
			return []admin.DataPlane{
				{
					ID: "11111111-1111-1111-8111-111111111111", Hostname: "dp-1", IP: "10.0.0.1", Version: "3.8.1",
					GibbonVersion: "0.1.0", SyncStatus: "normal", Labels: map[string]string{"zone": "a"},
					Hash:  strings.Repeat("0123456789abcdef", 4),
					Epoch: "22222222-2222-2222-8222-222222222222", Applied: 7, Connected: true, TakesLogLevel: true,
					FirstSeen: seen, LastSeen: seen, CertificateExpiry: time.Unix(1800000000, 0),
				},
				{
					ID: "33333333-3333-3333-8333-333333333333", Hostname: "dp-2", IP: "10.0.0.2", Version: "3.9.0",
					SyncStatus: "kong_version_incompatible", Message: "too new", FirstSeen: seen, LastSeen: seen,
				},
			}
		}
	},
	"access": asked,
	"dbless": func(cfg *admin.Config) {
		cfg.Declarative, cfg.LogLevel = declarative.NewLoader(cfg.Store, cfg.Catalogue), discardLog()
		cfg.ConfigurationHash = func() string { return strings.Repeat("ab", 32) }
	},
	"away": func(cfg *admin.Config) { cfg.Store = brokenStore{Store: cfg.Store} },
	"broken": func(cfg *admin.Config) {
		cfg.Store, cfg.Log = brokenStore{Store: cfg.Store, panics: true}, slog.New(slog.DiscardHandler)
	},
	"gui": func(cfg *admin.Config) {
		cfg.GUIOrigins = []string{"https://manager.example.com/manager/", "http://localhost:8002"}
	},
	"node": func(cfg *admin.Config) {
		cfg.LogLevel = discardLog()
		cfg.Configuration = func() map[string]any {
			return map[string]any{"database": "sqlite", "role": "traditional", "pg_password": "******", "admin_listen": []string{"127.0.0.1:8001"}}
		}
		cfg.ConfigurationHash = func() string { return strings.Repeat("ab", 32) }
	},
}

// discardLog is a log with a level that writes nowhere.
func discardLog() *telemetry.Log {
	log, err := telemetry.NewLog(telemetry.Config{Output: io.Discard})
	if err != nil {
		panic(err)
	}
	return log
}
