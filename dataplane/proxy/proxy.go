// Package proxy carries requests from clients to upstreams: it reads the
// client's request, finds its route in the runtime in force, runs the phases of
// its plugins, asks the upstream and passes the answer on. It is the only place
// that writes to a proxied client. Listeners and the order of start and stop
// belong to package dataplane.
package proxy

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/internal/buildinfo"
	"github.com/gibbon-gateway/gibbon/internal/listener"
)

// Options are the settings of a proxy. Live and Picker are needed; the zero
// value of the rest means Kong's defaults.
type Options struct {
	// Live holds the runtime in force.
	Live *runtime.Live
	// Picker turns a service's host into an address.
	Picker upstream.Picker
	Log    *slog.Logger
	// Version is the Kong version that Via and Server name.
	Version string
	// Headers says which headers of its own the gateway adds to answers.
	Headers HeaderSet
	// NoUpstreamID leaves X-Kong-Request-Id out of upstream requests.
	NoUpstreamID bool
	// Trusted are the peers whose X-Forwarded-* and RealIPHeader are believed.
	Trusted []netip.Prefix
	// RealIPHeader names the header that has the client's address; empty:
	// X-Real-IP. RealIPRecursive goes back past all trusted addresses in it.
	RealIPHeader    string
	RealIPRecursive bool
	// PortMaps gives the port that the public sees for one that is listened on.
	PortMaps map[int]int
	// ErrorType is the content type of error pages when neither Accept nor
	// Content-Type of the request say another; empty: text/plain.
	ErrorType string
	// DebugHeader lets clients ask for debug headers by Kong-Debug: 1.
	DebugHeader bool
	// Limits bound what plugins hold in memory of a request and its answer.
	Limits plugin.Limits
	// MaxBody is the largest request body in bytes; 0: no limit.
	MaxBody int64
	// BodyIdle is how long a client may be silent within a body, WriteStall how
	// long it may take nothing of an answer. 0: 60 and 30 seconds.
	BodyIdle, WriteStall time.Duration
	// MaxRequests bounds the requests in progress; 0: 10,000, negative: no bound.
	MaxRequests int
	// Recorders make metrics and traces of requests.
	Recorders []Recorder
}

const (
	defaultVersion     = buildinfo.KongVersion
	defaultBodyIdle    = time.Minute
	defaultWriteStall  = 30 * time.Second
	defaultMaxRequests = 10_000
	defaultErrorType   = "text/plain"
	defaultRealIP      = "X-Real-Ip"
	maxHops            = 5
)

// Proxy is the handler of the proxy listeners.
type Proxy struct {
	o        Options
	token    string // kong/3.8.1
	via      string // 1.1 kong/3.8.1
	realIP   string // canonical name of RealIPHeader
	pool     sync.Pool
	active   active
	draining atomic.Bool

	total, refused, panics, cut atomic.Uint64
}

// New makes a proxy.
func New(o Options) *Proxy {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Version == "" {
		o.Version = defaultVersion
	}
	if o.Headers == 0 {
		o.Headers = DefaultHeaders
	}
	if o.BodyIdle == 0 {
		o.BodyIdle = defaultBodyIdle
	}
	if o.WriteStall == 0 {
		o.WriteStall = defaultWriteStall
	}
	if o.MaxRequests == 0 {
		o.MaxRequests = defaultMaxRequests
	}
	if o.ErrorType == "" {
		o.ErrorType = defaultErrorType
	}
	if o.RealIPHeader == "" {
		o.RealIPHeader = defaultRealIP
	}
	p := &Proxy{
		o:      o,
		token:  "kong/" + o.Version,
		via:    "1.1 kong/" + o.Version,
		realIP: http.CanonicalHeaderKey(o.RealIPHeader),
	}
	p.pool.New = func() any { return new(exchange) }
	return p
}

// Counts are what a proxy has done since it was made.
type Counts struct {
	// Requests is how many came, Active how many are in progress and Streams how
	// many of those are streams.
	Requests        uint64
	Active, Streams int
	// Refused is how many were turned away because too many were in progress,
	// Panics how many a plugin or the proxy failed at, and Cut how many answers
	// the node broke off because it had to stop.
	Refused, Panics, Cut uint64
}

// Counts gives the counters.
func (p *Proxy) Counts() Counts {
	c := Counts{
		Requests: p.total.Load(), Refused: p.refused.Load(), Panics: p.panics.Load(), Cut: p.cut.Load(),
	}
	c.Active, c.Streams = p.active.count()
	return c
}

// ServeHTTP carries one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	p.total.Add(1)
	x := p.begin(w, in)
	broken := x.serve(nil)
	x.end()
	if broken {
		// The only way to tell net/http that the client must see an unclean end.
		panic(http.ErrAbortHandler)
	}
}

// Refuse answers a request whose head the listener refused. The request holds
// nothing of what the client sent.
func (p *Proxy) Refuse(w http.ResponseWriter, in *http.Request, why listener.Reason) {
	p.total.Add(1)
	status := why.Status
	if status == http.StatusRequestHeaderFieldsTooLarge {
		// nginx has a status of its own for this, and Kong a text for that one.
		status = statusHeadTooLarge
	}
	p.o.Log.Info("refused a request", "peer", in.RemoteAddr, "status", why.Status, "reason", why.Text)
	x := p.begin(w, in)
	a := page(status)
	a.close = true
	broken := x.serve(a)
	x.end()
	if broken {
		panic(http.ErrAbortHandler)
	}
}

// Recorder is told of every request. It must not keep a request, nor hold it up.
type Recorder interface {
	// Begin is called when the head of the request has been read, and may change
	// its headers and its context.
	Begin(*plugin.Request)
	// End is called when the request is over, behind the log phase.
	End(*plugin.Request)
}
