package controlplane

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
	"github.com/gibbon-gateway/gibbon/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config is that of a control plane on free loopback ports over a store of its
// own; settings come on top.
func config(t *testing.T, set map[string]string) Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gibbon.db")
	if _, err := sqlstore.NewSQLiteMigrator(path, sqlstore.MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := sqlstore.OpenSQLite(t.Context(), path, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return configOn(t, st, set)
}

// configOn is config over a store, which it closes in the end.
func configOn(t testing.TB, st store.Store, set map[string]string) Config {
	t.Helper()
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	flags := map[string]string{
		"admin_listen": "127.0.0.1:0", "cluster_listen": "127.0.0.1:0", "status_listen": "127.0.0.1:0", "database": "sqlite",
	}
	for key, value := range set {
		flags[key] = value
	}
	s, _, err := settings.Load(settings.Source{Command: "controlplane", Prefix: t.TempDir(), Flags: flags, SearchPaths: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := telemetry.NewLog(telemetry.Config{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	return Config{Settings: s, Catalogue: catalogue, Store: st, NodeID: "e6e4a8a5-3f6c-4c5e-9c55-3d1c8ed4ab0a", Log: log}
}

func TestServes(t *testing.T) {
	c, err := New(t.Context(), config(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{}}
	get := func(url string) string {
		t.Helper()
		r, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d %s", r.StatusCode, b)
	}
	status := c.side.URLs()[0]
	if got := get(status + "/status/ready"); !strings.HasPrefix(got, `200 {"message":"ready"}`) {
		t.Errorf("/status/ready: %s", got)
	}
	if got := get(status + "/nothing"); !strings.HasPrefix(got, `404 {"message":"Not found"}`) {
		t.Errorf("/nothing: %s", got)
	}

	// Many writes, of which each but the last may be left out; the last one never.
	var last store.Version
	for i := range 20 {
		body := strings.NewReader(fmt.Sprintf(`{"name":"s%d","host":"h"}`, i))
		r, err := client.Post(c.Addresses()[0]+"/services", "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusCreated {
			t.Fatalf("POST /services: %d", r.StatusCode)
		}
	}
	if last, err = c.committed(t.Context()); err != nil || last.Number != 20 {
		t.Fatalf("version %d, %v; want 20", last.Number, err)
	}
	wait, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.publisher.WaitApplied(wait, last.Number); err != nil {
		t.Fatalf("version %d was not published: %v", last.Number, err)
	}
	if got := get(status + "/status"); !strings.Contains(got, `"config_version":20`) {
		t.Errorf("/status: %s", got)
	}
	for target, want := range map[string][]string{
		"/status?unit=b":  {`200 {`, `"connections_accepted":`, `"kong":{"allocated_slabs":0,`, `"http_allocated_gc":`, `"database":{"reachable":true}`},
		"/status?unit=x":  {`400 {"message":"invalid unit 'x' (expected 'k/K', 'm/M', or 'g/G')"}`},
		"/status/dns":     {`501 {"message":"not implemented with the legacy DNS client"}`},
		"/status/nothing": {`404 {"message":"Not found"}`},
	} {
		for _, part := range want {
			if got := get(status + target); !strings.Contains(got, part) {
				t.Errorf("%s: %s, want %s", target, got, part)
			}
		}
	}
	if got := get(status + "/metrics"); !strings.Contains(got, "gibbon_config_version 20\n") {
		t.Errorf("/metrics: no version 20 in\n%s", got)
	}

	// Its hash comes on record.
	published, _ := c.publisher.Published()
	var newest store.Past
	for newest.Hash == "" {
		if err := c.cfg.Store.View(wait, func(r store.Reader) error {
			page, _, err := r.Versions(0, 1)
			if err == nil {
				newest = page[0]
			}
			return err
		}); err != nil {
			t.Fatalf("the newest version has no hash: %v", err)
		}
	}
	if newest.Number != 20 || newest.Hash != published.Hash {
		t.Errorf("the newest version is %d with the hash %s, want 20 with %s", newest.Number, newest.Hash, published.Hash)
	}

	client.CloseIdleConnections()
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestSweep deletes what the settings say: what has expired, which is a version
// too, and old versions.
func TestSweep(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  map[string]string
		want int
	}{
		{"by default all recent ones stay", nil, 4},
		{"as many as may stay", map[string]string{"config_history_versions": "2"}, 2},
		{"none but the newest is young enough", map[string]string{"config_history_retention": "0.000001"}, 1},
		{"for ever", map[string]string{"config_history_retention": "0"}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := New(t.Context(), config(t, tt.set))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}()
			for i := range 3 {
				if _, err := c.cfg.Store.Update(t.Context(), "tester", func(tx store.Tx) error {
					return tx.Insert(store.Entity{Kind: "consumers", ID: fmt.Sprint(i), Document: []byte("{}"), ExpiresAt: time.Now()})
				}); err != nil {
					t.Fatal(err)
				}
			}
			c.sweep(t.Context())
			if err := c.cfg.Store.View(t.Context(), func(r store.Reader) error {
				page, _, err := r.Versions(0, 10)
				if err == nil && (len(page) != tt.want || page[0].Actor != "ttl" || page[0].Deleted != 3) {
					t.Errorf("the versions are %+v, want %d of which the newest deleted 3", page, tt.want)
				}
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNewRefuses also shows that nothing stays open: goleak and the second try
// on the same address would tell.
func TestNewRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().String()
	for _, tt := range []struct {
		name string
		set  map[string]string
		want []string
	}{
		{"an Admin API address in use", map[string]string{"admin_listen": at}, []string{"admin_listen", at}},
		{"a status address in use", map[string]string{"status_listen": at}, []string{"status_listen", at}},
		{"a cluster address in use", map[string]string{"cluster_listen": at}, []string{"cluster_listen", at}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(t.Context(), config(t, tt.set))
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want one with %q", err, want)
				}
			}
		})
	}
}
