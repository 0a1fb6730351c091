//go:build unix

package soak_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// sample is what the process holds at a moment, by its own metrics.
type sample struct {
	at                time.Duration
	goroutines, files int
	resident, live    float64 // MB; live is the heap behind the last collection
	modelCalls        int     // counted by the gateway
}

const mega = 1 << 20

// measure asks the status listener.
func (s *soak) measure(ctx context.Context) (sample, error) {
	answer, err := gibbon.Try(ctx, http.MethodGet, "http://"+s.node.Status+"/metrics", nil)
	if err != nil {
		return sample{}, err
	}
	one, err := readSample(answer.Body)
	one.at = time.Since(s.started)
	return one, err
}

func readSample(text string) (sample, error) {
	values := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if i := strings.LastIndex(line, "} "); i > 0 {
			name, _, _ = strings.Cut(name, "{")
			value = strings.TrimSpace(line[i+2:])
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		values[name] += v
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes", "go_gc_heap_live_bytes"} {
		if _, ok := values[name]; !ok {
			return sample{}, fmt.Errorf("the metrics lack %s", name)
		}
	}
	return sample{
		goroutines: int(values["go_goroutines"]), files: int(values["process_open_fds"]),
		resident: values["process_resident_memory_bytes"] / mega, live: values["go_gc_heap_live_bytes"] / mega,
		modelCalls: int(values["kong_ai_llm_requests_total"]),
	}, nil
}

// What a process may hold more at the end than at the beginning.
const slack = 5

// settle waits until the process holds no more than it did, and gives what it
// holds then, or at last.
func (s *soak) settle(t *testing.T, most sample) sample {
	t.Helper()
	s.client.CloseIdleConnections()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last sample
	for {
		one, err := s.measure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Twice the same, as connections go one after another.
		if one.goroutines <= most.goroutines+slack && one.files <= most.files+slack && one.files == last.files && one.goroutines == last.goroutines &&
			s.idle() || time.Now().After(deadline) {
			return one
		}
		last = one
		<-tick.C
	}
}

// idle says that no model has a call any more.
func (s *soak) idle() bool {
	for _, m := range s.models {
		if m.there.Load() > 0 {
			return false
		}
	}
	return true
}

// third is the median of one of three parts of the samples.
func (s *soak) third(n int, of func(sample) float64) float64 {
	part := s.samples[len(s.samples)*n/3 : len(s.samples)*(n+1)/3]
	values := make([]float64, 0, len(part))
	for _, one := range part {
		values = append(values, of(one))
	}
	return median(values)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func resident(one sample) float64 { return one.resident }
func live(one sample) float64     { return one.live }

// judge fails the test for all that was not as promised.
func (s *soak) judge(t *testing.T, before, after sample) {
	t.Helper()
	for _, failure := range s.failures {
		t.Error(failure)
	}
	if s.failed > len(s.failures) {
		t.Errorf("%d more", s.failed-len(s.failures))
	}
	came, calls := 0, 0
	for name, m := range s.models {
		came += int(m.came.Load())
		if n := m.there.Load(); n > 0 {
			t.Errorf("%s still has %d calls", name, n)
		}
		if n := m.stayed.Load(); n > 0 {
			t.Errorf("%s was not told of %d callers who left, or of times that were over", name, n)
		}
		if text := m.strange.Load(); text != nil {
			t.Errorf("%s got a call that nobody has made: %s", name, *text)
		}
	}
	for _, n := range s.done {
		calls += n
	}
	// A call may be left before it reaches its model.
	if after.modelCalls < came || after.modelCalls > calls {
		t.Errorf("the gateway counts %d calls of models; %d came to them, of %d that were made", after.modelCalls, came, calls)
	}
	if after.goroutines > before.goroutines+slack || after.files > before.files+slack {
		t.Errorf("%d goroutines and %d files at the end, %d and %d at the beginning", after.goroutines, after.files, before.goroutines, before.files)
	}
	if *duration < time.Minute {
		return // too short to say anything of memory
	}
	// Two thirds of the time lie between the middles of the first and the last third.
	grown, minutes := s.third(2, live)-s.third(0, live), duration.Minutes()*2/3
	if most := max(2, minutes); grown > most {
		t.Errorf("the live heap has grown by %.1f MB in %.1f minutes, want at most %.1f", grown, minutes, most)
	}
	first := s.third(0, resident)
	if grown, most := s.third(2, resident)-first, max(8, first/10); grown > most {
		t.Errorf("resident memory has grown by %.1f MB from %.1f MB, want at most %.1f", grown, first, most)
	}
}

// page is what the project's page of benchmarks shows of a run.
func (s *soak) page(before, after sample) string {
	var out strings.Builder
	calls := 0
	for _, n := range s.done {
		calls += n
	}
	slices.Sort(s.late)
	at := func(p int) time.Duration {
		if len(s.late) == 0 {
			return 0
		}
		return s.late[min(len(s.late)*p/100, len(s.late)-1)].Round(10 * time.Microsecond)
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&out, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	out.WriteString("| Endurance | |\n| --- | --- |\n")
	row("Load", "%v at %d calls a second, %d configuration changes", *duration, *rate, s.changes)
	row("Calls", "%d, of them %d streams; most at a time: %d", calls, s.streams, s.most)
	row("Left by their callers", "%d", s.done[endless])
	row("Faults of providers", "%d × 503, %d × connection cut, %d × no JSON, %d × silence", s.done[refuse], s.done[cut], s.done[malformed], s.done[stall])
	row("Answers that were not as expected", "%d", s.failed)
	row("Whole answers, from the planned moment: p50, p99", "%v, %v", at(50), at(99))
	row("Live heap, first and last third", "%.1f MB, %.1f MB", s.third(0, live), s.third(2, live))
	row("Resident memory, first and last third", "%.1f MB, %.1f MB", s.third(0, resident), s.third(2, resident))
	row("Goroutines, before and after", "%d, %d", before.goroutines, after.goroutines)
	row("Open files and sockets, before and after", "%d, %d", before.files, after.files)
	return out.String()
}
