package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// session is one connection for the time of one closure, and the transaction
// on it. It begins and ends transactions with plain statements: a sql.Tx would
// offer no way to bound BEGIN, COMMIT and ROLLBACK one by one.
type session struct {
	// ctx is the context of the call that the session lives in. It is stored
	// because the methods of a Reader have none.
	ctx   context.Context
	store *Store
	conn  *sql.Conn

	// writes tells that the session has its turn among SQLite's writers.
	writes bool

	// open tells that a transaction was begun.
	open bool

	// failed is the first error that a statement met. PostgreSQL refuses
	// everything after it, and so do we on both databases.
	failed error

	// prepared are the statements that prepare made; they end with the session.
	prepared map[string]*sql.Stmt
}

// collisionError says that the transaction has to run again.
type collisionError struct{ cause error }

func (e *collisionError) Error() string { return "collision: " + e.cause.Error() }
func (e *collisionError) Unwrap() error { return e.cause }

// newSession takes a connection, which release gives back.
func (s *Store) newSession(ctx context.Context, db *sql.DB) (*session, error) {
	ses := &session{ctx: ctx, store: s}
	if s.turn != nil && db == s.writers {
		// A queue is no sign of a database that is away, so only the caller's
		// patience bounds it.
		select {
		case s.turn <- struct{}{}:
			ses.writes = true
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for other writers: %w", ctx.Err())
		}
	}
	bounded, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	conn, err := db.Conn(bounded)
	if err != nil {
		ses.pass()
		return nil, ses.explain(bounded, err)
	}
	ses.conn = conn
	return ses, nil
}

// pass lets the next of SQLite's writers have its turn.
func (ses *session) pass() {
	if ses.writes {
		<-ses.store.turn
	}
}

// release rolls back what was not committed and gives the connection back.
func (ses *session) release() {
	defer ses.pass()
	for _, statement := range ses.prepared {
		if err := statement.Close(); err != nil {
			ses.store.opts.Log.Warn("close a prepared statement", "error", err)
		}
	}
	if ses.open {
		// The caller's context may have ended, which is no reason to keep the
		// transaction open.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ses.ctx), time.Second)
		defer cancel()
		if _, err := ses.conn.ExecContext(ctx, "rollback"); err != nil {
			// Closing the connection rolls back as well.
			ses.discard()
		}
	}
	if err := ses.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		ses.store.opts.Log.Warn("give a database connection back", "error", err)
	}
}

// discard makes the pool close the connection.
func (ses *session) discard() {
	err := ses.conn.Raw(func(any) error { return driver.ErrBadConn })
	if err != nil && !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, sql.ErrConnDone) {
		ses.store.opts.Log.Warn("discard a database connection", "error", err)
	}
}

// begin begins a transaction, if there is none yet.
func (ses *session) begin(statement string) error {
	if ses.open {
		return nil
	}
	// Set first: when the answer gets lost there may be a transaction.
	ses.open = true
	return ses.exec(statement)
}

func (ses *session) commit() error {
	if err := ses.exec("commit"); err != nil {
		return err
	}
	ses.open = false
	return nil
}

// prepare compiles a statement that will run many times in the session.
func (ses *session) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if statement, ok := ses.prepared[text]; ok {
		return statement, nil
	}
	statement, err := ses.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if ses.prepared == nil {
		ses.prepared = map[string]*sql.Stmt{}
	}
	ses.prepared[text] = statement
	return statement, nil
}

// exec runs one statement without a result.
func (ses *session) exec(statement string, args ...any) error {
	return ses.bounded(func(ctx context.Context) error {
		_, err := ses.conn.ExecContext(ctx, statement, args...)
		return err
	})
}

// query runs one statement and calls scan for each row of its result.
func (ses *session) query(statement string, args []any, scan func(*sql.Rows) error) error {
	return ses.bounded(func(ctx context.Context) error {
		rows, err := ses.conn.QueryContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		for rows.Next() {
			if err := scan(rows); err != nil {
				return errors.Join(err, rows.Close())
			}
		}
		return errors.Join(rows.Err(), rows.Close())
	})
}

// bounded runs one exchange with the database, explains its error and
// remembers it.
func (ses *session) bounded(exchange func(context.Context) error) error {
	if ses.failed != nil {
		return ses.failed
	}
	ctx, cancel := context.WithTimeout(ses.ctx, ses.store.opts.Timeout)
	defer cancel()
	err := exchange(ctx)
	if err != nil {
		ses.failed = ses.explain(ctx, err)
	}
	return ses.failed
}

// explain says in the store's words what went wrong; ctx is the exchange's.
func (ses *session) explain(ctx context.Context, err error) error {
	taken, missing := new(takenError), new(store.ReferenceError)
	if errors.As(err, &taken) || errors.As(err, &missing) {
		return err
	}
	if collided := new(collisionError); errors.As(err, &collided) {
		return err
	}
	what := ses.store.d.classify(err)
	if errors.Is(ses.ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", context.Canceled, err)
	}
	if ctx.Err() != nil || what == unavailable || ses.lost() {
		// The connections that lie idle came from the same server and have
		// probably met the same end.
		ses.store.dropIdle()
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	switch what {
	case collision, danglingReference:
		return &collisionError{cause: err}
	}
	return fmt.Errorf("database: %w", err)
}

// lost tells whether the connection is beyond use.
func (ses *session) lost() bool {
	if ses.conn == nil {
		return false
	}
	lost := false
	err := ses.conn.Raw(func(c any) error {
		lost = ses.store.d.closed(c)
		return nil
	})
	return lost || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

// dropIdle closes the idle connections of the pools.
func (s *Store) dropIdle() {
	if s.writers != s.readers {
		return // A file does not go away and come back.
	}
	s.trouble.Store(time.Now().UnixNano())
	s.writers.SetMaxIdleConns(0)
	s.writers.SetMaxIdleConns(s.opts.MaxConns)
}

// distrust is how long after a failure connections are tried before they are
// used; those that broke are then replaced without anybody noticing.
const distrust = time.Minute

// suspicious tells whether a connection that was idle has to be tried.
func (s *Store) suspicious(idle time.Duration) bool {
	return idle > time.Second || time.Since(time.Unix(0, s.trouble.Load())) < distrust
}

// version reads the current version.
func (ses *session) version() (store.Version, error) {
	var v store.Version
	var number int64
	found := false
	err := ses.query(`select epoch, number from config_version`, nil, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&v.Epoch, &number)
	})
	if err == nil && !found {
		err = errors.New("the table config_version is empty")
	}
	v.Number = uint64(number)
	return v, err
}
