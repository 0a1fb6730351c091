package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseStat(t *testing.T) {
	const tail = " S 17 17 17 0 -1 4194560 900 0 0 0 250 41 7 9 20 0 5 0 12345 1000000 300 0"
	for _, tt := range []struct {
		name, in string
		want     procStat
		fault    string
	}{
		{"plain", "42 (nginx)" + tail, procStat{17, 291}, ""},
		{"brackets and spaces in the name", "42 (a ) b) 9 (c))" + tail, procStat{17, 291}, ""},
		{"no name", "42 nginx S 17", procStat{}, "without a command name"},
		{"cut off", "42 (nginx) S 17 17", procStat{}, "ends after 5 fields"},
		{"no number", "42 (nginx) S 17 17 17 0 -1 4194560 900 0 0 0 x 41 7", procStat{}, "field 14"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseStat([]byte(tt.in))
			if !wanted(err, tt.fault) || err == nil && got != tt.want {
				t.Errorf("parseStat(%q) = %+v, %v; want %+v, error with %q", tt.in, got, err, tt.want, tt.fault)
			}
		})
	}
}

// wanted tells whether an error is the expected one; "" expects none.
func wanted(err error, part string) bool {
	if part == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), part)
}

func TestParseMemory(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     int64
		fault    string
	}{
		{"plain", "Name:\tgibbon\nVmHWM:\t  9999 kB\nVmRSS:\t   20480 kB\nThreads:\t7\n", 20 << 20, ""},
		{"a kernel thread", "Name:\tkworker\nThreads:\t1\n", 0, "no line VmRSS"},
		{"another unit", "VmRSS:\t20 MB\n", 0, "unknown unit"},
		{"a longer name", "VmRSSX:\t20 kB\n", 0, "no line VmRSS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseMemory([]byte(tt.in), residentNow)
			if got != tt.want || !wanted(err, tt.fault) {
				t.Errorf("parseMemory(%q) = %d, %v; want %d, error with %q", tt.in, got, err, tt.want, tt.fault)
			}
		})
	}
}

func TestFamilyKnowsThisProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs Linux's /proc")
	}
	members, err := family(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := members[os.Getpid()].parent, os.Getppid(); got != want {
		t.Errorf("parent of this process = %d, want %d", got, want)
	}
	// A test is a child of its parent, so the parent's family is larger.
	above, err := family(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := above[os.Getpid()]; !ok {
		t.Errorf("family of %d lacks its child %d: %v", os.Getppid(), os.Getpid(), above)
	}
	if bytes, err := resident(os.Getpid()); err != nil || bytes < 1<<20 {
		t.Errorf("resident memory of this process = %d, %v", bytes, err)
	}
	const none = 1 << 30 // above every pid that Linux gives out
	if _, err := cpuTime(none); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("CPU time of no process: %v, want %v", err, os.ErrProcessDone)
	}
}

func TestParseLoad(t *testing.T) {
	const before = "Running 3s test @ http://127.0.0.1:8000/\n  1 threads and 16 connections\n\n"
	for _, tt := range []struct {
		name, in string
		want     load
		fault    string
	}{
		{
			"clean", before + "bench: requests=30000 duration=3000000 p50=61 p99=950 connect=0 read=0 write=0 status=0 timeout=0\n",
			load{30000, 3 * time.Second, 61 * time.Microsecond, 950 * time.Microsecond, ""}, "",
		},
		{
			"faults", before + "bench: requests=10 duration=1000000 p50=1 p99=2 connect=0 read=3 write=0 status=7 timeout=0\n",
			load{10, time.Second, time.Microsecond, 2 * time.Microsecond, "3 × read, 7 × status"}, "",
		},
		{
			"nothing came", "bench: requests=0 duration=1000000 p50=0 p99=0 connect=0 read=0 write=0 status=0 timeout=0\n",
			load{0, time.Second, 0, 0, "not one answer"}, "",
		},
		{"no line", before, load{}, "no line of the script"},
		{"a value is missing", "bench: requests=1 duration=1 p50=1\n", load{}, "lacks p99"},
		{"no number", "bench: requests=many\n", load{}, "wrk's requests"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseLoad(tt.in)
			if got != tt.want || !wanted(err, tt.fault) {
				t.Errorf("parseLoad(%q) = %+v, %v; want %+v, error with %q", tt.in, got, err, tt.want, tt.fault)
			}
		})
	}
	if got := (load{requests: 30000, duration: 3 * time.Second}).perSecond(); got != 10000 {
		t.Errorf("perSecond = %v, want 10000", got)
	}
}

func TestRequestBodies(t *testing.T) {
	for _, size := range []int{brief, small, large} {
		for _, stream := range []bool{false, true} {
			b, err := requestBody(size, stream)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) < size*9/10 || len(b) > size*11/10 {
				t.Errorf("request of %d bytes has %d", size, len(b))
			}
			var got struct {
				Model    string
				Stream   bool
				Metadata struct{ Model string }
				Messages []message
			}
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatalf("request of %d bytes: %v", size, err)
			}
			if got.Model != model || got.Stream != stream || got.Metadata.Model == "" || len(got.Messages) < 4 {
				t.Errorf("request of %d bytes: %+v", size, got)
			}
		}
	}
}

func TestResponseBodyFitsNginx(t *testing.T) {
	b, err := responseBody(answerSentences)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 1800 || len(b) > 2400 {
		t.Errorf("answer has %d bytes, want about 2 KB", len(b))
	}
	text, err := nginxText(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(text, `\\`, `\`); got != string(b) {
		t.Errorf("nginx would say %q, want %q", got, b)
	}
	for _, bad := range []string{"costs $5", "it's", strings.Repeat("a", 4001)} {
		if got, err := nginxText([]byte(bad)); err == nil {
			t.Errorf("nginxText(%.20q) = %.20q, want an error", bad, got)
		}
	}
}

func TestCountEvents(t *testing.T) {
	events, err := streamEvents()
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != allEvents {
		t.Fatalf("%d events, want %d", len(events), allEvents)
	}
	var whole strings.Builder
	for _, e := range events {
		whole.Write(e)
	}
	withoutDone := strings.TrimSuffix(whole.String(), string(events[allEvents-1]))
	for _, tt := range []struct{ name, in, fault string }{
		{"whole", whole.String(), ""},
		{"no blank lines wanted", strings.ReplaceAll(whole.String(), "\n\n", "\r\n"), ""},
		{"not ended", withoutDone, "after 201 of 202 events"},
		{"one too many", withoutDone + "data: {}\n\ndata: [DONE]\n\n", "after 203 of 202 events"},
		{"another end", withoutDone + "data: {}\n\n", `with "{}"`},
		{"nothing", "", "after 0 of 202 events"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := countEvents(strings.NewReader(tt.in), allEvents, doneMessage); !wanted(err, tt.fault) {
				t.Errorf("countEvents = %v, want error with %q", err, tt.fault)
			}
		})
	}
	broken := io.MultiReader(strings.NewReader("data: {}\n\n"), errReader{})
	if err := countEvents(broken, allEvents, doneMessage); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("countEvents of a broken stream = %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name  string
		args  []string
		check func(options) bool
		fault string
	}{
		{"defaults", nil, func(o options) bool { return o.rounds == 5 && o.cell == 3*time.Second && o.wants("unary") }, ""},
		{"quick", []string{"-quick"}, func(o options) bool { return o.rounds == 1 && o.cell == time.Second }, ""},
		{"only", []string{"-only", "streams,config"}, func(o options) bool { return o.wants("config") && !o.wants("unary") }, ""},
		{"many", []string{"-many"}, func(o options) bool { return len(o.cells()) == 5 }, ""},
		{"no such part", []string{"-only", "tea"}, nil, "no part is called"},
		{"too short", []string{"-cell", "100ms"}, nil, "at least 1s"},
		{"no rounds", []string{"-rounds", "0"}, nil, "start at 1"},
		{"left over", []string{"now"}, nil, `what is "now" for`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseOptions(tt.args, io.Discard)
			if !wanted(err, tt.fault) || err == nil && !tt.check(got) {
				t.Errorf("parseOptions(%q) = %+v, %v; want error with %q", tt.args, got, err, tt.fault)
			}
		})
	}
}

func TestWritePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	read := func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	// Twice, as the second has something to replace.
	for _, text := range []string{"| old |\n", "| new |\n"} {
		if err := writePage(path, text); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(beginMark+"\n\n| new |\n\n"+endMark+"\n", read()); diff != "" {
		t.Errorf("a page of the tables alone (-want +got):\n%s", diff)
	}

	if err := os.WriteFile(path, []byte("# Title\n\n"+beginMark+"\nold\n"+endMark+"\n\nThe end.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writePage(path, "new"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("# Title\n\n"+beginMark+"\n\nnew\n\n"+endMark+"\n\nThe end.\n", read()); diff != "" {
		t.Errorf("a page with text around (-want +got):\n%s", diff)
	}

	for _, bad := range []string{"# No marks\n", endMark + "\n" + beginMark + "\n"} {
		if err := os.WriteFile(path, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := writePage(path, "new"); err == nil || read() != bad {
			t.Errorf("writePage onto %q: %v, file is %q; want an error and no change", bad, err, read())
		}
	}
}

func TestPageOfTheProjectTakesTables(t *testing.T) {
	if _, err := page(filepath.Join("..", "..", "docs", "benchmarks.md"), "text"); err != nil {
		t.Error(err)
	}
}

func TestCheckLogLine(t *testing.T) {
	for _, tt := range []struct{ name, in, fault string }{
		{"the mock's tokens", `{"ai":{"proxy":{"usage":{"prompt_tokens":512,"completion_tokens":384,"total_tokens":896,"cost":0}}}}`, ""},
		{"estimated", `{"ai":{"proxy":{"usage":{"prompt_tokens":500,"completion_tokens":384,"total_tokens":884}}}}`, "the mock used"},
		{"no ai block", `{"request":{}}`, "the mock used"},
		{"half a line", `{"ai":{"proxy"`, "unexpected end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := checkLogLine([]byte(tt.in)); !wanted(err, tt.fault) {
				t.Errorf("checkLogLine(%s) = %v, want error with %q", tt.in, err, tt.fault)
			}
		})
	}
}

func TestTakeLogCountsAndEmpties(t *testing.T) {
	gw := &gateway{logFile: filepath.Join(t.TempDir(), "requests.log")}
	if lines, err := gw.takeLog(t.Context(), 0); lines != 0 || err != nil {
		t.Errorf("takeLog before the first line = %d, %v", lines, err)
	}
	if err := os.WriteFile(gw.logFile, []byte("{}\n{}\n{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if lines, err := gw.takeLog(t.Context(), 2); lines != 3 || err != nil {
		t.Errorf("takeLog = %d, %v; want 3", lines, err)
	}
	if info, err := os.Stat(gw.logFile); err != nil || info.Size() != 0 {
		t.Errorf("log after takeLog: %v, %v; want an empty file", info, err)
	}
}

func TestGibbonEnvHasNoStrangersSettings(t *testing.T) {
	t.Setenv("KONG_DATABASE", "postgres")
	t.Setenv("GIBBON_LOG_FORMAT", "json")
	t.Setenv("BENCH_OTHER", "stays")
	env := gibbonEnv(map[string]string{"KONG_ADMIN_LISTEN": "off"})
	for pair, want := range map[string]bool{
		"KONG_DATABASE=postgres": false, "GIBBON_LOG_FORMAT=json": false, "BENCH_OTHER=stays": true,
		"KONG_ADMIN_LISTEN=off": true, "GIBBON_DRAIN_DELAY=0s": true,
	} {
		if got := slices.Contains(env, pair); got != want {
			t.Errorf("environment has %s: %v, want %v", pair, got, want)
		}
	}
}

func TestMachine(t *testing.T) {
	const info = "processor\t: 0\nvendor_id\t: X\nmodel name\t: Some CPU @ 2.00GHz\ncache size\t: 1 KB\n"
	if got, want := cpuModel(info), "Some CPU @ 2.00GHz"; got != want {
		t.Errorf("cpuModel = %q, want %q", got, want)
	}
	if got := cpuModel("processor\t: 0\n"); got != "unknown" {
		t.Errorf("cpuModel without a name = %q", got)
	}
	built := &buildinfo.BuildInfo{GoVersion: "go1.26.8", Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"},
	}}
	if got, want := subject("0.1.0\n", built), "gibbon 0.1.0 at 0123456789ab, changed, built with go1.26.8"; got != want {
		t.Errorf("subject = %q, want %q", got, want)
	}
	for in, want := range map[string]string{
		"nginx version: nginx/1.22.1\n":                                            "1.22.1",
		"wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer\nUsage: wrk": "4.1.0",
		"permission denied": "unknown",
	} {
		if got := firstVersion(in); got != want {
			t.Errorf("firstVersion(%q) = %q, want %q", in, got, want)
		}
	}
}
