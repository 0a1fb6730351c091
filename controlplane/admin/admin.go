// Package admin is Kong's Admin API: the generic Entities service, services of
// their own for what no entity is, and the HTTP edge in front of the grpc-gateway
// mux that makes REST of all of them. REST and gRPC share one port, one list of
// interceptors and one table of permissions. Who a caller is, is found out
// once per request, before anything else is looked at.
//
// What an entity may look like is the schema's to say, and keeping it the
// store's; listening, TLS and snapshots are the control plane's. Kong's error
// codes, names, texts and statuses are known in errors.go only, and in what a kind
// of entity differs from the others in hooks.go only.
package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/proto"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// Config is what the Admin API needs. Store and Catalogue are required.
type Config struct {
	// Store keeps the entities.
	Store store.Store

	// Catalogue knows their schemas.
	Catalogue *schema.Catalogue

	// Declarative loads the configuration of a node without a database, and its
	// store is then written by nobody else: this API refuses to change single
	// entities. Nil: there is a database.
	Declarative *declarative.Loader

	// Live waits until data planes serve a version, or ctx ends. It is called
	// between a write and its answer, for half a second at most. Nil: nobody
	// waits.
	Live func(ctx context.Context, version store.Version)

	// Info is what the node says of itself.
	Info Info

	// Configuration returns the settings as GET / shows them, without secrets.
	// It is called for each GET /. Nil: none.
	Configuration func() map[string]any

	// LogLevel is the log whose level the API shows and changes. Nil: it does
	// neither.
	LogLevel LogLevel

	// DataPlanes lists the data planes that are or were connected, by id. Nil:
	// this node is no control plane.
	DataPlanes func() []DataPlane

	// Health knows how the targets of upstreams fare. Nil: nobody does.
	Health Health

	// DataPlaneLevel asks a data plane for its log level, after a change if there
	// is one. Nil: none can be asked.
	DataPlaneLevel func(ctx context.Context, id string, change *LevelChange) (DataPlaneLevel, error)

	// PurgeDelay is how long a data plane that is gone stays listed.
	PurgeDelay time.Duration

	// ConfigurationHash returns the hex digest of the newest snapshot, or "" when
	// there is none yet. Nil: GET /status does not show one.
	ConfigurationHash func() string

	// GUIOrigins are the addresses of the admin GUI, whose pages may drive this
	// API; of each only scheme, host and port count. None: pages of the same host
	// may, whatever their port.
	GUIOrigins []string

	// AllowedHosts are names, besides loopback ones, under which a listener on a
	// loopback address may be asked.
	AllowedHosts []string

	// Loopback tells whether the listener with this local address was bound to
	// a loopback address. Nil: it was if the address is one.
	Loopback func(local net.Addr) bool

	// Access says whom the API answers. Nil: everybody, and nobody is asked who
	// they are.
	Access *Access

	// MaxBody is the largest body of a request, in bytes. 0: Kong's 10 MiB;
	// negative: no limit.
	MaxBody int64

	// HideServer and HideLatency leave out the headers Server and
	// X-Kong-Admin-Latency.
	HideServer, HideLatency bool

	// Log gets a line for each request, and what goes wrong. Nil: no log.
	Log *slog.Logger
}

// Info is what GET / says of the node.
type Info struct {
	// NodeID is the node's UUID.
	NodeID string
	// Hostname is the machine's name.
	Hostname string
}

// DataPlane is one data plane as GET /clustering/data-planes shows it.
type DataPlane struct {
	ID, Hostname, IP string
	// Version is the Kong version that the node claims; GibbonVersion its own.
	Version, GibbonVersion string
	// SyncStatus is Kong's word for whether the node can take the configuration.
	SyncStatus string
	// Message says why it cannot, or which parts of it the node refused.
	Message string
	Labels  map[string]string
	// Hash is the full hex digest of what the node serves, Epoch and Applied
	// name the version; all are zero when it serves nothing.
	Hash, Epoch string
	Applied     uint64
	Connected   bool
	// TakesLogLevel says that the node can be asked for its log level.
	TakesLogLevel bool
	// FirstSeen and LastSeen are when the node was heard of.
	FirstSeen, LastSeen time.Time
	// CertificateExpiry is zero without TLS.
	CertificateExpiry time.Time
}

// Server is the Admin API, an http.Handler for both REST and gRPC. It opens no
// listener. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	paths    *paths
	grpc     *grpc.Server
	mux      *runtime.ServeMux
	access   atomic.Pointer[Access]
	logins   logins
	draining atomic.Bool
	traffic  traffic
	inUse    pluginsInUse
	requests sync.WaitGroup
}

// New returns the Admin API. The caller serves it and ends it with Shutdown or Close.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case cfg.MaxBody == 0:
		cfg.MaxBody = defaultMaxBody
	case cfg.MaxBody < 0:
		cfg.MaxBody = math.MaxInt64
	}
	cfg.GUIOrigins = originsOf(cfg.GUIOrigins)
	s := &Server{cfg: cfg, paths: newPaths(cfg.Catalogue)}
	s.access.Store(cfg.Access)
	if s.hybrid() {
		s.paths.fixed = slices.DeleteFunc(s.paths.fixed, fixedPath.marks)
		s.paths.drop(clusterLevelPath)
	} else {
		s.paths.drop(controlPlanesLevelPath)
		s.paths.drop(dataPlaneLevelPath)
	}
	s.grpc = grpc.NewServer(
		grpc.ChainUnaryInterceptor(s.interceptors()...),
		grpc.ChainStreamInterceptor(s.guardStream),
		grpc.MaxRecvMsgSize(int(min(cfg.MaxBody, math.MaxInt32))),
	)
	conn := newLocal(s.interceptors())
	for _, service := range s.services() {
		service.register(s.grpc)
		service.register(conn)
	}
	reflection.Register(s.grpc)
	s.mux = s.newMux()
	// The newest registration is asked first: fixed paths win over generic ones.
	for _, service := range s.services() {
		if err := service.bind(context.Background(), s.mux, conn); err != nil {
			return nil, fmt.Errorf("register %s: %w", service.name, err)
		}
	}
	return s, nil
}

// hybrid reports that data planes of their own follow this node.
func (s *Server) hybrid() bool { return s.cfg.DataPlanes != nil }

// Drain refuses writes from now on; reads are answered.
func (s *Server) Drain() { s.draining.Store(true) }

// Close ends the gRPC calls that are left and waits for all requests. The
// caller shuts its http.Server down before: gRPC's own graceful stop would cut
// the calls that run under net/http, so the order matters.
func (s *Server) Close() {
	s.Drain()
	s.grpc.Stop()
	s.requests.Wait()
}

// Shutdown is the whole order for one http.Server: it refuses writes, lets the
// requests in progress finish until ctx ends, cuts off who is still connected
// then, and closes s.
func (s *Server) Shutdown(ctx context.Context, server *http.Server) error {
	s.Drain()
	defer s.Close()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("shut the admin API down: %w", errors.Join(err, server.Close()))
	}
	return nil
}

// ServeHTTP tells gRPC from REST and serves either.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	defer s.requests.Done()
	s.traffic.requests.Add(1)
	if !isGRPC(r) {
		s.serveREST(w, r)
		return
	}
	// A page cannot make a browser speak gRPC, but the decision is the same.
	r, err := s.admitted(r)
	if err != nil {
		s.refuseCall(w, r, err)
		return
	}
	s.grpc.ServeHTTP(w, r)
}

// admitted is a request whose context names its caller. Who may not send it, or
// does not say who it is, gets no further, whatever is asked for.
func (s *Server) admitted(r *http.Request) (*http.Request, error) {
	if err := s.refuseForeign(r); err != nil {
		return r, err
	}
	if r.Method == http.MethodOptions && s.access.Load() != nil {
		// Browsers ask like this before they send a token. It reaches no method.
		return r, nil
	}
	who, err := s.identify(r)
	if err != nil {
		return r, err
	}
	return r.WithContext(withCaller(r.Context(), who)), nil
}

// refuseCall answers a call over gRPC before its message is read.
func (s *Server) refuseCall(w http.ResponseWriter, r *http.Request, err error) {
	state := asError(err).GRPCStatus()
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(int(state.Code())))
	h.Set("Grpc-Message", state.Message()) // ours: it has nothing that must be escaped
	if details, err := proto.Marshal(state.Proto()); err == nil {
		h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(details))
	}
	w.WriteHeader(http.StatusOK)
	s.cfg.Log.InfoContext(r.Context(), "admin", "protocol", "grpc", "method", "-", "code", state.Code().String(), "client", r.RemoteAddr)
}

// isGRPC compares exactly: application/grpc-web begins alike.
func isGRPC(r *http.Request) bool {
	contentType := r.Header.Get("Content-Type")
	return r.ProtoMajor == 2 && (contentType == "application/grpc" || strings.HasPrefix(contentType, "application/grpc+"))
}
