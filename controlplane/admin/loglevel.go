package admin

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/schema"

	"github.com/gibbon-gateway/gibbon/internal/telemetry"
)

// LogLevel is a log whose level can be seen and changed while it is in use, in
// Kong's words. A *telemetry.Log is one.
type LogLevel interface {
	Level() string
	SetLevel(name string) error
}

// defaultLevelTime is how long a changed level stays when the caller does not
// say, and maxLevelTime the longest that is not for good, in seconds.
const (
	defaultLevelTime = 60
	maxLevelTime     = 365 * 24 * 60 * 60
)

// The paths for the log level of all nodes: the first on a control plane, the
// second elsewhere.
const (
	controlPlanesLevelPath = "/debug/cluster/control-planes-nodes/log-level/{level}"
	clusterLevelPath       = "/debug/cluster/log-level/{level}"
)

// levels changes a log's level for a while. The zero value is ready.
type levels struct {
	mu    sync.Mutex
	until *time.Timer // nil: the level in force is there for good
	set   string      // the level that is in force until then
	back  string      // the level that comes back
}

// change sets a level that is none that the log knows as an error. After the
// timeout the level from before the first of several changes comes back; 0 is for
// good.
func (l *levels) change(log LogLevel, level string, timeout time.Duration, returned func(level string)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := log.Level()
	if l.until != nil && before == l.set {
		before = l.back
	}
	if err := log.SetLevel(level); err != nil {
		return err
	}
	l.stop()
	if timeout == 0 {
		return nil
	}
	l.set, l.back = level, before
	var timer *time.Timer
	timer = time.AfterFunc(timeout, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.until != timer {
			return // another change came first
		}
		l.until = nil
		// A reload may have set a level meanwhile, which then is the one that counts.
		if log.Level() == l.set && log.SetLevel(l.back) == nil {
			returned(l.back)
		}
	})
	l.until = timer
	return nil
}

// stop forgets what would come back. l.mu is held.
func (l *levels) stop() {
	if l.until != nil {
		l.until.Stop()
		l.until = nil
	}
}

// close is the end of all changes.
func (l *levels) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop()
}

// LogLevel implements adminpb.NodeServer.
func (n *node) LogLevel(context.Context, *adminpb.LogLevelRequest) (*adminpb.MessageResponse, error) {
	log := n.server.cfg.LogLevel
	if log == nil {
		return nil, errNotFound()
	}
	return &adminpb.MessageResponse{Message: "log level: " + log.Level()}, nil
}

// SetLogLevel implements adminpb.NodeServer.
func (n *node) SetLogLevel(ctx context.Context, in *adminpb.SetLogLevelRequest) (*adminpb.MessageResponse, error) {
	s := n.server
	log := s.cfg.LogLevel
	if log == nil {
		return nil, errNotFound()
	}
	if s.withoutDatabase() {
		return nil, plain(http.StatusMethodNotAllowed, "cannot change log level when not using a database")
	}
	if _, err := telemetry.ParseLevel(in.GetLevel()); err != nil {
		return nil, badRequest("unknown log level: " + in.GetLevel())
	}
	timeout, err := levelTime(ctx, in)
	if err != nil {
		return nil, err
	}
	before := log.Level()
	if before == in.GetLevel() {
		return &adminpb.MessageResponse{Message: "log level is already " + before}, nil
	}
	err = s.levels.change(log, in.GetLevel(), timeout, func(level string) {
		telemetry.Notice(context.Background(), s.cfg.Log, "log level is back", "level_now", level)
	})
	if err != nil {
		return nil, fmt.Errorf("change the log level: %w", err)
	}
	telemetry.Notice(ctx, s.cfg.Log, "log level changed", "level_now", in.GetLevel(), "level_before", before, "timeout", timeout.String(), "actor", actorOf(ctx))
	return &adminpb.MessageResponse{Message: "log level changed"}, nil
}

// SetClusterLogLevel implements adminpb.NodeServer. Control planes do not talk to
// each other, so this is the only one that it reaches.
func (n *node) SetClusterLogLevel(ctx context.Context, in *adminpb.SetLogLevelRequest) (*adminpb.MessageResponse, error) {
	return n.SetLogLevel(ctx, in)
}

// levelTime is the argument timeout, which has whole seconds. It is 0 for one
// that never ends.
func levelTime(ctx context.Context, in *adminpb.SetLogLevelRequest) (time.Duration, error) {
	seconds := float64(defaultLevelTime)
	if in.Timeout != nil {
		seconds = float64(in.GetTimeout())
	}
	if text, ok := argument(carried(ctx), "timeout"); ok {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) {
			return 0, badRequest("timeout must be a number")
		}
		seconds = n
	}
	if seconds < 0 {
		return 0, badRequest("timeout must be greater than or equal to 0")
	}
	return time.Duration(min(math.Ceil(seconds), maxLevelTime)) * time.Second, nil
}

// argument finds an argument of a REST call in its query or in its body, which
// belongs to no schema.
func argument(c *carrier, name string) (string, bool) {
	if c == nil {
		return "", false
	}
	if text, ok := last(c.query, name); ok {
		return text, true
	}
	return argumentOf(c, name)
}

// argumentOf finds an argument in the body of a REST call.
func argumentOf(c *carrier, name string) (string, bool) {
	if v := c.body.Get(name); !v.IsAbsent() && !v.IsNull() {
		return cmp.Or(v.Text(), v.String()), true
	}
	return schema.FormValue(c.contentType, c.form, name)
}

// withoutDatabase tells whether the configuration comes from a file.
func (s *Server) withoutDatabase() bool {
	return s.cfg.Declarative != nil
}
