package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// wrkScript sends one request over and over, rendered once, and ends with one
// line that a program can read. Its arguments are the file of the body and
// then headers.
const wrkScript = `local text

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = assert(file:read("*a"))
  file:close()
  wrk.headers["Content-Type"] = "application/json"
  for i = 2, #args do
    local name, value = args[i]:match("^([^:]+): *(.*)$")
    wrk.headers[name] = value
  end
  text = wrk.format()
end

function request()
  return text
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "\nbench: requests=%d duration=%d p50=%d p99=%d connect=%d read=%d write=%d status=%d timeout=%d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
`

// A load is the outcome of one run of wrk.
type load struct {
	requests int
	duration time.Duration
	p50, p99 time.Duration
	faults   string // socket errors and wrong statuses; empty for none
}

func (l load) perSecond() float64 { return float64(l.requests) / l.duration.Seconds() }

// parseLoad finds the script's line in what wrk has written.
func parseLoad(out string) (load, error) {
	for line := range strings.Lines(out) {
		rest, ok := strings.CutPrefix(line, "bench: ")
		if !ok {
			continue
		}
		values := map[string]int{}
		for _, pair := range strings.Fields(rest) {
			name, text, _ := strings.Cut(pair, "=")
			n, err := strconv.Atoi(text)
			if err != nil {
				return load{}, fmt.Errorf("wrk's %s: %w", name, err)
			}
			values[name] = n
		}
		for _, name := range []string{"requests", "duration", "p50", "p99", "connect", "read", "write", "status", "timeout"} {
			if _, ok := values[name]; !ok {
				return load{}, fmt.Errorf("wrk's line lacks %s: %q", name, line)
			}
		}
		l := load{
			requests: values["requests"],
			duration: time.Duration(values["duration"]) * time.Microsecond,
			p50:      time.Duration(values["p50"]) * time.Microsecond,
			p99:      time.Duration(values["p99"]) * time.Microsecond,
		}
		var faults []string
		for _, name := range []string{"connect", "read", "write", "status", "timeout"} {
			if values[name] > 0 {
				faults = append(faults, fmt.Sprintf("%d × %s", values[name], name))
			}
		}
		l.faults = strings.Join(faults, ", ")
		if l.faults == "" && (l.requests == 0 || l.duration == 0) {
			l.faults = "not one answer"
		}
		return l, nil
	}
	return load{}, fmt.Errorf("wrk's output has no line of the script: %q", out)
}

// runWrk loads a target for about a duration, which wrk counts in seconds.
func (l *lab) runWrk(ctx context.Context, connections int, d time.Duration, url, bodyFile string, headers []string) (load, error) {
	args := []string{
		"-t1", "-c" + strconv.Itoa(connections), fmt.Sprintf("-d%ds", int(d.Seconds())), "--timeout", "20s",
		"-s", l.wrkScript, "--", url, bodyFile,
	}
	cmd := exec.CommandContext(ctx, l.wrk, append(args, headers...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseLoad(string(out))
}
