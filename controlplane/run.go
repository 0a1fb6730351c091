package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gibbon-gateway/gibbon/controlplane/snapshot"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/schema"
)

// stopLimit is how long requests of the Admin API may go on after the end.
const stopLimit = 10 * time.Second

// Run serves until ctx ends, then lets what is in progress finish. It returns
// after everything that it started has ended, and closes what New opened.
func (c *ControlPlane) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range c.servers() {
		group.Go(w.Serve)
	}
	group.Go(func() error {
		if err := c.cluster.Serve(c.clusterAt); err != nil {
			return fmt.Errorf("cluster_listen: %w", err)
		}
		return nil
	})
	group.Go(func() error { return c.cfg.Store.Watch(ctx, c.noticed) })
	group.Go(func() error { c.publishLoop(ctx); return nil })
	group.Go(func() error { c.sweepLoop(ctx); return nil })
	group.Go(func() error {
		<-ctx.Done()
		return c.stop()
	})
	return group.Wait()
}

// stop ends what serves: first the Admin API, whose writes still want to be
// published, then the streams.
func (c *ControlPlane) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	c.admin.Drain()
	var all error
	for _, w := range c.servers() {
		all = errors.Join(all, w.Shutdown(ctx))
	}
	c.admin.Close()
	c.publisher.Close()
	c.cluster.Stop()
	return all
}

// Close gives up a control plane that never ran.
func (c *ControlPlane) Close() error {
	var all error
	for _, w := range c.servers() {
		all = errors.Join(all, w.Close())
	}
	if c.admin != nil {
		c.admin.Close()
	}
	c.publisher.Close()
	if c.clusterAt != nil {
		all = errors.Join(all, c.clusterAt.Close())
	}
	return all
}

// Reload takes up renewed certificates of the listeners, who may call the Admin
// API, and without a database the declarative configuration. After an error,
// which it logs, what was in force stays.
func (c *ControlPlane) Reload(ctx context.Context, s *settings.Settings) {
	// What came by the Admin API since is replaced, as by a new start; without a
	// file there is nothing to replace it with.
	if c.loader != nil {
		if err := c.loadDeclarative(ctx, s); err != nil {
			c.cfg.Log.Error("reload: the configuration stays as it was", "error", err)
		}
	}
	access, err := accessOf(s)
	if err == nil {
		err = c.admin.SetAccess(access)
	}
	if err != nil {
		c.cfg.Log.Error("reload: those who could call the Admin API still can", "error", err)
	}
	for _, w := range c.servers() {
		if err := w.Reload(s); err != nil {
			c.cfg.Log.Error("reload", "error", err)
		}
	}
}

// noticed hands the newest version to the publish loop, in place of one that it
// has not come to.
func (c *ControlPlane) noticed(v store.Version) {
	for {
		select {
		case c.changes <- v: // capacity 1; the publish loop puts back what failed
			return
		case <-c.changes:
		}
	}
}

// publishLoop compiles and publishes each version that it is told of. The first
// change after a quiet time goes out at once; in a burst the versions within one
// merge window become one.
func (c *ControlPlane) publishLoop(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		var v store.Version
		select {
		case <-ctx.Done():
			return
		case v = <-c.changes:
		}
		began := time.Now()
		err := c.publish(ctx)
		wait := min(max(mergeWindow, mergeShare*time.Since(began)), mergeLimit)
		if c.cfg.InProcess != nil {
			wait = 0 // whoever wrote waits to see it live
		}
		if err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("configuration not published", "config_version", v.Number, "error", err)
			wait = compileRetry
			select { // try again, unless a newer version is there by then
			case c.changes <- v:
			default:
			}
		}
		pause.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// publish compiles one consistent view of the store and hands it to the stream.
func (c *ControlPlane) publish(ctx context.Context) error {
	began := time.Now()
	var snap *snapshot.Snapshot
	var version store.Version
	err := c.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		if version, err = r.Version(); err != nil {
			return err
		}
		if err := c.compiled.follow(r, version); err != nil {
			return err
		}
		snap, err = c.compiled.compiler.Snapshot()
		return err
	})
	if err != nil {
		c.compiled.compiler = nil // what is in it may be half of something
		return fmt.Errorf("compile: %w", err)
	}
	if err := c.publisher.Publish(version.Epoch, version.Number, snap); err != nil {
		return err
	}
	c.cfg.Log.Info("configuration published", "config_version", version.Number, "config_hash", fmt.Sprintf("%x", snap.Hash[:16]),
		"bytes", len(snap.Compressed), "compile_ms", time.Since(began).Milliseconds())
	// It is on its way to the data planes; that the history lacks its hash is no
	// reason to send it again.
	if err := c.cfg.Store.Published(ctx, version, fmt.Sprintf("%x", snap.Hash)); err != nil && ctx.Err() == nil {
		c.cfg.Log.Warn("hash of the configuration not noted", "config_version", version.Number, "error", err)
	}
	return nil
}

// compiled is the configuration as the newest snapshot has it, kept so that the
// next one need not read and encode everything again.
type compiled struct {
	catalogue *schema.Catalogue
	compiler  *snapshot.Compiler // nil when nothing is kept
	version   store.Version
}

// maxFollowed is how many changes are followed one by one; reading everything is
// better then.
const maxFollowed = 20_000

// follow brings what is kept to a version. The changes since the version that it
// stands at say how, if there are not too many and the log still has them all.
func (c *compiled) follow(r store.Reader, version store.Version) error {
	if c.compiler != nil && c.version.Epoch == version.Epoch && c.version.Number <= version.Number {
		done, err := c.replay(r, version.Number)
		if done || err != nil {
			c.version = version
			return err
		}
	}
	c.compiler, c.version = snapshot.NewCompiler(c.catalogue), version
	return c.compiler.PutAll(r.All())
}

// replay applies the changes up to a version. Versions have no gaps: where one is
// missing the log was pruned, and the changes are of no use.
func (c *compiled) replay(r store.Reader, to uint64) (done bool, err error) {
	at := c.version.Number
	for followed := 0; at < to; {
		changes, err := r.Changes(at, maxFollowed)
		if err != nil {
			return false, err
		}
		if followed += len(changes); len(changes) == 0 || followed > maxFollowed {
			return false, nil
		}
		for _, change := range changes {
			if change.Version > at+1 {
				return false, nil
			}
			at = change.Version
			if change.After == nil {
				c.compiler.Remove(change.Kind, change.ID)
				continue
			}
			e := store.Entity{Workspace: change.Workspace, Kind: change.Kind, ID: change.ID, Document: change.After}
			if err := c.compiler.Put(e); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// live waits until a version is live on every data plane that is connected; it
// is used when that is one, in this process.
func (c *ControlPlane) live(ctx context.Context, v store.Version) {
	if err := c.publisher.WaitApplied(ctx, v.Number); err != nil {
		c.cfg.Log.Warn("a write was answered before it was live", "config_version", v.Number, "error", err)
	}
}

// sweepLoop deletes what has expired, and old versions.
func (c *ControlPlane) sweepLoop(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.sweep(ctx)
	}
}

func (c *ControlPlane) sweep(ctx context.Context) {
	n, err := c.cfg.Store.Sweep(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		c.cfg.Log.Warn("expired entities not deleted", "error", err)
	case n > 0:
		c.cfg.Log.Info("expired entities deleted", "entities", n)
	}
	n, err = c.cfg.Store.Prune(ctx, store.Retention{Age: c.cfg.Settings.HistoryAge, Versions: c.cfg.Settings.HistoryLength})
	if err != nil && ctx.Err() == nil {
		c.cfg.Log.Warn("old versions of the configuration not deleted", "error", err)
	}
	if n > 0 {
		c.cfg.Log.Info("old versions of the configuration deleted", "versions", n)
	}
}

// Addresses are the Admin API's, as URLs.
func (c *ControlPlane) Addresses() []string { return c.front.URLs() }

// ClusterAddress is where data planes connect.
func (c *ControlPlane) ClusterAddress() net.Addr { return c.clusterAt.Addr() }
