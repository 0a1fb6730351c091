package follow

import (
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"

	"github.com/gibbon-gateway/gibbon/internal/telemetry"
)

// TestLogLevel has a control plane see and change the level, with the log itself.
func TestLogLevel(t *testing.T) {
	log, err := telemetry.NewLog(telemetry.Config{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	done := false
	bubble(t, Config{LogLevel: log}, func(c *stream) error {
		if d := cmp.Diff([]string{"log-level"}, c.hello.GetCapabilities()); d != "" {
			t.Errorf("capabilities (-want +got):\n%s", d)
		}
		c.welcome()
		for _, tt := range []struct {
			call *clusterpb.LogLevelCall
			want *clusterpb.LogLevelReport
		}{
			{&clusterpb.LogLevelCall{Nonce: 5}, &clusterpb.LogLevelReport{Nonce: 5, CurrentLevel: "notice", OriginalLevel: "notice"}},
			{
				&clusterpb.LogLevelCall{Nonce: 6, Level: "debug", TimeoutSeconds: 30},
				&clusterpb.LogLevelReport{Nonce: 6, CurrentLevel: "debug", OriginalLevel: "notice", TimeoutSeconds: 30},
			},
			{
				&clusterpb.LogLevelCall{Nonce: 7, Level: "loud"},
				&clusterpb.LogLevelReport{Nonce: 7, CurrentLevel: "debug", OriginalLevel: "notice", TimeoutSeconds: 30, Error: `"loud" is not a log level`},
			},
			{&clusterpb.LogLevelCall{Nonce: 8, Restore: true}, &clusterpb.LogLevelReport{Nonce: 8, CurrentLevel: "notice", OriginalLevel: "notice"}},
			{&clusterpb.LogLevelCall{Nonce: 9, Level: "error"}, &clusterpb.LogLevelReport{Nonce: 9, CurrentLevel: "error", OriginalLevel: "error"}},
		} {
			c.send(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_LogLevel{LogLevel: tt.call}})
			if d := cmp.Diff(tt.want, c.answer().GetLogLevel(), protocmp.Transform()); d != "" {
				t.Errorf("%v (-want +got):\n%s", tt.call, d)
			}
		}
		done = true
		return c.hold()
	}, func(t *testing.T, f *Follower, p *controlPlane) { time.Sleep(time.Second) })
	if !done {
		t.Error("the control plane did not get to its end")
	}
	if log.Level() != "error" {
		t.Errorf("the level is %s", log.Level())
	}
}

// TestLogLevelThatIsNone answers a call that no honest control plane makes.
func TestLogLevelThatIsNone(t *testing.T) {
	bubble(t, Config{}, func(c *stream) error {
		if n := len(c.hello.GetCapabilities()); n != 0 {
			t.Errorf("%d capabilities", n)
		}
		c.welcome()
		c.send(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_LogLevel{LogLevel: &clusterpb.LogLevelCall{Nonce: 1}}})
		if got := c.answer().GetLogLevel(); got.GetNonce() != 1 || got.GetError() == "" {
			t.Errorf("answered %v", got)
		}
		return c.hold()
	}, func(t *testing.T, f *Follower, p *controlPlane) { time.Sleep(time.Second) })
}
