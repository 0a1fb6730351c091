package publish

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// helloWait is how long a new stream may be silent.
const helloWait = 10 * time.Second

// session is one live stream. Its loop owns all fields but wake and replaced.
type session struct {
	server *Server
	node   *node
	hello  *clusterpb.Hello
	stream clusterpb.Cluster_FollowServer

	wake     chan struct{} // mailbox of one: something newer was published
	replaced chan struct{} // closed when the same process opened another stream

	received chan *clusterpb.FollowRequest
	recvErr  chan error
	jobs     chan []any // messages for the sender, one batch at a time
	sent     chan error

	sending bool
	nonce   uint64
	pending *edition // sent and not answered
	// held is what the node serves, refused what it could not apply. A refused
	// edition is not sent again; the next one is.
	held, refused Position
}

// poke says that something was published. It never blocks.
func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Follow implements the Cluster service.
func (s *Server) Follow(stream clusterpb.Cluster_FollowServer) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return status.Error(codes.Unavailable, "the control plane is stopping")
	}
	s.streams.Add(1)
	s.mu.Unlock()
	defer s.streams.Done()

	c := &session{
		server:   s,
		stream:   stream,
		wake:     make(chan struct{}, 1),
		replaced: make(chan struct{}),
		received: make(chan *clusterpb.FollowRequest),
		recvErr:  make(chan error, 1),
		jobs:     make(chan []any),
		sent:     make(chan error, 1),
	}
	// grpc ends a pending Recv or Send only once the handler has returned, so
	// the two goroutines are waited for by the server (Close), not here.
	s.streams.Go(c.receive)
	s.streams.Go(c.send)
	defer close(c.jobs)

	if err := c.greet(); err != nil {
		return err
	}
	if c.node == nil {
		return nil // refused, and told so
	}
	defer c.leave()
	return c.loop()
}

func (c *session) receive() {
	ctx := c.stream.Context()
	for {
		m, err := c.stream.Recv()
		if err != nil {
			c.recvErr <- err
			return
		}
		select {
		case c.received <- m:
		case <-ctx.Done():
			return
		}
	}
}

// send writes batch after batch. A batch of more than one message is a whole
// snapshot, of which only so many are on their way at a time.
func (c *session) send() {
	ctx := c.stream.Context()
	for batch := range c.jobs {
		err := func() error {
			if len(batch) > 1 {
				select {
				case c.server.transfers <- struct{}{}:
					defer func() { <-c.server.transfers }()
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			for _, m := range batch {
				if err := c.stream.SendMsg(m); err != nil {
					return err
				}
			}
			return nil
		}()
		c.sent <- err // capacity 1, and one batch at a time
		if err != nil {
			for range c.jobs { // until the handler has closed it
			}
			return
		}
	}
}

// deliver hands the sender a batch and waits until it is written.
func (c *session) deliver(m *clusterpb.FollowResponse) error {
	c.jobs <- []any{m}
	select {
	case err := <-c.sent:
		return err
	case <-time.After(c.server.cfg.Stall):
		return status.Error(codes.DeadlineExceeded, "the data plane does not read")
	case <-c.stream.Context().Done():
		return c.stream.Context().Err()
	}
}

// greet reads the Hello and answers it. It leaves c.node nil when the data
// plane was refused.
func (c *session) greet() error {
	s := c.server
	var hello *clusterpb.Hello
	select {
	case m := <-c.received:
		hello = m.GetHello()
	case err := <-c.recvErr:
		return endOf(err)
	case <-time.After(helloWait):
		return status.Error(codes.DeadlineExceeded, "no hello")
	case <-s.closing:
		return status.Error(codes.Unavailable, "the control plane is stopping")
	}
	if err := checkHello(hello); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	c.hello = hello

	verdict, message := s.compatible(hello)
	epochChanged, err := c.enter(verdict, message)
	if err != nil {
		return err
	}
	if verdict != StatusNormal {
		s.cfg.Log.Warn("data plane refused", "node", hello.GetNodeId(), "hostname", hello.GetHostname(), "reason", message)
		return c.deliver(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Refusal{
			Refusal: &clusterpb.Refusal{SyncStatus: string(verdict), Message: message},
		}})
	}
	s.cfg.Log.Info("data plane connected", "node", hello.GetNodeId(), "hostname", hello.GetHostname(),
		"holds_version", hello.GetHeld().GetVersion())
	err = c.deliver(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Welcome{Welcome: &clusterpb.Welcome{
		Protocol:       Protocol,
		ControlPlaneId: s.cfg.ID,
		HeartbeatMs:    uint32(s.cfg.Heartbeat.Milliseconds()),
		EpochChanged:   epochChanged,
	}}})
	if err != nil {
		c.leave()
	}
	return err
}

// enter writes the node into the server's books and, unless it is refused,
// makes this session its live one.
func (c *session) enter(verdict SyncStatus, message string) (epochChanged bool, err error) {
	s, h := c.server, c.hello
	p, _ := peer.FromContext(c.stream.Context())
	now := time.Now()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge(now)
	n := s.nodes[h.GetNodeId()]
	if n != nil && n.live != nil {
		if n.nonce != h.GetBootNonce() {
			s.cfg.Log.Error("a second data plane claims a node id that is in use",
				"node", h.GetNodeId(), "holder", n.IP, "newcomer", ipOf(p.Addr))
			return false, status.Errorf(codes.AlreadyExists, "node id %s is in use by the data plane at %s", h.GetNodeId(), n.IP)
		}
		close(n.live.replaced)
		n.live = nil
	}
	if n == nil {
		n = &node{Node: Node{ID: h.GetNodeId(), FirstSeen: now}}
		s.nodes[h.GetNodeId()] = n
	}
	n.nonce = h.GetBootNonce()
	n.Hostname, n.IP = h.GetHostname(), ipOf(p.Addr)
	n.Version, n.GibbonVersion = h.GetVersion(), h.GetGibbonVersion()
	n.Labels, n.LastSeen = h.GetLabels(), now
	n.Status, n.Message = verdict, message
	n.Applied = positionOf(h.GetHeld())
	n.Refused, n.Reasons = Position{}, nil
	if tls, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		n.CertificateExpiry = expiryOf(&tls.State)
	}
	if verdict == StatusNormal {
		n.live, n.Connected = c, true
		c.node = n
	}
	c.held = n.Applied
	if cur := s.current; cur != nil && c.held != (Position{}) {
		epochChanged = c.held.Epoch != cur.position.Epoch || c.held.Version > cur.position.Version
	}
	if epochChanged {
		s.cfg.Log.Error("data plane holds a configuration that this database never had",
			"node", n.ID, "epoch", c.held.Epoch, "version", c.held.Version)
	}
	s.notify()
	return epochChanged, nil
}

// leave takes the session out of the books, unless another has replaced it.
func (c *session) leave() {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.node == nil || c.node.live != c {
		return
	}
	c.node.live, c.node.Connected = nil, false
	s.cfg.Log.Info("data plane disconnected", "node", c.node.ID, "hostname", c.node.Hostname)
	s.notify()
}

// loop serves the stream until it ends. It never blocks on the data plane: the
// sender does, and is given up when it stalls.
func (c *session) loop() error {
	cfg := c.server.cfg
	beat := time.NewTicker(cfg.Heartbeat)
	defer beat.Stop()
	dead := time.NewTimer(cfg.Heartbeat * 9 / 2)
	defer dead.Stop()
	stall := time.NewTimer(cfg.Stall)
	defer stall.Stop()
	stall.Stop()
	var aged <-chan time.Time
	if cfg.MaxAge > 0 {
		// ± 20 %, so that nodes that came together do not leave together.
		age := time.NewTimer(time.Duration(float64(cfg.MaxAge) * (0.8 + 0.4*rand.Float64())))
		defer age.Stop()
		aged = age.C
	}
	start := func(batch ...any) {
		c.sending = true
		stall.Reset(cfg.Stall)
		c.jobs <- batch // the sender is idle
	}

	for {
		if !c.sending {
			if batch := c.next(); batch != nil {
				start(batch...)
			}
		}
		select {
		case <-c.wake:
		case m := <-c.received:
			dead.Reset(cfg.Heartbeat * 9 / 2)
			if err := c.handle(m); err != nil {
				return err
			}
		case err := <-c.recvErr:
			return endOf(err)
		case err := <-c.sent:
			c.sending = false
			stall.Stop()
			if err != nil {
				return err
			}
		case <-beat.C:
			if !c.sending { // else what is on its way shows life
				start(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Heartbeat{Heartbeat: &clusterpb.Heartbeat{}}})
			}
		case <-dead.C:
			return status.Error(codes.DeadlineExceeded, "no heartbeat from the data plane")
		case <-stall.C:
			return status.Error(codes.DeadlineExceeded, "the data plane does not read")
		case <-c.replaced:
			return status.Error(codes.Aborted, "replaced by a newer stream of the same data plane")
		case <-aged:
			return c.part(0)
		case <-c.server.closing:
			return c.part(time.Duration(rand.Int64N(int64(2 * time.Second))))
		}
	}
}

// part asks the data plane to connect elsewhere after a while. A stream that is
// busy with a snapshot is just ended.
func (c *session) part(after time.Duration) error {
	if c.sending {
		return status.Error(codes.Unavailable, "the control plane is stopping")
	}
	return c.deliver(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_GoingAway{
		GoingAway: &clusterpb.GoingAway{RetryAfterMs: uint32(after.Milliseconds())},
	}})
}

// next is the snapshot to send now, or nil.
func (c *session) next() []any {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.current
	if e == nil || c.pending != nil || e.position == c.held || e.position == c.refused {
		return nil
	}
	if lack := s.lacks(e, c.hello); lack != "" {
		if c.node.live == c && c.node.Status != StatusPluginMissing {
			s.cfg.Log.Warn("data plane cannot take the configuration", "node", c.node.ID, "reason", lack)
			c.node.Status, c.node.Message = StatusPluginMissing, lack
			c.node.Refused = e.position
			s.notify()
		}
		return nil
	}
	if c.node.live == c && c.node.Status == StatusPluginMissing {
		c.node.Status, c.node.Message = StatusNormal, ""
	}
	c.nonce++
	c.pending = e
	manifest := &clusterpb.Manifest{
		Position:       e.manifest.GetPosition(),
		Nonce:          c.nonce,
		Size:           e.manifest.GetSize(),
		CompressedSize: e.manifest.GetCompressedSize(),
		Entities:       e.manifest.GetEntities(),
		CreatedUnixMs:  e.manifest.GetCreatedUnixMs(),
		ControlPlaneId: e.manifest.GetControlPlaneId(),
	}
	batch := make([]any, 0, 1+len(e.frames))
	batch = append(batch, &clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Manifest{Manifest: manifest}})
	return append(batch, e.frames...)
}

// handle takes in what the data plane says. Answers to anything but the pending
// snapshot are stale and ignored.
func (c *session) handle(m *clusterpb.FollowRequest) error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	n := c.node
	if n.live != c {
		return nil // replaced; the loop is about to hear of it
	}
	n.LastSeen = time.Now()
	switch m := m.GetMessage().(type) {
	case *clusterpb.FollowRequest_Ack:
		if c.pending == nil || m.Ack.GetNonce() != c.nonce {
			return nil
		}
		c.held = c.pending.position
		c.pending = nil
		n.Applied, n.Refused, n.Reasons = c.held, Position{}, nil
		s.cfg.Log.Info("configuration applied", "node", n.ID, "config_version", c.held.Version,
			"receive_ms", m.Ack.GetReceiveMs(), "apply_ms", m.Ack.GetApplyMs())
	case *clusterpb.FollowRequest_Nack:
		if c.pending == nil || m.Nack.GetNonce() != c.nonce {
			return nil
		}
		c.refused = c.pending.position
		c.pending = nil
		n.Refused, n.Reasons = c.refused, reasonsOf(m.Nack)
		for _, r := range n.Reasons {
			s.cfg.Log.Error("configuration refused", "node", n.ID, "config_version", c.refused.Version, "reason", r.String())
		}
	case *clusterpb.FollowRequest_Heartbeat:
		if p := positionOf(m.Heartbeat.GetApplied()); p != (Position{}) && c.pending == nil {
			c.held, n.Applied = p, p
		}
	case *clusterpb.FollowRequest_Hello:
		return status.Error(codes.InvalidArgument, "a second hello")
	default:
		return nil // of a later protocol version
	}
	s.notify()
	return nil
}

// Bounds on the reasons that are kept of one refusal.
const (
	maxReasons     = 100
	maxReasonBytes = 64 << 10
)

func reasonsOf(m *clusterpb.Nack) []Reason {
	var list []Reason
	budget := maxReasonBytes
	for _, r := range m.GetReasons() {
		reason := Reason{Kind: r.GetEntityKind(), ID: r.GetEntityId(), Name: r.GetEntityName(), Field: r.GetField(), Message: r.GetMessage()}
		budget -= len(reason.String())
		if len(list) == maxReasons || budget < 0 {
			break
		}
		list = append(list, reason)
	}
	if list == nil {
		list = []Reason{{Message: "refused without a reason"}}
	}
	return list
}

func positionOf(p *clusterpb.Position) Position {
	if p == nil {
		return Position{}
	}
	return Position{Epoch: p.GetEpoch(), Version: p.GetVersion(), Hash: hex.EncodeToString(p.GetHash())}
}

// endOf is what a stream ends with when its data plane ended it.
func endOf(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
