package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/controlplane/publish"
)

// pingLimit is how long the status listener waits for the database.
const pingLimit = 2 * time.Second

// statusHandler serves the status listener: what load balancers and monitoring
// ask. It is ready when the database answers.
func (c *ControlPlane) statusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", c.status)
	mux.HandleFunc("GET /status/dns", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotImplemented, map[string]any{"message": admin.NoDNSStatus})
	})
	mux.HandleFunc("GET /status/ready", func(w http.ResponseWriter, r *http.Request) {
		if !c.reachable(r.Context()) {
			answer(w, http.StatusServiceUnavailable, map[string]any{"message": "failed to connect to database"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"message": "ready"})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.metrics(), promhttp.HandlerOpts{}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, map[string]any{"message": "Not found"})
	})
	return mux
}

// status is the Admin API's GET /status, and what is published.
func (c *ControlPlane) status(w http.ResponseWriter, r *http.Request) {
	body, err := c.admin.StatusBody(r.Context(), r.URL.Query())
	if wrong := (*admin.Error)(nil); errors.As(err, &wrong) {
		answer(w, wrong.Status, map[string]any{"message": wrong.Message})
		return
	}
	if err != nil {
		answer(w, http.StatusInternalServerError, map[string]any{"message": "An unexpected error occurred"})
		return
	}
	position, _ := c.publisher.Published()
	body["config_version"] = position.Version
	body["config_hash"] = position.Hash
	body["data_planes"] = connected(c.publisher.Nodes())
	answer(w, http.StatusOK, body)
}

// metrics are the control plane's.
func (c *ControlPlane) metrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "gibbon", Name: name, Help: help}, value)
	}
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("config_version", "Version of the configuration that was published last.", func() float64 {
			p, _ := c.publisher.Published()
			return float64(p.Version)
		}),
		gauge("data_planes_connected", "Data planes that are connected.", func() float64 {
			return float64(connected(c.publisher.Nodes()))
		}),
		gauge("data_planes_refusing", "Data planes that could not apply the newest configuration.", func() float64 {
			n := 0
			for _, node := range c.publisher.Nodes() {
				if len(node.Reasons) > 0 {
					n++
				}
			}
			return float64(n)
		}),
	)
	return r
}

func connected(nodes []publish.Node) int {
	n := 0
	for _, node := range nodes {
		if node.Connected {
			n++
		}
	}
	return n
}

func (c *ControlPlane) reachable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	return c.cfg.Store.Ping(ctx) == nil
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(body)
}
