package main

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata")

func TestSummarize(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []float64
		want summary
		text string
	}{
		{"nothing", nil, summary{}, "void"},
		{"one", []float64{2.5}, summary{1, 2.5, 2.5, 2.5}, "2.50"},
		{"odd", []float64{3, 1, 200}, summary{3, 3, 1, 200}, "3.00 (1.00–200)"},
		{"even", []float64{4, 1, 2, 3}, summary{4, 2.5, 1, 4}, "2.50 (1.00–4.00)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := summarize(tt.in)
			if got != tt.want || got.String() != tt.text {
				t.Errorf("summarize(%v) = %+v, %q; want %+v, %q", tt.in, got, got, tt.want, tt.text)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, tt := range []struct {
		name string
		in   []float64
		p    float64
		want float64
	}{
		{"p50 of 100", hundred, 50, 50},
		{"p99 of 100", hundred, 99, 99},
		{"p100 of 100", hundred, 100, 100},
		{"p0 is the least", hundred, 0, 1},
		{"p99 of few is the most", []float64{5, 9, 7}, 99, 9},
		{"p50 of two is the lower", []float64{8, 4}, 50, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := percentile(tt.in, tt.p); got != tt.want {
				t.Errorf("percentile(%v) = %v, want %v", tt.p, got, tt.want)
			}
		})
	}
	if got := percentile(nil, 50); !math.IsNaN(got) {
		t.Errorf("percentile of nothing = %v", got)
	}
}

func TestNumber(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0.00", 0.254: "0.25", 9.994: "9.99", 9.996: "10.0", 12.34: "12.3", 99.96: "100",
		999.6: "1,000", 23226.4: "23,226", 1234567: "1,234,567", -4321: "-4,321", -0.5: "-0.50",
		math.Inf(1): "–", math.NaN(): "–",
	} {
		if got := number(in); got != want {
			t.Errorf("number(%v) = %q, want %q", in, got, want)
		}
	}
}

func at(values ...float64) []*float64 {
	all := make([]*float64, len(values))
	for i, v := range values {
		if !math.IsNaN(v) {
			all[i] = &v
		}
	}
	return all
}

func TestRatiosPairRounds(t *testing.T) {
	void := math.NaN()
	got := ratios(at(4, void, 9, 10, 3), at(2, 5, void, 4, 0))
	if diff := cmp.Diff([]float64{2, 2.5}, got); diff != "" {
		t.Errorf("ratios (-want +got):\n%s", diff)
	}
	// nginx adds 40, then nothing that could be divided by, then 10.
	got = added(at(100, 90, 50, 80), at(60, 20, 30, void), at(20, 20, 20, 20))
	if diff := cmp.Diff([]float64{2, 3}, got); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
}

func TestVerdict(t *testing.T) {
	some := func(v float64) summary { return summary{1, v, v, v} }
	for _, tt := range []struct {
		name  string
		bound bound
		in    summary
		want  string
	}{
		{"void", boundCPU, summary{}, "void"},
		{"no bound", noBound, some(9), "–"},
		{"exactly the target", boundCPU, some(3), "target met"},
		{"between", boundCPU, some(3.6), "must met, target missed by 20 %"},
		{"a hair over", boundCPU, some(3.0001), "must met, target missed by 1 %"},
		{"missed", boundCPU, some(9), "**missed** by 100 %"},
		{"at least, met", boundThroughput, some(0.5), "target met"},
		{"at least, between", boundThroughput, some(0.32), "must met, target missed by 25 %"},
		{"at least, missed", boundThroughput, some(0.2), "**missed** by 25 %"},
		{"only a target", boundStart, some(1.5), "target missed by 50 %"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.bound.verdict(tt.in); got != tt.want {
				t.Errorf("verdict(%v) = %q, want %q", tt.in.median, got, tt.want)
			}
		})
	}
}

// testReport is a small report with something in every table.
func testReport() *report {
	o := options{rounds: 2, cell: 3 * time.Second, starts: 2, streams: 64, silent: 1000}
	r := &report{
		Options: o, Subject: "gibbon 0123456789ab, built with go1.26.8",
		Machine: machine{CPU: "Some | CPU", Cores: 2, Kernel: "Linux 6.1 amd64", Nginx: "1.22.1", Wrk: "4.1.0"},
		Day:     time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC),
	}
	r.note("Something to know.")
	one := func(perSecond, p50, p99, cpu float64) *sample { return &sample{perSecond, p50, p99, cpu} }
	results := map[cell]map[string]series{}
	for _, c := range o.cells() {
		results[c] = map[string]series{
			raw:  {one(10000, 100, 1000, 30), one(12000, 110, 900, 28)},
			ai:   {one(5000, 220, 2000, 90), nil},
			bare: {one(6000, 200, 1900, 75), one(6600, 190, 2000, 70)},
		}
		if c.direct {
			results[c][direct] = series{one(40000, 20, 50, 0), one(41000, 20, 40, 0)}
		}
	}
	r.unary(o.cells(), results)
	r.streams(map[string][]*float64{raw: at(10, 12), ai: at(14, 20)})
	r.silent(map[string][]*float64{raw: at(15, 16), ai: at(70, 90)})
	r.aim("Start", "s", summarize([]float64{0.4, 0.6}), boundStart)
	r.aim("Size", "MB", summarize([]float64{41}), noBound)
	r.spread("Write to live", "ms", []float64{4, 1, 2, 3})
	r.spread("Write never made", "ms", nil)
	r.voids = append(r.voids, "2 KB, 64 connections: 3 × read")
	return r
}

func TestMarkdown(t *testing.T) {
	for name, r := range map[string]*report{
		"whole.md": testReport(),
		// What was not asked for is not there.
		"part.md": {
			Options: options{rounds: 1, cell: time.Second, starts: 1}, Subject: "gibbon", Day: testReport().Day,
			plain: []row{{"Start", summary{}, "s", boundStart}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, path := r.markdown(), filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}
