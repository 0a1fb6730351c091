package publish

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

func TestNack(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		r.publish("e1", 1, content("good"))
		p := r.join(hello(nodeA))
		p.ack(p.manifest())
		r.publish("e1", 2, content("bad"))
		m := p.manifest()
		p.nack(m, &clusterpb.Reason{EntityKind: "routes", EntityId: "42", EntityName: "r", Field: "paths", Message: "bad regex"})
		if err := r.WaitApplied(t.Context(), 2); err != nil {
			t.Errorf("WaitApplied of a refused version: %v", err)
		}
		n := r.node(nodeA)
		if n.Applied != at("e1", 1, "good") || n.Refused != at("e1", 2, "bad") || n.Status != StatusNormal {
			t.Errorf("applied %v, refused %v, status %s", n.Applied, n.Refused, n.Status)
		}
		want := []Reason{{Kind: "routes", ID: "42", Name: "r", Field: "paths", Message: "bad regex"}}
		if diff := cmp.Diff(want, n.Reasons); diff != "" {
			t.Errorf("reasons (-want +got):\n%s", diff)
		}
		if got := n.Reasons[0].String(); got != "routes r 42 paths: bad regex" {
			t.Errorf("the reason reads %q", got)
		}
		p.quiet() // not again

		// A higher version of the same content is refused with it.
		r.publish("e1", 3, content("bad"))
		p.quiet()
		if got := r.node(nodeA).Refused; got != at("e1", 3, "bad") {
			t.Errorf("Refused = %v, want version 3", got)
		}

		// Not to the same process on another stream either, but to a new process.
		q := r.join(hello(nodeA, holding(wire("e1", 1, "good"))))
		wantCode(t, p.end(), codes.Aborted, "replaced")
		q.quiet()
		if n := r.node(nodeA); len(n.Reasons) != 1 {
			t.Errorf("the reasons are gone: %v", n)
		}
		q.hangUp()
		synctest.Wait()
		p = r.join(hello(nodeA, holding(wire("e1", 1, "good")), booted("boot-2")))
		m = p.manifest()
		p.nack(m)
		synctest.Wait()
		if diff := cmp.Diff([]Reason{{Message: "refused without a reason"}}, r.node(nodeA).Reasons); diff != "" {
			t.Errorf("reasons (-want +got):\n%s", diff)
		}

		r.publish("e1", 4, content("better"))
		p.ack(p.manifest())
		synctest.Wait()
		if n := r.node(nodeA); n.Applied != at("e1", 4, "better") || n.Refused != (Position{}) || n.Reasons != nil {
			t.Errorf("after version 4: applied %v, refused %v %v", n.Applied, n.Refused, n.Reasons)
		}
	})
}

func TestReasonsAreBounded(t *testing.T) {
	many := make([]*clusterpb.Reason, 250)
	for i := range many {
		many[i] = &clusterpb.Reason{Message: fmt.Sprint(i)}
	}
	huge := strings.Repeat("é", maxReasonBytes) // two bytes each
	for _, tt := range []struct {
		name   string
		given  []*clusterpb.Reason
		number int
	}{
		{"none", nil, 1},
		{"too many", many, maxReasons},
		{"one too long", []*clusterpb.Reason{{Message: huge}}, 1},
		{"long ones", []*clusterpb.Reason{{EntityName: huge[:40<<10]}, {EntityName: huge[:40<<10], Field: "x"}, {Message: "unseen"}}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := reasonsOf(&clusterpb.Nack{Reasons: tt.given})
			size := 0
			for _, r := range got {
				size += len(r.Kind + r.ID + r.Name + r.Field + r.Message)
				if strings.ToValidUTF8(r.String(), "?") != r.String() {
					t.Error("a reason was cut inside a character")
				}
			}
			if len(got) != tt.number || size > maxReasonBytes {
				t.Errorf("kept %d reasons of %d bytes, want %d and %d at most", len(got), size, tt.number, maxReasonBytes)
			}
		})
	}
}

func TestAnswersThatDoNotCount(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(p *dataPlane, m *clusterpb.Manifest)
		ends   string // the stream with InvalidArgument
	}{
		{"an earlier nonce", func(p *dataPlane, m *clusterpb.Manifest) {
			m.Nonce--
			p.ack(m)
		}, ""},
		{"a refusal with a later nonce", func(p *dataPlane, m *clusterpb.Manifest) {
			m.Nonce++
			p.nack(m)
		}, ""},
		{"a heartbeat with the pending position", func(p *dataPlane, m *clusterpb.Manifest) {
			p.beat(m.GetPosition())
		}, ""},
		{"the right nonce and another position", func(p *dataPlane, m *clusterpb.Manifest) {
			m.Position = wire("e1", 7, "else")
			p.ack(m)
		}, "the answer to version 2 names another snapshot"},
		{"a heartbeat with half a hash", func(p *dataPlane, m *clusterpb.Manifest) {
			p.beat(&clusterpb.Position{Hash: m.GetPosition().GetHash()[:16]})
		}, "applied.hash has 16 bytes, not 32"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, r *rig) {
				r.publish("e1", 1, content("one"))
				p := r.join(hello(nodeA))
				p.ack(p.manifest())
				r.publish("e1", 2, content("two"))
				m, _ := p.snapshot()
				nonce := m.GetNonce()
				tt.answer(p, m)
				if tt.ends != "" {
					wantCode(t, p.end(), codes.InvalidArgument, tt.ends)
					return
				}
				r.publish("e1", 3, content("three"))
				p.quiet()
				if n := r.node(nodeA); n.Applied != at("e1", 1, "one") || n.Refused != (Position{}) {
					t.Errorf("applied %v, refused %v", n.Applied, n.Refused)
				}
				m.Position, m.Nonce = wire("e1", 2, "two"), nonce
				p.ack(m)
				if m := p.manifest(); m.GetPosition().GetVersion() != 3 {
					t.Errorf("then came %v, want version 3", m)
				}
				// The first answer counted; the same once more does not.
				p.ack(m)
				synctest.Wait()
				if got := r.node(nodeA).Applied; got != at("e1", 2, "two") {
					t.Errorf("Applied = %v", got)
				}
			})
		})
	}
}

func TestNoAnswerEndsTheStream(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		r.publish("e1", 1, content("one"))
		p := r.join(hello(nodeA))
		p.snapshot()
		began := time.Now()
		var err error
		for err == nil {
			if _, err = p.stream.Recv(); err == nil {
				p.beat(nil)
			}
		}
		wantCode(t, err, codes.DeadlineExceeded, "no answer to version 1")
		if waited := time.Since(began); waited != answerWait {
			t.Errorf("waited %s, want %s", waited, answerWait)
		}
	})
}

func TestSilenceEndsTheStream(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		p := r.join(hello(nodeA))
		began := time.Now()
		wantCode(t, p.end(), codes.DeadlineExceeded, "no heartbeat from the data plane")
		if waited := time.Since(began); waited != 45*time.Second {
			t.Errorf("dead after %s, want 45s", waited)
		}
	})
}

func TestOneNodeID(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		first := r.join(hello(nodeA))
		wantCode(t, r.open(hello(nodeA, booted("boot-2"))).end(), codes.AlreadyExists,
			"node id "+nodeA+" is in use by the data plane at bufconn")
		r.publish("e1", 1, content("one"))
		first.ack(first.manifest()) // the holder works on
		synctest.Wait()
		if got := r.node(nodeA).Applied; got != at("e1", 1, "one") {
			t.Errorf("Applied = %v", got)
		}

		second := r.join(hello(nodeA, holding(wire("e1", 1, "one")))) // the same process
		wantCode(t, first.end(), codes.Aborted, "replaced by a newer stream")
		synctest.Wait()
		if !r.node(nodeA).Connected {
			t.Error("the end of the replaced stream disconnected the node")
		}
		second.quiet()

		second.hangUp()
		synctest.Wait()
		r.join(hello(nodeA, booted("boot-2"))) // the id is free again
	})
}

func TestPluginMissing(t *testing.T) {
	bubble(t, Config{Plugins: map[string]string{"ai-proxy": "3.8.1", "key-auth": "3.8.0"}}, func(t *testing.T, r *rig) {
		r.publish("e1", 1, content("with both", "ai-proxy", "key-auth"))
		p := r.join(hello(nodeA, func(h *clusterpb.Hello) {
			h.Plugins = []*clusterpb.PluginVersion{{Name: "ai-proxy", Version: "3.8.1"}}
		}))
		p.quiet()
		n := r.node(nodeA)
		if n.Status != StatusPluginMissing || n.Message != "configured key-auth plugin 3.8.0 is missing from data plane" || !n.Connected {
			t.Errorf("listed as %s, %q, connected %t", n.Status, n.Message, n.Connected)
		}
		for v := uint64(1); v <= 2; v++ { // each version that it cannot have is settled
			r.publish("e1", v, content(fmt.Sprint("still both ", v), "ai-proxy", "key-auth"))
			if err := r.WaitApplied(t.Context(), v); err != nil {
				t.Errorf("WaitApplied(%d): %v", v, err)
			}
		}
		r.publish("e1", 3, content("without", "ai-proxy"))
		p.ack(p.manifest())
		synctest.Wait()
		if n := r.node(nodeA); n.Status != StatusNormal || n.Message != "" || n.Applied != at("e1", 3, "without") || n.Refused != (Position{}) {
			t.Errorf("afterwards listed as %+v", n)
		}
	})
}

func TestWaitApplied(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		waiting := func(version uint64) <-chan error {
			done := make(chan error, 1)
			go func() { done <- r.WaitApplied(t.Context(), version) }()
			synctest.Wait()
			return done
		}
		pending := func(done <-chan error) {
			t.Helper()
			synctest.Wait()
			select {
			case err := <-done:
				t.Fatalf("WaitApplied returned early with %v", err)
			default:
			}
		}
		one := waiting(1)
		pending(one) // nothing was published
		a, b := r.join(hello(nodeA)), r.join(hello(nodeB))
		r.publish("e1", 1, content("one"))
		pending(one)
		a.ack(a.manifest())
		pending(one)
		b.hangUp() // who is gone is not waited for
		if err := <-one; err != nil {
			t.Errorf("WaitApplied: %v", err)
		}

		two := waiting(2)
		r.publish("e1", 3, content("three")) // a later one counts
		a.ack(a.manifest())
		if err := <-two; err != nil {
			t.Errorf("WaitApplied: %v", err)
		}

		// What was applied in another epoch says nothing.
		r.publish("e2", 2, content("restored"))
		restored := waiting(2)
		pending(restored)
		a.ack(a.manifest())
		if err := <-restored; err != nil {
			t.Errorf("WaitApplied: %v", err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := r.WaitApplied(ctx, 9); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitApplied = %v, want the context's error", err)
		}
	})
}

// big is more than a stream and its connection take without being read.
var big = strings.Repeat("0123456789abcdef", 4<<20/16)

func TestStalledReaderIsCutAndDelaysNobody(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		slow, quick := r.join(hello(nodeA)), r.join(hello(nodeB))
		began := time.Now()
		r.publish("e1", 1, content(big))
		m, data := quick.snapshot()
		if len(data) != len(big) || time.Since(began) != 0 {
			t.Errorf("the quick one got %d bytes after %s", len(data), time.Since(began))
		}
		quick.ack(m)
		r.publish("e1", 2, content("two"))
		quick.ack(quick.manifest())
		if time.Since(began) != 0 {
			t.Errorf("version 2 took %s", time.Since(began))
		}
		for time.Since(began) < defaultStall-10*time.Second {
			if quick.recv().GetHeartbeat() == nil {
				t.Fatal("want nothing but heartbeats")
			}
			quick.beat(nil)
			slow.beat(nil) // it lives, but does not read
		}
		if !r.node(nodeA).Connected {
			t.Error("cut too early")
		}
		for r.node(nodeA).Connected {
			quick.recv()
			quick.beat(nil)
			slow.beat(nil)
		}
		if waited := time.Since(began); waited > defaultStall+11*time.Second {
			t.Errorf("the stalled one was cut after %s", waited)
		}
		if !r.node(nodeB).Connected {
			t.Error("the quick one was cut, too")
		}
	})
}

// Progress is no stall, however long the whole takes.
func TestSlowReaderIsNotCut(t *testing.T) {
	bubble(t, Config{Heartbeat: time.Hour}, func(t *testing.T, r *rig) {
		p := r.join(hello(nodeA))
		began := time.Now()
		r.publish("e1", 1, content(big))
		m := p.head()
		for got := 0; got < len(big); {
			time.Sleep(10 * time.Second) // of the bubble
			got += len(p.recv().GetFrame().GetData())
		}
		if waited := time.Since(began); waited < 2*defaultStall {
			t.Fatalf("only took %s", waited)
		}
		p.ack(m)
		synctest.Wait()
		if got := r.node(nodeA).Applied; got != at("e1", 1, big) {
			t.Errorf("Applied = %v", got)
		}
	})
}

// More stalled nodes than there are transfers at a time hold the others up for
// maxHold at most.
func TestStalledReadersGiveUpTheirTurn(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		for i := range maxTransfers {
			r.join(hello(fmt.Sprintf("0a5e2a3c-6a4f-4b0e-8d0c-%012d", i)))
		}
		r.publish("e1", 1, content(big))
		synctest.Wait()
		began := time.Now()
		p := r.join(hello(nodeA))
		if m, _ := p.snapshot(); m.GetPosition().GetVersion() != 1 {
			t.Errorf("got %v", m)
		}
		if waited := time.Since(began); waited != maxHold {
			t.Errorf("waited %s for its turn, want %s", waited, maxHold)
		}
	})
}

// What is sent is shared: no stream has a copy of its own.
func TestBuffersAreShared(t *testing.T) {
	s := New(Config{})
	if err := s.Publish("e1", 1, content(strings.Repeat("x", 3*frameSize))); err != nil {
		t.Fatal(err)
	}
	c := newCodec()
	for _, frame := range s.current.frames {
		first, err := c.Marshal(frame)
		if err != nil {
			t.Fatal(err)
		}
		second, err := c.Marshal(frame)
		if err != nil {
			t.Fatal(err)
		}
		if &first[0].ReadOnlyData()[0] != &second[0].ReadOnlyData()[0] {
			t.Fatal("two streams get two copies of a frame")
		}
	}
	// And an ordinary message still goes through grpc's codec.
	b, err := c.Marshal(&clusterpb.FollowResponse{})
	if err != nil || b.Len() != 0 {
		t.Errorf("Marshal of an empty message: %d bytes, %v", b.Len(), err)
	}
}
