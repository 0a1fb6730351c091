package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// Watch implements store.Store. What it is told (by NOTIFY, or by an Update of
// this process) only wakes it; the version that it reads is the truth.
//
// A number that falls within its epoch means that the database lost committed
// transactions: an older backup was restored, or a standby that lagged took
// over. Watch logs that as an error and starts a new epoch.
func (s *Store) Watch(ctx context.Context, f func(store.Version)) error {
	w := watcher{store: s}
	defer w.close(ctx)
	var last store.Version
	for ctx.Err() == nil {
		// Whatever happens from here on is heard by the wait below.
		w.listen(ctx)
		changed := s.nextChange()
		version, err := s.version(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.opts.Log.Warn("read the configuration's version", "error", err)
		case version.Epoch == last.Epoch && version.Number < last.Number:
			s.opts.Log.Error("the database is older than it was: starting a new epoch",
				"epoch", version.Epoch, "version", version.Number, "seen", last.Number)
			if err := s.renewEpoch(ctx, last); err == nil {
				continue
			} else if ctx.Err() == nil {
				s.opts.Log.Error("start a new epoch", "error", err)
			}
		case version != last:
			last = version
			f(version)
		}
		w.wait(ctx, changed)
	}
	return nil
}

// watcher waits for hints.
type watcher struct {
	store *Store
	conn  *pgx.Conn // nil when there is none
}

// listen makes a connection that listens, if there is none. Without it Watch
// only polls.
func (w *watcher) listen(ctx context.Context) {
	if w.store.listen == nil || w.conn != nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, w.store.opts.Timeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(bounded, w.store.listen)
	if err == nil {
		w.conn = conn
		_, err = conn.Exec(bounded, "listen "+channel)
	}
	if err != nil {
		w.drop(ctx, fmt.Errorf("listen: %w", err))
	}
}

// wait returns when there may be news, or after the polling time.
func (w *watcher) wait(ctx context.Context, changed <-chan struct{}) {
	bounded, cancel := context.WithTimeout(ctx, w.store.opts.Poll)
	defer cancel()
	if w.conn == nil {
		select {
		case <-bounded.Done():
		case <-changed:
		}
		return
	}
	_, err := w.conn.WaitForNotification(bounded)
	switch {
	case err == nil || ctx.Err() != nil:
	case !w.conn.IsClosed() && bounded.Err() != nil: // time to poll
	default:
		w.drop(ctx, err)
		// Come back at once, but not in a tight circle.
		if err := pause(ctx, min(100*time.Millisecond, w.store.opts.Poll)); err != nil {
			return
		}
	}
}

// drop gives a broken connection up.
func (w *watcher) drop(ctx context.Context, why error) {
	if ctx.Err() == nil {
		w.store.opts.Log.Warn("the database cannot tell of changes: polling until it can", "error", why)
	}
	w.close(ctx)
}

func (w *watcher) close(ctx context.Context) {
	if w.conn == nil {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := w.conn.Close(bounded); err != nil && ctx.Err() == nil {
		w.store.opts.Log.Debug("close the connection that listened", "error", err)
	}
	w.conn = nil
}
