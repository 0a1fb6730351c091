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
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// Protocol is the version of the stream's protocol that this package speaks.
const Protocol = 1

// Times of the protocol.
const (
	minBackoff   = time.Second
	maxBackoff   = 30 * time.Second
	refusedPause = 5 * time.Minute  // after what waiting does not cure
	healthyAfter = 60 * time.Second // of a stream, resets the backoff
	applyLimit   = 30 * time.Second
	dialLimit    = 10 * time.Second // from the dial to the Welcome
)

// Incoming is a snapshot that was received whole and whose hash is right.
type Incoming struct {
	Epoch    string
	Version  uint64
	Hash     [sha256.Size]byte
	Snapshot *clusterpb.Snapshot
}

func (in Incoming) held() Held { return Held{in.Epoch, in.Version, in.Hash} }

// Node is what the data plane says of itself.
type Node struct {
	ID            string
	Hostname      string
	Version       string // Kong's, such as 3.8.1
	GibbonVersion string
	Plugins       map[string]string // versions by name
	Labels        map[string]string
}

// Config is what a Follower needs.
type Config struct {
	// Addresses of control planes, host:port. They are tried in random order.
	Addresses []string
	// TLS gives the data plane's side of mutual TLS for an address. Nil means
	// plaintext, which New refuses for any address off loopback, unless Dial is
	// set.
	TLS func(address string) *tls.Config
	// Dial replaces the network, for a control plane in the same process.
	Dial func(ctx context.Context) (net.Conn, error)
	Node Node
	// Apply makes a snapshot live. After its context has ended, 30 s later, it
	// must not, and returns soon: the control plane is told then that the snapshot
	// was refused. An error of type *RejectError tells it more. It is never called
	// twice at a time, nor together with Advance.
	Apply func(ctx context.Context, in Incoming) error
	// Advance says that what is live has another position from now on: the
	// content is the same, there is nothing to compile. It may be nil.
	Advance func(Held)
	// MaxPayload is the largest snapshot that is taken, in bytes after
	// compression. Zero: 64 MiB, which is the most in any case.
	MaxPayload int
	// Cache keeps on disk what was applied. Nil: nothing is kept.
	Cache *Cache
	// Log may be nil.
	Log *slog.Logger
	// LogLevel lets the control plane see and change the log's level. Nil: it
	// cannot.
	LogLevel LogLevel
}

// Follower follows one control plane at a time.
type Follower struct {
	cfg   Config
	nonce string
	saves chan save // mailbox of one for the cache, newest wins

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
	// FromCache says that Held was read from disk and the node has not been
	// connected since.
	FromCache bool
	// Err says why the node is not connected; nil when it is, or never tried.
	Err error
	// Refused is the newest snapshot that the node could not apply and
	// RefusedErr says why, until one is applied.
	Refused    Held
	RefusedErr error
	// CacheErr says why Held is not on disk; nil when it is, is about to be, or
	// there is no cache.
	CacheErr error
}

// Held names a snapshot.
type Held struct {
	Epoch   string
	Version uint64
	Hash    [sha256.Size]byte
}

// New checks the configuration.
func New(cfg Config) (*Follower, error) {
	if cfg.Apply == nil {
		return nil, errors.New("follow: no Apply")
	}
	if _, err := uuid.Parse(cfg.Node.ID); err != nil || len(cfg.Node.ID) != 36 {
		return nil, fmt.Errorf("node id %q is not a UUID", cfg.Node.ID)
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
	if cfg.MaxPayload <= 0 || cfg.MaxPayload > maxCompressed {
		cfg.MaxPayload = maxCompressed
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Follower{cfg: cfg, nonce: uuid.NewString(), saves: make(chan save, 1)}, nil
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
// ctx ends. It returns nil then, after its goroutines have ended. It is called
// once.
func (f *Follower) Run(ctx context.Context) error {
	f.restore(ctx)
	var saver sync.WaitGroup
	saver.Go(f.save)
	defer saver.Wait()
	defer close(f.saves)

	backoff := minBackoff
	for ctx.Err() == nil {
		r := f.round(ctx)
		if ctx.Err() != nil {
			break
		}
		f.update(func(s *State) { s.Connected, s.Address, s.Err = false, "", r.err })
		if r.healthy {
			backoff = minBackoff
		}
		pause := r.pause
		switch {
		case pause < 0: // nobody asked for a certain pause: full jitter
			pause = time.Duration(rand.Int64N(int64(backoff)) + 1)
			backoff = min(2*backoff, maxBackoff)
		case pause == refusedPause: // spread those who were refused together
			pause -= time.Duration(rand.Int64N(int64(refusedPause / 2)))
		}
		if r.err != nil {
			f.cfg.Log.Warn("control plane is away", "error", r.err, "retry_in", pause.Round(time.Millisecond).String(),
				"config_version", f.State().Held.Version)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	f.update(func(s *State) { s.Connected, s.Address = false, "" })
	return nil
}

// restore applies the newest generation of the cache that is good.
func (f *Follower) restore(ctx context.Context) {
	if f.cfg.Cache == nil {
		return
	}
	if err := f.cfg.Cache.tidy(); err != nil {
		f.cfg.Log.Warn("cache folder not tidied", "error", err)
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
		f.update(func(s *State) { s.Held, s.FromCache = in.held(), true })
		return
	}
	f.cfg.Log.Info("no cached configuration", "folder", f.cfg.Cache.dir)
}

// apply calls Config.Apply; a panic in it is an error, and so is taking too long.
func (f *Follower) apply(ctx context.Context, in Incoming) (err error) {
	limited, cancel := context.WithTimeout(ctx, applyLimit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			f.cfg.Log.Error("panic while a configuration was compiled", "config_version", in.Version,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic while the configuration was compiled: %v", p)
		}
	}()
	err = f.cfg.Apply(limited, in)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("not compiled within %s: %w", applyLimit, err)
	}
	return err
}

// save is a snapshot on its way to the cache.
type save struct {
	in         Incoming // without the decoded snapshot
	size       uint64
	compressed []byte
}

// keep hands a snapshot to the cache's goroutine without waiting for the disk.
// Only one goroutine calls it at a time.
func (f *Follower) keep(s save) {
	if f.cfg.Cache == nil {
		return
	}
	for {
		select {
		case f.saves <- s:
			return
		default:
		}
		select {
		case <-f.saves: // an older one, which is no longer worth it
		default:
		}
	}
}

// save writes what keep is given. A full disk costs nothing but the cache.
func (f *Follower) save() {
	for s := range f.saves {
		err := f.cfg.Cache.save(s.in, s.size, s.compressed)
		if err != nil {
			f.cfg.Log.Warn("configuration not cached", "config_version", s.in.Version, "error", err)
		}
		f.update(func(st *State) { st.CacheErr = err })
	}
}

// ending is what a try to follow ended with.
type ending struct {
	welcomed bool
	healthy  bool          // it lasted long enough to begin anew
	pause    time.Duration // before the next try; less than zero: the caller chooses
	err      error
}

// round tries each control plane once, until one has welcomed the node, and
// follows that one until the stream ends.
func (f *Follower) round(ctx context.Context) ending {
	addresses := slices.Clone(f.cfg.Addresses)
	if f.cfg.Dial != nil {
		addresses = []string{"in-process"}
	}
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	all := ending{pause: refusedPause}
	for _, address := range addresses {
		e := f.connect(ctx, address)
		if e.welcomed || ctx.Err() != nil {
			return e
		}
		// The most hopeful one says how long to wait.
		all.pause = min(all.pause, e.pause)
		if e.err != nil {
			all.err = errors.Join(all.err, fmt.Errorf("%s: %w", address, e.err))
		}
	}
	return all
}
