package echomodel

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	for _, tt := range []struct {
		tokensPerSecond float64
		token           int
		late            time.Duration // how much of the time had passed already
		want            time.Duration // since the start
	}{
		{0, 1000, 0, 0},
		{2, 1, 0, 500 * time.Millisecond},
		{2, 10, 0, 5 * time.Second},
		{2, 10, 3 * time.Second, 5 * time.Second},
		{2, 10, 7 * time.Second, 7 * time.Second},
		{1e-300, 1, 0, 365 * 24 * time.Hour},
		{1e300, 1, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			p := pace{start: start, tokensPerSecond: tt.tokensPerSecond}
			time.Sleep(tt.late)
			if err := p.wait(t.Context(), tt.token); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != tt.want {
				t.Errorf("token %d at %v per second, %s late: came after %s, want %s",
					tt.token, tt.tokensPerSecond, tt.late, got, tt.want)
			}
		})
	}
}

func TestSleepEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("sleep = %v after %s", err, time.Since(start))
		}
		if err := sleep(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("sleep of nothing after the end = %v", err)
		}
	})
}

// TestStopLetsAnswersFinish: a stream that runs when the server is told to
// stop comes to its end mark.
func TestStopLetsAnswersFinish(t *testing.T) {
	base, stop := startStoppable(t, Config{TokensPerSecond: 100, Grace: time.Hour})
	resp, err := newClient(t).Do(newRequest(t, "POST", base+chatPath, longWords+`,"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := make(chan string, 1)
	go func() {
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		body <- string(got)
	}()
	stop()
	if got := <-body; !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("stream ended with %q", got)
	}
}
