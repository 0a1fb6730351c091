// Package follow keeps a data plane on the newest snapshot of its control
// plane: it dials, receives, checks, hands on, answers, and starts again when
// the stream breaks. The last good snapshots lie in a cache on disk, from which
// a data plane can start alone.
//
// What a snapshot means is not its business: Config.Apply compiles one and makes
// it live, or says why not.
package follow

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// Protocol is the version of the stream's protocol that this package speaks.
const Protocol = 1

// Limits on what is accepted from a control plane. Nothing is allocated from a
// length that was not checked against them.
const (
	maxSize       = 256 << 20
	maxCompressed = 64 << 20
	maxFrame      = 1 << 20 // they are 256 KiB; a later control plane may differ
)

// Times of the protocol.
const (
	minBackoff   = time.Second
	maxBackoff   = 30 * time.Second
	refusedPause = 5 * time.Minute  // after what waiting does not cure
	healthyAfter = 60 * time.Second // of a stream, resets the backoff
	applyLimit   = 30 * time.Second
	dialLimit    = 10 * time.Second
)

// Incoming is a snapshot that was received whole and whose hash is right.
type Incoming struct {
	Epoch    string
	Version  uint64
	Hash     [32]byte
	Snapshot *clusterpb.Snapshot
}

// Node is what the data plane says of itself.
type Node struct {
	ID            string
	Hostname      string
	Version       string // Kong's, such as 3.8.1
	GibbonVersion string
	Plugins       map[string]string // versions by name
	Labels        map[string]string
}

// RejectError is an Apply error that names what could not be applied.
type RejectError struct{ Reasons []*clusterpb.Reason }

func (e *RejectError) Error() string {
	if len(e.Reasons) == 0 {
		return "snapshot refused"
	}
	r := e.Reasons[0]
	text := r.GetMessage()
	if r.GetField() != "" {
		text = r.GetField() + ": " + text
	}
	if r.GetEntityKind() != "" {
		text = fmt.Sprintf("%s %s (%s): %s", r.GetEntityKind(), r.GetEntityName(), r.GetEntityId(), text)
	}
	if n := len(e.Reasons) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// Config is what a Follower needs.
type Config struct {
	// Addresses of control planes, host:port. They are tried in random order.
	Addresses []string
	// TLS is the data plane's side of mutual TLS. Nil means plaintext, which New
	// refuses for any address off loopback, unless Dial is set.
	TLS *tls.Config
	// Dial replaces the network, for a control plane in the same process.
	Dial func(ctx context.Context) (net.Conn, error)
	Node Node
	// Apply makes a snapshot live. After its context has ended it must not:
	// the control plane has been told then that the snapshot was refused. It is
	// never called twice at a time.
	Apply func(ctx context.Context, in Incoming) error
	// Cache may be nil: nothing is kept on disk.
	Cache *Cache
	// Log may be nil.
	Log *slog.Logger
}

// Follower follows one control plane at a time.
type Follower struct {
	cfg   Config
	nonce string

	mu    sync.Mutex
	state State
}

// State is what a Follower is doing, for the status listener.
type State struct {
	// Connected says that a control plane has welcomed the node.
	Connected bool
	// Address is the control plane's, when connected.
	Address string
	// Held is what the node serves; its zero value: nothing.
	Held Held
	// FromCache says that Held was read from disk and no control plane has
	// confirmed it since.
	FromCache bool
	// Err is the newest failure to connect, receive or apply; nil after a success.
	Err error
}

// Held names a snapshot.
type Held struct {
	Epoch   string
	Version uint64
	Hash    [32]byte
}

// New checks the configuration.
func New(cfg Config) (*Follower, error) {
	if cfg.Apply == nil {
		return nil, errors.New("follow: no Apply")
	}
	if cfg.Dial == nil && len(cfg.Addresses) == 0 {
		return nil, errors.New("no control plane to follow: set cluster_control_plane")
	}
	if cfg.TLS == nil && cfg.Dial == nil {
		for _, a := range cfg.Addresses {
			if !loopback(a) {
				return nil, fmt.Errorf("control plane %s is not on loopback, and plaintext is refused off loopback: set cluster_cert and cluster_cert_key", a)
			}
		}
	}
	if cfg.Node.Hostname == "" {
		if name, err := os.Hostname(); err == nil {
			cfg.Node.Hostname = name
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Follower{cfg: cfg, nonce: uuid.NewString()}, nil
}

// loopback says whether a host:port can only be reached on this machine.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// State is what the follower is doing.
func (f *Follower) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *Follower) update(change func(*State)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.state)
}

// Run first applies the newest good snapshot in the cache, then follows until
// ctx ends. It returns nil then, after its goroutines have ended.
func (f *Follower) Run(ctx context.Context) error {
	f.restore(ctx)
	backoff := minBackoff
	for ctx.Err() == nil {
		began := time.Now()
		pause, err := f.round(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) >= healthyAfter {
			backoff = minBackoff
		}
		f.update(func(s *State) { s.Connected, s.Address, s.Err = false, "", err })
		if pause < 0 { // nobody asked for a certain pause: full jitter
			pause = time.Duration(rand.Int64N(int64(backoff)) + 1)
			backoff = min(2*backoff, maxBackoff)
		}
		if err != nil {
			f.cfg.Log.Warn("control plane is away", "error", err, "retry_in", pause.Round(time.Millisecond).String(),
				"config_version", f.State().Held.Version)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// restore applies the newest generation of the cache that is good.
func (f *Follower) restore(ctx context.Context) {
	if f.cfg.Cache == nil {
		return
	}
	for in, err := range f.cfg.Cache.load() {
		if err == nil {
			err = f.apply(ctx, in.Incoming)
		}
		if err != nil {
			f.cfg.Log.Error("cached configuration skipped", "file", in.path, "error", err)
			continue
		}
		f.cfg.Log.Info("configuration applied from the cache", "file", in.path, "config_version", in.Version)
		f.update(func(s *State) {
			s.Held, s.FromCache = Held{in.Epoch, in.Version, in.Hash}, true
		})
		return
	}
	f.cfg.Log.Info("no cached configuration", "folder", f.cfg.Cache.dir)
}

// apply calls Config.Apply; a panic in it is an error, and so is taking too long.
func (f *Follower) apply(ctx context.Context, in Incoming) (err error) {
	ctx, cancel := context.WithTimeout(ctx, applyLimit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while the snapshot was compiled: %v", p)
		}
	}()
	return f.cfg.Apply(ctx, in)
}

// round tries each control plane once, until one has welcomed the node, and
// follows that one until the stream ends. A pause of less than zero leaves its
// length to the caller.
func (f *Follower) round(ctx context.Context) (pause time.Duration, err error) {
	addresses := append([]string(nil), f.cfg.Addresses...)
	if f.cfg.Dial != nil {
		addresses = []string{"in-process"}
	}
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	var all []error
	pause = -1
	for _, address := range addresses {
		welcomed, wait, err := f.connect(ctx, address)
		if welcomed {
			return wait, err
		}
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", address, err))
		}
		pause = max(pause, wait)
		if ctx.Err() != nil {
			break
		}
	}
	return pause, errors.Join(all...)
}

func (f *Follower) connect(ctx context.Context, address string) (welcomed bool, pause time.Duration, err error) {
	var refused atomic.Bool
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 15 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxFrame)),
		// The follower has its own backoff; grpc's would come on top of it.
		grpc.WithDisableServiceConfig(),
	}
	if f.cfg.TLS != nil {
		options[0] = grpc.WithTransportCredentials(handshake{credentials.NewTLS(f.cfg.TLS), &refused})
	}
	if f.cfg.Dial != nil {
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return f.cfg.Dial(ctx) }))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		return false, refusedPause, err
	}
	defer conn.Close()

	s := session{follower: f, address: address}
	err = s.run(ctx, clusterpb.NewClusterClient(conn))
	switch code := status.Code(err); {
	case s.pause > 0:
		return s.welcomed, s.pause, err
	case s.leaving:
		return s.welcomed, 0, err
	case code == codes.InvalidArgument, code == codes.AlreadyExists, code == codes.Unimplemented, refused.Load():
		return s.welcomed, refusedPause, err
	default:
		return s.welcomed, -1, err
	}
}

// handshake is TLS that remembers whether the certificates were at fault, which
// another try does not cure. grpc hands such errors on as mere text.
type handshake struct {
	credentials.TransportCredentials
	refused *atomic.Bool
}

func (h handshake) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, conn)
	var network net.Error
	if err != nil && ctx.Err() == nil && !errors.As(err, &network) && !errors.Is(err, io.EOF) {
		h.refused.Store(true)
	}
	return c, info, err
}

func (h handshake) Clone() credentials.TransportCredentials {
	return handshake{h.TransportCredentials.Clone(), h.refused}
}
