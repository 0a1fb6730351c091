package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// Heartbeats that a control plane may ask for. Slower ones would hide its death.
const (
	minHeartbeat = 100 * time.Millisecond
	maxHeartbeat = 5 * time.Minute
)

var errSilent = errors.New("no sign of life from the control plane")

// session is one stream to one control plane. Its fields belong to run.
type session struct {
	follower *Follower
	address  string

	welcomed bool
	leaving  bool          // the control plane asked us to go
	pause    time.Duration // what it asked us to wait

	epochChanged bool      // what the node holds is of a history that is gone
	incoming     *transfer // whose frames are arriving
	skipping     bool      // the frames that arrive are of a refused manifest
	work         chan *transfer
}

// transfer is a snapshot that is being received.
type transfer struct {
	manifest *clusterpb.Manifest
	// anyVersion says that it may be lower than what the node holds.
	anyVersion bool
	began      time.Time
	received   time.Duration
	data       []byte
}

// outcome is what became of a transfer.
type outcome struct {
	*transfer
	applied time.Duration
	err     error
}

// run follows until the stream or parent ends.
func (s *session) run(parent context.Context, client clusterpb.ClusterClient) (err error) {
	ctx, cancel := context.WithCancelCause(parent)
	// Ending the stream frees a Send that waits for a dead control plane, too.
	dead := time.AfterFunc(dialLimit, func() { cancel(errSilent) })
	s.work = make(chan *transfer, 1)
	outcomes := make(chan outcome, 1)
	received := make(chan *clusterpb.FollowResponse)
	ended := make(chan error, 1)
	var children sync.WaitGroup
	defer func() {
		dead.Stop()
		if errors.Is(context.Cause(ctx), errSilent) {
			err = errSilent
		}
		cancel(nil)
		close(s.work)
		children.Wait()
	}()
	children.Go(func() {
		for t := range s.work {
			// The parent's context: a snapshot that came whole is applied even
			// if the stream ends meanwhile.
			o := s.follower.settle(parent, t)
			select {
			case outcomes <- o:
			case <-ctx.Done():
			}
		}
	})

	stream, err := client.Follow(ctx)
	if err != nil {
		return err
	}
	// A Send that fails with EOF leaves the reason to Recv.
	send := func(m *clusterpb.FollowRequest) error {
		if err := stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	}
	if err := send(s.hello()); err != nil {
		return err
	}
	children.Go(func() {
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
	})

	var beat <-chan time.Time
	silence := dialLimit
	for {
		select {
		case m := <-received:
			if w := m.GetWelcome(); w != nil {
				every, err := s.welcome(w)
				if err != nil {
					return err
				}
				ticker := time.NewTicker(every)
				defer ticker.Stop() // only one Welcome is accepted
				beat, silence = ticker.C, every*9/2
			} else if answer, err := s.take(m); err != nil {
				return err
			} else if answer != nil {
				if err := send(answer); err != nil {
					return err
				}
			}
			if s.leaving {
				return nil
			}
			dead.Reset(silence)
		case o := <-outcomes:
			if o.err == nil {
				s.epochChanged = false
			}
			if err := send(answer(o)); err != nil {
				return err
			}
		case <-beat:
			if err := send(s.heartbeat()); err != nil {
				return err
			}
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return errors.New("the control plane ended the stream")
			}
			return err
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
	if s.follower.cfg.LogLevel != nil {
		h.Capabilities = append(h.Capabilities, logLevelCapability)
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

// welcome takes in the first response and says how often to send heartbeats.
func (s *session) welcome(w *clusterpb.Welcome) (every time.Duration, err error) {
	every = time.Duration(w.GetHeartbeatMs()) * time.Millisecond
	switch {
	case s.welcomed:
		return 0, status.Error(codes.InvalidArgument, "the control plane sent a second welcome")
	case w.GetProtocol() != Protocol:
		return 0, status.Errorf(codes.InvalidArgument, "the control plane chose protocol %d, this node speaks %d", w.GetProtocol(), Protocol)
	case every < minHeartbeat || every > maxHeartbeat:
		return 0, status.Errorf(codes.InvalidArgument, "the control plane asks for a heartbeat each %s, this node accepts %s to %s",
			every, minHeartbeat, maxHeartbeat)
	}
	s.welcomed = true
	s.epochChanged = w.GetEpochChanged()
	log := s.follower.cfg.Log
	log.Info("control plane connected", "address", s.address, "control_plane", w.GetControlPlaneId())
	if s.epochChanged {
		log.Warn("the control plane's database never had what this node holds: its configuration is taken, whatever its version",
			"config_version", s.follower.State().Held.Version)
	}
	s.follower.update(func(st *State) {
		st.Connected, st.Address, st.FromCache, st.Err = true, s.address, false, nil
	})
	return every, nil
}

// take handles one message that is not a Welcome. It returns what to answer at
// once, if anything.
func (s *session) take(m *clusterpb.FollowResponse) (*clusterpb.FollowRequest, error) {
	if !s.welcomed {
		if r := m.GetRefusal(); r != nil {
			s.pause = refusedPause
			return nil, fmt.Errorf("refused by the control plane: %s (%s)", r.GetMessage(), r.GetSyncStatus())
		}
		return nil, status.Error(codes.InvalidArgument, "the control plane did not begin with a welcome")
	}
	switch m := m.GetMessage().(type) {
	case *clusterpb.FollowResponse_Manifest:
		if s.incoming != nil {
			return nil, status.Error(codes.InvalidArgument, "a manifest before the frames of the one before it")
		}
		t := &transfer{manifest: m.Manifest, anyVersion: s.epochChanged, began: time.Now()}
		if err := check(m.Manifest, uint64(s.follower.cfg.MaxPayload)); err != nil {
			s.skipping = true
			s.follower.refused(m.Manifest, err)
			return answer(outcome{transfer: t, err: err}), nil
		}
		s.skipping = false
		if m.Manifest.GetContentHeld() {
			return nil, s.enqueue(t)
		}
		s.incoming = t
	case *clusterpb.FollowResponse_Frame:
		t := s.incoming
		switch {
		case t == nil && s.skipping:
			return nil, nil
		case t == nil:
			return nil, status.Error(codes.InvalidArgument, "a frame without a manifest")
		}
		whole := t.manifest.GetCompressedSize()
		if have := uint64(len(t.data) + len(m.Frame.GetData())); have > whole {
			return nil, status.Errorf(codes.InvalidArgument, "frames of more than the %d bytes that the manifest announced", whole)
		}
		t.data = append(t.data, m.Frame.GetData()...)
		if uint64(len(t.data)) == whole {
			s.incoming = nil
			return nil, s.enqueue(t)
		}
	case *clusterpb.FollowResponse_LogLevel:
		return s.follower.logLevel(m.LogLevel), nil
	case *clusterpb.FollowResponse_GoingAway:
		s.leaving = true
		s.pause = time.Duration(m.GoingAway.GetRetryAfterMs()) * time.Millisecond
		s.follower.cfg.Log.Info("the control plane asks to connect elsewhere", "address", s.address, "after", s.pause.String())
	}
	return nil, nil // a heartbeat, or a message of a later protocol version
}

// enqueue hands a whole transfer to the worker. The control plane waits for an
// answer before it sends the next one, so the mailbox is empty, or the control
// plane is broken.
func (s *session) enqueue(t *transfer) error {
	t.received = time.Since(t.began)
	select {
	case s.work <- t:
		return nil
	default:
		return status.Error(codes.InvalidArgument, "a snapshot before those sent earlier were answered")
	}
}

// settle checks and applies a snapshot, and hands it to the cache.
func (f *Follower) settle(ctx context.Context, t *transfer) (o outcome) {
	began := time.Now()
	err := f.take(ctx, t)
	o = outcome{transfer: t, applied: time.Since(began), err: err}
	version := t.manifest.GetPosition().GetVersion()
	if err != nil {
		if ctx.Err() == nil { // else nobody refused it
			f.refused(t.manifest, err)
		}
		return o
	}
	f.cfg.Log.Info("configuration applied", "config_version", version,
		"receive_ms", t.received.Milliseconds(), "apply_ms", o.applied.Milliseconds())
	return o
}

// take makes what a transfer brought the node's configuration.
func (f *Follower) take(ctx context.Context, t *transfer) error {
	held := f.State().Held
	p := t.manifest.GetPosition()
	in := Incoming{Epoch: p.GetEpoch(), Version: p.GetVersion(), Hash: [32]byte(p.GetHash())}
	if in.Epoch == held.Epoch && in.Version < held.Version && !t.anyVersion {
		return fmt.Errorf("version %d is lower than version %d, which this node holds", in.Version, held.Version)
	}
	same := held != Held{} && in.Hash == held.Hash
	if t.manifest.GetContentHeld() && !same {
		return fmt.Errorf("the control plane did not send content %x, which this node does not hold", in.Hash[:4])
	}
	if same {
		if f.cfg.Advance != nil {
			f.cfg.Advance(in.held())
		}
	} else {
		var err error
		if in, err = open(t.manifest, t.data); err != nil {
			return err
		}
		if err := f.apply(ctx, in); err != nil {
			return err
		}
	}
	f.update(func(st *State) {
		st.Held, st.FromCache = in.held(), false
		st.Refused, st.RefusedErr = Held{}, nil
	})
	if !same {
		// Only what is live is cached. Content that is held already lies there
		// under its former position, from which a node can start as well.
		in.Snapshot = nil
		f.keep(save{in, t.manifest.GetSize(), t.data})
	}
	return nil
}

// refused notes that a snapshot could not be applied.
func (f *Follower) refused(m *clusterpb.Manifest, err error) {
	p := m.GetPosition()
	h := Held{Epoch: p.GetEpoch(), Version: p.GetVersion()}
	copy(h.Hash[:], p.GetHash())
	f.update(func(st *State) { st.Refused, st.RefusedErr = h, err })
	f.cfg.Log.Error("configuration refused; the one that was live stays", "config_version", h.Version, "error", err)
}

// answer is the Ack or Nack of a snapshot.
func answer(o outcome) *clusterpb.FollowRequest {
	m := o.manifest
	if o.err == nil {
		return &clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Ack{Ack: &clusterpb.Ack{
			Position:  m.GetPosition(),
			Nonce:     m.GetNonce(),
			ReceiveMs: uint32(o.received.Milliseconds()),
			ApplyMs:   uint32(o.applied.Milliseconds()),
		}}}
	}
	return &clusterpb.FollowRequest{Message: &clusterpb.FollowRequest_Nack{Nack: &clusterpb.Nack{
		Position: m.GetPosition(),
		Nonce:    m.GetNonce(),
		Reasons:  reasons(o.err),
	}}}
}

func position(h Held) *clusterpb.Position {
	if h == (Held{}) {
		return nil
	}
	return &clusterpb.Position{Epoch: h.Epoch, Version: h.Version, Hash: h.Hash[:]}
}
