package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/internal/testpg"
)

// patience bounds what is expected to happen soon.
const patience = 30 * time.Second

// promised is how soon a write has to fail when the database is away.
const promised = 5 * time.Second

// withSetting returns a DSN whose connections have a server setting.
func withSetting(t *testing.T, dsn, setting string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("options", "-c"+setting) // a space would arrive as a plus
	u.RawQuery = q.Encode()
	return u.String()
}

// execSQL runs a statement beside the store.
func execSQL(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Errorf("%s: %v", sql, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// put writes an entity.
func put(s store.Store, ctx context.Context, id string) (store.Version, error) {
	return s.Update(ctx, "tester", func(tx store.Tx) error {
		return tx.Insert(store.Entity{Kind: "services", ID: id, Document: []byte(`{}`)})
	})
}

func TestPostgresDeadlockRunsAgain(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, withSetting(t, testpg.New(t), "deadlock_timeout=50ms"))
	for _, id := range []string{"a", "b"} {
		if _, err := put(s, t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	var first, all sync.WaitGroup
	first.Add(2)
	var runs atomic.Int32
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		all.Go(func() {
			var once sync.Once
			if _, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
				runs.Add(1)
				for _, id := range order {
					e, err := tx.Lock("services", id)
					if err != nil {
						return err
					}
					if err := tx.Put(e); err != nil {
						return err
					}
					once.Do(func() { first.Done(); first.Wait() }) // Each holds one row now.
				}
				return nil
			}); err != nil {
				t.Errorf("Update: %v", err)
			}
		})
	}
	all.Wait()
	if runs.Load() < 3 {
		t.Errorf("the closures ran %d times: there was no deadlock", runs.Load())
	}
	if v, err := put(s, t.Context(), "c"); err != nil || v.Number != 5 {
		t.Errorf("the next version is %d, want 5 (%v)", v.Number, err)
	}
}

// watching starts Watch and returns what it sees.
func watching(t *testing.T, s store.Store) <-chan store.Version {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan store.Version, 100)
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, func(v store.Version) { seen <- v }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
	return seen
}

// await waits until a version with the number is seen.
func await(t *testing.T, seen <-chan store.Version, number uint64) store.Version {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case v := <-seen:
			if v.Number == number {
				return v
			}
		case <-deadline:
			t.Fatalf("version %d was never seen", number)
		}
	}
}

func TestPostgresWatchHearsOthers(t *testing.T) {
	t.Parallel()
	dsn := testpg.New(t)
	writer := openPostgres(t, dsn)
	// It never polls: all it hears comes from LISTEN.
	s, err := sqlstore.OpenPostgres(t.Context(), dsn, sqlstore.Options{Poll: time.Hour})
	s = closing(t, s, err)
	seen := watching(t, s)
	await(t, seen, 0)
	for i := range 3 {
		v, err := put(writer, t.Context(), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		await(t, seen, v.Number)
		// Listening starts again when the server ends the connection, and a
		// version from in between is not lost.
		execSQL(t, dsn, `select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and query ilike 'listen %'`)
		v, err = put(writer, t.Context(), fmt.Sprint("between", i))
		if err != nil {
			t.Fatal(err)
		}
		await(t, seen, v.Number)
	}
}

func TestPostgresWatchPolls(t *testing.T) {
	t.Parallel()
	dsn := testpg.New(t)
	s := openPostgres(t, dsn)
	seen := watching(t, s)
	await(t, seen, 0)
	execSQL(t, dsn, "update config_version set number = 7") // and no NOTIFY
	await(t, seen, 7)
}

func TestPostgresOlderDatabaseIsNewEpoch(t *testing.T) {
	t.Parallel()
	dsn := testpg.New(t)
	s := openPostgres(t, dsn)
	watchers := []<-chan store.Version{watching(t, s), watching(t, openAgain(t, dsn))}
	execSQL(t, dsn, "update config_version set number = 9")
	before := [2]store.Version{await(t, watchers[0], 9), await(t, watchers[1], 9)}
	execSQL(t, dsn, "update config_version set number = 4") // as after restoring a backup
	var after [2]store.Version
	for i, w := range watchers {
		after[i] = await(t, w, 4)
		if after[i].Epoch == before[i].Epoch {
			t.Errorf("watcher %d saw an older version in the same epoch", i)
		}
	}
	if v, err := put(s, t.Context(), "x"); err != nil || v.Number != 5 || v.Epoch != after[0].Epoch || v.Epoch != after[1].Epoch {
		t.Errorf("all are at %+v (%v), the watchers saw %+v", v, err, after)
	}
}

func openAgain(t *testing.T, dsn string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.OpenPostgres(t.Context(), dsn, options)
	return closing(t, s, err)
}

func TestPostgresReadOnly(t *testing.T) {
	t.Parallel()
	dsn := testpg.New(t)
	openPostgres(t, dsn)
	s := openAgain(t, withSetting(t, dsn, "default_transaction_read_only=on"))
	if _, err := put(s, t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a write to a read-only database: %v, want ErrUnavailable", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("reading it: %v", err)
	}
}

// inTime runs f, which has to fail as unavailable, and soon.
func inTime(t *testing.T, what string, f func() error) {
	t.Helper()
	start := time.Now()
	err := f()
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%s: %v, want ErrUnavailable", what, err)
	}
	if took := time.Since(start); took > promised {
		t.Errorf("%s took %v, want at most %v", what, took, promised)
	}
}

func TestPostgresGoesAndComes(t *testing.T) {
	t.Parallel()
	server := testpg.Server(t)
	s := openPostgres(t, server.DSN())
	seen := watching(t, s)
	await(t, seen, 0)

	var id atomic.Int64
	var acknowledged atomic.Uint64
	write := func() (uint64, error) {
		v, err := put(s, t.Context(), fmt.Sprint(id.Add(1)))
		if err == nil {
			for old := acknowledged.Load(); old < v.Number && !acknowledged.CompareAndSwap(old, v.Number); old = acknowledged.Load() {
			}
		}
		return v.Number, err
	}
	for _, end := range []struct {
		name string
		how  func() error
	}{{"stop", server.Stop}, {"kill", server.Kill}} {
		// Writers work until the server is gone. The server goes in the middle.
		var all sync.WaitGroup
		started := make(chan struct{}, 100)
		for range 8 {
			all.Go(func() {
				for i := 0; ; i++ {
					_, err := write()
					if i == 3 {
						started <- struct{}{}
					}
					if errors.Is(err, store.ErrUnavailable) {
						return
					}
					if err != nil {
						t.Errorf("%s: a write failed with %v, want ErrUnavailable", end.name, err)
						return
					}
				}
			})
		}
		for range 8 {
			<-started
		}
		if err := end.how(); err != nil {
			t.Fatalf("%s: %v", end.name, err)
		}
		all.Wait()
		inTime(t, "a write after "+end.name, func() error { return second(write()) })
		inTime(t, "a read after "+end.name, func() error {
			return s.View(t.Context(), func(r store.Reader) error { return second(r.Version()) })
		})
		inTime(t, "a ping after "+end.name, func() error { return s.Ping(t.Context()) })
		inTime(t, "a sweep after "+end.name, func() error { return second(s.Sweep(t.Context())) })
		inTime(t, "opening after "+end.name, func() error {
			other, err := sqlstore.OpenPostgres(t.Context(), server.DSN(), options)
			if err == nil {
				closing(t, other, nil)
			}
			return err
		})
		if err := server.Start(); err != nil {
			t.Fatalf("start after %s: %v", end.name, err)
		}
		// The same store works again, at once, and so does its watcher.
		v, err := write()
		if err != nil {
			t.Fatalf("a write after the server came back: %v", err)
		}
		await(t, seen, v)
		checkHistory(t, s, acknowledged.Load())
	}
}

func second[T any](_ T, err error) error { return err }

// hole passes connections on to a server until it is shut; from then on it
// takes everything and gives nothing, as a network that fails does.
type hole struct {
	net.Listener
	target string
	shut   chan struct{}
	all    sync.WaitGroup
}

func newHole(t *testing.T, target string) *hole {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hole{Listener: l, target: target, shut: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	h.all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			h.all.Go(func() { h.serve(ctx, client) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		h.all.Wait()
	})
	return h
}

func (h *hole) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	server, err := net.Dial("tcp", h.target)
	if err != nil {
		return
	}
	defer server.Close()
	stopServer := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopServer()
	h.all.Go(func() { _, _ = io.Copy(server, client) })
	buffer := make([]byte, 4096)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-h.shut:
			<-ctx.Done()
			return
		default:
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestPostgresFallsSilent(t *testing.T) {
	t.Parallel()
	dsn := testpg.New(t)
	openPostgres(t, dsn)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	h := newHole(t, u.Host)
	u.Host = h.Addr().String()
	quick := options
	quick.Timeout = 300 * time.Millisecond
	s, err := sqlstore.OpenPostgres(t.Context(), u.String(), quick)
	s = closing(t, s, err)
	if _, err := put(s, t.Context(), "a"); err != nil {
		t.Fatalf("a write through the proxy: %v", err)
	}
	shut := sync.OnceFunc(func() { close(h.shut) })
	inTime(t, "a read that gets no answer", func() error {
		return s.View(t.Context(), func(r store.Reader) error {
			if _, err := r.Version(); err != nil {
				t.Errorf("a read through the proxy: %v", err)
			}
			shut()
			return second(r.Version())
		})
	})
	inTime(t, "a write that gets no answer", func() error { return second(put(s, t.Context(), "b")) })
	inTime(t, "opening what does not answer", func() error {
		other, err := sqlstore.OpenPostgres(t.Context(), u.String(), quick)
		if err == nil {
			closing(t, other, nil)
		}
		return err
	})
	inTime(t, "a caller's own deadline", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		return second(put(s, ctx, "c"))
	})
	// The default bounds fit the promise.
	if _, err := sqlstore.OpenPostgres(t.Context(), "postgres://127.0.0.1:1/x", sqlstore.Options{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("opening where nobody listens: %v, want ErrUnavailable", err)
	}
	if _, err := sqlstore.OpenPostgres(t.Context(), "postgres://u:secret@127.0.0.1:port/x", sqlstore.Options{}); err == nil ||
		errors.Is(err, store.ErrUnavailable) {
		t.Errorf("opening a bad address: %v", err)
	}
}

func BenchmarkCreate(b *testing.B) {
	stores := map[string]func(b *testing.B) store.Store{
		"sqlite":   func(b *testing.B) store.Store { return openSQLite(b) },
		"postgres": func(b *testing.B) store.Store { return openPostgres(b, testpg.New(b)) },
	}
	for name, open := range stores {
		for _, writers := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/writers=%d", name, writers), func(b *testing.B) {
				s := open(b)
				var next atomic.Int64
				var all sync.WaitGroup
				b.ResetTimer()
				for range writers {
					all.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							id := fmt.Sprint(i)
							if _, err := s.Update(b.Context(), "bench", func(tx store.Tx) error {
								return tx.Insert(store.Entity{
									Workspace: "default", Kind: "services", ID: id, Document: []byte(`{"name":"` + id + `"}`),
									Uniques: []store.Unique{{Field: "name", Value: id}}, Tags: []string{"t"},
								})
							}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
			})
		}
	}
}
