package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gibbon-gateway/gibbon/internal/testenv"
)

// A large configuration is this many services, with a route and a plugin each.
const (
	largeServices = 10_000
	pageSize      = 1000
	// sqliteWriters write at once, each so many entities.
	sqliteWriters, sqliteEach = 50, 20
)

// The bounds of the control plane.
var (
	boundInsert  = bound{must: 3}   // × one bare INSERT
	boundListing = bound{must: 1.5} // s
	boundCompile = bound{must: 1}   // s
	boundLoad    = bound{must: 20}  // s
	boundLarge   = bound{must: 400} // MB
	boundRefused = bound{must: 0.5} // writes; one is too many
)

// measureEntities measures a control plane with a large configuration on
// PostgreSQL, and many writers at once on SQLite.
func (l *lab) measureEntities(ctx context.Context) error {
	file := filepath.Join(l.folder, "large.yml")
	if err := writeLarge(file); err != nil {
		return err
	}
	server, err := testenv.NewPostgres()
	if err != nil {
		return fmt.Errorf("%w: make bench installs PostgreSQL where it can", err)
	}
	l.closers = append(l.closers, server.Close)
	server.Durable = true // what a write costs depends on it
	if err := server.Start(); err != nil {
		return err
	}
	dsn := server.DSN()
	postgres, err := postgresSettings(dsn)
	if err != nil {
		return err
	}
	if err := l.measureLoad(ctx, file, "PostgreSQL", postgres); err != nil {
		return err
	}
	if err := l.measureLarge(ctx, dsn, postgres); err != nil {
		return err
	}
	return l.measureWriters(ctx, file)
}

// writeLarge writes a declarative file with the large configuration.
func writeLarge(path string) error {
	var b bytes.Buffer
	b.WriteString("_format_version: \"3.0\"\nservices:\n")
	for i := range largeServices {
		fmt.Fprintf(&b, "- name: service-%d\n  url: http://10.%d.%d.%d:8080/v1\n  tags: [bench]\n", i, i>>16, i>>8&0xff, i&0xff)
		fmt.Fprintf(&b, "  routes:\n  - name: route-%d\n    paths: [/route-%d]\n", i, i)
		b.WriteString("    plugins:\n    - name: key-auth\n")
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

// postgresSettings are the settings that lead to a database.
func postgresSettings(dsn string) (map[string]string, error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"KONG_DATABASE": "postgres", "KONG_PG_HOST": c.Host, "KONG_PG_PORT": strconv.Itoa(int(c.Port)),
		"KONG_PG_USER": c.User, "KONG_PG_PASSWORD": c.Password, "KONG_PG_DATABASE": c.Database,
	}, nil
}

// measureLoad imports the file into an empty database.
func (l *lab) measureLoad(ctx context.Context, file, title string, settings map[string]string) error {
	env := gibbonEnv(settings)
	prefix := filepath.Join(l.folder, "load-"+title)
	if err := l.runOnce(ctx, "bootstrap", env, "migrations", "bootstrap", "--prefix", prefix); err != nil {
		return err
	}
	l.say("import of %d entities into %s", 3*largeServices, title)
	from := time.Now()
	if err := l.runOnce(ctx, "db_import", env, "config", "db_import", file, "--prefix", prefix); err != nil {
		return err
	}
	l.report.aim(fmt.Sprintf("Declarative load of %d entities into %s", 3*largeServices, title), "s",
		summarize([]float64{time.Since(from).Seconds()}), boundLoad)
	return nil
}

// runOnce runs a command of gibbon to its end.
func (l *lab) runOnce(ctx context.Context, name string, env []string, args ...string) error {
	p, err := l.start(name, env, l.gibbon, args...)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := l.stop(p); err != nil {
		return fmt.Errorf("gibbon %s: %w\n%s", strings.Join(args, " "), err, p.lastWords())
	}
	return nil
}

// measureLarge starts a control plane on the large configuration.
func (l *lab) measureLarge(ctx context.Context, dsn string, postgres map[string]string) error {
	l.say("control plane with %d entities", 3*largeServices)
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	// The line about the first snapshot is no notice.
	settings := map[string]string{"KONG_CLUSTER_LISTEN": ports[0], "KONG_LOG_LEVEL": "info"}
	for name, value := range postgres {
		settings[name] = value
	}
	cp, err := l.newGateway("gibbon-large", "controlplane", settings)
	if err != nil {
		return err
	}
	if cp.process, err = l.start("gibbon-large", cp.env, l.gibbon, cp.command...); err != nil {
		return err
	}
	if _, err := cp.ready(ctx, time.Millisecond, answers(cp.client, "http://"+cp.admin+"/status")); err != nil {
		return err
	}
	compile, err := compileTime(ctx, filepath.Join(l.folder, "gibbon-large.log"))
	if err != nil {
		return err
	}
	if err := (admin{cp.admin, cp.client}).call(ctx, http.MethodPut, "/debug/node/log-level/notice?timeout=0", nil); err != nil {
		return err
	}
	l.report.aim(fmt.Sprintf("First snapshot of %d entities compiled", 3*largeServices), "s", summarize([]float64{compile.Seconds()}), boundCompile)

	var listings []float64
	for range l.rounds {
		took, n, err := listAll(ctx, cp)
		if err != nil {
			return err
		}
		if n != largeServices {
			return fmt.Errorf("the list has %d services, not %d", n, largeServices)
		}
		listings = append(listings, took.Seconds())
	}
	l.report.aim(fmt.Sprintf("All pages of %d services, %d each", largeServices, pageSize), "s", summarize(listings), boundListing)

	if err := l.measureInserts(ctx, dsn, cp); err != nil {
		return err
	}
	for _, of := range []struct{ title, name string }{
		{"after all this, resident memory", residentNow}, {"the most it was", residentPeak},
	} {
		bytes, err := memory(cp.pid, of.name)
		if err != nil {
			return err
		}
		l.report.aim(fmt.Sprintf("`gibbon controlplane` with %d entities, %s", 3*largeServices, of.title), "MB",
			summarize([]float64{float64(bytes) / mega}), boundLarge)
	}
	return l.stop(cp.process)
}

// compileTime waits for the line that says how long the first snapshot took.
func compileTime(ctx context.Context, log string) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, errors.New("no snapshot was published"))
	defer cancel()
	for {
		f, err := os.Open(log)
		if err != nil {
			return 0, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var line struct {
				Message string  `json:"msg"`
				Compile float64 `json:"compile_ms"`
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "configuration published" {
				return time.Duration(line.Compile * float64(time.Millisecond)), f.Close()
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return 0, err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// listAll reads all pages of the services.
func listAll(ctx context.Context, cp *gateway) (took time.Duration, n int, err error) {
	from := time.Now()
	for path := fmt.Sprintf("/services?size=%d", pageSize); path != ""; {
		status, _, body, err := fetch(ctx, cp.client, http.MethodGet, "http://"+cp.admin+path, nil, nil)
		if err != nil {
			return 0, 0, err
		}
		var page struct {
			Data []json.RawMessage `json:"data"`
			Next string            `json:"next"`
		}
		if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
			return 0, 0, fmt.Errorf("%s answers %d %.200s", path, status, body)
		}
		n, path = n+len(page.Data), page.Next
	}
	return time.Since(from), n, nil
}

// measureInserts compares a write of the Admin API with one bare INSERT on the
// same server; the two take turns.
func (l *lab) measureInserts(ctx context.Context, dsn string, cp *gateway) (err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := conn.Exec(ctx, "create table bench_bare (id text primary key, document text not null)"); err != nil {
		return err
	}
	l.say("%d writes beside as many bare INSERTs", l.writes)
	document := strings.Repeat("x", 500)
	var bare, written, ratios []float64
	for i := range l.writes {
		from := time.Now()
		if _, err := conn.Exec(ctx, "insert into bench_bare (id, document) values ($1, $2)", fmt.Sprintf("%036d", i), document); err != nil {
			return err
		}
		bare = append(bare, time.Since(from).Seconds()*1000)
		body := fmt.Sprintf(`{"name":"written-%d","host":"example.com","tags":["bench"]}`, i)
		from = time.Now()
		status, _, answer, err := fetch(ctx, cp.client, http.MethodPost, "http://"+cp.admin+"/services",
			http.Header{"Content-Type": {"application/json"}}, strings.NewReader(body))
		if err != nil {
			return err
		}
		if status != http.StatusCreated {
			return fmt.Errorf("write %d answers %d %s", i, status, answer)
		}
		written = append(written, time.Since(from).Seconds()*1000)
	}
	ratios = append(ratios, summarize(written).median/summarize(bare).median)
	l.report.spread("One bare INSERT on the same PostgreSQL", "ms", bare)
	l.report.spread("POST /services beside 30,000 entities, PostgreSQL, sent to answered", "ms", written)
	l.report.aim("p50 of a write against one bare INSERT, PostgreSQL", "×", summarize(ratios), boundInsert)
	return nil
}

// measureWriters has many clients write at once to a gateway on SQLite, and
// loads the large file there.
func (l *lab) measureWriters(ctx context.Context, file string) error {
	gw, err := l.newGateway("gibbon-writers", "run", map[string]string{"KONG_DATABASE": "sqlite"})
	if err != nil {
		return err
	}
	if _, err := l.startGateway(ctx, gw); err != nil {
		return err
	}
	l.say("%d writers at once on SQLite", sqliteWriters)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var millis []float64
	refused := 0
	var first error
	from := time.Now()
	for w := range sqliteWriters {
		wg.Go(func() {
			for i := range sqliteEach {
				body := fmt.Sprintf(`{"name":"w-%d-%d","host":"example.com"}`, w, i)
				began := time.Now()
				status, _, answer, err := fetch(ctx, gw.client, http.MethodPost, "http://"+gw.admin+"/services",
					http.Header{"Content-Type": {"application/json"}}, strings.NewReader(body))
				mu.Lock()
				if err != nil || status != http.StatusCreated {
					refused++
					if first == nil {
						first = fmt.Errorf("%d %s: %v", status, answer, err)
					}
				}
				millis = append(millis, time.Since(began).Seconds()*1000)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	total := time.Since(from).Seconds()
	if first != nil {
		l.void("%d writers on SQLite: %v", sqliteWriters, first)
	}
	l.report.aim(fmt.Sprintf("Refused of %d writes by %d writers at once, SQLite", len(millis), sqliteWriters), "",
		summarize([]float64{float64(refused)}), boundRefused)
	l.report.spread(fmt.Sprintf("Write by one of %d writers, SQLite, sent to live (%.0f a second in all)", sqliteWriters, float64(len(millis))/total), "ms", millis)
	if err := l.stop(gw.process); err != nil {
		return err
	}
	return l.measureLoad(ctx, file, "SQLite", map[string]string{"KONG_DATABASE": "sqlite"})
}
