package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// What the gateway is configured with. The paths are the routes'.
const (
	consumerKey = "bench-key-0123456789abcdef"
	decoys      = 100 // routes that no request matches

	aiRoute     = "/chat"   // key-auth, ai-proxy, file-log
	bareRoute   = "/bare"   // no plugin
	streamRoute = "/stream" // as aiRoute, to the mock of streams
	silentRoute = "/silent" // as aiRoute, to the stream that falls silent
	probeRoute  = "/probe-0"

	// As aiRoute, each with a path of its own at the mocks. The last three are
	// answered in Anthropic's format, to callers of OpenAI's.
	briefRoute        = "/brief"
	firstRoute        = "/first"
	claudeRoute       = "/claude"
	claudeStreamRoute = "/claude-stream"
	claudeFirstRoute  = "/claude-first"
)

// A gateway is one gibbon that proxies: `gibbon run`, or a data plane. A
// restart keeps its folder and its ports.
type gateway struct {
	*process
	prefix               string
	proxy, admin, status string // host:port; admin is empty for a data plane
	logFile              string // where file-log writes
	env                  []string
	command              []string
	client               *http.Client
}

// newClient makes a client with connections of its own that it does not limit.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 4096, DisableCompression: true, ResponseHeaderTimeout: 30 * time.Second,
	}}
}

// gibbonEnv is the environment for a gibbon that knows no settings but these.
func gibbonEnv(settings map[string]string) []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "KONG_") && !strings.HasPrefix(pair, "GIBBON_") {
			env = append(env, pair)
		}
	}
	// Nothing is left to wait for when the bench stops a gateway.
	env = append(env, "GIBBON_DRAIN_DELAY=0s", "GIBBON_DRAIN_TIMEOUT=1s", "GIBBON_DRAIN_STREAM_TIMEOUT=1s")
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	return env
}

// newGateway readies the folder and the ports of a gateway without starting it.
func (l *lab) newGateway(name, subcommand string, settings map[string]string) (*gateway, error) {
	addresses, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	gw := &gateway{
		prefix: filepath.Join(l.folder, name), proxy: addresses[0], status: addresses[1], admin: addresses[2],
		logFile: filepath.Join(l.folder, name+"-requests.log"),
		client:  newClient(),
	}
	all := map[string]string{
		"KONG_PROXY_LISTEN":  gw.proxy,
		"KONG_ADMIN_LISTEN":  gw.admin,
		"KONG_STATUS_LISTEN": gw.status,
		// All clients of the bench have one address.
		"GIBBON_CONNECTIONS_PER_CLIENT": "20000",
		"KONG_ADMIN_GUI_LISTEN":         "off",
	}
	if subcommand == "dataplane" {
		gw.admin = ""
		delete(all, "KONG_ADMIN_LISTEN")
	}
	for name, value := range settings {
		all[name] = value
	}
	gw.env, gw.command = gibbonEnv(all), []string{subcommand, "--prefix", gw.prefix}
	return gw, nil
}

// startGateway starts a gateway and says how long it took until it called
// itself ready.
func (l *lab) startGateway(ctx context.Context, gw *gateway) (time.Duration, error) {
	from := time.Now()
	p, err := l.start(filepath.Base(gw.prefix), gw.env, l.gibbon, gw.command...)
	if err != nil {
		return 0, err
	}
	gw.process = p
	if _, err := p.ready(ctx, time.Millisecond, answers(gw.client, "http://"+gw.status+"/status/ready")); err != nil {
		return 0, err
	}
	return time.Since(from), nil
}

// restart stops the gateway and starts it with what it has stored.
func (l *lab) restart(ctx context.Context, gw *gateway) (time.Duration, error) {
	gw.client.CloseIdleConnections()
	if err := l.stop(gw.process); err != nil {
		return 0, err
	}
	return l.startGateway(ctx, gw)
}

// keyHeader is the header with which the consumer proves itself.
func keyHeader() http.Header { return http.Header{"Apikey": {consumerKey}} }

// An admin is a client of an Admin API.
type admin struct {
	address string
	client  *http.Client
}

// call sends one request with a JSON body and wants a success.
func (a admin) call(ctx context.Context, method, path string, body any) error {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	status, _, answer, err := fetch(ctx, a.client, method, "http://"+a.address+path, nil, content)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return fmt.Errorf("%s %s: %d %s", method, path, status, answer)
	}
	return nil
}

type object = map[string]any

// configure writes all that the measurements need through the Admin API.
func (a admin) configure(ctx context.Context, up *upstreams, logFile string) error {
	type step struct {
		path string
		body object
	}
	steps := []step{
		{"/services", object{"name": "mock", "url": "http://" + up.mock + chatPath}},
		{"/services/mock/routes", object{"name": "probe", "paths": []string{probeRoute}}},
		{"/services/mock/routes", object{"name": "bare", "paths": []string{bareRoute}}},
		{"/consumers", object{"username": "bench"}},
		{"/consumers/bench/key-auth", object{"key": consumerKey}},
	}
	for i := range decoys {
		steps = append(steps, step{"/services/mock/routes", object{
			"name": fmt.Sprintf("decoy-%d", i), "paths": []string{fmt.Sprintf("/decoys/%d", i)},
		}})
	}
	for _, route := range []struct{ path, url, provider string }{
		{aiRoute, "http://" + up.mock + chatPath, "openai"},
		{streamRoute, "http://" + up.streams + eventsPath, "openai"},
		{silentRoute, "http://" + up.streams + silentPath, "openai"},
		{briefRoute, "http://" + up.mock + briefPath, "openai"},
		{firstRoute, "http://" + up.streams + firstPath, "openai"},
		{claudeRoute, "http://" + up.mock + claudePath, "anthropic"},
		{claudeStreamRoute, "http://" + up.streams + claudeEventsPath, "anthropic"},
		{claudeFirstRoute, "http://" + up.streams + claudeFirstPath, "anthropic"},
	} {
		options := object{"upstream_url": route.url, "max_tokens": 512, "temperature": 1.0}
		if route.provider == "anthropic" {
			options["anthropic_version"] = "2023-06-01"
		}
		name := strings.Trim(route.path, "/")
		plugins := "/routes/" + name + "/plugins"
		steps = append(steps,
			step{"/services/mock/routes", object{"name": name, "paths": []string{route.path}}},
			step{plugins, object{"name": "key-auth"}},
			step{plugins, object{"name": "file-log", "config": object{"path": logFile}}},
			step{plugins, object{"name": "ai-proxy", "config": object{
				"route_type":            "llm/v1/chat",
				"auth":                  object{"header_name": "Authorization", "header_value": "Bearer bench"},
				"logging":               object{"log_statistics": true},
				"max_request_body_size": 1 << 20,
				"model":                 object{"provider": route.provider, "name": model, "options": options},
			}}},
		)
	}
	for _, s := range steps {
		if err := a.call(ctx, http.MethodPost, s.path, s.body); err != nil {
			return fmt.Errorf("configure gibbon: %w", err)
		}
	}
	return nil
}

// check makes sure that the gateway does the work that is going to be
// measured: it refuses without a key, proxies with one, says which model
// answered, logs the tokens, and passes the bare route's answer on unchanged.
func (gw *gateway) check(ctx context.Context) error {
	body, err := requestBody(small, false)
	if err != nil {
		return err
	}
	post := func(path string, header http.Header, want int) (http.Header, []byte, error) {
		status, head, answer, err := fetch(ctx, gw.client, http.MethodPost, "http://"+gw.proxy+path, header, bytes.NewReader(body))
		if err == nil && status != want {
			err = fmt.Errorf("%s answers %d %s, want %d", path, status, answer, want)
		}
		return head, answer, err
	}
	if _, err := gw.takeLog(ctx, 0); err != nil {
		return err
	}
	if _, _, err := post(aiRoute, nil, http.StatusUnauthorized); err != nil {
		return fmt.Errorf("without a key: %w", err)
	}
	head, _, err := post(aiRoute, keyHeader(), http.StatusOK)
	if err != nil {
		return err
	}
	if got := head.Get("X-Kong-LLM-Model"); !strings.Contains(got, model) {
		return fmt.Errorf("%s says that %q answered, want %s", aiRoute, got, model)
	}
	// Two lines: the refused request has one as well.
	if err := gw.checkLog(ctx, 2); err != nil {
		return err
	}
	want, err := responseBody(answerSentences)
	if err != nil {
		return err
	}
	_, answer, err := post(bareRoute, nil, http.StatusOK)
	if err == nil && !bytes.Equal(answer, want) {
		err = fmt.Errorf("%s answers %s, want %s", bareRoute, answer, want)
	}
	return err
}

// waitForLog waits until the log file has as many lines as are wanted, since
// the gateway collects lines before it writes, and says how many it has. After
// some seconds it gives up, with fewer and no error.
func (gw *gateway) waitForLog(ctx context.Context, want int) (int, error) {
	deadline := time.Now().Add(5 * time.Second)
	for {
		lines, err := countLines(gw.logFile)
		if err != nil || lines >= want || time.Now().After(deadline) {
			return lines, err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// takeLog waits as waitForLog does, and empties the file.
func (gw *gateway) takeLog(ctx context.Context, want int) (int, error) {
	lines, err := gw.waitForLog(ctx, want)
	if err != nil || lines == 0 {
		return lines, err
	}
	return lines, os.Truncate(gw.logFile, 0)
}

// checkLog wants so many lines in the log, of which the last tells the tokens
// that the mock says it used, and empties the file.
func (gw *gateway) checkLog(ctx context.Context, want int) error {
	lines, err := gw.waitForLog(ctx, want)
	if err == nil && lines != want {
		err = fmt.Errorf("log has %d lines, want %d", lines, want)
	}
	if err != nil {
		return err
	}
	b, err := os.ReadFile(gw.logFile)
	if err != nil {
		return err
	}
	all := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	if err := checkLogLine(all[len(all)-1]); err != nil {
		return err
	}
	return os.Truncate(gw.logFile, 0)
}

func checkLogLine(line []byte) error {
	var logged struct {
		AI struct {
			Proxy struct {
				Usage usage `json:"usage"`
			} `json:"proxy"`
		} `json:"ai"`
	}
	if err := json.Unmarshal(line, &logged); err != nil {
		return fmt.Errorf("log line %q: %w", line, err)
	}
	if got := logged.AI.Proxy.Usage; got != answerUsage {
		return fmt.Errorf("log line tells %+v, the mock used %+v: %s", got, answerUsage, line)
	}
	return nil
}

// countLines counts the lines of a file; one that is not there has none.
func countLines(path string) (lines int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	chunk := make([]byte, 256<<10)
	for {
		n, err := f.Read(chunk)
		lines += bytes.Count(chunk[:n], []byte("\n"))
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// firstGateway times first starts, each in an empty prefix, and configures the
// last of them.
func (l *lab) firstGateway(ctx context.Context, up *upstreams) (*gateway, error) {
	rounds := 1
	if l.wants("config") {
		rounds = l.starts
	}
	l.say("gibbon run, first start, %d times", rounds)
	var times []float64
	for i := 1; ; i++ {
		gw, err := l.newGateway(fmt.Sprintf("gibbon-run-%d", i), "run", nil)
		if err != nil {
			return nil, err
		}
		took, err := l.startGateway(ctx, gw)
		if err != nil {
			return nil, err
		}
		times = append(times, took.Seconds())
		if i < rounds {
			if err := l.stop(gw.process); err != nil {
				return nil, err
			}
			continue
		}
		if l.wants("config") {
			l.report.aim("`gibbon run`, first start to ready, empty prefix", "s", summarize(times), noBound)
		}
		if err := (admin{gw.admin, gw.client}).configure(ctx, up, gw.logFile); err != nil {
			return nil, err
		}
		return gw, gw.check(ctx)
	}
}
