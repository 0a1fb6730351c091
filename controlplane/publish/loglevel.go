package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
)

// logLevelCapability is what a data plane says in its Hello when it can be asked
// for its log level.
const logLevelCapability = "log-level"

// maxCalls bounds the calls that wait for one data plane.
const maxCalls = 100

// LogLevelCall asks a data plane for its log level. With a level it sets that
// first, until the timeout if there is one; with Restore it has the level from
// before come back.
type LogLevelCall struct {
	Level   string
	Timeout time.Duration
	Restore bool
}

// LogLevel is what a data plane logs at least now, and what it goes back to
// after the time that is left; Original is Current when nothing comes back.
type LogLevel struct {
	Current, Original string
	Left              time.Duration
}

// ErrNotConnected says that a data plane has no stream to this control plane.
var ErrNotConnected = errors.New("it is not connected to this control plane")

// LogLevel asks a connected data plane, and returns when it has answered or ctx
// ends.
func (s *Server) LogLevel(ctx context.Context, id string, call LogLevelCall) (LogLevel, error) {
	answer := make(chan *clusterpb.LogLevelReport, 1)
	c, nonce, err := s.call(strings.ToLower(id), call, answer)
	if err != nil {
		return LogLevel{}, fmt.Errorf("data plane %s: %w", id, err)
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(c.calls, nonce)
		// Whoever was told that it failed must not see it happen later.
		c.queue = slices.DeleteFunc(c.queue, func(m *clusterpb.FollowResponse) bool { return m.GetLogLevel().GetNonce() == nonce })
	}()
	c.poke()
	select {
	case r := <-answer:
		l, err := levelOf(r)
		if err != nil {
			return l, fmt.Errorf("data plane %s: %w", id, err)
		}
		return l, nil
	case <-c.left:
		return LogLevel{}, fmt.Errorf("data plane %s: %w", id, ErrNotConnected)
	case <-ctx.Done():
		return LogLevel{}, fmt.Errorf("data plane %s does not answer: %w", id, ctx.Err())
	}
}

// call queues a call for the live session of a node.
func (s *Server) call(id string, call LogLevelCall, answer chan<- *clusterpb.LogLevelReport) (*session, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[id]
	if n == nil || n.live == nil {
		return nil, 0, ErrNotConnected
	}
	c := n.live
	switch {
	case !n.TakesLogLevel:
		return nil, 0, errors.New("its version has no log level that could be changed from here")
	case len(c.calls) >= maxCalls:
		return nil, 0, errors.New("too many calls wait for it")
	}
	s.calls++
	c.calls[s.calls] = answer
	c.queue = append(c.queue, &clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_LogLevel{LogLevel: &clusterpb.LogLevelCall{
		Nonce: s.calls, Level: call.Level, TimeoutSeconds: uint32(call.Timeout.Seconds()), Restore: call.Restore,
	}}})
	return c, s.calls, nil
}

// nextCall is the call that has waited longest, or nil.
func (c *session) nextCall() *clusterpb.FollowResponse {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if len(c.queue) == 0 {
		return nil
	}
	m := c.queue[0]
	c.queue = slices.Delete(c.queue, 0, 1)
	return m
}

// report hands an answer to who waits for it. The server's lock is held.
func (c *session) report(r *clusterpb.LogLevelReport) {
	if answer, ok := c.calls[r.GetNonce()]; ok {
		delete(c.calls, r.GetNonce())
		answer <- r // capacity 1, and one answer
	}
}

// levelOf reads what a data plane says, which is no more trusted than the rest.
func levelOf(r *clusterpb.LogLevelReport) (LogLevel, error) {
	if err := checkText("the error", r.GetError()); err != nil {
		return LogLevel{}, fmt.Errorf("it answered nonsense: %w", err)
	}
	if r.GetError() != "" {
		return LogLevel{}, errors.New(r.GetError())
	}
	for _, name := range []string{r.GetCurrentLevel(), r.GetOriginalLevel()} {
		if _, err := telemetry.ParseLevel(name); err != nil {
			return LogLevel{}, fmt.Errorf("it answered nonsense: %w", err)
		}
	}
	return LogLevel{r.GetCurrentLevel(), r.GetOriginalLevel(), time.Duration(r.GetTimeoutSeconds()) * time.Second}, nil
}
