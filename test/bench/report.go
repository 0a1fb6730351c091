package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A bound is what a figure is held against. The zero value of either field is
// no bound.
type bound struct {
	must, target float64
	atLeast      bool // larger is better
}

// The bounds that the project has set itself, as ratios to nginx raw where
// they have no unit. "must" is what no release may be worse than.
var (
	boundCPU        = bound{must: 4.5, target: 3}
	boundThroughput = bound{must: 0.25, target: 0.4, atLeast: true}
	boundAdded      = bound{must: 4, target: 2.5}
	boundP99        = bound{must: 3.5, target: 2.5}
	boundLargeCPU   = bound{must: 6, target: 3.5}
	boundEventCPU   = bound{must: 2, target: 1.5}
	boundFirst      = bound{target: 400}          // µs
	boundSilent     = bound{must: 80, target: 45} // KB
	boundIdle       = bound{must: 64, target: 40} // MB
	boundStart      = bound{target: 1}            // s
	noBound         = bound{}
)

func (b bound) holds(limit, v float64) bool {
	if b.atLeast {
		return v >= limit
	}
	return v <= limit
}

// show writes one of the limits.
func (b bound) show(limit float64, unit string) string {
	if limit == 0 {
		return "–"
	}
	sign := "≤"
	if b.atLeast {
		sign = "≥"
	}
	return strings.TrimSpace(sign + " " + trimZeros(number(limit)) + " " + unit)
}

// verdict judges the median: which bound it meets, and how far it is from the
// next one that it does not meet.
func (b bound) verdict(s summary) string {
	if s.n == 0 {
		return "void"
	}
	off := func(limit float64) string {
		distance := s.median/limit - 1
		if b.atLeast {
			distance = limit/s.median - 1
		}
		// Rounded up: what does not meet a bound is not 0 % off it.
		return fmt.Sprintf("%d %%", int(math.Ceil(distance*100)))
	}
	switch {
	case b.target != 0 && b.holds(b.target, s.median):
		return "target met"
	case b.must != 0 && !b.holds(b.must, s.median):
		return "**missed** by " + off(b.must)
	case b.must != 0 && b.target == 0:
		return "must met"
	case b.must != 0:
		return "must met, target missed by " + off(b.target)
	case b.target != 0:
		return "target missed by " + off(b.target)
	}
	return "–"
}

func trimZeros(text string) string {
	if strings.Contains(text, ".") {
		return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// A row is one figure beside its bounds.
type row struct {
	figure string
	value  summary
	unit   string // "×" is a ratio to nginx raw
	bound  bound
}

// A writes holds one table row of times, in the unit of its values.
type writes struct {
	title, unit string
	values      []float64
}

// A report collects what the parts measure, in the order in which they do.
type report struct {
	Options options
	Machine machine
	Subject string // what was measured: version and build of gibbon
	Day     time.Time

	judged   []row // against nginx raw, and the other bounds of the data plane
	plain    []row // start, memory, size
	spreads  []writes
	cells    []cell
	results  map[cell]map[string]series
	perEvent map[string]summary // µs, by target
	perIdle  map[string]summary // KB, by target
	notes    []string
	voids    []string
}

func (r *report) note(text string) { r.notes = append(r.notes, text) }

func (r *report) aim(figure, unit string, value summary, b bound) {
	r.plain = append(r.plain, row{figure, value, unit, b})
}

func (r *report) spread(title, unit string, values []float64) {
	r.spreads = append(r.spreads, writes{title, unit, values})
}

func (r *report) judge(figure, unit string, values []float64, b bound) {
	r.judged = append(r.judged, row{figure, summarize(values), unit, b})
}

// unary takes the results of all loads and draws the ratios from them.
func (r *report) unary(cells []cell, results map[cell]map[string]series) {
	r.cells, r.results = cells, results
	for _, key := range []string{ai, bare} {
		held := func(b bound) bound {
			if key == bare { // the bounds are for the AI route
				return noBound
			}
			return b
		}
		for _, c := range cells {
			of, base := results[c][key], results[c][raw]
			name := fmt.Sprintf("%s, %s: ", titles[key], c)
			switch {
			case c.size == large:
				r.judge(name+"CPU per request", "×", ratios(of.of(cpu), base.of(cpu)), held(boundLargeCPU))
				continue
			case c.connections == 1:
				r.judge(name+"CPU per request", "×", ratios(of.of(cpu), base.of(cpu)), noBound)
				r.judge(name+"p50 added", "×", added(of.of(p50), base.of(p50), results[c][direct].of(p50)), held(boundAdded))
				continue
			}
			r.judge(name+"CPU per request", "×", ratios(of.of(cpu), base.of(cpu)), held(boundCPU))
			r.judge(name+"throughput", "×", ratios(of.of(perSecond), base.of(perSecond)), held(boundThroughput))
			if c.connections == 64 {
				r.judge(name+"p99", "×", ratios(of.of(p99), base.of(p99)), held(boundP99))
			}
		}
	}
}

// streams takes the CPU time per event in µs, by target and round.
func (r *report) streams(results map[string][]*float64) {
	r.perEvent = map[string]summary{}
	for key, values := range results {
		r.perEvent[key] = summarize(valid(values))
	}
	r.judge(fmt.Sprintf("%s, %d streams: CPU per event", titles[ai], r.Options.streams), "×", ratios(results[ai], results[raw]), boundEventCPU)
}

// silent takes the memory per silent stream in KB, by target and round.
func (r *report) silent(results map[string][]*float64) {
	r.perIdle = map[string]summary{}
	for key, values := range results {
		r.perIdle[key] = summarize(valid(values))
	}
	r.judge(fmt.Sprintf("%s, %s silent streams: resident memory of each", titles[ai], number(float64(r.Options.silent))), "KB", valid(results[ai]), boundSilent)
}

// A table is Markdown in the making.
type table struct{ strings.Builder }

func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	fmt.Fprintf(t, "| %s |\n", strings.Join(cells, " | "))
}

func (t *table) header(cells ...string) {
	t.row(cells...)
	fmt.Fprintf(t, "|%s\n", strings.Repeat(" --- |", len(cells)))
}

// rows writes figures beside their bounds.
func (t *table) rows(rows []row) {
	for _, one := range rows {
		value := one.value.String()
		if one.value.n > 0 {
			value += " " + one.unit
		}
		t.row(one.figure, value, one.bound.show(one.bound.must, one.unit), one.bound.show(one.bound.target, one.unit), one.bound.verdict(one.value))
	}
}

// markdown is the whole report. Parts that were not measured are not in it.
func (r *report) markdown() string {
	t := &table{}
	r.preamble(t)
	if len(r.judged) > 0 {
		t.WriteString("\n### Against nginx raw\n\n× is a ratio to nginx raw in the same round: median (lowest–highest). " +
			"The AI route has key-auth, ai-proxy and file-log, the bare route no plugin.\n\n")
		t.header("Figure", "Measured", "Must", "Target", "Verdict")
		t.rows(r.judged)
	}
	if r.results != nil {
		t.WriteString("\n### Requests, absolute\n\n")
		t.header("Load", "Through", "Requests/s", "p50 µs", "p99 µs", "CPU per request, µs")
		for _, c := range r.cells {
			for _, key := range []string{direct, raw, ai, bare} {
				s := r.results[c][key]
				if key == direct && !c.direct {
					continue
				}
				cost := "–"
				if key != direct {
					cost = summarize(valid(s.of(cpu))).String()
				}
				t.row(c.String(), titles[key], summarize(valid(s.of(perSecond))).String(),
					summarize(valid(s.of(p50))).String(), summarize(valid(s.of(p99))).String(), cost)
			}
		}
	}
	if r.perEvent != nil || r.perIdle != nil {
		t.WriteString("\n### Streams, absolute\n\n")
		t.header("Through", "CPU per event, µs", "Resident memory per silent stream, KB")
		for _, key := range []string{raw, ai} {
			t.row(titles[key], shown(r.perEvent, key), shown(r.perIdle, key))
		}
	}
	if len(r.plain) > 0 {
		t.WriteString("\n### Start, memory, size\n\n")
		t.header("Figure", "Measured", "Must", "Target", "Verdict")
		t.rows(r.plain)
	}
	if len(r.spreads) > 0 {
		t.WriteString("\n### Configuration writes\n\n")
		t.header("What", "p50", "p99", "Longest", "Writes")
		for _, w := range r.spreads {
			show := func(p float64) string {
				if len(w.values) == 0 {
					return "void"
				}
				return number(percentile(w.values, p)) + " " + w.unit
			}
			t.row(w.title, show(50), show(99), show(100), fmt.Sprint(len(w.values)))
		}
	}
	t.WriteString("\n")
	if len(r.voids) == 0 {
		t.WriteString("Errors and void measurements: none.\n")
	} else {
		fmt.Fprintf(t, "Void measurements, %d, not in the figures:\n\n", len(r.voids))
		for _, v := range r.voids {
			fmt.Fprintf(t, "- %s\n", v)
		}
	}
	return t.String()
}

// shown is a figure that may not have been measured at all.
func shown(of map[string]summary, key string) string {
	if of == nil {
		return "–"
	}
	return of[key].String()
}

// preamble says where and how the figures came about.
func (r *report) preamble(t *table) {
	m := r.Machine
	fmt.Fprintf(t, "%s, on %s, %d cores, %s, with nginx %s and wrk %s, client and upstream on the same machine; %s.\n",
		r.Subject, m.CPU, m.Cores, m.Kernel, m.Nginx, m.Wrk, r.Day.Format("2 January 2006"))
	fmt.Fprintf(t, "Rounds: %d; length of a load: %v; starts: %d.\n", r.Options.rounds, r.Options.cell, r.Options.starts)
	for _, n := range r.notes {
		fmt.Fprintf(t, "\n**%s**\n", n)
	}
}
