package follow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// session is one stream to one control plane. Its fields belong to run.
type session struct {
	follower *Follower
	address  string

	welcomed bool
	leaving  bool          // the control plane asked us to go
	pause    time.Duration // what it asked us to wait

	epochChanged bool
	incoming     *transfer
}

// transfer is a snapshot that is being received.
type transfer struct {
	manifest *clusterpb.Manifest
	began    time.Time
	data     []byte
}

// outcome is what became of a transfer.
type outcome struct {
	*transfer
	applied time.Duration
	held    Held
	err     error
}

// run follows until the stream or ctx ends.
func (s *session) run(ctx context.Context, client clusterpb.ClusterClient) error {
	ctx, cancel := context.WithCancel(ctx)
	received := make(chan *clusterpb.FollowResponse)
	ended := make(chan error, 1)
	work := make(chan *transfer, 1)
	outcomes := make(chan outcome, 1)
	workerDone := make(chan struct{})
	receiverDone := make(chan struct{})
	close(receiverDone)
	go func() {
		defer close(workerDone)
		for t := range work {
			select {
			case outcomes <- s.settle(ctx, t):
			case <-ctx.Done():
			}
		}
	}()
	defer func() {
		cancel()
		close(work)
		<-workerDone
		<-receiverDone
	}()

	stream, err := client.Follow(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(s.hello()); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	receiverDone = make(chan struct{})
	go func() {
		defer close(receiverDone)
		for {
			m, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case received <- m:
			case <-ctx.Done():
				return
			}
		}
	}()

	// Until the Welcome says otherwise.
	beat := time.NewTicker(10 * time.Second)
	defer beat.Stop()
	silence := 45 * time.Second
	dead := time.NewTimer(dialLimit)
	defer dead.Stop()
	for {
		select {
		case m := <-received:
			if w := m.GetWelcome(); w != nil {
				if err := s.welcome(w); err != nil {
					return err
				}
				every := time.Duration(w.GetHeartbeatMs()) * time.Millisecond
				beat.Reset(every)
				silence = every * 9 / 2
			} else if err := s.take(m, work); err != nil {
				return err
			}
			if s.leaving {
				return nil
			}
			dead.Reset(silence)
		case o := <-outcomes:
			if err := stream.Send(s.answer(o)); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		case <-beat.C:
			if err := stream.Send(s.heartbeat()); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return errors.New("the control plane ended the stream")
			}
			return err
		case <-dead.C:
			return status.Error(codes.DeadlineExceeded, "no sign of life from the control plane")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *session) hello() *clusterpb.FollowRequest {
	n := s.follower.cfg.Node
	h := &clusterpb.Hello{
		NodeId:        n.ID,
		BootNonce:     s.follower.nonce,
		Hostname:      n.Hostname,
		Version:       n.Version,
		GibbonVersion: n.GibbonVersion,
		Labels:        n.Labels,
		ProtocolMin:   Protocol,
		ProtocolMax:   Protocol,
		Held:          position(s.follower.State().Held),
	}
	for name, version := range n.Plugins {
		h.Plugins = append(h.Plugins, &clusterpb.PluginVersion{Name: name, Version: version})
	}
	return &clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Hello{Hello: h}}
}

func (s *session) heartbeat() *clusterpb.FollowRequest {
	return &clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Heartbeat{
		Heartbeat: &clusterpb.Heartbeat{Applied: position(s.follower.State().Held)},
	}}
}

func (s *session) welcome(w *clusterpb.Welcome) error {
	if w.GetProtocol() != Protocol {
		return status.Errorf(codes.InvalidArgument, "the control plane chose protocol %d, this node speaks %d", w.GetProtocol(), Protocol)
	}
	if w.GetHeartbeatMs() == 0 {
		return status.Error(codes.InvalidArgument, "the control plane named no heartbeat")
	}
	s.welcomed = true
	s.epochChanged = w.GetEpochChanged()
	log := s.follower.cfg.Log
	log.Info("control plane connected", "address", s.address, "control_plane", w.GetControlPlaneId())
	if s.epochChanged {
		log.Warn("the control plane's database is another one: its configuration is taken whole, whatever its version")
	}
	s.follower.update(func(st *State) {
		st.Connected, st.Address, st.FromCache, st.Err = true, s.address, false, nil
	})
	return nil
}

// take handles one message that is not a Welcome.
func (s *session) take(m *clusterpb.FollowResponse, work chan<- *transfer) error {
	if !s.welcomed {
		if r := m.GetRefusal(); r != nil {
			s.pause = refusedPause
			return fmt.Errorf("refused by the control plane: %s (%s)", r.GetMessage(), r.GetSyncStatus())
		}
		return status.Error(codes.InvalidArgument, "the control plane did not begin with a welcome")
	}
	switch m := m.GetMessage().(type) {
	case *clusterpb.FollowResponse_Manifest:
		if m.Manifest.GetSize() > maxSize || m.Manifest.GetCompressedSize() > maxCompressed {
			return status.Errorf(codes.InvalidArgument, "the control plane announced a snapshot of %d bytes (%d compressed), the limits are %d and %d",
				m.Manifest.GetSize(), m.Manifest.GetCompressedSize(), maxSize, maxCompressed)
		}
		s.incoming = &transfer{manifest: m.Manifest, began: time.Now()}
	case *clusterpb.FollowResponse_Frame:
		t := s.incoming
		if t == nil {
			return status.Error(codes.InvalidArgument, "a frame without a manifest")
		}
		t.data = append(t.data, m.Frame.GetData()...)
		switch size := uint64(len(t.data)); {
		case size > t.manifest.GetCompressedSize():
			return status.Error(codes.InvalidArgument, "more frames than the manifest announced")
		case size < t.manifest.GetCompressedSize():
			return nil
		}
		s.incoming = nil
		// The control plane waits for an answer before it sends the next one, so
		// the mailbox is empty, or the control plane is broken.
		select {
		case work <- t:
		default:
			return status.Error(codes.InvalidArgument, "a second snapshot before the first was answered")
		}
	case *clusterpb.FollowResponse_GoingAway:
		s.leaving = true
		s.pause = time.Duration(m.GoingAway.GetRetryAfterMs()) * time.Millisecond
		s.follower.cfg.Log.Info("the control plane asks to connect elsewhere", "address", s.address, "after", s.pause.String())
	}
	return nil // a heartbeat, or a message of a later protocol version
}

// settle checks, applies and caches a snapshot.
func (s *session) settle(ctx context.Context, t *transfer) (o outcome) {
	f := s.follower
	o = outcome{transfer: t}
	began := time.Now()
	defer func() { o.applied = time.Since(began) }()

	in, err := open(t.manifest, t.data)
	if err != nil {
		o.err = err
		return o
	}
	held := f.State().Held
	if in.Epoch == held.Epoch && in.Version < held.Version && !s.epochChanged {
		o.err = fmt.Errorf("version %d is lower than version %d, which this node holds", in.Version, held.Version)
		return o
	}
	if err := f.apply(ctx, in); err != nil {
		o.err = err
		return o
	}
	s.epochChanged = false
	o.held = Held{in.Epoch, in.Version, in.Hash}
	f.update(func(st *State) { st.Held, st.FromCache, st.Err = o.held, false, nil })
	f.cfg.Log.Info("configuration applied", "config_version", in.Version, "apply_ms", time.Since(began).Milliseconds())
	if f.cfg.Cache != nil {
		// Only what is live is cached; a full disk costs nothing but the cache.
		if err := f.cfg.Cache.save(in, t.manifest.GetSize(), t.data); err != nil {
			f.cfg.Log.Warn("configuration not cached", "config_version", in.Version, "error", err)
		}
	}
	return o
}

// open checks a compressed snapshot against its manifest and decodes it.
func open(m *clusterpb.Manifest, data []byte) (Incoming, error) {
	p := m.GetPosition()
	in := Incoming{Epoch: p.GetEpoch(), Version: p.GetVersion()}
	if len(p.GetHash()) != sha256.Size {
		return in, fmt.Errorf("hash has %d bytes, not %d", len(p.GetHash()), sha256.Size)
	}
	copy(in.Hash[:], p.GetHash())
	raw, err := decompress(data, m.GetSize())
	if err != nil {
		return in, err
	}
	if sum := sha256.Sum256(raw); !bytes.Equal(sum[:], in.Hash[:]) {
		return in, fmt.Errorf("hash is %x, not %x", sum, in.Hash)
	}
	in.Snapshot = &clusterpb.Snapshot{}
	if err := proto.Unmarshal(raw, in.Snapshot); err != nil {
		return in, fmt.Errorf("decode: %w", err)
	}
	return in, nil
}

// decompress reads a zstd frame whose content has exactly the given size.
func decompress(data []byte, size uint64) ([]byte, error) {
	if size > maxSize {
		return nil, fmt.Errorf("snapshot of %d bytes, the limit is %d", size, maxSize)
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(max(size, 1<<20)))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := r.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if uint64(len(raw)) != size {
		return nil, fmt.Errorf("snapshot has %d bytes, the manifest says %d", len(raw), size)
	}
	return raw, nil
}

// answer is the Ack or Nack of a snapshot.
func (s *session) answer(o outcome) *clusterpb.FollowRequest {
	m := o.manifest
	if o.err == nil {
		return &clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Ack{Ack: &clusterpb.Ack{
			Position:  m.GetPosition(),
			Nonce:     m.GetNonce(),
			ReceiveMs: uint32(time.Since(o.began).Milliseconds() - o.applied.Milliseconds()),
			ApplyMs:   uint32(o.applied.Milliseconds()),
		}}}
	}
	s.follower.update(func(st *State) { st.Err = o.err })
	s.follower.cfg.Log.Error("configuration refused; the one that was live stays", "config_version", m.GetPosition().GetVersion(), "error", o.err)
	return &clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Nack{Nack: &clusterpb.Nack{
		Position: m.GetPosition(),
		Nonce:    m.GetNonce(),
		Reasons:  reasons(o.err),
	}}}
}

// Bounds on the reasons of one refusal.
const (
	maxReasons     = 100
	maxReasonBytes = 64 << 10
)

func reasons(err error) []*clusterpb.Reason {
	var reject *RejectError
	if !errors.As(err, &reject) || len(reject.Reasons) == 0 {
		return []*clusterpb.Reason{{Message: err.Error()}}
	}
	list := reject.Reasons[:min(len(reject.Reasons), maxReasons)]
	size := 0
	for i, r := range list {
		if size += proto.Size(r); size > maxReasonBytes {
			return list[:max(i, 1)]
		}
	}
	return list
}

func position(h Held) *clusterpb.Position {
	if h == (Held{}) {
		return nil
	}
	return &clusterpb.Position{Epoch: h.Epoch, Version: h.Version, Hash: h.Hash[:]}
}
