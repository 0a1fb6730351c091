package main

import (
	"context"
	"fmt"
	"time"
)

// A target is something that wrk can load.
type target struct {
	key, title string
	url        string
	headers    []string
	pid        int      // whose CPU time counts; 0 for nobody's
	log        *gateway // whose log must have a line for each request; nil for nobody's
}

// Keys of the targets, in all results.
const (
	direct = "direct"
	raw    = "raw"
	ai     = "ai"
	bare   = "bare"
)

var titles = map[string]string{
	direct: "straight to the mock",
	raw:    "nginx raw",
	ai:     "gibbon, AI route",
	bare:   "gibbon, bare route",
}

// A cell is one way to load: so many connections, a request of such a size.
type cell struct {
	connections, size int
	direct            bool // also without any proxy, for the latency that each adds
}

func (c cell) String() string {
	unit := "connections"
	if c.connections == 1 {
		unit = "connection"
	}
	return fmt.Sprintf("%d KB, %d %s", c.size>>10, c.connections, unit)
}

func (o options) cells() []cell {
	all := []cell{{1, small, true}, {16, small, false}, {64, small, false}}
	if o.many {
		all = append(all, cell{256, small, false})
	}
	return append(all, cell{16, large, false})
}

// A sample is one load of one target. A nil sample is a void one.
type sample struct {
	perSecond float64
	p50, p99  float64 // µs
	cpu       float64 // µs per request
}

// series are the samples of one target in one cell, by round.
type series []*sample

// of picks one figure of each round; void rounds stay nil.
func (s series) of(pick func(sample) float64) []*float64 {
	all := make([]*float64, len(s))
	for i, one := range s {
		if one != nil {
			v := pick(*one)
			all[i] = &v
		}
	}
	return all
}

// valid leaves the void rounds out.
func valid(values []*float64) []float64 {
	var all []float64
	for _, v := range values {
		if v != nil {
			all = append(all, *v)
		}
	}
	return all
}

func perSecond(s sample) float64 { return s.perSecond }
func p50(s sample) float64       { return s.p50 }
func p99(s sample) float64       { return s.p99 }
func cpu(s sample) float64       { return s.cpu }

// measureUnary loads every target in every cell in every round. The target
// that begins moves on by one each round, so that none is always the one that
// comes after another's noise.
func (l *lab) measureUnary(ctx context.Context, up *upstreams, gw *gateway) error {
	targets := []target{
		{direct, titles[direct], "http://" + up.mock + chatPath, nil, 0, nil},
		{raw, titles[raw], "http://" + up.raw + chatPath, nil, up.rawProcess.pid, nil},
		{ai, titles[ai], "http://" + gw.proxy + aiRoute, []string{"apikey: " + consumerKey}, gw.pid, gw},
		{bare, titles[bare], "http://" + gw.proxy + bareRoute, nil, gw.pid, nil},
	}
	results := map[cell]map[string]series{}
	for _, c := range l.cells() {
		results[c] = map[string]series{}
	}
	l.say("warming %d targets", len(targets))
	for _, c := range l.cells() {
		for _, t := range targets {
			if t.key == direct && !c.direct {
				continue
			}
			if _, err := l.loadOnce(ctx, c, t, l.warm); err != nil {
				return err
			}
		}
	}
	for round := range l.rounds {
		for _, c := range l.cells() {
			for i := range targets {
				t := targets[(i+round)%len(targets)]
				if t.key == direct && !c.direct {
					continue
				}
				s, err := l.loadOnce(ctx, c, t, l.cell)
				if err != nil {
					return err
				}
				results[c][t.key] = append(results[c][t.key], s)
				if s != nil {
					l.say("round %d, %s, %s: %.0f/s, p50 %.0f µs, p99 %.0f µs, CPU %.1f µs", round+1, c, t.title, s.perSecond, s.p50, s.p99, s.cpu)
				}
			}
		}
	}
	l.report.unary(l.cells(), results)
	return nil
}

// measureFormats loads routes whose callers and providers speak the same format,
// and such on which both bodies are written anew, beside nginx that passes the
// same ones on.
func (l *lab) measureFormats(ctx context.Context, up *upstreams, gw *gateway) error {
	key := []string{"apikey: " + consumerKey}
	for _, way := range []struct {
		name, path, route string
		cell              cell
		bound             bound
	}{
		{"OpenAI to OpenAI", briefPath, briefRoute, cell{16, brief, false}, boundCPU},
		{"OpenAI to Anthropic", claudePath, claudeRoute, cell{16, brief, false}, noBound},
		{"OpenAI to Anthropic", claudePath, claudeRoute, cell{16, large, false}, boundLargeCPU},
	} {
		targets := []target{
			{raw, titles[raw], "http://" + up.raw + way.path, nil, up.rawProcess.pid, nil},
			{ai, titles[ai], "http://" + gw.proxy + way.route, key, gw.pid, gw},
		}
		results := map[string]series{}
		for _, t := range targets {
			if _, err := l.loadOnce(ctx, way.cell, t, l.warm); err != nil {
				return err
			}
		}
		for round := range l.rounds {
			for i := range targets {
				t := targets[(i+round)%len(targets)]
				s, err := l.loadOnce(ctx, way.cell, t, l.cell)
				if err != nil {
					return err
				}
				results[t.key] = append(results[t.key], s)
				if s != nil {
					l.say("round %d, %s, %s, %s: CPU %.1f µs", round+1, way.name, way.cell, t.title, s.cpu)
				}
			}
		}
		l.report.judge(fmt.Sprintf("%s, %s, %s: CPU per request", titles[ai], way.name, way.cell), "×", ratios(results[ai].of(cpu), results[raw].of(cpu)), way.bound)
	}
	return nil
}

// loadOnce loads one target. A load with any error is void: it is told of, and
// the sample is nil.
func (l *lab) loadOnce(ctx context.Context, c cell, t target, d time.Duration) (*sample, error) {
	file, err := l.requestFile(c.size)
	if err != nil {
		return nil, err
	}
	var before, after time.Duration
	if t.pid != 0 {
		if before, err = cpuTime(t.pid); err != nil {
			return nil, err
		}
	}
	load, err := l.runWrk(ctx, c.connections, d, t.url, file, t.headers)
	if err != nil {
		return nil, err
	}
	if t.log != nil {
		lines, err := t.log.takeLog(ctx, load.requests)
		if err != nil {
			return nil, err
		}
		if load.faults == "" && lines < load.requests {
			load.faults = fmt.Sprintf("%d of %d log lines", lines, load.requests)
		}
	}
	// Read last, so that lines still to be written are in it.
	if t.pid != 0 {
		if after, err = cpuTime(t.pid); err != nil {
			return nil, err
		}
	}
	if load.faults != "" {
		l.void("%s, %s: %s", c, t.title, load.faults)
		return nil, nil
	}
	return &sample{
		perSecond: load.perSecond(),
		p50:       float64(load.p50.Microseconds()),
		p99:       float64(load.p99.Microseconds()),
		cpu:       float64((after - before).Microseconds()) / float64(load.requests),
	}, nil
}

// void records that a measurement does not count.
func (l *lab) void(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.report.voids = append(l.report.voids, text)
	l.say("VOID: %s", text)
}

// added divides what one proxy adds to the latency of the direct way by what
// another adds, round by round. Rounds in which the yardstick seems to add
// nothing say nothing.
func added(proxy, yardstick, without []*float64) []float64 {
	var all []float64
	for i := range min(len(proxy), len(yardstick), len(without)) {
		if proxy[i] == nil || yardstick[i] == nil || without[i] == nil {
			continue
		}
		if base := *yardstick[i] - *without[i]; base > 0 {
			all = append(all, (*proxy[i]-*without[i])/base)
		}
	}
	return all
}
