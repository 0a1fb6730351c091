package publish

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

const (
	helloWait     = 10 * time.Second // how long a new stream may be silent
	committedWait = 5 * time.Second  // how long the database may take to name its version
	answerWait    = 90 * time.Second // three times what a data plane gives itself to apply
	partWait      = time.Second      // how long a farewell may take
	partSpread    = 2 * time.Second  // over which the nodes of a stopping control plane come back
)

// session is one live stream. Its loop owns all fields but wake, replaced, left,
// moved, queue and calls.
type session struct {
	server *Server
	node   *node
	hello  *clusterpb.Hello
	stream clusterpb.Cluster_FollowServer

	expiry time.Time // of the node's certificate; zero without TLS

	wake     chan struct{} // mailbox of one: something newer was published
	replaced chan struct{} // closed when the same process opened another stream
	left     chan struct{} // closed when the stream has ended

	// queue are the calls to send, and calls those that wait for an answer, by
	// nonce. The server's lock guards both.
	queue []*clusterpb.FollowResponse
	calls map[uint64]chan<- *clusterpb.LogLevelReport

	received chan *clusterpb.FollowRequest
	recvErr  chan error
	jobs     chan []any // messages for the sender, one batch at a time
	sent     chan error
	// moved is when the sender began its latest message; nil while it waits for
	// its turn, which is no fault of the data plane.
	moved atomic.Pointer[time.Time]

	sending bool
	parting bool // the stream is too old; it ends when nothing is under way
	nonce   uint64
	pending Position    // sent and not answered; zero: nothing is
	asking  bool        // what is being sent is a snapshot
	answer  *time.Timer // runs while an answer is due
	// held is what the node serves, refused what it could not apply. Refused
	// content is not sent again; the next one is.
	held, refused Position
	// cut says that the database has never committed what the node holds, so
	// that it may be sent a lower version.
	cut bool
	// outdated is an edition of a former history, which this control plane has
	// and the node has left behind already.
	outdated *edition
}

// poke says that something was published. It never blocks.
func (c *session) poke() {
	select {
	case c.wake <- struct{}{}:
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
		left:     make(chan struct{}),
		calls:    map[uint64]chan<- *clusterpb.LogLevelReport{},
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
	defer close(c.left)

	if err := c.greet(); err != nil {
		return err
	}
	if c.node == nil {
		return nil // refused, and told so, or gone before it said who it is
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

// send writes batch after batch. It ends when the handler has closed jobs.
func (c *session) send() {
	for batch := range c.jobs {
		err := c.write(batch)
		c.sent <- err // capacity 1, and one batch at a time
		if err != nil {
			for range c.jobs { // until the handler has closed it
			}
			return
		}
	}
}

// write sends one batch. One of more than one message is a whole snapshot, of
// which only so many are on their way at a time.
func (c *session) write(batch []any) error {
	if len(batch) > 1 {
		c.moved.Store(nil)
		done, err := c.server.turn(c.stream.Context())
		if err != nil {
			return err
		}
		defer done()
	}
	for _, m := range batch {
		now := time.Now()
		c.moved.Store(&now)
		if err := c.stream.SendMsg(m); err != nil {
			return err
		}
	}
	return nil
}

// start hands the sender a batch. The sender must be idle.
func (c *session) start(batch ...any) {
	now := time.Now()
	c.moved.Store(&now)
	c.sending = true
	c.jobs <- batch
}

// deliver sends one message and waits until it is written.
func (c *session) deliver(m *clusterpb.FollowResponse, within time.Duration) error {
	c.start(m)
	select {
	case err := <-c.sent:
		c.sending = false
		return err
	case <-time.After(within):
		return errStalled
	case <-c.stream.Context().Done():
		return c.stream.Context().Err()
	}
}

var errStalled = status.Error(codes.DeadlineExceeded, "the data plane does not read")

// greet reads the Hello and answers it. It leaves c.node nil when the data
// plane was refused or left.
func (c *session) greet() error {
	s := c.server
	var hello *clusterpb.Hello
	select {
	case m := <-c.received:
		hello = m.GetHello()
	case err := <-c.recvErr:
		return endOf(err)
	case <-c.stream.Context().Done():
		return nil
	case <-time.After(helloWait):
		return status.Error(codes.DeadlineExceeded, "no hello")
	case <-s.closing:
		return status.Error(codes.Unavailable, "the control plane is stopping")
	}
	if err := checkHello(hello); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	hello.NodeId = strings.ToLower(hello.GetNodeId())
	c.hello = hello
	c.held = positionOf(hello.GetHeld())

	verdict, message := s.compatible(hello)
	if verdict == StatusNormal {
		if err := c.judge(); err != nil {
			return err
		}
	}
	if err := c.enter(verdict, message); err != nil {
		return err
	}
	if verdict != StatusNormal {
		s.cfg.Log.Warn("data plane refused", "node", hello.GetNodeId(), "hostname", hello.GetHostname(), "reason", message)
		return c.deliver(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Refusal{
			Refusal: &clusterpb.Refusal{SyncStatus: string(verdict), Message: message},
		}}, s.cfg.Stall)
	}
	s.cfg.Log.Info("data plane connected", "node", hello.GetNodeId(), "hostname", hello.GetHostname(),
		"holds_version", c.held.Version)
	err := c.deliver(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Welcome{Welcome: &clusterpb.Welcome{
		Protocol:       Protocol,
		ControlPlaneId: s.cfg.ID,
		HeartbeatMs:    uint32(s.cfg.Heartbeat.Milliseconds()),
		EpochChanged:   c.cut,
	}}}, s.cfg.Stall)
	if err != nil {
		c.leave()
	}
	return err
}

// judge finds out whether the database knows what the node holds. A node may be
// ahead of this control plane because another one was faster, and must keep what
// it has then; or because the database was set back, and must give it up.
func (c *session) judge() error {
	s := c.server
	if c.held == (Position{}) {
		return nil
	}
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	if current != nil && c.held.Epoch == current.position.Epoch && c.held.Version <= current.position.Version {
		return nil // as always, and the database need not answer
	}
	newest, err := s.committed(c.stream.Context())
	if err != nil {
		s.cfg.Log.Warn("cannot tell whether a data plane is ahead of the database", "node", c.hello.GetNodeId(),
			"epoch", c.held.Epoch, "version", c.held.Version, "error", err)
		return status.Errorf(codes.Unavailable, "the control plane cannot tell whether version %d is of its database's history", c.held.Version)
	}
	c.cut = c.held.Epoch != newest.Epoch || c.held.Version > newest.Number
	if current != nil && current.position.Epoch != newest.Epoch {
		c.outdated = current
	}
	if c.cut {
		s.cfg.Log.Error("data plane holds a configuration that this database never had",
			"node", c.hello.GetNodeId(), "epoch", c.held.Epoch, "version", c.held.Version)
	}
	return nil
}

// enter writes the node into the server's books and, unless it is refused,
// makes this session its live one.
func (c *session) enter(verdict SyncStatus, message string) error {
	s, h := c.server, c.hello
	p, ok := peer.FromContext(c.stream.Context())
	if !ok {
		return status.Error(codes.Internal, "a stream without a peer")
	}
	now := time.Now()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge(now)
	n := s.nodes[h.GetNodeId()]
	if n != nil && n.live != nil {
		if n.nonce != h.GetBootNonce() {
			s.cfg.Log.Error("a second data plane claims a node id that is in use",
				"node", h.GetNodeId(), "holder", n.IP, "newcomer", ipOf(p.Addr))
			return status.Errorf(codes.AlreadyExists, "node id %s is in use by the data plane at %s", h.GetNodeId(), n.IP)
		}
		close(n.live.replaced)
		n.live = nil
	}
	if n == nil {
		n = &node{Node: Node{ID: h.GetNodeId(), FirstSeen: now}}
		s.nodes[h.GetNodeId()] = n
	}
	if n.nonce == h.GetBootNonce() && len(n.Reasons) > 0 {
		c.refused = n.Refused // the same process would refuse it again
	} else {
		n.Refused, n.Reasons = Position{}, nil
	}
	n.nonce = h.GetBootNonce()
	n.Hostname, n.IP = h.GetHostname(), ipOf(p.Addr)
	n.Version, n.GibbonVersion = h.GetVersion(), h.GetGibbonVersion()
	n.Labels, n.LastSeen = h.GetLabels(), now
	n.Status, n.Message = verdict, message
	n.Applied = c.held
	n.CertificateExpiry = time.Time{}
	if tls, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		n.CertificateExpiry = expiryOf(&tls.State)
		c.expiry = n.CertificateExpiry
	}
	n.TakesLogLevel = slices.Contains(h.GetCapabilities(), logLevelCapability)
	n.Connected = verdict == StatusNormal
	if n.Connected {
		n.live, c.node = c, n
	}
	s.notify()
	return nil
}

// leave takes the session out of the books, unless another has replaced it.
func (c *session) leave() {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.node.live != c {
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
	c.answer = time.NewTimer(answerWait)
	defer c.answer.Stop()
	c.answer.Stop()
	var aged <-chan time.Time
	if cfg.MaxAge > 0 {
		// ± 20 %, so that nodes that came together do not leave together.
		age := time.NewTimer(time.Duration(float64(cfg.MaxAge) * (0.8 + 0.4*rand.Float64())))
		defer age.Stop()
		aged = age.C
	}
	// A stream does not outlive the certificate that opened it.
	var expired <-chan time.Time
	if !c.expiry.IsZero() {
		expiry := time.NewTimer(time.Until(c.expiry))
		defer expiry.Stop()
		expired = expiry.C
	}

	for {
		if !c.sending {
			if c.parting && c.pending == (Position{}) {
				return c.part(0)
			}
			if batch := c.next(); batch != nil {
				stall.Reset(cfg.Stall)
				c.start(batch...)
			} else if call := c.nextCall(); call != nil {
				stall.Reset(cfg.Stall)
				c.start(call)
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
		case <-c.stream.Context().Done():
			return nil // the receiver may have seen it while it held a message
		case err := <-c.sent:
			c.sending = false
			if err != nil {
				return endOf(err)
			}
			if c.asking {
				c.asking = false
				if c.pending != (Position{}) { // it may be answered already
					c.answer.Reset(answerWait)
				}
			}
		case <-beat.C:
			if !c.sending { // else what is on its way shows life
				stall.Reset(cfg.Stall)
				c.start(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Heartbeat{Heartbeat: &clusterpb.Heartbeat{}}})
			}
		case <-dead.C:
			return status.Error(codes.DeadlineExceeded, "no heartbeat from the data plane")
		case <-stall.C:
			if c.sending {
				left := cfg.Stall
				if moved := c.moved.Load(); moved != nil {
					left -= time.Since(*moved)
				}
				if left <= 0 {
					return errStalled
				}
				stall.Reset(left)
			}
		case <-c.answer.C:
			if c.pending != (Position{}) {
				return status.Errorf(codes.DeadlineExceeded, "no answer to version %d", c.pending.Version)
			}
		case <-c.replaced:
			return status.Error(codes.Aborted, "replaced by a newer stream of the same data plane")
		case <-aged:
			c.parting = true
		case <-expired:
			return status.Error(codes.Unauthenticated, "the data plane's certificate has expired")
		case <-c.server.closing:
			if c.sending {
				return status.Error(codes.Unavailable, "the control plane is stopping")
			}
			return c.part(time.Duration(rand.Int64N(int64(partSpread))))
		}
	}
}

// part asks the data plane to connect elsewhere after a while.
func (c *session) part(after time.Duration) error {
	return c.deliver(&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_GoingAway{
		GoingAway: &clusterpb.GoingAway{RetryAfterMs: uint32(after.Milliseconds())},
	}}, partWait)
}

// next is what to send now: a manifest with its frames, a manifest alone when
// the node holds the content under another position, or nil.
func (c *session) next() []any {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	e, n := s.current, c.node
	switch {
	case n.live != c || c.parting || c.pending != (Position{}):
		return nil
	case e == nil || e == c.outdated || e.position == c.held || e.position == c.refused:
		return nil
	case !c.cut && e.position.Epoch == c.held.Epoch && e.position.Version < c.held.Version:
		return nil // another control plane was faster
	case e.position.Hash == c.refused.Hash:
		// A higher version of what the node cannot apply is refused with it.
		c.refused, n.Refused = e.position, e.position
		s.notify()
		return nil
	}
	held := e.position.Hash == c.held.Hash
	if !held {
		if lack := s.lacks(e, c.hello); lack != "" {
			if n.Refused != e.position {
				s.cfg.Log.Warn("data plane cannot take the configuration", "node", n.ID,
					"config_version", e.position.Version, "reason", lack)
				n.Status, n.Message = StatusPluginMissing, lack
				n.Refused, n.Reasons = e.position, nil
				s.notify()
			}
			return nil
		}
	}
	n.Status, n.Message = StatusNormal, ""
	c.nonce++
	c.pending, c.asking = e.position, true
	manifest := proto.CloneOf(e.manifest)
	manifest.Nonce, manifest.ContentHeld = c.nonce, held
	batch := []any{&clusterpb.FollowResponse{Message: &clusterpb.FollowResponse_Manifest{Manifest: manifest}}}
	if held {
		return batch
	}
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
		p, err := c.answered(m.Ack.GetNonce(), m.Ack.GetPosition())
		if err != nil || p == (Position{}) {
			return err
		}
		c.held, c.refused, c.cut = p, Position{}, false
		n.Applied, n.Refused, n.Reasons = p, Position{}, nil
		s.cfg.Log.Info("configuration applied", "node", n.ID, "config_version", p.Version,
			"receive_ms", m.Ack.GetReceiveMs(), "apply_ms", m.Ack.GetApplyMs())
	case *clusterpb.FollowRequest_Nack:
		p, err := c.answered(m.Nack.GetNonce(), m.Nack.GetPosition())
		if err != nil || p == (Position{}) {
			return err
		}
		c.refused = p
		n.Refused, n.Reasons = p, reasonsOf(m.Nack)
		for _, r := range n.Reasons {
			s.cfg.Log.Error("configuration refused", "node", n.ID, "config_version", p.Version, "reason", r.String())
		}
	case *clusterpb.FollowRequest_Heartbeat:
		if err := checkPosition("applied", m.Heartbeat.GetApplied()); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		p := positionOf(m.Heartbeat.GetApplied())
		if p == (Position{}) || p == c.held || c.pending != (Position{}) {
			return nil
		}
		c.held, n.Applied = p, p
	case *clusterpb.FollowRequest_LogLevel:
		c.report(m.LogLevel)
		return nil
	case *clusterpb.FollowRequest_Hello:
		return status.Error(codes.InvalidArgument, "a second hello")
	default:
		return nil // of a later protocol version
	}
	s.notify()
	return nil
}

// answered ends the wait for an answer and says to what; to nothing, when the
// nonce is not the pending snapshot's.
func (c *session) answered(nonce uint64, claimed *clusterpb.Position) (Position, error) {
	p := c.pending
	if p == (Position{}) || nonce != c.nonce {
		return Position{}, nil
	}
	if positionOf(claimed) != p {
		return Position{}, status.Errorf(codes.InvalidArgument, "the answer to version %d names another snapshot", p.Version)
	}
	c.pending = Position{}
	c.answer.Stop()
	return p, nil
}

// endOf is what a stream ends with when its data plane ended it.
func endOf(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}
