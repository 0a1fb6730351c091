// Package dataplane is the half of Gibbon that carries traffic. It owns the proxy
// and status listeners, takes up the snapshots that a control plane sends, and
// drains when it is told to stop. It has no database, and what it serves does not
// depend on a control plane being there.
//
// New wires the parts, Run serves until its context ends.
package dataplane

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/follow"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/price"
	"github.com/gibbon-gateway/gibbon/dataplane/plugins"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/dataplane/signals"
	"github.com/gibbon-gateway/gibbon/internal/listener"
	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
	"github.com/gibbon-gateway/gibbon/internal/web"
	"github.com/gibbon-gateway/gibbon/schema"
)

// ErrCut says that the node had to break off requests when it stopped.
var ErrCut = errors.New("requests were cut off when the node stopped")

// Config is what New wires together.
type Config struct {
	Settings  *settings.Settings
	Catalogue *schema.Catalogue
	// NodeID is the node's UUID.
	NodeID string
	// Dial reaches a control plane in the same process. Nil: the control planes of
	// the settings, over the network, with a cache on disk to start from.
	Dial func(ctx context.Context) (net.Conn, error)
	Log  *telemetry.Log
}

// DataPlane is a data plane whose listeners are open.
type DataPlane struct {
	cfg      Config
	live     runtime.Live
	keeper   runtime.Keeper
	build    runtime.Options
	resolver *upstream.Resolver
	calls    *http.Transport // of plugins
	prices   price.Book
	models   *signals.Metrics  // nil: not wanted
	exporter *signals.Exporter // nil: nothing is sent to a collector
	proxy    *proxy.Proxy
	follower *follow.Follower
	front    *web.Server // the proxy's
	gate     *listener.Gate
	side     *web.Server // the status listener's

	draining atomic.Bool
	ready    chan struct{} // closed when the first configuration is live
	once     sync.Once
	held     atomic.Pointer[held]
}

// held is what is said of the configuration in force.
type held struct {
	hash  string // 32 hex digits
	empty bool
}

// noHash stands for a configuration that is not there.
const noHash = "00000000000000000000000000000000"

// flushTime is how long log files and the like have to be flushed at the end.
const flushTime = 10 * time.Second

// New opens the listeners, so that an address in use is an error here and not
// later, and wires the parts. Run must follow.
func New(ctx context.Context, cfg Config) (*DataPlane, error) {
	d := &DataPlane{cfg: cfg, ready: make(chan struct{}), resolver: upstream.NewResolver(nil)}
	if err := d.wire(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *DataPlane) wire(ctx context.Context) error {
	var err error
	d.calls = newCalls(d.cfg.Settings)
	list, err := priceList(d.cfg.Settings)
	if err != nil {
		return err
	}
	d.prices.Set(list)
	if d.cfg.Settings.AIMetrics {
		d.models = signals.NewMetrics()
	}
	if d.build, err = buildOptions(d.cfg, plugins.All, &d.keeper, d.calls, &d.prices); err != nil {
		return err
	}
	if d.exporter, err = newExporter(ctx, d.cfg); err != nil {
		return err
	}
	options, err := d.proxyOptions()
	if err != nil {
		return err
	}
	d.proxy = proxy.New(options)
	if d.follower, err = d.newFollower(); err != nil {
		return err
	}
	if err := d.openProxy(ctx); err != nil {
		return err
	}
	return d.openStatus(ctx)
}

// Addresses are the URLs of the proxy listeners.
func (d *DataPlane) Addresses() []string { return d.front.URLs() }

// StatusAddresses are the URLs of the status listeners.
func (d *DataPlane) StatusAddresses() []string { return d.side.URLs() }

// Ready closes when the first configuration is live.
func (d *DataPlane) Ready() <-chan struct{} { return d.ready }

// Reload takes up renewed certificates of the listeners and a renewed price list,
// and has log files opened anew. Other settings need a restart.
func (d *DataPlane) Reload(s *settings.Settings) {
	for _, w := range d.servers() {
		if err := w.Reload(s); err != nil {
			d.cfg.Log.Error("reload", "error", err)
		}
	}
	if list, err := priceList(s); err != nil {
		// The prices that are there go on being used.
		d.cfg.Log.Error("reload", "error", err)
	} else {
		d.prices.Set(list)
	}
	d.keeper.Reload()
}

// Apply makes a snapshot live. When it cannot be put in force the one before
// stays, and the error says what is wrong with it.
func (d *DataPlane) Apply(ctx context.Context, in follow.Incoming) error {
	options := d.build
	options.Version = versionText(in.Version)
	rt, err := runtime.Build(in.Snapshot, options)
	if err != nil {
		return rejection(err)
	}
	if err := ctx.Err(); err != nil {
		rt.Release()
		return fmt.Errorf("take up a configuration: %w", context.Cause(ctx))
	}
	h := &held{hash: hex.EncodeToString(in.Hash[:len(noHash)/2]), empty: isEmpty(in.Snapshot)}
	if h.empty {
		h.hash = noHash
	}
	d.live.Swap(rt)
	d.held.Store(h)
	d.once.Do(func() { close(d.ready) })
	return nil
}

// advance takes up the version of a snapshot with the content that is live.
func (d *DataPlane) advance(h follow.Held) { d.live.Advance(versionText(h.Version)) }

func versionText(version uint64) string { return strconv.FormatUint(version, 10) }

func isEmpty(snapshot *clusterpb.Snapshot) bool {
	for _, group := range snapshot.GetGroups() {
		if len(group.GetEntities()) > 0 {
			return false
		}
	}
	return true
}

// rejection gives a build error to the control plane.
func rejection(err error) error {
	var bad *runtime.BuildError
	if !errors.As(err, &bad) {
		return err
	}
	reject := &follow.RejectError{}
	for _, p := range bad.Problems {
		reject.Reasons = append(reject.Reasons, &clusterpb.Reason{
			EntityKind: p.Kind, EntityId: p.ID, EntityName: p.Name, Field: p.Field, Message: p.Message,
		})
	}
	return reject
}

// Run serves until ctx ends, then drains: requests in progress are finished as
// far as their time allows. It returns ErrCut when some had to be broken off.
func (d *DataPlane) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.close()) }()
	followCtx, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer stopFollowing()
	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	for _, w := range d.servers() {
		running.Go(func() {
			if err := w.Serve(); err != nil {
				fail(err)
			}
		})
	}
	running.Go(func() {
		if err := d.follower.Run(followCtx); err != nil {
			fail(fmt.Errorf("follow the control plane: %w", err))
		}
	})
	select {
	case <-ctx.Done():
	case err = <-failed:
		d.cfg.Log.Error("the data plane cannot go on", "error", err)
	}
	err = errors.Join(err, d.drain())
	stopCtx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return errors.Join(err, stop(stopCtx, d.side))
}

// drain ends the traffic: it is said at once that the node is going, then, after
// drain_delay, no more connections are taken in, and the requests in progress are
// waited for.
func (d *DataPlane) drain() error {
	s := d.cfg.Settings
	d.draining.Store(true)
	telemetry.Notice(context.Background(), d.cfg.Log.Logger, "draining", "delay", s.DrainDelay.String())
	if s.DrainDelay > 0 {
		time.Sleep(s.DrainDelay)
	}
	d.proxy.BeginDrain()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- stop(ctx, d.front) }()
	cut, err := 0, error(nil)
	for began, open := time.Now(), true; open; {
		past := time.Since(began)
		cut += d.proxy.Drain(context.Background(), max(0, s.DrainTimeout-past), max(0, s.DrainStreamTimeout-past))
		select {
		case err = <-stopped:
			open = false
		case <-time.After(closeTime):
			// A connection that was just taken in when the end began may have brought
			// its request meanwhile, which has its time like any other. The rest are
			// idle ones.
			if d.proxy.Counts().Active == 0 {
				cancel()
			}
		}
	}
	if cut > 0 {
		err = errors.Join(err, fmt.Errorf("%w: %d", ErrCut, cut))
	}
	telemetry.Notice(context.Background(), d.cfg.Log.Logger, "drained", "cut", cut)
	return err
}

// close lets go of everything. The servers have ended.
func (d *DataPlane) close() error {
	var errs []error
	for _, w := range d.servers() {
		errs = append(errs, w.Close())
	}
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		d.live.Swap(nil)
	}()
	timer := time.NewTimer(flushTime)
	defer timer.Stop()
	select {
	case <-flushed:
	case <-timer.C:
		errs = append(errs, fmt.Errorf("log files and the like were not flushed within %s", flushTime))
	}
	if d.calls != nil {
		d.calls.CloseIdleConnections()
	}
	if d.exporter != nil {
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		if err := d.exporter.Close(ctx); err != nil {
			// A collector that is away is no failure of the node.
			d.cfg.Log.Warn("the collector did not get everything", "error", err)
		}
	}
	return errors.Join(append(errs, d.resolver.Close())...)
}
