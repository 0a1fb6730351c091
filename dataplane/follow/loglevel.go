package follow

import (
	"math"
	"time"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// logLevelCapability tells a control plane that it may send calls for the log
// level.
const logLevelCapability = "log-level"

// LogLevel is a log whose level the control plane sees and changes. A
// *telemetry.Log is one.
type LogLevel interface {
	Level() string
	SetLevelFor(name string, timeout time.Duration) error
	RestoreLevel()
	ChangedLevel() (original string, left time.Duration)
}

// logLevel does what a call asks for and answers it.
func (f *Follower) logLevel(call *clusterpb.LogLevelCall) *clusterpb.FollowRequest {
	r := &clusterpb.LogLevelReport{Nonce: call.GetNonce()}
	switch log := f.cfg.LogLevel; {
	case log == nil: // it was told that there is none
		r.Error = "the log level cannot be changed here"
	case call.GetRestore():
		log.RestoreLevel()
	case call.GetLevel() != "":
		before := log.Level()
		if err := log.SetLevelFor(call.GetLevel(), time.Duration(call.GetTimeoutSeconds())*time.Second); err != nil {
			r.Error = err.Error()
			break
		}
		f.cfg.Log.Warn("log level changed by the control plane", "level_now", call.GetLevel(), "level_before", before,
			"timeout_seconds", call.GetTimeoutSeconds())
	}
	if f.cfg.LogLevel != nil {
		original, left := f.cfg.LogLevel.ChangedLevel()
		r.CurrentLevel, r.OriginalLevel = f.cfg.LogLevel.Level(), original
		r.TimeoutSeconds = uint32(math.Ceil(left.Seconds()))
	}
	return &clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_LogLevel{LogLevel: r}}
}
