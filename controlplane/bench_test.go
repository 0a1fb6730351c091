package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/internal/testpg"
)

// largeServices is how many services a large configuration has, with a route and
// a plugin each.
const largeServices = 10_000

// BenchmarkPost adds a service to a large configuration on PostgreSQL, while the
// versions are published. One bare INSERT on the same server goes beside each, and
// the metric "x" is how many of them one POST takes.
func BenchmarkPost(b *testing.B) {
	server := testpg.Server(b)
	if err := server.Stop(); err != nil {
		b.Fatal(err)
	}
	server.Durable = true // a bare INSERT waits for the disk too
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	dsn := server.DSN()
	if _, err := sqlstore.NewPostgresMigrator(dsn, sqlstore.MigratorOptions{}).Bootstrap(b.Context()); err != nil {
		b.Fatal(err)
	}
	st, err := sqlstore.OpenPostgres(b.Context(), dsn, sqlstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	cfg := configOn(b, st, nil)
	if err := loadLarge(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
	c, err := New(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	if err := c.publisher.WaitApplied(ctx, 1); err != nil {
		b.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "create table bare (id text primary key, document text not null)"); err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	document := strings.Repeat("x", 500)
	var bare, posts []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		if _, err := conn.Exec(ctx, "insert into bare (id, document) values ($1, $2)", fmt.Sprintf("%036d", i), document); err != nil {
			b.Fatal(err)
		}
		bare = append(bare, time.Since(began))
		began = time.Now()
		answer, err := client.Post(c.Addresses()[0]+"/services", "application/json",
			strings.NewReader(fmt.Sprintf(`{"name":"written-%d","host":"example.com","tags":["bench"]}`, i)))
		if err != nil {
			b.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusCreated {
			b.Fatal(answer.Status)
		}
		posts = append(posts, time.Since(began))
	}
	slices.Sort(bare)
	slices.Sort(posts)
	b.ReportMetric(float64(bare[len(bare)/2].Microseconds()), "bare-p50-us")
	b.ReportMetric(float64(posts[len(posts)/2].Microseconds()), "post-p50-us")
	b.ReportMetric(float64(posts[len(posts)*9/10].Microseconds()), "post-p90-us")
	b.ReportMetric(float64(posts[len(posts)/2])/float64(bare[len(bare)/2]), "x")
	client.CloseIdleConnections()
	if err := conn.Close(ctx); err != nil {
		b.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		b.Error(err)
	}
}

// loadLarge loads a large configuration as a declarative file.
func loadLarge(ctx context.Context, cfg Config) error {
	var file strings.Builder
	file.WriteString("_format_version: \"3.0\"\nservices:\n")
	for i := range largeServices {
		fmt.Fprintf(&file, "- name: service-%d\n  host: h%d.example\n  tags: [bench]\n", i, i)
		fmt.Fprintf(&file, "  routes:\n  - name: route-%d\n    paths: [/route-%d]\n    plugins:\n    - name: key-auth\n", i, i)
	}
	_, err := declarative.NewLoader(cfg.Store, cfg.Catalogue).Load(ctx, "bench", []byte(file.String()), false)
	return err
}
