package sqlstore_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of the bare connection

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/internal/testpg"
)

// bulk is how many of each kind a large configuration has.
const bulk = 10_000

// large returns the entities of a large configuration: services, a route for
// each, and a plugin for each route. Their sizes are those of real ones.
func large(text string) []store.Entity {
	pad := strings.Repeat("x", 400)
	var all []store.Entity
	for i := range bulk {
		id := func(kind int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i*2654435761%(1<<32), kind) }
		document := func(kind int) []byte {
			return fmt.Appendf(nil, `{"id":%q,"name":"n%d","text":%q,"pad":%q}`, id(kind), i, text, pad)
		}
		all = append(all,
			store.Entity{
				Workspace: "default", Kind: "services", ID: id(0), Document: document(0),
				Uniques: []store.Unique{{Field: "name", Value: fmt.Sprint("n", i)}}, Tags: []string{"generated", fmt.Sprint("group-", i%10)},
			},
			store.Entity{
				Workspace: "default", Kind: "routes", ID: id(1), Document: document(1),
				Uniques:    []store.Unique{{Field: "name", Value: fmt.Sprint("n", i)}},
				References: []store.Reference{{Field: "service", Kind: "services", ID: id(0)}}, Tags: []string{"generated"},
			},
			store.Entity{
				Workspace: "default", Kind: "plugins", ID: id(2), Document: document(2),
				Uniques: []store.Unique{{
					Field: "name,route,service,consumer,consumer_group",
					Value: fmt.Sprintf(`{consumer=null,consumer_group=null,name="key-auth",route={id=%q},service=null}`, id(1)),
				}},
				References: []store.Reference{{Field: "route", Kind: "routes", ID: id(1), OnDelete: store.Cascade}},
			})
	}
	return all
}

// BenchmarkLarge measures what is done with a large configuration, each in one
// transaction: load it, read it, list it in pages, change all of it, read what it
// was, and delete it.
func BenchmarkLarge(b *testing.B) {
	for name, open := range map[string]func(*testing.B) store.Store{
		"sqlite":   func(b *testing.B) store.Store { return openSQLite(b) },
		"postgres": func(b *testing.B) store.Store { return openPostgres(b, testpg.New(b)) },
	} {
		b.Run(name, func(b *testing.B) {
			one, two := large("one"), large("two")
			for b.Loop() {
				b.StopTimer()
				s := open(b)
				b.StartTimer()
				step := func(what string, f func() error) {
					start := b.Elapsed()
					if err := f(); err != nil {
						b.Fatalf("%s: %v", what, err)
					}
					b.ReportMetric((b.Elapsed() - start).Seconds(), what+"-s")
				}
				write := func(what string, f func(store.Tx) error) {
					step(what, func() error { return second(s.Update(b.Context(), "bench", f)) })
				}
				read := func(what string, f func(store.Reader) error) {
					step(what, func() error { return s.View(b.Context(), f) })
				}
				write("insert", func(tx store.Tx) error {
					for _, e := range one {
						if err := tx.Insert(e); err != nil {
							return err
						}
					}
					return nil
				})
				read("all", func(r store.Reader) error {
					n := 0
					for _, err := range r.All() {
						if err != nil {
							return err
						}
						n++
					}
					if n != 3*bulk+1 {
						return fmt.Errorf("%d entities", n)
					}
					return nil
				})
				step("pages", func() error {
					q := store.Query{Workspace: "default", Kind: "routes", Limit: 1000}
					for more := true; more; {
						if err := s.View(b.Context(), func(r store.Reader) (err error) {
							var page []store.Entity
							if page, more, err = r.List(q); err == nil {
								q.AfterID = page[len(page)-1].ID
							}
							return err
						}); err != nil {
							return err
						}
					}
					return nil
				})
				write("put", func(tx store.Tx) error {
					for _, e := range two {
						if err := tx.Put(e); err != nil {
							return err
						}
					}
					return nil
				})
				read("at", func(r store.Reader) error {
					n := 0
					for _, err := range r.At(1) {
						if err != nil {
							return err
						}
						n++
					}
					if n != 3*bulk+1 {
						return fmt.Errorf("%d entities", n)
					}
					return nil
				})
				write("remove", func(tx store.Tx) error {
					for _, e := range two {
						if err := tx.Remove(e.Kind, e.ID); err != nil {
							return err
						}
					}
					return nil
				})
				step("prune", func() error { return second(s.Prune(b.Context(), store.Retention{Versions: 1})) })
			}
		})
	}
}

// BenchmarkRatio compares a write of one entity with the least that a write can
// cost on the same server: one INSERT of one row. They take turns, so that what
// else the machine does is shared fairly.
func BenchmarkRatio(b *testing.B) {
	dsn := testpg.New(b)
	s := openPostgres(b, dsn)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(b.Context(), `create table bare (id text primary key, document text not null)`); err != nil {
		b.Fatal(err)
	}
	document := `{"name":"x","pad":"` + strings.Repeat("x", 400) + `"}`
	var bare, whole []time.Duration
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprint(i)
		start := time.Now()
		if _, err := db.ExecContext(b.Context(), `insert into bare values ($1, $2)`, id, document); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := s.Update(b.Context(), "bench", func(tx store.Tx) error {
			return tx.Insert(store.Entity{
				Workspace: "default", Kind: "services", ID: id, Document: []byte(document),
				Uniques: []store.Unique{{Field: "name", Value: id}}, Tags: []string{"t"},
			})
		}); err != nil {
			b.Fatal(err)
		}
		bare, whole = append(bare, middle.Sub(start)), append(whole, time.Since(middle))
	}
	slices.Sort(bare)
	slices.Sort(whole)
	least, ours := bare[len(bare)/2], whole[len(whole)/2]
	b.ReportMetric(float64(least.Microseconds()), "bare-p50-µs")
	b.ReportMetric(float64(ours.Microseconds()), "entity-p50-µs")
	b.ReportMetric(float64(ours)/float64(least), "ratio")
}
