package publish

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/snapshot"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	nodeA = "0a5e2a3c-6a4f-4b0e-8d0c-aaaaaaaaaaaa"
	nodeB = "0a5e2a3c-6a4f-4b0e-8d0c-bbbbbbbbbbbb"
)

// content is a snapshot whose hash follows from its text.
func content(text string, plugins ...string) *snapshot.Snapshot {
	return &snapshot.Snapshot{
		Compressed: []byte(text),
		Size:       len(text),
		Hash:       sha256.Sum256([]byte(text)),
		Entities:   map[string]uint64{"services": 1},
		Plugins:    plugins,
	}
}

func at(epoch string, version uint64, text string) Position {
	return Position{Epoch: epoch, Version: version, Hash: fmt.Sprintf("%x", sha256.Sum256([]byte(text)))}
}

func wire(epoch string, version uint64, text string) *clusterpb.Position {
	sum := sha256.Sum256([]byte(text))
	return &clusterpb.Position{Epoch: epoch, Version: version, Hash: sum[:]}
}

// rig is a Server on an in-memory listener, inside a synctest bubble.
type rig struct {
	*Server
	t  *testing.T
	at *bufconn.Listener
}

// bubble runs a test of a Server; time is the bubble's.
func bubble(t *testing.T, cfg Config, test func(t *testing.T, r *rig), options ...grpc.ServerOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{Server: New(cfg), t: t, at: bufconn.Listen(64 << 10)}
		g := grpc.NewServer(append(ServerOptions(), options...)...)
		clusterpb.RegisterClusterServer(g, r.Server)
		served := make(chan error, 1)
		go func() { served <- g.Serve(r.at) }()
		t.Cleanup(func() {
			r.Close()
			g.Stop()
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
		test(t, r)
	})
}

func (r *rig) publish(epoch string, version uint64, snap *snapshot.Snapshot) {
	r.t.Helper()
	if err := r.Publish(epoch, version, snap); err != nil {
		r.t.Fatalf("Publish(%q, %d): %v", epoch, version, err)
	}
}

func (r *rig) node(id string) Node {
	r.t.Helper()
	for _, n := range r.Nodes() {
		if n.ID == id {
			return n
		}
	}
	r.t.Fatalf("node %s is not listed", id)
	return Node{}
}

// dataPlane is the data plane's end of a stream, driven by hand.
type dataPlane struct {
	t      *testing.T
	stream clusterpb.Cluster_FollowClient
	hangUp func()
}

func hello(id string, change ...func(*clusterpb.Hello)) *clusterpb.Hello {
	h := &clusterpb.Hello{
		NodeId: id, BootNonce: "boot-1", Hostname: "dp-1", Version: "3.8.1", GibbonVersion: "0.1.0",
		ProtocolMin: 1, ProtocolMax: 1,
	}
	for _, f := range change {
		f(h)
	}
	return h
}

func holding(p *clusterpb.Position) func(*clusterpb.Hello) {
	return func(h *clusterpb.Hello) { h.Held = p }
}

func booted(nonce string) func(*clusterpb.Hello) {
	return func(h *clusterpb.Hello) { h.BootNonce = nonce }
}

// open dials and sends the first message, nil for none.
func (r *rig) open(h *clusterpb.Hello) *dataPlane {
	r.t.Helper()
	conn, err := grpc.NewClient("passthrough:///cp", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return r.at.DialContext(ctx) }))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := clusterpb.NewClusterClient(conn).Follow(ctx)
	if err != nil {
		r.t.Fatalf("Follow: %v", err)
	}
	p := &dataPlane{t: r.t, stream: stream, hangUp: func() {
		cancel()
		if err := conn.Close(); err != nil && status.Code(err) != codes.Canceled {
			r.t.Errorf("close: %v", err)
		}
	}}
	r.t.Cleanup(p.hangUp)
	if h != nil {
		p.send(&clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Hello{Hello: h}})
	}
	return p
}

// join is open up to the Welcome.
func (r *rig) join(h *clusterpb.Hello) *dataPlane {
	r.t.Helper()
	p := r.open(h)
	p.welcome()
	return p
}

func (p *dataPlane) welcome() *clusterpb.Welcome {
	p.t.Helper()
	m := p.recv()
	if m.GetWelcome() == nil {
		p.t.Fatalf("first response is %v, want a welcome", m)
	}
	return m.GetWelcome()
}

func (p *dataPlane) send(m *clusterpb.FollowRequest) {
	p.t.Helper()
	// EOF: the stream has ended, and Recv says why.
	if err := p.stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
		p.t.Fatalf("Send: %v", err)
	}
}

func (p *dataPlane) recv() *clusterpb.FollowResponse {
	p.t.Helper()
	m, err := p.stream.Recv()
	if err != nil {
		p.t.Fatalf("Recv: %v", err)
	}
	return m
}

// end reads until the stream ends and returns its status.
func (p *dataPlane) end() error {
	for {
		if _, err := p.stream.Recv(); err != nil {
			return err
		}
	}
}

// manifest is the next snapshot's, whose frames are read, too.
func (p *dataPlane) manifest() *clusterpb.Manifest {
	p.t.Helper()
	m, _ := p.snapshot()
	return m
}

// head is the next message that is no heartbeat, which must be a manifest.
func (p *dataPlane) head() *clusterpb.Manifest {
	p.t.Helper()
	for {
		m := p.recv()
		if m.GetHeartbeat() != nil {
			p.beat(nil)
			continue
		}
		if m.GetManifest() == nil {
			p.t.Fatalf("got %v, want a manifest", m)
		}
		return m.GetManifest()
	}
}

// snapshot receives a manifest and all its frames.
func (p *dataPlane) snapshot() (*clusterpb.Manifest, string) {
	p.t.Helper()
	m := p.head()
	var data []byte
	for !m.GetContentHeld() && uint64(len(data)) < m.GetCompressedSize() {
		f := p.recv().GetFrame()
		if f == nil {
			p.t.Fatal("the manifest was not followed by its frames")
		}
		data = append(data, f.GetData()...)
	}
	return m, string(data)
}

// quiet fails when anything but a heartbeat arrives before the third heartbeat:
// the server has nothing to send.
func (p *dataPlane) quiet() {
	p.t.Helper()
	for range 3 {
		if m := p.recv(); m.GetHeartbeat() == nil {
			p.t.Fatalf("got %v, want nothing but heartbeats", m)
		}
		p.beat(nil)
	}
}

func (p *dataPlane) beat(applied *clusterpb.Position) {
	p.t.Helper()
	p.send(&clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Heartbeat{Heartbeat: &clusterpb.Heartbeat{Applied: applied}}})
}

func (p *dataPlane) ack(m *clusterpb.Manifest) {
	p.t.Helper()
	p.send(&clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Ack{Ack: &clusterpb.Ack{Position: m.GetPosition(), Nonce: m.GetNonce()}}})
}

func (p *dataPlane) nack(m *clusterpb.Manifest, reasons ...*clusterpb.Reason) {
	p.t.Helper()
	p.send(&clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Nack{Nack: &clusterpb.Nack{
		Position: m.GetPosition(), Nonce: m.GetNonce(), Reasons: reasons,
	}}})
}

func wantCode(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(err.Error(), text) {
		t.Errorf("the stream ended with %v, want %s with %q", err, code, text)
	}
}

func TestWelcome(t *testing.T) {
	bubble(t, Config{ID: "cp-1", Version: "3.8.1", Heartbeat: 7 * time.Second}, func(t *testing.T, r *rig) {
		began := time.Now()
		w := r.open(hello(strings.ToUpper(nodeA), func(h *clusterpb.Hello) { h.Labels = map[string]string{"zone": "b"} })).welcome()
		if w.GetProtocol() != 1 || w.GetControlPlaneId() != "cp-1" || w.GetHeartbeatMs() != 7000 || w.GetEpochChanged() {
			t.Errorf("welcome is %v", w)
		}
		want := Node{
			ID: nodeA, Hostname: "dp-1", IP: "bufconn", Version: "3.8.1", GibbonVersion: "0.1.0",
			Labels: map[string]string{"zone": "b"}, Status: StatusNormal, Connected: true, FirstSeen: began, LastSeen: began,
		}
		if diff := cmp.Diff([]Node{want}, r.Nodes()); diff != "" {
			t.Errorf("Nodes (-want +got):\n%s", diff)
		}
	})
}

func TestRefusal(t *testing.T) {
	plugins := map[string]string{"key-auth": "3.8.1", "ai-proxy": "3.8.1"}
	for _, tt := range []struct {
		name    string
		hello   func(*clusterpb.Hello)
		status  SyncStatus
		message string
	}{
		{"same version", func(*clusterpb.Hello) {}, StatusNormal, ""},
		{"newer patch", func(h *clusterpb.Hello) { h.Version = "3.8.9" }, StatusNormal, ""},
		{"older minor", func(h *clusterpb.Hello) { h.Version = "3.7.0" }, StatusNormal, ""},
		{"newer minor", func(h *clusterpb.Hello) { h.Version = "3.9.0" }, StatusVersionIncompatible,
			"data plane version 3.9.0 is incompatible with older control plane version 3.8.1"},
		{"older major", func(h *clusterpb.Hello) { h.Version = "2.9.0" }, StatusVersionIncompatible,
			"data plane version 2.9.0 is incompatible with control plane version 3.8.1"},
		{"newer major", func(h *clusterpb.Hello) { h.Version = "4.0.0" }, StatusVersionIncompatible,
			"data plane version 4.0.0 is incompatible with control plane version 3.8.1"},
		{"no version", func(h *clusterpb.Hello) { h.Version = "" }, StatusVersionIncompatible,
			`data plane version "" is not a version`},
		{"protocol of tomorrow", func(h *clusterpb.Hello) { h.ProtocolMin, h.ProtocolMax = 2, 3 }, StatusVersionIncompatible,
			"the data plane speaks protocol 2 to 3, this control plane 1"},
		{"newer plugin", func(h *clusterpb.Hello) {
			h.Plugins = []*clusterpb.PluginVersion{{Name: "key-auth", Version: "3.9.0"}}
		}, StatusPluginIncompatible, "plugin key-auth 3.9.0 of the data plane is incompatible with the control plane's 3.8.1"},
		{"older plugin", func(h *clusterpb.Hello) {
			h.Plugins = []*clusterpb.PluginVersion{{Name: "key-auth", Version: "3.7.0"}}
		}, StatusNormal, ""},
		{"plugin of the node's own", func(h *clusterpb.Hello) {
			h.Plugins = []*clusterpb.PluginVersion{{Name: "mine", Version: "9.9"}}
		}, StatusNormal, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{Version: "3.8.1", Plugins: plugins}, func(t *testing.T, r *rig) {
				p := r.open(hello(nodeA, tt.hello))
				m := p.recv()
				if tt.status == StatusNormal {
					if m.GetWelcome() == nil {
						t.Errorf("got %v, want a welcome", m)
					}
				} else {
					if got := m.GetRefusal(); got.GetSyncStatus() != string(tt.status) || got.GetMessage() != tt.message {
						t.Errorf("got %v, want %s: %s", m, tt.status, tt.message)
					}
					if err := p.end(); !errors.Is(err, io.EOF) {
						t.Errorf("after the refusal the stream ended with %v", err)
					}
				}
				if n := r.node(nodeA); n.Status != tt.status || n.Message != tt.message || n.Connected != (tt.status == StatusNormal) {
					t.Errorf("listed as %q, %q, connected %t", n.Status, n.Message, n.Connected)
				}
			})
		})
	}
}

func TestHelloBounds(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for _, tt := range []struct {
		name  string
		hello func(*clusterpb.Hello)
		want  string
	}{
		{"no id", func(h *clusterpb.Hello) { h.NodeId = "" }, "node_id must be a valid UUID"},
		{"id in braces", func(h *clusterpb.Hello) { h.NodeId = "{" + nodeA + "}" }, "node_id must be a valid UUID"},
		{"no nonce", func(h *clusterpb.Hello) { h.BootNonce = "" }, "boot_nonce is missing"},
		{"long hostname", func(h *clusterpb.Hello) { h.Hostname = long }, "hostname has 257 bytes, the limit is 256"},
		{"newline in hostname", func(h *clusterpb.Hello) { h.Hostname = "a\nb" }, "hostname has a control character"},
		{"C1 control in version", func(h *clusterpb.Hello) { h.Version = "3.8\u009b" }, "version has a control character"},
		{"long label", func(h *clusterpb.Hello) { h.Labels = map[string]string{"a": long} }, "a label has 257 bytes"},
		{"too many labels", func(h *clusterpb.Hello) {
			h.Labels = map[string]string{}
			for i := range 11 {
				h.Labels[fmt.Sprint(i)] = ""
			}
		}, "11 labels, the limit is 10"},
		{"too many plugins", func(h *clusterpb.Hello) {
			for range maxNames + 1 {
				h.Plugins = append(h.Plugins, &clusterpb.PluginVersion{})
			}
		}, "1025 plugins or capabilities, the limit is 1024"},
		{"long plugin", func(h *clusterpb.Hello) { h.Plugins = []*clusterpb.PluginVersion{{Name: long}} }, "a plugin's name has 257 bytes"},
		{"long capability", func(h *clusterpb.Hello) { h.Capabilities = []string{long} }, "a capability has 257 bytes"},
		{"short hash", func(h *clusterpb.Hello) { h.Held = &clusterpb.Position{Hash: []byte("x")} }, "held.hash has 1 bytes, not 32"},
		{"long epoch", func(h *clusterpb.Hello) { h.Held = wire(long, 1, "") }, "held.epoch has 257 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, r *rig) {
				wantCode(t, r.open(hello(nodeA, tt.hello)).end(), codes.InvalidArgument, tt.want)
				if got := r.Nodes(); len(got) != 0 {
					t.Errorf("Nodes = %v, want none", got)
				}
			})
		})
	}
}

func TestFirstMessage(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		p := r.open(nil)
		p.beat(nil)
		wantCode(t, p.end(), codes.InvalidArgument, "the first message must be a hello")

		began := time.Now()
		wantCode(t, r.open(nil).end(), codes.DeadlineExceeded, "no hello")
		if waited := time.Since(began); waited != helloWait {
			t.Errorf("waited %s for the hello, want %s", waited, helloWait)
		}

		p = r.join(hello(nodeA))
		p.send(&clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Hello{Hello: hello(nodeA)}})
		wantCode(t, p.end(), codes.InvalidArgument, "a second hello")
	})
}

func TestSnapshotIsSent(t *testing.T) {
	bubble(t, Config{ID: "cp-1"}, func(t *testing.T, r *rig) {
		long := strings.Repeat("0123456789abcdef", (frameSize+frameSize/2)/16)
		p := r.join(hello(nodeA))
		r.publish("e1", 5, content(long))
		m, data := p.snapshot()
		if data != long {
			t.Errorf("got %d bytes in frames, want the %d of the snapshot", len(data), len(long))
		}
		if got := positionOf(m.GetPosition()); got != at("e1", 5, long) {
			t.Errorf("position %v", got)
		}
		if m.GetSize() != uint64(len(long)) || m.GetNonce() != 1 || m.GetControlPlaneId() != "cp-1" || m.GetEntities()["services"] != 1 ||
			m.GetCreatedUnixMs() != time.Now().UnixMilli() {
			t.Errorf("manifest %v", m)
		}
		p.ack(m)
		if err := r.WaitApplied(t.Context(), 5); err != nil {
			t.Errorf("WaitApplied: %v", err)
		}
		if got := r.node(nodeA).Applied; got != at("e1", 5, long) {
			t.Errorf("Applied = %v", got)
		}
		p.quiet()
	})
}

func TestMailboxHoldsTheNewest(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		r.publish("e1", 1, content("one"))
		p := r.join(hello(nodeA))
		first, _ := p.snapshot()
		for v := uint64(2); v <= 9; v++ {
			r.publish("e1", v, content(fmt.Sprint("content ", v)))
		}
		r.publish("e1", 4, content("late")) // a reader that came too late
		if got, ok := r.Published(); !ok || got != at("e1", 9, "content 9") {
			t.Errorf("Published = %v, %t", got, ok)
		}
		p.quiet() // the first one was not answered
		p.ack(first)
		second, data := p.snapshot()
		if second.GetPosition().GetVersion() != 9 || data != "content 9" || second.GetNonce() != 2 {
			t.Errorf("after version 1 came %v with %q, want version 9", second, data)
		}
		p.ack(second)
		p.quiet()
	})
}

func TestResume(t *testing.T) {
	for _, tt := range []struct {
		name string
		held *clusterpb.Position
		sent bool // anything at all
		bare bool // a manifest without frames
		cut  bool
	}{
		{"nothing held", nil, true, false, false},
		{"the same", wire("e1", 5, "now"), false, false, false},
		{"older", wire("e1", 4, "then"), true, false, false},
		{"older with the same content", wire("e1", 4, "now"), true, true, false},
		{"same version of other content", wire("e1", 5, "else"), true, false, false},
		{"higher than ever committed", wire("e1", 6, "lost"), true, false, true},
		{"another epoch", wire("e0", 3, "lost"), true, false, true},
		{"another epoch with the same content", wire("e0", 9, "now"), true, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, r *rig) {
				r.publish("e1", 5, content("now"))
				p := r.open(hello(nodeA, holding(tt.held)))
				if w := p.welcome(); w.GetEpochChanged() != tt.cut {
					t.Errorf("epoch_changed = %t, want %t", w.GetEpochChanged(), tt.cut)
				}
				if got := r.node(nodeA).Applied; got != positionOf(tt.held) {
					t.Errorf("Applied = %v, want what was held", got)
				}
				if !tt.sent {
					p.quiet()
					return
				}
				m, _ := p.snapshot()
				if m.GetContentHeld() != tt.bare {
					t.Errorf("content_held = %t, want %t", m.GetContentHeld(), tt.bare)
				}
				p.ack(m)
				synctest.Wait()
				if got := r.node(nodeA).Applied; got != at("e1", 5, "now") {
					t.Errorf("Applied = %v", got)
				}
			})
		})
	}
}

// A control plane that lags behind another one must not set a node back.
func TestLaggingControlPlane(t *testing.T) {
	committed := func(v store.Version, err error) func(context.Context) (store.Version, error) {
		return func(context.Context) (store.Version, error) { return v, err }
	}
	for _, tt := range []struct {
		name      string
		published Position // zero: nothing yet
		committed func(context.Context) (store.Version, error)
		held      *clusterpb.Position
		code      codes.Code // of a stream that was not welcomed
		cut       bool
		sent      bool
	}{
		{"it lags in the same epoch", Position{"e1", 8, ""}, committed(store.Version{Epoch: "e1", Number: 10}, nil),
			wire("e1", 10, "ten"), codes.OK, false, false},
		{"it lags in a former epoch", Position{"e0", 80, ""}, committed(store.Version{Epoch: "e1", Number: 10}, nil),
			wire("e1", 10, "ten"), codes.OK, false, false},
		{"it has nothing yet", Position{}, committed(store.Version{Epoch: "e1", Number: 10}, nil),
			wire("e1", 10, "ten"), codes.OK, false, false},
		{"the database was set back", Position{"e1", 8, ""}, committed(store.Version{Epoch: "e1", Number: 8}, nil),
			wire("e1", 10, "ten"), codes.OK, true, true},
		{"the database does not answer and matters", Position{"e1", 8, ""}, committed(store.Version{}, errors.New("away")),
			wire("e1", 10, "ten"), codes.Unavailable, false, false},
		{"the database does not answer and does not matter", Position{"e1", 12, ""}, committed(store.Version{}, errors.New("away")),
			wire("e1", 10, "ten"), codes.OK, false, true},
		{"nobody knows", Position{}, nil, wire("e1", 10, "ten"), codes.Unavailable, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{Committed: tt.committed}, func(t *testing.T, r *rig) {
				if tt.published != (Position{}) {
					r.publish(tt.published.Epoch, tt.published.Version, content("published"))
				}
				p := r.open(hello(nodeA, holding(tt.held)))
				if tt.code != codes.OK {
					wantCode(t, p.end(), tt.code, "cannot tell whether version 10")
					return
				}
				if w := p.welcome(); w.GetEpochChanged() != tt.cut {
					t.Errorf("epoch_changed = %t, want %t", w.GetEpochChanged(), tt.cut)
				}
				if tt.sent {
					p.ack(p.manifest())
					return
				}
				p.quiet()
				r.publish("e1", 11, content("eleven"))
				if m := p.manifest(); m.GetPosition().GetVersion() != 11 {
					t.Errorf("then came %v, want version 11", m)
				}
			})
		})
	}
}

func TestCloseSaysGoingAway(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		p := r.join(hello(nodeA))
		closed := make(chan struct{})
		go func() { r.Close(); close(closed) }()
		m := p.recv().GetGoingAway()
		if m == nil || time.Duration(m.GetRetryAfterMs())*time.Millisecond > partSpread {
			t.Errorf("got %v, want a going away of %s at most", m, partSpread)
		}
		if err := p.end(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
		<-closed
		if r.node(nodeA).Connected {
			t.Error("the node is listed as connected")
		}
		wantCode(t, r.open(hello(nodeB)).end(), codes.Unavailable, "stopping")
	})
}

func TestMaxAgeWaitsForTheAnswer(t *testing.T) {
	bubble(t, Config{MaxAge: time.Minute}, func(t *testing.T, r *rig) {
		r.publish("e1", 1, content("one"))
		p := r.join(hello(nodeA))
		m := p.manifest()
		began := time.Now()
		for time.Since(began) < 80*time.Second {
			if g := p.recv().GetGoingAway(); g != nil {
				t.Fatal("sent away with a snapshot unanswered")
			}
			p.beat(nil)
		}
		p.ack(m)
		for {
			if m := p.recv(); m.GetGoingAway() != nil {
				break
			}
		}
		if got := r.node(nodeA).Applied; got != at("e1", 1, "one") {
			t.Errorf("Applied = %v", got)
		}
	})
}

func TestPurge(t *testing.T) {
	bubble(t, Config{PurgeDelay: time.Hour}, func(t *testing.T, r *rig) {
		if r.PurgeDelay() != time.Hour {
			t.Errorf("PurgeDelay = %s", r.PurgeDelay())
		}
		p := r.join(hello(nodeA))
		p.hangUp()
		synctest.Wait()
		if n := r.node(nodeA); n.Connected {
			t.Errorf("still listed as connected: %v", n)
		}
		time.Sleep(time.Hour) // of the bubble
		r.node(nodeA)
		time.Sleep(time.Second)
		if got := r.Nodes(); len(got) != 0 {
			t.Errorf("Nodes = %v, want none", got)
		}
	})
}

func TestPurgeBoundsTheBooks(t *testing.T) {
	s := New(Config{})
	now := time.Now()
	for i := range maxGone + 10 {
		id := fmt.Sprintf("%08d", i)
		s.nodes[id] = &node{Node: Node{ID: id, LastSeen: now.Add(time.Duration(i) * time.Second)}}
	}
	s.nodes["live"] = &node{live: &session{}, Node: Node{ID: "live"}}
	got := s.Nodes()
	if len(got) != maxGone+1 || got[0].ID != "00000010" || got[maxGone].ID != "live" {
		t.Errorf("%d nodes from %s to %s are left, want the live one and the newest %d", len(got), got[0].ID, got[len(got)-1].ID, maxGone)
	}
}

func TestPublishRefusesWhatNobodyAccepts(t *testing.T) {
	for _, tt := range []struct {
		limit, size, compressed int
		want                    string // "" is published
	}{
		{0, 1, maxCompressed + 1, "the limits are 268435456 and 67108864"},
		{maxCompressed + 1, 1, maxCompressed + 1, "the limits are 268435456 and 67108864"},
		{0, maxSize + 1, 1, "the limits are 268435456 and 67108864"},
		{1000, 1, 1001, "the limits are 268435456 and 1000"},
		{1000, 1, 1000, ""},
	} {
		s := New(Config{MaxPayload: tt.limit})
		err := s.Publish("e1", 1, &snapshot.Snapshot{Compressed: make([]byte, tt.compressed), Size: tt.size})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Publish of %d bytes, %d compressed: %v", tt.size, tt.compressed, err)
		}
		if _, ok := s.Published(); ok != (tt.want == "") {
			t.Errorf("%d bytes, %d compressed: published is %v", tt.size, tt.compressed, ok)
		}
	}
}

// certified are server credentials under which every client has shown a
// certificate that ends after an hour.
type certified struct {
	credentials.TransportCredentials
}

func (c certified) Clone() credentials.TransportCredentials { return c }

func (c certified) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	shown := &x509.Certificate{NotAfter: time.Now().Add(time.Hour)}
	return conn, credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{shown}}}, nil
}

// A stream does not outlive the certificate that opened it (P27).
func TestCertificateExpires(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, r *rig) {
		began := time.Now()
		p := r.join(hello(nodeA))
		if got := r.node(nodeA).CertificateExpiry; !got.Equal(began.Add(time.Hour)) {
			t.Errorf("CertificateExpiry = %s, want %s", got, began.Add(time.Hour))
		}
		var err error
		for err == nil {
			if _, err = p.stream.Recv(); err == nil {
				p.beat(nil)
			}
		}
		wantCode(t, err, codes.Unauthenticated, "the data plane's certificate has expired")
		if lasted := time.Since(began); lasted != time.Hour {
			t.Errorf("the stream lasted %s, want 1h", lasted)
		}
	}, grpc.Creds(certified{insecure.NewCredentials()}))
}
