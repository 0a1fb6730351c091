// Package publish streams snapshots to data planes and remembers what each of
// them holds.
//
// A published snapshot is encoded once and shared by all streams. Each stream
// has a mailbox of one, the newest: a slow data plane skips versions and delays
// nobody, and publishing never blocks. Making snapshots is package snapshot's
// work, listening and certificates are the control plane's.
package publish

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/snapshot"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// Protocol is the version of the stream's protocol that this package speaks.
const Protocol = 1

const (
	frameSize        = 256 << 10
	maxTransfers     = 64               // whole snapshots on their way at one time
	maxHold          = time.Second      // a transfer that takes longer gives up its turn
	maxGone          = 10_000           // data planes that are remembered after they left
	maxSize          = 256 << 20        // what a data plane accepts,
	maxCompressed    = 64 << 20         // before and after compression
	defaultHeartbeat = 10 * time.Second // dead after 4.5 of them, as Kong's 30 s × 1.5
	defaultStall     = 30 * time.Second
	defaultPurge     = 14 * 24 * time.Hour // Kong's cluster_data_plane_purge_delay
)

// Position names a snapshot: which database, which version, which content.
type Position struct {
	Epoch   string
	Version uint64
	// Hash is the lower-case hex SHA-256 of the content.
	Hash string
}

// Config is what a Server needs to know. Its zero value works.
type Config struct {
	// ID names this control plane in what it sends.
	ID string
	// Version is the Kong version that this control plane claims; newer data
	// planes are refused. Empty: versions are not compared.
	Version string
	// Plugins are the versions of the plugins that this control plane can
	// configure, by name.
	Plugins map[string]string
	// Committed reads the newest version that the database has committed. It
	// tells a data plane that is ahead of a slow control plane from one that
	// remembers what a restored database has lost. Nil: what was published is
	// all there is.
	Committed func(ctx context.Context) (store.Version, error)
	// Heartbeat is how often each side says that it lives. Zero: 10 s.
	Heartbeat time.Duration
	// Stall is how long a stream may take no bytes, when there are some to send,
	// before it is closed. Zero: 30 s.
	Stall time.Duration
	// MaxAge is how long a stream may last before its data plane is asked to
	// connect anew, which spreads the nodes over the control planes. Zero:
	// for ever.
	MaxAge time.Duration
	// PurgeDelay is how long a data plane that is gone stays listed. Zero: 14
	// days.
	PurgeDelay time.Duration
	// MaxPayload is the largest snapshot that is sent, in bytes after
	// compression. Zero: 64 MiB, which is the most in any case.
	MaxPayload int
	// Log may be nil.
	Log *slog.Logger
}

// Server is the Cluster service. Its methods may be called at any time from
// any goroutine.
type Server struct {
	clusterpb.UnimplementedClusterServer

	cfg       Config
	transfers chan struct{} // one token for each whole snapshot on its way
	closing   chan struct{}
	streams   sync.WaitGroup

	mu      sync.Mutex
	current *edition
	nodes   map[string]*node
	changed chan struct{} // closed and replaced when something is published or a node's state changes
	closed  bool
	calls   uint64 // the nonce of the last call to a data plane
}

// edition is a published snapshot in the form in which it is sent.
type edition struct {
	position Position
	manifest *clusterpb.Manifest
	frames   []any // encoded
	plugins  []string
}

// New returns a server that has nothing to send yet.
func New(cfg Config) *Server {
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = defaultHeartbeat
	}
	if cfg.Stall <= 0 {
		cfg.Stall = defaultStall
	}
	if cfg.PurgeDelay <= 0 {
		cfg.PurgeDelay = defaultPurge
	}
	if cfg.MaxPayload <= 0 || cfg.MaxPayload > maxCompressed {
		cfg.MaxPayload = maxCompressed
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		cfg:       cfg,
		transfers: make(chan struct{}, maxTransfers),
		closing:   make(chan struct{}),
		nodes:     map[string]*node{},
		changed:   make(chan struct{}),
	}
}

// ServerOptions are the options that a grpc.Server needs to carry this service.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		// What a data plane sends is small: a Hello, acknowledgements, reasons.
		grpc.MaxRecvMsgSize(256 << 10),
		grpc.MaxConcurrentStreams(16),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 15 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}

// Publish makes a snapshot the one that every data plane shall hold. It returns
// at once. A version that is not higher than the published one of the same
// epoch is ignored: two readers of the store may come in the wrong order.
func (s *Server) Publish(epoch string, version uint64, snap *snapshot.Snapshot) error {
	e, err := s.edition(epoch, version, snap)
	if err != nil {
		return fmt.Errorf("publish version %d: %w", version, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.current; c != nil && c.position.Epoch == epoch && c.position.Version >= version {
		return nil
	}
	s.current = e
	s.notify()
	for _, n := range s.nodes {
		if n.live != nil {
			n.live.poke()
		}
	}
	return nil
}

func (s *Server) edition(epoch string, version uint64, snap *snapshot.Snapshot) (*edition, error) {
	if snap.Size > maxSize || len(snap.Compressed) > s.cfg.MaxPayload {
		return nil, fmt.Errorf("snapshot has %d bytes, compressed %d; the limits are %d and %d",
			snap.Size, len(snap.Compressed), maxSize, s.cfg.MaxPayload)
	}
	e := &edition{
		position: Position{Epoch: epoch, Version: version, Hash: hex.EncodeToString(snap.Hash[:])},
		manifest: &clusterpb.Manifest{
			Position:       &clusterpb.Position{Epoch: epoch, Version: version, Hash: snap.Hash[:]},
			Size:           uint64(snap.Size),
			CompressedSize: uint64(len(snap.Compressed)),
			Entities:       snap.Entities,
			CreatedUnixMs:  time.Now().UnixMilli(),
			ControlPlaneId: s.cfg.ID,
		},
		plugins: snap.Plugins,
	}
	for piece := range slices.Chunk(snap.Compressed, frameSize) {
		frame, err := encode(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Frame{
			Frame: &clusterpb.Frame{Data: piece},
		}})
		if err != nil {
			return nil, err
		}
		e.frames = append(e.frames, frame)
	}
	return e, nil
}

// Published returns the position of the newest snapshot; ok is false before the
// first one.
func (s *Server) Published() (p Position, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return Position{}, false
	}
	return s.current.position, true
}

// WaitApplied returns when the given version or a later one was published and
// every data plane that is connected has applied or refused it, or when ctx
// ends, with its error.
func (s *Server) WaitApplied(ctx context.Context, version uint64) error {
	for {
		s.mu.Lock()
		waiting := s.current == nil || s.current.position.Version < version
		for _, n := range s.nodes {
			if waiting {
				break
			}
			waiting = n.live != nil && !n.settled(s.current.position.Epoch, version)
		}
		changed := s.changed
		s.mu.Unlock()
		if !waiting {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close asks every data plane to connect elsewhere, ends all streams and waits
// for them. Streams that come later are refused.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.streams.Wait()
}

// Nodes lists the data planes that are or were connected, by id.
func (s *Server) Nodes() []Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge(time.Now())
	list := make([]Node, 0, len(s.nodes))
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		list = append(list, s.nodes[id].Node)
	}
	return list
}

// PurgeDelay is how long a data plane that is gone stays listed.
func (s *Server) PurgeDelay() time.Duration { return s.cfg.PurgeDelay }

// purge drops the nodes that have been gone for too long, and those gone the
// longest when there are too many: a node without a lasting id leaves another
// entry at each start. s.mu is held.
func (s *Server) purge(now time.Time) {
	var gone []*node
	maps.DeleteFunc(s.nodes, func(_ string, n *node) bool {
		if n.live != nil {
			return false
		}
		old := now.Sub(n.LastSeen) > s.cfg.PurgeDelay
		if !old {
			gone = append(gone, n)
		}
		return old
	})
	if len(gone) <= maxGone {
		return
	}
	slices.SortFunc(gone, func(a, b *node) int { return a.LastSeen.Compare(b.LastSeen) })
	for _, n := range gone[:len(gone)-maxGone] {
		delete(s.nodes, n.ID)
	}
}

// notify wakes those who wait for a change. s.mu is held.
func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// turn waits until a whole snapshot may be sent. The turn ends when done is
// called and after maxHold at the latest, so that slow data planes, however many,
// cannot keep the others waiting.
func (s *Server) turn(ctx context.Context) (done func(), err error) {
	select {
	case s.transfers <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var once sync.Once
	free := func() { once.Do(func() { <-s.transfers }) }
	hold := time.AfterFunc(maxHold, free)
	return func() {
		hold.Stop()
		free()
	}, nil
}

// committed is the newest version that this control plane knows to exist.
func (s *Server) committed(ctx context.Context) (store.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, committedWait)
	defer cancel()
	if s.cfg.Committed != nil {
		return s.cfg.Committed(ctx)
	}
	for {
		s.mu.Lock()
		current, changed := s.current, s.changed
		s.mu.Unlock()
		if current != nil {
			return store.Version{Epoch: current.position.Epoch, Number: current.position.Version}, nil
		}
		select {
		case <-changed:
		case <-s.closing:
			return store.Version{}, errors.New("the control plane is stopping")
		case <-ctx.Done():
			return store.Version{}, errors.New("nothing was published yet")
		}
	}
}
