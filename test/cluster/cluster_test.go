// Package cluster tests a control plane's publishing and the data planes'
// following together, over real sockets and mutual TLS.
package cluster

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gibbon-gateway/gibbon/controlplane/publish"
	"github.com/gibbon-gateway/gibbon/controlplane/snapshot"
	"github.com/gibbon-gateway/gibbon/dataplane/follow"
	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	"github.com/gibbon-gateway/gibbon/internal/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long a test waits for what should happen at once.
const limit = 30 * time.Second

// certificates is the pair that both sides hold in shared mode.
func certificates(tb testing.TB) *pki.Cluster {
	tb.Helper()
	cert, key, err := pki.GenerateClusterPair(1)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := pki.NewCluster(pki.ClusterConfig{Mode: "shared", Cert: string(cert), Key: string(key)})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// content is a snapshot of one entity.
func content(tb testing.TB, text string) *snapshot.Snapshot {
	tb.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&clusterpb.Snapshot{
		Format: snapshot.Format,
		Groups: []*clusterpb.Group{{Kind: "services", Entities: [][]byte{[]byte(text)}}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		tb.Fatal(err)
	}
	s := &snapshot.Snapshot{Compressed: w.EncodeAll(raw, nil), Size: len(raw), Hash: sha256.Sum256(raw)}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return s
}

// controlPlane is a publish.Server on a socket.
type controlPlane struct {
	*publish.Server
	address string
	stop    func()
}

// serve starts a control plane; address may be "127.0.0.1:0".
func serve(tb testing.TB, certs *pki.Cluster, address string) *controlPlane {
	tb.Helper()
	at, err := net.Listen("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	cp := &controlPlane{Server: publish.New(publish.Config{ID: "cp", Version: "3.8.1"}), address: at.Addr().String()}
	g := grpc.NewServer(append(publish.ServerOptions(), grpc.Creds(credentials.NewTLS(certs.Server())))...)
	clusterpb.RegisterClusterServer(g, cp.Server)
	served := make(chan error, 1)
	go func() { served <- g.Serve(at) }()
	cp.stop = sync.OnceFunc(func() {
		g.Stop() // as abrupt as a kill: nobody is asked to go
		cp.Close()
		if err := <-served; err != nil {
			tb.Errorf("Serve: %v", err)
		}
	})
	tb.Cleanup(cp.stop)
	return cp
}

func (cp *controlPlane) publish(tb testing.TB, version uint64, s *snapshot.Snapshot) {
	tb.Helper()
	if err := cp.Publish("e1", version, s); err != nil {
		tb.Fatal(err)
	}
}

func (cp *controlPlane) applied(tb testing.TB, version uint64) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := cp.WaitApplied(ctx, version); err != nil {
		tb.Fatalf("version %d was not applied everywhere: %v; nodes: %+v", version, err, cp.Nodes())
	}
}

// dataPlane is a running Follower that tells what it applies.
type dataPlane struct {
	*follow.Follower
	applied chan uint64
	stop    func()
}

func nodeID(n int) string { return fmt.Sprintf("0a5e2a3c-6a4f-4b0e-8d0c-%012d", n) }

func start(tb testing.TB, certs *pki.Cluster, address string, n int, cache *follow.Cache) *dataPlane {
	tb.Helper()
	return startWith(tb, certs.Client, address, n, cache)
}

func startWith(tb testing.TB, tls func(string) *tls.Config, address string, n int, cache *follow.Cache) *dataPlane {
	tb.Helper()
	return startApplying(tb, tls, address, n, cache, func(*clusterpb.Snapshot) error { return nil })
}

func startApplying(tb testing.TB, tls func(string) *tls.Config, address string, n int, cache *follow.Cache, apply func(*clusterpb.Snapshot) error) *dataPlane {
	tb.Helper()
	d := &dataPlane{applied: make(chan uint64, 1000)}
	f, err := follow.New(follow.Config{
		Addresses: []string{address},
		TLS:       tls,
		Node:      follow.Node{ID: nodeID(n), Version: "3.8.1", Plugins: map[string]string{"key-auth": "3.8.1"}},
		Apply: func(_ context.Context, in follow.Incoming) error {
			if err := apply(in.Snapshot); err != nil {
				return err
			}
			d.applied <- in.Version
			return nil
		},
		Cache: cache,
	})
	if err != nil {
		tb.Fatal(err)
	}
	d.Follower = f
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	tb.Cleanup(d.stop)
	return d
}

func openCache(tb testing.TB, dir string) *follow.Cache {
	tb.Helper()
	c, err := follow.OpenCache(dir, "us", make([]byte, 32))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func (d *dataPlane) want(tb testing.TB, version uint64) {
	tb.Helper()
	select {
	case got := <-d.applied:
		if got != version {
			tb.Fatalf("version %d was applied, want %d", got, version)
		}
	case <-time.After(limit):
		tb.Fatalf("version %d was not applied; state %+v", version, d.State())
	}
}

// wantErr waits until the data plane knows why it is not connected. It must not
// get a configuration meanwhile.
func (d *dataPlane) wantErr(tb testing.TB) error {
	tb.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := d.State().Err; err != nil {
			return err
		}
		select {
		case <-tick.C:
		case v := <-d.applied:
			tb.Fatalf("version %d was applied", v)
		case <-deadline:
			tb.Fatal("nothing went wrong")
		}
	}
}

func TestPublishReachesAllAndResumes(t *testing.T) {
	certs := certificates(t)
	cp := serve(t, certs, "127.0.0.1:0")
	cp.publish(t, 1, content(t, "one"))
	var nodes []*dataPlane
	for n := range 3 {
		nodes = append(nodes, start(t, certs, cp.address, n, nil))
	}
	for _, d := range nodes {
		d.want(t, 1)
	}
	cp.publish(t, 2, content(t, "two"))
	for _, d := range nodes {
		d.want(t, 2)
	}
	cp.applied(t, 2)
	for _, n := range cp.Nodes() {
		if n.Applied.Version != 2 || n.Status != publish.StatusNormal || n.IP != "127.0.0.1" || !n.CertificateExpiry.Equal(certs.Expiry()) {
			t.Errorf("node %+v", n)
		}
	}

	// The control plane dies and another takes its place. The data planes hold
	// what it has, so nothing is sent until there is something new.
	cp.stop()
	again := serve(t, certs, cp.address)
	again.publish(t, 2, content(t, "two"))
	for _, n := range waitNodes(t, again, 3) {
		if n.Applied.Version != 2 {
			t.Errorf("node %+v came back without version 2", n)
		}
	}
	again.publish(t, 3, content(t, "three"))
	for _, d := range nodes {
		d.want(t, 3) // the next after 2: version 2 did not come twice
	}
}

// waitNodes returns the nodes once so many are connected.
func waitNodes(tb testing.TB, cp *controlPlane, count int) []publish.Node {
	tb.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		nodes := slices.DeleteFunc(cp.Nodes(), func(n publish.Node) bool { return !n.Connected })
		if len(nodes) == count {
			return nodes
		}
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("%d data planes are connected, want %d", len(nodes), count)
		}
	}
}

func TestColdStartFromCache(t *testing.T) {
	certs := certificates(t)
	cp := serve(t, certs, "127.0.0.1:0")
	cp.publish(t, 7, content(t, "seven"))
	dir := filepath.Join(t.TempDir(), "cache")
	open := func() *follow.Cache { return openCache(t, dir) }
	d := start(t, certs, cp.address, 1, open())
	d.want(t, 7)
	d.stop()
	cp.stop()

	d = start(t, certs, cp.address, 1, open())
	d.want(t, 7) // with nobody there
	again := serve(t, certs, cp.address)
	again.publish(t, 7, content(t, "seven"))
	waitNodes(t, again, 1)
	again.publish(t, 8, content(t, "eight"))
	d.want(t, 8)
}

// A peer that reads nothing delays nobody (P8).
func TestSlowPeerDelaysNobody(t *testing.T) {
	certs := certificates(t)
	cp := serve(t, certs, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	conn, err := grpc.NewClient(cp.address, grpc.WithTransportCredentials(credentials.NewTLS(certs.Client(cp.address))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := clusterpb.NewClusterClient(conn).Follow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Hello{Hello: &clusterpb.Hello{
		NodeId: nodeID(0), BootNonce: "n", Version: "3.8.1", ProtocolMin: 1, ProtocolMax: 1,
	}}}); err != nil {
		t.Fatal(err)
	}
	quick := start(t, certs, cp.address, 1, nil)
	waitNodes(t, cp, 2)
	noise := make([]byte, 8<<20) // too much for any buffer on the way
	sum := sha256.Sum256(nil)
	for i := range noise {
		if i%sha256.Size == 0 {
			sum = sha256.Sum256(sum[:])
		}
		noise[i] = sum[i%sha256.Size]
	}
	for v := uint64(1); v <= 5; v++ {
		cp.publish(t, v, content(t, string(noise)+fmt.Sprint(v)))
		quick.want(t, v)
	}
	for _, n := range cp.Nodes() {
		if n.ID == nodeID(0) && n.Applied.Version != 0 {
			t.Errorf("the slow one applied %+v", n.Applied)
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	certs := certificates(t)
	cp := serve(t, certs, "127.0.0.1:0")
	cp.publish(t, 1, content(t, "one"))
	for _, tt := range []struct {
		name string
		tls  func(string) *tls.Config
		want string
	}{
		{"a certificate of another cluster", certificates(t).Client, "is not the shared one"},
		{"no certificate", func(string) *tls.Config {
			return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13} // the stranger does not care
		}, ""}, // the alert, or a broken pipe when the hello overtakes it
		{"TLS 1.2", func(address string) *tls.Config {
			c := certs.Client(address)
			c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			return c
		}, "protocol version"},
		{"plaintext", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := startWith(t, tt.tls, cp.address, 1, nil)
			if err := d.wantErr(t); !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Err = %v, want %q", err, tt.want)
			}
			if n := cp.Nodes(); len(n) != 0 {
				t.Errorf("the control plane lists %+v", n)
			}
		})
	}
}

func TestManyFollowers(t *testing.T) {
	certs := certificates(t)
	cp := serve(t, certs, "127.0.0.1:0")
	var nodes []*dataPlane
	for n := range 200 {
		nodes = append(nodes, start(t, certs, cp.address, n, nil))
	}
	waitNodes(t, cp, len(nodes))
	cp.publish(t, 1, content(t, strings.Repeat("one ", 100_000)))
	for _, d := range nodes {
		d.want(t, 1)
	}
	cp.applied(t, 1)
}

// Two processes with one id: the first one stays (P28).
func TestSecondNodeWithTheSameID(t *testing.T) {
	certs := certificates(t)
	cp := serve(t, certs, "127.0.0.1:0")
	holder := start(t, certs, cp.address, 1, nil)
	waitNodes(t, cp, 1)
	newcomer := start(t, certs, cp.address, 1, nil)
	if err := newcomer.wantErr(t); status.Code(err) != codes.AlreadyExists || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("Err = %v", err)
	}
	cp.publish(t, 1, content(t, "one"))
	holder.want(t, 1)
}

// BenchmarkPropagation measures the time from Publish until all data planes
// have acknowledged, over mutual TLS on loopback.
func BenchmarkPropagation(b *testing.B) {
	for _, nodes := range []int{1, 20} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			certs := certificates(b)
			cp := serve(b, certs, "127.0.0.1:0")
			for n := range nodes {
				d := start(b, certs, cp.address, n, nil)
				go func() { // keeps the channel empty until the test's end
					for range d.applied {
					}
				}()
				b.Cleanup(func() { d.stop(); close(d.applied) })
			}
			waitNodes(b, cp, nodes)
			var took []time.Duration
			var version uint64
			for b.Loop() {
				version++
				s := content(b, fmt.Sprintf("version %d", version))
				began := time.Now()
				cp.publish(b, version, s)
				cp.applied(b, version)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
