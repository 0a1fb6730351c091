package admin

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/schema"

	"github.com/gibbon-gateway/gibbon/internal/telemetry"
)

// LogLevel is a log whose level can be seen and changed while it is in use, in
// Kong's words. A *telemetry.Log is one.
type LogLevel interface {
	Level() string
	// SetLevelFor changes the level until the timeout; 0 is for good.
	SetLevelFor(name string, timeout time.Duration) error
}

// defaultLevelTime is how long a changed level stays when the caller does not
// say, and maxLevelTime the longest that is not for good, in seconds.
const (
	defaultLevelTime = 60
	maxLevelTime     = 365 * 24 * 60 * 60
)

// logLevelRPC is Kong's name for what a data plane can do whose log level can be
// asked for.
const logLevelRPC = "kong.debug.log_level.v1"

// callTimeout is how long a data plane may take to answer.
const callTimeout = 5 * time.Second

// The paths for the log level of other nodes: the first two on a control plane,
// the third elsewhere.
const (
	dataPlaneLevelPath     = "/clustering/data-planes/{node_id}/log-level"
	controlPlanesLevelPath = "/debug/cluster/control-planes-nodes/log-level/{level}"
	clusterLevelPath       = "/debug/cluster/log-level/{level}"
)

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
	timeout, err := levelTime(ctx, in.Timeout)
	if err != nil {
		return nil, err
	}
	before := log.Level()
	if before == in.GetLevel() {
		return &adminpb.MessageResponse{Message: "log level is already " + before}, nil
	}
	if err := log.SetLevelFor(in.GetLevel(), timeout); err != nil {
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

// LevelChange is a change of a data plane's log level. One without a level has
// the level from before come back.
type LevelChange struct {
	Level   string
	Timeout time.Duration // 0: for good
}

// DataPlaneLevel is a data plane's log level, and the one that comes back after
// the time that is left.
type DataPlaneLevel struct {
	Current, Original string
	Left              time.Duration
}

// DataPlaneLogLevel implements adminpb.NodeServer.
func (n *node) DataPlaneLogLevel(ctx context.Context, in *adminpb.DataPlaneLogLevelRequest) (*adminpb.DataPlaneLogLevelResponse, error) {
	return n.dataPlaneLevel(ctx, in.GetNodeId(), nil)
}

// SetDataPlaneLogLevel implements adminpb.NodeServer.
func (n *node) SetDataPlaneLogLevel(ctx context.Context, in *adminpb.SetDataPlaneLogLevelRequest) (*adminpb.DataPlaneLogLevelResponse, error) {
	level := in.GetCurrentLevel()
	if text, ok := argument(carried(ctx), "current_level"); ok {
		level = text
	}
	if level == "" {
		return nil, badRequest(`Required parameter "current_level" is missing.`)
	}
	if _, err := telemetry.ParseLevel(level); err != nil {
		return nil, badRequest("unknown log level: " + level)
	}
	timeout, err := levelTime(ctx, in.Timeout)
	if err != nil {
		return nil, err
	}
	out, err := n.dataPlaneLevel(ctx, in.GetNodeId(), &LevelChange{level, timeout})
	if err != nil {
		return nil, err
	}
	telemetry.Notice(ctx, n.server.cfg.Log, "log level of a data plane changed", "node", in.GetNodeId(), "level_now", level,
		"timeout", timeout.String(), "actor", actorOf(ctx))
	if c := carried(ctx); c != nil {
		c.status = http.StatusCreated
	}
	return out, nil
}

// ResetDataPlaneLogLevel implements adminpb.NodeServer.
func (n *node) ResetDataPlaneLogLevel(ctx context.Context, in *adminpb.DataPlaneLogLevelRequest) (*adminpb.DataPlaneLogLevelResponse, error) {
	out, err := n.dataPlaneLevel(ctx, in.GetNodeId(), &LevelChange{})
	if err != nil {
		return nil, err
	}
	telemetry.Notice(ctx, n.server.cfg.Log, "log level of a data plane set back", "node", in.GetNodeId(), "level_now", out.GetCurrentLevel(),
		"actor", actorOf(ctx))
	if c := carried(ctx); c != nil {
		c.status = http.StatusNoContent
	}
	return out, nil
}

// dataPlaneLevel asks a data plane. Whatever hinders it is Kong's 500.
func (n *node) dataPlaneLevel(ctx context.Context, id string, change *LevelChange) (*adminpb.DataPlaneLogLevelResponse, error) {
	ask := n.server.cfg.DataPlaneLevel
	if ask == nil {
		return nil, errNoControlPlane()
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	level, err := ask(ctx, id, change)
	if err != nil {
		return nil, plain(http.StatusInternalServerError, err.Error())
	}
	return &adminpb.DataPlaneLogLevelResponse{
		CurrentLevel: level.Current, OriginalLevel: level.Original, Timeout: int32(math.Ceil(level.Left.Seconds())),
	}, nil
}

// levelTime is the argument timeout, which has whole seconds. It is 0 for one
// that never ends.
func levelTime(ctx context.Context, message *int32) (time.Duration, error) {
	seconds := float64(defaultLevelTime)
	if message != nil {
		seconds = float64(*message)
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
	switch v := c.body.Get(name); v.Kind() {
	case schema.Absent, schema.KindNull:
	case schema.KindString:
		return v.Text(), true
	default:
		return v.String(), true
	}
	return schema.FormValue(c.contentType, c.form, name)
}

// withoutDatabase tells whether the configuration comes from a file.
func (s *Server) withoutDatabase() bool {
	return s.cfg.Declarative != nil
}
