package publish

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

func able(h *clusterpb.Hello) { h.Capabilities = append(h.Capabilities, logLevelCapability) }

// asked is the next message that is no heartbeat, which must be a call.
func (p *dataPlane) asked() *clusterpb.LogLevelCall {
	p.t.Helper()
	for {
		m := p.recv()
		if m.GetHeartbeat() != nil {
			continue
		}
		if m.GetLogLevel() == nil {
			p.t.Fatalf("got %v, want a call", m)
		}
		return m.GetLogLevel()
	}
}

func (p *dataPlane) report(r *clusterpb.LogLevelReport) {
	p.t.Helper()
	p.send(&clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_LogLevel{LogLevel: r}})
}

type leveled struct {
	LogLevel
	err error
}

// ask calls a node beside the test.
func (r *rig) ask(id string, call LogLevelCall) <-chan leveled {
	out := make(chan leveled, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		l, err := r.LogLevel(ctx, id, call)
		out <- leveled{l, err}
	}()
	return out
}

func TestLogLevelCalls(t *testing.T) {
	for _, tt := range []struct {
		name   string
		call   LogLevelCall
		sent   *clusterpb.LogLevelCall
		report *clusterpb.LogLevelReport
		want   LogLevel
		err    string
	}{
		{
			"tell", LogLevelCall{}, &clusterpb.LogLevelCall{},
			&clusterpb.LogLevelReport{CurrentLevel: "debug", OriginalLevel: "notice", TimeoutSeconds: 7},
			LogLevel{"debug", "notice", 7 * time.Second}, "",
		},
		{
			"set", LogLevelCall{Level: "debug", Timeout: time.Minute}, &clusterpb.LogLevelCall{Level: "debug", TimeoutSeconds: 60},
			&clusterpb.LogLevelReport{CurrentLevel: "debug", OriginalLevel: "warn", TimeoutSeconds: 60},
			LogLevel{"debug", "warn", time.Minute}, "",
		},
		{
			"restore", LogLevelCall{Restore: true}, &clusterpb.LogLevelCall{Restore: true},
			&clusterpb.LogLevelReport{CurrentLevel: "warn", OriginalLevel: "warn"}, LogLevel{"warn", "warn", 0}, "",
		},
		{"a refusal", LogLevelCall{Level: "x"}, &clusterpb.LogLevelCall{Level: "x"}, &clusterpb.LogLevelReport{Error: "no such level"}, LogLevel{}, "no such level"},
		{"nonsense", LogLevelCall{}, &clusterpb.LogLevelCall{}, &clusterpb.LogLevelReport{CurrentLevel: "loud", OriginalLevel: "warn"}, LogLevel{}, "nonsense"},
		{"a refusal in two lines", LogLevelCall{}, &clusterpb.LogLevelCall{}, &clusterpb.LogLevelReport{Error: "a\nb"}, LogLevel{}, "nonsense"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, r *rig) {
				p := r.join(hello(nodeA, able))
				answer := r.ask(strings.ToUpper(nodeA), tt.call)
				got := p.asked()
				p.report(&clusterpb.LogLevelReport{Nonce: got.GetNonce() + 1, CurrentLevel: "emerg", OriginalLevel: "emerg"}) // of no call
				tt.report.Nonce, got.Nonce = got.GetNonce(), 0
				if d := cmp.Diff(tt.sent, got, protocmp.Transform()); d != "" {
					t.Errorf("call (-want +got):\n%s", d)
				}
				p.report(tt.report)
				p.report(tt.report) // once more than asked
				out := <-answer
				if out.LogLevel != tt.want || (out.err == nil) != (tt.err == "") || out.err != nil && !strings.Contains(out.err.Error(), tt.err) {
					t.Errorf("got %+v, %v; want %+v and %q", out.LogLevel, out.err, tt.want, tt.err)
				}
				p.quiet() // the stream goes on
			})
		})
	}
}

// TestLogLevelWhileASnapshotWaits sees that an answer that is due holds no call
// up, nor the other way round.
func TestLogLevelWhileASnapshotWaits(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		p := r.join(hello(nodeA, able))
		r.publish("e", 1, content("one"))
		m := p.manifest()
		first := r.ask(nodeA, LogLevelCall{})
		one := p.asked()
		second := r.ask(nodeA, LogLevelCall{})
		two := p.asked()
		p.ack(m)
		for _, c := range []*clusterpb.LogLevelCall{two, one} { // in another order
			p.report(&clusterpb.LogLevelReport{Nonce: c.GetNonce(), CurrentLevel: "info", OriginalLevel: "info"})
		}
		for _, answer := range []<-chan leveled{first, second} {
			if out := <-answer; out.err != nil || out.Current != "info" {
				t.Errorf("got %+v, %v", out.LogLevel, out.err)
			}
		}
		r.publish("e", 2, content("two"))
		p.ack(p.manifest())
	})
}

func TestLogLevelOfNobody(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		if out := <-r.ask(nodeA, LogLevelCall{}); !errors.Is(out.err, ErrNotConnected) {
			t.Errorf("an unknown node: %v", out.err)
		}
		r.join(hello(nodeB))
		if out := <-r.ask(nodeB, LogLevelCall{}); out.err == nil || !strings.Contains(out.err.Error(), "its version has no log level") {
			t.Errorf("a node that cannot: %v", out.err)
		}
		p := r.join(hello(nodeA, able))
		answer := r.ask(nodeA, LogLevelCall{})
		p.asked()
		p.hangUp()
		if out := <-answer; !errors.Is(out.err, ErrNotConnected) {
			t.Errorf("a node that leaves: %v", out.err)
		}
		if out := <-r.ask(nodeA, LogLevelCall{}); !errors.Is(out.err, ErrNotConnected) {
			t.Errorf("a node that has left: %v", out.err)
		}
		p = r.join(hello(nodeA, able, booted("boot-2")))
		began := time.Now()
		answer = r.ask(nodeA, LogLevelCall{})
		p.asked()
		if out := <-answer; !errors.Is(out.err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
			t.Errorf("a node that does not answer: %v after %s", out.err, time.Since(began))
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(r.nodes[nodeA].live.calls); n != 0 {
			t.Errorf("%d calls are remembered that nobody waits for", n)
		}
	})
}

// TestLogLevelCallsAreBounded asks a node that reads nothing.
func TestLogLevelCallsAreBounded(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		r.join(hello(nodeA, able))
		var answers []<-chan leveled
		for range maxCalls + 1 {
			answers = append(answers, r.ask(nodeA, LogLevelCall{}))
		}
		refused := 0
		for _, answer := range answers {
			if out := <-answer; out.err != nil && strings.Contains(out.err.Error(), "too many calls") {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("%d calls were refused, want 1", refused)
		}
	})
}

// TestLogLevelTooLate asks a node that is busy with a snapshot: what was reported
// as failed must not be asked for later.
func TestLogLevelTooLate(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		p := r.join(hello(nodeA, able))
		r.publish("e", 1, content(strings.Repeat("x", 4<<20)))
		if out := <-r.ask(nodeA, LogLevelCall{Level: "debug"}); !errors.Is(out.err, context.DeadlineExceeded) {
			t.Fatalf("a node that reads nothing: %v", out.err)
		}
		p.ack(p.manifest())
		p.quiet()
	})
}
