package follow

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const nodeID = "0a5e2a3c-6a4f-4b0e-8d0c-aaaaaaaaaaaa"

// made is a snapshot as a control plane would send it.
type made struct {
	manifest   *clusterpb.Manifest
	compressed []byte
	held       Held
}

// snap makes a snapshot with one entity, whose content is the text.
func snap(tb testing.TB, epoch string, version uint64, text string) made {
	tb.Helper()
	return pack(tb, epoch, version, &clusterpb.Snapshot{
		Format: 7, // whatever it is, Apply is asked
		Groups: []*clusterpb.Group{{Kind: "services", Entities: [][]byte{[]byte(text)}}},
	})
}

func pack(tb testing.TB, epoch string, version uint64, s *clusterpb.Snapshot) made {
	tb.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		tb.Fatal(err)
	}
	compressed := w.EncodeAll(raw, nil)
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	h := Held{epoch, version, sha256.Sum256(raw)}
	return made{
		manifest:   &clusterpb.Manifest{Position: position(h), Size: uint64(len(raw)), CompressedSize: uint64(len(compressed))},
		compressed: compressed,
		held:       h,
	}
}

func text(in Incoming) string {
	if g := in.Snapshot.GetGroups(); len(g) == 1 && len(g[0].GetEntities()) == 1 {
		return string(g[0].GetEntities()[0])
	}
	return fmt.Sprintf("%v", in.Snapshot)
}

// controlPlane is the other end, driven by hand: each stream runs script, which
// ends it by returning.
type controlPlane struct {
	clusterpb.UnimplementedClusterServer
	t      *testing.T
	script func(c *stream) error
	at     *bufconn.Listener
	down   atomic.Bool // refuses connections
	began  time.Time

	mu    sync.Mutex
	dials []time.Duration // when the follower dialled
	// Scripts and tests meet here; made inside the bubble.
	reached, further chan struct{}
}

type stream struct {
	clusterpb.Cluster_FollowServer
	t     *testing.T
	p     *controlPlane
	hello *clusterpb.Hello
	nonce uint64
}

func (p *controlPlane) Follow(s clusterpb.Cluster_FollowServer) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	return p.script(&stream{Cluster_FollowServer: s, t: p.t, p: p, hello: m.GetHello()})
}

// dialled says when, since the bubble began, the follower dialled.
func (p *controlPlane) dialled() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.dials)
}

func (c *stream) send(m *clusterpb.FollowResponse) {
	if err := c.Send(m); err != nil {
		c.t.Errorf("Send: %v", err)
	}
}

func (c *stream) welcome(change ...func(*clusterpb.Welcome)) {
	w := &clusterpb.Welcome{Protocol: 1, ControlPlaneId: "cp", HeartbeatMs: 10_000}
	for _, f := range change {
		f(w)
	}
	c.send(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Welcome{Welcome: w}})
}

func (c *stream) manifest(m *clusterpb.Manifest) {
	c.nonce++
	m = proto.CloneOf(m)
	m.Nonce = c.nonce
	c.send(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Manifest{Manifest: m}})
}

func (c *stream) frame(data []byte) {
	c.send(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Frame{Frame: &clusterpb.Frame{Data: data}}})
}

func (c *stream) heartbeat() {
	c.send(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Heartbeat{Heartbeat: &clusterpb.Heartbeat{}}})
}

// give sends a whole snapshot in two frames and returns the answer.
func (c *stream) give(m made) *clusterpb.FollowRequest {
	c.manifest(m.manifest)
	half := len(m.compressed) / 2
	c.frame(m.compressed[:half])
	c.frame(m.compressed[half:])
	return c.answer()
}

// answer is the next message that is no heartbeat; nil when the stream ended.
func (c *stream) answer() *clusterpb.FollowRequest {
	for {
		m, err := c.Recv()
		if err != nil {
			return nil
		}
		if m.GetHeartbeat() == nil {
			return m
		}
		c.heartbeat()
	}
}

func (c *stream) acked(m made) {
	c.t.Helper()
	a := c.give(m)
	if a.GetAck().GetNonce() != c.nonce || !proto.Equal(a.GetAck().GetPosition(), m.manifest.GetPosition()) {
		c.t.Errorf("version %d was answered with %v, want an ack", m.held.Version, a)
	}
}

// wantNack checks an answer and returns its first reason.
func (c *stream) wantNack(a *clusterpb.FollowRequest, contains string) {
	c.t.Helper()
	reasons := a.GetNack().GetReasons()
	if len(reasons) == 0 || a.GetNack().GetNonce() != c.nonce || !strings.Contains(reasons[0].GetMessage(), contains) {
		c.t.Errorf("the answer is %v, want a nack with %q", a, contains)
	}
}

// hold keeps the stream open until the data plane leaves.
func (c *stream) hold() error {
	c.answer()
	return nil
}

// bubble runs a Follower against a control plane in fake time. The follower
// stops after test has returned.
func bubble(t *testing.T, cfg Config, script func(c *stream) error, test func(t *testing.T, f *Follower, p *controlPlane)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &controlPlane{t: t, script: script, at: bufconn.Listen(64 << 10), began: time.Now(),
			reached: make(chan struct{}), further: make(chan struct{})}
		g := grpc.NewServer()
		clusterpb.RegisterClusterServer(g, p)
		served := make(chan error, 1)
		go func() { served <- g.Serve(p.at) }()
		if cfg.Dial == nil {
			cfg.Dial = func(ctx context.Context) (net.Conn, error) {
				p.mu.Lock()
				p.dials = append(p.dials, time.Since(p.began))
				p.mu.Unlock()
				if p.down.Load() {
					return nil, errors.New("connection refused")
				}
				return p.at.DialContext(ctx)
			}
		}
		if cfg.Apply == nil {
			cfg.Apply = func(context.Context, Incoming) error { return nil }
		}
		cfg.Node = Node{ID: nodeID, Hostname: "dp", Version: "3.8.1", Plugins: map[string]string{"ai-proxy": "3.8.1"}}
		f, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ran := make(chan error, 1)
		go func() { ran <- f.Run(ctx) }()
		test(t, f, p)
		stop()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		g.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestNew(t *testing.T) {
	apply := func(context.Context, Incoming) error { return nil }
	node := Node{ID: nodeID}
	for _, tt := range []struct {
		name string
		cfg  Config
		want string // "" for no error
	}{
		{"loopback", Config{Addresses: []string{"127.0.0.1:8005", "[::1]:8005", "localhost:8005"}, Apply: apply, Node: node}, ""},
		{"plaintext off loopback", Config{Addresses: []string{"127.0.0.1:8005", "10.0.0.1:8005"}, Apply: apply, Node: node},
			"control plane 10.0.0.1:8005 is not on loopback, and plaintext is refused off loopback"},
		{"plaintext to a name", Config{Addresses: []string{"cp.example:8005"}, Apply: apply, Node: node}, "plaintext is refused off loopback"},
		{"no port", Config{Addresses: []string{"127.0.0.1"}, Apply: apply, Node: node}, "plaintext is refused off loopback"},
		{"nobody to follow", Config{Apply: apply, Node: node}, "set cluster_control_plane"},
		{"no Apply", Config{Addresses: []string{"127.0.0.1:1"}, Node: node}, "no Apply"},
		{"no id", Config{Addresses: []string{"127.0.0.1:1"}, Apply: apply}, `node id "" is not a UUID`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.cfg)
			if tt.want == "" {
				if err != nil {
					t.Errorf("New: %v", err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestFollowsVersions(t *testing.T) {
	one, two, again := snap(t, "e1", 1, "one"), snap(t, "e1", 2, "two"), snap(t, "e1", 3, "two")
	bare, alien := snap(t, "e1", 4, "two"), snap(t, "e1", 5, "elsewhere")
	bare.manifest.ContentHeld, alien.manifest.ContentHeld = true, true
	var applied []string
	var advanced []uint64
	cfg := Config{
		Apply: func(_ context.Context, in Incoming) error {
			applied = append(applied, fmt.Sprintf("%s %d %s", in.Epoch, in.Version, text(in)))
			return nil
		},
		Advance: func(h Held) { advanced = append(advanced, h.Version) },
	}
	bubble(t, cfg, func(c *stream) error {
		want := &clusterpb.Hello{
			NodeId: nodeID, BootNonce: c.hello.GetBootNonce(), Hostname: "dp", Version: "3.8.1", ProtocolMin: 1, ProtocolMax: 1,
			Plugins: []*clusterpb.PluginVersion{{Name: "ai-proxy", Version: "3.8.1"}},
		}
		if diff := cmp.Diff(want, c.hello, protocmp.Transform()); diff != "" || c.hello.GetBootNonce() == "" {
			t.Errorf("hello (-want +got):\n%s", diff)
		}
		c.welcome()
		c.acked(one)
		c.acked(two)
		c.acked(again)
		c.manifest(bare.manifest)
		if a := c.answer(); a.GetAck().GetPosition().GetVersion() != 4 {
			t.Errorf("a version of known content was answered with %v", a)
		}
		c.manifest(alien.manifest)
		c.wantNack(c.answer(), "which this node does not hold")
		c.wantNack(c.give(one), "version 1 is lower than version 4, which this node holds")
		c.acked(snap(t, "e2", 1, "another epoch"))
		c.p.reached <- struct{}{}
		return c.hold()
	}, func(t *testing.T, f *Follower, p *controlPlane) {
		<-p.reached
		synctest.Wait()
		if diff := cmp.Diff([]string{"e1 1 one", "e1 2 two", "e2 1 another epoch"}, applied); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]uint64{3, 4}, advanced); diff != "" {
			t.Errorf("advanced (-want +got):\n%s", diff)
		}
		s := f.State()
		if !s.Connected || s.Address != "in-process" || s.Held.Epoch != "e2" || s.FromCache || s.Err != nil || s.RefusedErr != nil {
			t.Errorf("State = %+v", s)
		}
	})
}

func TestEpochChangedAllowsALowerVersion(t *testing.T) {
	five, three, two := snap(t, "e1", 5, "five"), snap(t, "e1", 3, "three"), snap(t, "e1", 2, "two")
	streams := 0
	bubble(t, Config{}, func(c *stream) error {
		if streams++; streams == 1 {
			c.welcome()
			c.acked(five)
			return status.Error(codes.Unavailable, "restart")
		}
		if h := c.hello.GetHeld(); !proto.Equal(h, five.manifest.GetPosition()) {
			t.Errorf("the second hello holds %v", h)
		}
		c.welcome(func(w *clusterpb.Welcome) { w.EpochChanged = true })
		c.acked(three)
		c.wantNack(c.give(two), "version 2 is lower than version 3") // for the first one only
		c.p.reached <- struct{}{}
		return c.hold()
	}, func(t *testing.T, f *Follower, p *controlPlane) {
		<-p.reached
		if s := f.State(); s.Held != three.held || s.Refused != two.held || s.RefusedErr == nil {
			t.Errorf("State = %+v", s)
		}
	})
}

func TestWhatCannotBeAppliedIsRefused(t *testing.T) {
	good := snap(t, "e1", 1, "good")
	for _, tt := range []struct {
		name  string
		bad   func(*made)
		apply func(ctx context.Context) error
		want  string
		whole []*clusterpb.Reason // when it matters
	}{
		{"wrong hash", func(m *made) { m.manifest.Position.Hash = make([]byte, 32) }, nil, "hash is ", nil},
		{"short hash", func(m *made) { m.manifest.Position.Hash = make([]byte, 31) }, nil, "hash has 31 bytes, not 32", nil},
		{"too large", func(m *made) { m.manifest.Size = maxSize + 1 }, nil, "snapshot has 268435457 bytes", nil},
		{"too large compressed", func(m *made) { m.manifest.CompressedSize = maxCompressed + 1 }, nil, "the limits are 268435456 and 67108864", nil},
		{"larger than configured", func(m *made) { m.manifest.CompressedSize = 5001 }, nil, "the limits are 268435456 and 5000", nil},
		{"empty", func(m *made) { m.manifest.CompressedSize = 0 }, nil, "snapshot is empty", nil},
		{"long epoch", func(m *made) { m.manifest.Position.Epoch = strings.Repeat("e", 257) }, nil, "epoch has 257 bytes", nil},
		{"size below the content's", func(m *made) { m.manifest.Size-- }, nil, "the manifest says", nil},
		{"no zstd", func(m *made) { m.compressed[0] ^= 1 }, nil, "decompress: ", nil},
		{"error", nil, func(context.Context) error { return errors.New("no memory") }, "no memory", nil},
		{"panic", nil, func(context.Context) error { panic("index out of range") }, "panic while the configuration was compiled: index out of range", nil},
		{"timeout", nil, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "not compiled within 30s", nil},
		{"reasons", nil, func(context.Context) error {
			return fmt.Errorf("build: %w", &RejectError{Reasons: []*clusterpb.Reason{
				{EntityKind: "routes", EntityId: "1", EntityName: "r", Field: "paths", Message: "bad \xff"}, {Message: "and so on"},
			}})
		}, "", []*clusterpb.Reason{
			{EntityKind: "routes", EntityId: "1", EntityName: "r", Field: "paths", Message: "bad \uFFFD"}, {Message: "and so on"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := snap(t, "e1", 2, "bad")
			if tt.bad != nil {
				tt.bad(&bad)
			}
			cfg := Config{Apply: func(ctx context.Context, in Incoming) error {
				if tt.apply != nil && in.Version == 2 {
					return tt.apply(ctx)
				}
				return nil
			}}
			if tt.name == "larger than configured" {
				cfg.MaxPayload = 5000
			}
			bubble(t, cfg, func(c *stream) error {
				c.welcome()
				c.acked(good)
				a := c.give(bad)
				if tt.whole != nil {
					if diff := cmp.Diff(tt.whole, a.GetNack().GetReasons(), protocmp.Transform()); diff != "" {
						t.Errorf("reasons (-want +got):\n%s", diff)
					}
				} else {
					c.wantNack(a, tt.want)
				}
				c.p.reached <- struct{}{}
				<-c.p.further
				c.acked(snap(t, "e1", 3, "better")) // the stream goes on
				c.p.reached <- struct{}{}
				return c.hold()
			}, func(t *testing.T, f *Follower, p *controlPlane) {
				<-p.reached
				if s := f.State(); s.RefusedErr == nil || s.Refused.Version != 2 || !s.Connected || s.Held != good.held {
					t.Errorf("State = %+v, want version 2 refused and version 1 held", s)
				}
				close(p.further)
				<-p.reached
				if s := f.State(); s.RefusedErr != nil || s.Held.Version != 3 {
					t.Errorf("State = %+v, want version 3 held", s)
				}
			})
		})
	}
}

func TestReasonsAreBounded(t *testing.T) {
	many := make([]*clusterpb.Reason, 250)
	for i := range many {
		many[i] = &clusterpb.Reason{Message: fmt.Sprint(i)}
	}
	for _, tt := range []struct {
		name   string
		err    error
		number int
	}{
		{"a long text", errors.New(strings.Repeat("é", maxReasonBytes)), 1},
		{"no reasons", &RejectError{}, 1},
		{"many", &RejectError{Reasons: many}, maxReasons},
		{"long ones", &RejectError{Reasons: []*clusterpb.Reason{
			{Message: strings.Repeat("x", 40<<10)}, {Message: strings.Repeat("y", 40<<10)}, {Message: "unseen"},
		}}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := reasons(tt.err)
			size := proto.Size(&clusterpb.Nack{Reasons: got})
			if len(got) != tt.number || size > maxReasonBytes+16*len(got) {
				t.Errorf("%d reasons of %d bytes, want %d", len(got), size, tt.number)
			}
		})
	}
	e := &RejectError{Reasons: []*clusterpb.Reason{{EntityKind: "routes", EntityId: "1", EntityName: "r", Field: "paths", Message: "bad"}, {}}}
	if got := e.Error(); got != "routes r (1): paths: bad (and 1 more)" {
		t.Errorf("Error() = %q", got)
	}
}

// A control plane that breaks the protocol is left for the longest pause: one
// that is newer or broken does not get better within seconds.
func TestBrokenProtocolEndsTheStream(t *testing.T) {
	m := snap(t, "e1", 1, "one")
	for _, tt := range []struct {
		name   string
		script func(c *stream)
		want   string
	}{
		{"no welcome", func(c *stream) { c.manifest(m.manifest) }, "did not begin with a welcome"},
		{"protocol 2", func(c *stream) { c.welcome(func(w *clusterpb.Welcome) { w.Protocol = 2 }) }, "chose protocol 2, this node speaks 1"},
		{"no heartbeat", func(c *stream) { c.welcome(func(w *clusterpb.Welcome) { w.HeartbeatMs = 0 }) }, "a heartbeat each 0s"},
		{"rare heartbeat", func(c *stream) { c.welcome(func(w *clusterpb.Welcome) { w.HeartbeatMs = 3_600_000 }) }, "a heartbeat each 1h0m0s"},
		{"two welcomes", func(c *stream) { c.welcome(); c.welcome() }, "a second welcome"},
		{"frame first", func(c *stream) { c.welcome(); c.frame([]byte("x")) }, "a frame without a manifest"},
		{"frames of more bytes", func(c *stream) { c.welcome(); c.manifest(m.manifest); c.frame(append(m.compressed, 0)) }, "frames of more than"},
		{"two manifests", func(c *stream) { c.welcome(); c.manifest(m.manifest); c.manifest(m.manifest) }, "a manifest before the frames"},
		{"refusal", func(c *stream) {
			c.send(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Refusal{Refusal: &clusterpb.Refusal{
				SyncStatus: "kong_version_incompatible", Message: "too new",
			}}})
		}, "refused by the control plane: too new (kong_version_incompatible)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{}, func(c *stream) error { tt.script(c); return c.hold() }, func(t *testing.T, f *Follower, p *controlPlane) {
				synctest.Wait()
				if err := f.State().Err; err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Err = %v, want %q", err, tt.want)
				}
				time.Sleep(refusedPause / 2) // of the bubble; the jitter takes half at most
				synctest.Wait()
				if at := p.dialled(); len(at) != 1 {
					t.Errorf("dialled at %v, want once", at)
				}
				time.Sleep(refusedPause / 2)
				synctest.Wait()
				if at := p.dialled(); len(at) != 2 {
					t.Errorf("dialled at %v, want twice", at)
				}
			})
		})
	}
}

func TestOutage(t *testing.T) {
	bubble(t, Config{}, func(c *stream) error {
		c.welcome()
		if _, ok := <-c.p.further; ok {
			return status.Error(codes.Unavailable, "killed")
		}
		return c.hold()
	}, func(t *testing.T, f *Follower, p *controlPlane) {
		synctest.Wait()
		p.down.Store(true)
		p.further <- struct{}{}
		began := time.Since(p.began)
		time.Sleep(10 * time.Minute) // of the bubble
		synctest.Wait()
		if s := f.State(); s.Connected || s.Err == nil {
			t.Errorf("State = %+v", s)
		}
		last, limit := began, minBackoff
		for i, at := range p.dialled()[1:] {
			if pause := at - last; pause > limit {
				t.Errorf("pause %d is %s, want %s at most", i+1, pause, limit)
			}
			last, limit = at, min(2*limit, maxBackoff)
		}
		if n := len(p.dialled()); n < 20 || n > 200 {
			t.Errorf("dialled %d times in 10 minutes", n)
		}
		// The control plane is back: no more than one pause is lost.
		p.down.Store(false)
		back := time.Now()
		for !f.State().Connected {
			if time.Since(back) > maxBackoff {
				t.Fatalf("not connected %s after the outage", time.Since(back))
			}
			time.Sleep(100 * time.Millisecond)
		}
		close(p.further)
	})
}

func TestServerNamesThePause(t *testing.T) {
	const asked = 1700 * time.Millisecond
	bubble(t, Config{}, func(c *stream) error {
		c.welcome()
		c.send(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_GoingAway{
			GoingAway: &clusterpb.GoingAway{RetryAfterMs: uint32(asked.Milliseconds())},
		}})
		return c.hold()
	}, func(t *testing.T, f *Follower, p *controlPlane) {
		time.Sleep(3*asked + time.Millisecond) // of the bubble
		synctest.Wait()
		if diff := cmp.Diff([]time.Duration{0, asked, 2 * asked, 3 * asked}, p.dialled()); diff != "" {
			t.Errorf("dialled at (-want +got):\n%s", diff)
		}
		if err := f.State().Err; err != nil {
			t.Errorf("Err = %v", err)
		}
	})
}

func TestSilentControlPlane(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(c *stream)
		after  time.Duration
	}{
		{"before the welcome", func(*stream) {}, dialLimit},
		{"after the welcome", func(c *stream) { c.welcome() }, 45 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{}, func(c *stream) error { tt.script(c); <-c.Context().Done(); return nil },
				func(t *testing.T, f *Follower, _ *controlPlane) {
					time.Sleep(tt.after - time.Millisecond)
					synctest.Wait()
					if err := f.State().Err; err != nil {
						t.Errorf("given up early: %v", err)
					}
					time.Sleep(2 * time.Millisecond)
					synctest.Wait()
					if err := f.State().Err; !errors.Is(err, errSilent) {
						t.Errorf("Err = %v, want %v", err, errSilent)
					}
				})
		})
	}
}

// A snapshot that came whole is applied even if its stream is gone by then.
func TestApplyOutlivesTheStream(t *testing.T) {
	one := snap(t, "e1", 1, "one")
	streams := 0
	bubble(t, Config{Apply: func(ctx context.Context, _ Incoming) error {
		select {
		case <-time.After(5 * time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}, func(c *stream) error {
		if streams++; streams == 1 {
			c.welcome()
			c.manifest(one.manifest)
			c.frame(one.compressed)
			time.Sleep(time.Second) // of the bubble
			return status.Error(codes.Unavailable, "killed")
		}
		if !proto.Equal(c.hello.GetHeld(), one.manifest.GetPosition()) {
			t.Errorf("the next hello holds %v", c.hello.GetHeld())
		}
		c.welcome()
		return c.hold()
	}, func(t *testing.T, f *Follower, _ *controlPlane) {
		time.Sleep(5*time.Second + minBackoff)
		synctest.Wait()
		if s := f.State(); !s.Connected || s.Held != one.held || streams != 2 {
			t.Errorf("State = %+v after %d streams", s, streams)
		}
	})
}
