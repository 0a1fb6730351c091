package dataplane

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gibbon-gateway/gibbon/internal/buildinfo"
)

// maxStatusBody bounds what POST /status/ready may send.
const maxStatusBody = 4 << 10

// statusHandler answers on the status listener. Pages of strangers that a browser
// on this machine shows can change nothing through it.
func (d *DataPlane) statusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", d.status)
	mux.HandleFunc("GET /status/dns", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusNotImplemented, "not implemented with the legacy DNS client")
	})
	mux.HandleFunc("GET /status/ready", d.readiness)
	mux.HandleFunc("POST /status/ready", d.setReadiness)
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.metrics(), promhttp.HandlerOpts{}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusNotFound, "Not found")
	})
	foreign := http.NewCrossOriginProtection()
	foreign.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusForbidden, "Forbidden: a page of another origin must not write")
	}))
	return foreign.Handler(mux)
}

// say answers with a message, as Kong's status API does.
func say(w http.ResponseWriter, status int, message string) {
	answer(w, status, struct {
		Message string `json:"message"`
	}{message})
}

func answer(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		// Only values of this file are marshalled.
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Header().Set("Server", buildinfo.ServerToken)
	w.WriteHeader(status)
	_, _ = w.Write(data) // a client that is gone needs no answer
}

// readiness says whether the node should get traffic, and if not, why.
func (d *DataPlane) readiness(w http.ResponseWriter, _ *http.Request) {
	if why := d.unready(); why != "" {
		say(w, http.StatusServiceUnavailable, why)
		return
	}
	say(w, http.StatusOK, "ready")
}

// unready is why the node should get no traffic; empty when it should.
func (d *DataPlane) unready() string {
	h := d.held.Load()
	switch {
	case d.draining.Load():
		return "draining"
	case h == nil:
		return "no configuration available (configuration hash is not initialized)"
	case h.empty && (d.cfg.Dial == nil || d.cfg.Settings.Database == "off"):
		// A node that was just enrolled must not draw traffic away from others, nor
		// one that waits for its file. With a database and both planes on a
		// machine an empty configuration is where one begins.
		return "no configuration available (empty configuration present)"
	}
	return ""
}

// setReadiness lets an operator take the node out of the traffic.
func (d *DataPlane) setReadiness(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Status string `json:"status"`
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxStatusBody)
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			say(w, http.StatusBadRequest, "Cannot parse JSON body")
			return
		}
	} else {
		body.Status = r.PostFormValue("status")
	}
	if body.Status != "draining" {
		say(w, http.StatusBadRequest, "schema violation (status: expected one of: draining)")
		return
	}
	d.draining.Store(true)
	w.Header().Set("Server", buildinfo.ServerToken)
	w.WriteHeader(http.StatusNoContent)
}

type statusBody struct {
	Memory struct {
		Workers []workerMemory         `json:"workers_lua_vms"`
		Dicts   map[string]sharedCache `json:"lua_shared_dicts"`
	} `json:"memory"`
	Server struct {
		Accepted uint64 `json:"connections_accepted"`
		Active   uint64 `json:"connections_active"`
		Handled  uint64 `json:"connections_handled"`
		Reading  uint64 `json:"connections_reading"`
		Waiting  uint64 `json:"connections_waiting"`
		Writing  uint64 `json:"connections_writing"`
		Total    uint64 `json:"total_requests"`
	} `json:"server"`
	Hash string `json:"configuration_hash"`
}

// workerMemory and sharedCache have Kong's names. What Kong tells of Lua's memory
// is told of Go's here; there are no shared dictionaries, but clients read two of
// them by name.
type workerMemory struct {
	Allocated json.RawMessage `json:"http_allocated_gc"`
	PID       int             `json:"pid"`
}

type sharedCache struct {
	Allocated json.RawMessage `json:"allocated_slabs"`
	Capacity  json.RawMessage `json:"capacity"`
}

func (d *DataPlane) status(w http.ResponseWriter, r *http.Request) {
	size, problem := sizeFormat(r.URL.Query().Get("unit"), r.URL.Query().Get("scale"))
	if problem != "" {
		say(w, http.StatusBadRequest, problem)
		return
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	var body statusBody
	body.Memory.Workers = []workerMemory{{Allocated: size(memory.HeapAlloc), PID: os.Getpid()}}
	none := sharedCache{Allocated: size(0), Capacity: size(0)}
	body.Memory.Dicts = map[string]sharedCache{"kong": none, "kong_db_cache": none}
	counts := d.proxy.Counts()
	body.Server.Accepted, body.Server.Handled = d.front.Accepted(), d.front.Accepted()
	body.Server.Active = uint64(d.gate.Open())
	body.Server.Writing = uint64(counts.Active)
	if body.Server.Active > body.Server.Writing {
		body.Server.Waiting = body.Server.Active - body.Server.Writing
	}
	body.Server.Total = counts.Requests
	body.Hash = noHash
	if h := d.held.Load(); h != nil {
		body.Hash = h.hash
	}
	answer(w, http.StatusOK, body)
}

// sizeFormat gives the way to write sizes that a query asks for, or what is wrong
// with it.
func sizeFormat(unit, scale string) (format func(uint64) json.RawMessage, problem string) {
	if unit == "" {
		unit = "m"
	}
	digits := 2
	if scale != "" {
		n, err := strconv.Atoi(scale)
		if err != nil || n < 0 {
			return nil, "scale must be equal or greater than 0"
		}
		digits = min(n, 20)
	}
	var divisor float64
	var suffix string
	switch strings.ToLower(unit) {
	case "b":
		return func(n uint64) json.RawMessage { return strconv.AppendUint(nil, n, 10) }, ""
	case "k":
		divisor, suffix = 1<<10, "KiB"
	case "m":
		divisor, suffix = 1<<20, "MiB"
	case "g":
		divisor, suffix = 1<<30, "GiB"
	default:
		return nil, fmt.Sprintf("invalid unit '%s' (expected 'k/K', 'm/M', or 'g/G')", unit)
	}
	return func(n uint64) json.RawMessage {
		return fmt.Appendf(nil, `"%.*f %s"`, digits, float64(n)/divisor, suffix)
	}, ""
}

// liveHeap adds the memory that was in use behind the last collection, which tells
// a leak from garbage.
var liveHeap = collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{
	Matcher: regexp.MustCompile("^/gc/heap/live:bytes$"),
})

// metrics are those of the process and of calls to models; what is measured per
// route and service is the prometheus plugin's.
func (d *DataPlane) metrics() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(liveHeap), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if d.models != nil {
		registry.MustRegister(d.models)
	}
	count := func(name, help string, value func() float64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
	}
	gauge := func(name, help string, value func() float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	proxy := func() float64 { return float64(d.proxy.Counts().Requests) }
	count("gibbon_requests_total", "Requests that came in.", proxy)
	count("gibbon_requests_refused_total", "Requests that were turned away because too many were in progress.",
		func() float64 { return float64(d.proxy.Counts().Refused) })
	count("gibbon_requests_cut_total", "Answers that were broken off because the node had to stop.",
		func() float64 { return float64(d.proxy.Counts().Cut) })
	count("gibbon_panics_total", "Requests that failed with a panic.",
		func() float64 { return float64(d.proxy.Counts().Panics) })
	count("gibbon_connections_accepted_total", "Connections to the proxy that were taken in.",
		func() float64 { return float64(d.front.Accepted()) })
	count("gibbon_connections_refused_total", "Connections to the proxy that were turned away.",
		func() float64 { return float64(d.gate.Refused()) })
	if e := d.exporter; e != nil {
		count("gibbon_otlp_spans_lost_total", "Spans that did not reach the collector.", func() float64 {
			spans, _ := e.Lost()
			return float64(spans)
		})
		count("gibbon_otlp_exports_failed_total", "Times that the collector did not take what was sent.", func() float64 {
			_, exports := e.Lost()
			return float64(exports)
		})
	}
	gauge("gibbon_requests_active", "Requests in progress.",
		func() float64 { return float64(d.proxy.Counts().Active) })
	gauge("gibbon_streams_active", "Answers in progress that are streams.",
		func() float64 { return float64(d.proxy.Counts().Streams) })
	gauge("gibbon_connections_active", "Open connections to the proxy.",
		func() float64 { return float64(d.gate.Open()) })
	gauge("gibbon_config_version", "Version of the configuration in force; 0: none.", func() float64 {
		version, _ := d.live.Version()
		n, err := strconv.ParseFloat(version, 64)
		if err != nil {
			return 0
		}
		return n
	})
	gauge("gibbon_ready", "Whether the node should get traffic.", func() float64 {
		if d.unready() != "" {
			return 0
		}
		return 1
	})
	gauge("gibbon_control_plane_connected", "Whether a control plane is connected.", func() float64 {
		if d.follower.State().Connected {
			return 1
		}
		return 0
	})
	return registry
}
