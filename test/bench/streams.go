package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// A streamTarget is something that streams can be opened through.
type streamTarget struct {
	key    string
	url    string
	header http.Header
	pid    int
	sent   int    // events that the mock sends
	events int    // events that come
	last   string // the last of them
}

// measureStreams counts the CPU time per event while streams flow evenly: such as
// pass, and such as are written in another format.
func (l *lab) measureStreams(ctx context.Context, up *upstreams, gw *gateway) error {
	same, err := l.flowRounds(ctx, []streamTarget{
		{raw, "http://" + up.rawStreams + eventsPath, nil, up.rawProcess.pid, allEvents, allEvents, doneMessage},
		{ai, "http://" + gw.proxy + streamRoute, keyHeader(), gw.pid, allEvents, allEvents, doneMessage},
	})
	if err != nil {
		return err
	}
	l.report.streams(same)
	cross, err := l.flowRounds(ctx, []streamTarget{
		{raw, "http://" + up.rawStreams + claudeEventsPath, nil, up.rawProcess.pid, claudeAll, claudeAll, claudeDone},
		{ai, "http://" + gw.proxy + claudeStreamRoute, keyHeader(), gw.pid, claudeAll, fromClaude, doneMessage},
	})
	if err != nil {
		return err
	}
	l.report.judge(fmt.Sprintf("%s, %d streams, Anthropic to OpenAI: CPU per event", titles[ai], l.streams), "×", ratios(cross[ai], cross[raw]), boundEventCPU)
	if _, err := gw.takeLog(ctx, 0); err != nil {
		return err
	}
	return l.measureFirst(ctx, up, gw)
}

// flowRounds gives the CPU time per event in µs, by target and round.
func (l *lab) flowRounds(ctx context.Context, targets []streamTarget) (map[string][]*float64, error) {
	results := map[string][]*float64{}
	l.say("warming streams")
	for _, t := range targets {
		if _, err := l.flowOnce(ctx, t, l.warm); err != nil {
			return nil, err
		}
	}
	for round := range l.rounds {
		for i := range targets {
			t := targets[(i+round)%len(targets)]
			perEvent, err := l.flowOnce(ctx, t, l.cell)
			if err != nil {
				return nil, err
			}
			results[t.key] = append(results[t.key], perEvent)
			if perEvent != nil {
				l.say("round %d, %d streams, %s: CPU %.2f µs per event", round+1, l.streams, titles[t.key], *perEvent)
			}
		}
	}
	return results, nil
}

// flowOnce keeps streams flowing for a duration and a little more, since each
// is read to its end, and returns the CPU time per event in µs. A wrong stream
// makes it void: nil.
func (l *lab) flowOnce(ctx context.Context, t streamTarget, d time.Duration) (*float64, error) {
	body, err := requestBody(small, true)
	if err != nil {
		return nil, err
	}
	client := newClient()
	defer client.CloseIdleConnections()
	before, err := cpuTime(t.pid)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(d)
	counts := make([]int, l.streams)
	group, groupCtx := errgroup.WithContext(ctx)
	for i := range l.streams {
		group.Go(func() error {
			// Spread over one pause, as streams of different clients are.
			if err := pause(groupCtx, tokenPause*time.Duration(i)/time.Duration(l.streams)); err != nil {
				return err
			}
			for time.Now().Before(deadline) {
				if err := readStream(groupCtx, client, t, body); err != nil {
					return err
				}
				counts[i] += t.sent
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		l.void("%d streams, %s: %v", l.streams, titles[t.key], err)
		return nil, nil
	}
	after, err := cpuTime(t.pid)
	if err != nil {
		return nil, err
	}
	events := 0
	for _, n := range counts {
		events += n
	}
	perEvent := float64((after - before).Microseconds()) / float64(events)
	return &perEvent, nil
}

// openStream sends a request for a stream.
func openStream(ctx context.Context, client *http.Client, t streamTarget, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range t.header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(res.Body, 1000))
		return nil, errors.Join(fmt.Errorf("%s answers %d %s", t.url, res.StatusCode, answer), err, res.Body.Close())
	}
	return res, nil
}

var dataPrefix = []byte("data: ")

// readStream reads one whole stream and wants all of it, in events.
func readStream(ctx context.Context, client *http.Client, t streamTarget, body []byte) (err error) {
	res, err := openStream(ctx, client, t, body)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	return countEvents(res.Body, t.events, t.last)
}

// countEvents reads to the end of a stream: so many events, and a certain one
// last.
func countEvents(body io.Reader, want int, end string) error {
	events, last := 0, ""
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if text, ok := bytes.CutPrefix(lines.Bytes(), dataPrefix); ok {
			events++
			if events >= want {
				last = string(text)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("stream broke after %d events: %w", events, err)
	}
	if events != want || last != end {
		return fmt.Errorf("stream ended after %d of %d events with %q", events, want, last)
	}
	return nil
}

// silentOnce opens many streams that fall silent after one event, and returns
// the resident memory that each costs the proxy, in bytes. The proxy should be
// freshly started: memory that a load has left behind would hide some.
func (l *lab) silentOnce(ctx context.Context, t streamTarget) (perStream float64, err error) {
	body, err := requestBody(small, true)
	if err != nil {
		return 0, err
	}
	client := newClient()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the streams
	defer client.CloseIdleConnections()

	open := func(ctx context.Context) error {
		res, err := openStream(ctx, client, t, body) // stays open until cancel
		if err != nil {
			return err
		}
		line := make([]byte, len(dataPrefix))
		if _, err := io.ReadFull(res.Body, line); err != nil {
			return errors.Join(fmt.Errorf("silent stream: %w", err), res.Body.Close())
		}
		if !bytes.Equal(line, dataPrefix) {
			return errors.Join(fmt.Errorf("silent stream begins with %q", line), res.Body.Close())
		}
		return nil
	}
	// The first loads what every stream shares.
	if err := open(ctx); err != nil {
		return 0, err
	}
	if err := pause(ctx, l.settle); err != nil {
		return 0, err
	}
	before, err := resident(t.pid)
	if err != nil {
		return 0, err
	}
	group := errgroup.Group{}
	group.SetLimit(50)
	for range l.silent {
		// Not the group's context: it ends with Wait, and the streams must not.
		group.Go(func() error { return open(ctx) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	if err := pause(ctx, l.settle); err != nil {
		return 0, err
	}
	after, err := resident(t.pid)
	if err != nil {
		return 0, err
	}
	return float64(after-before) / float64(l.silent), nil
}
