// Package controlplane is the half of Gibbon that owns the configuration: the
// store, the Admin API over it, and the stream that carries each version to the
// data planes. It proxies nothing.
//
// New wires the parts, Run serves until its context ends.
package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/publish"
	"github.com/gibbon-gateway/gibbon/controlplane/snapshot"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	"github.com/gibbon-gateway/gibbon/internal/buildinfo"
	"github.com/gibbon-gateway/gibbon/internal/listener"
	"github.com/gibbon-gateway/gibbon/internal/pki"
	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
	"github.com/gibbon-gateway/gibbon/internal/web"
	"github.com/gibbon-gateway/gibbon/schema"
)

const (
	// mergeWindow is the least time between two versions that are published: in
	// a burst of writes the ones between are left out.
	mergeWindow = 50 * time.Millisecond
	// mergeShare and mergeLimit widen the window where publishing takes long: it is
	// to leave most of a core to those who write.
	mergeShare = 4 // times what the last version took
	mergeLimit = 200 * time.Millisecond
	// compileRetry is how long a failed compilation waits for its next try.
	compileRetry = time.Second
	sweepEvery   = 10 * time.Second
	streamMaxAge = 30 * time.Minute
)

// Config is what New wires together.
type Config struct {
	Settings  *settings.Settings
	Catalogue *schema.Catalogue
	// Store is closed by whoever opened it, after Run has returned.
	Store store.Store
	// NodeID is this control plane's own id.
	NodeID string
	// InProcess, when not nil, is where the data plane of the same process
	// dials in. There is no cluster listener and no status listener then, and a
	// write is answered when it is live there. Run or Close closes it.
	InProcess net.Listener
	Log       *telemetry.Log
}

// ControlPlane is a control plane whose listeners are open.
type ControlPlane struct {
	cfg       Config
	publisher *publish.Server
	admin     *admin.Server
	loader    *declarative.Loader // nil with a database

	cluster   *grpc.Server
	clusterAt net.Listener
	front     *web.Server // the Admin API's
	side      *web.Server // the status listener's; nil in a process with a data plane
	changes   chan store.Version
	compiled  compiled // the publish loop's
}

// New opens the listeners, so that an address in use is an error here and not
// later, and wires the parts. Run or Close must follow.
func New(ctx context.Context, cfg Config) (c *ControlPlane, err error) {
	c = &ControlPlane{cfg: cfg, changes: make(chan store.Version, 1), compiled: compiled{catalogue: cfg.Catalogue}}
	plugins := map[string]string{}
	for _, p := range cfg.Catalogue.Plugins() {
		plugins[p.Plugin().GetName()] = p.Plugin().GetVersion()
	}
	payload := cfg.Settings.ClusterMaxPayload
	if cfg.InProcess != nil {
		payload = 0 // nothing goes over a network
	}
	c.publisher = publish.New(publish.Config{
		ID:         cfg.NodeID,
		Version:    buildinfo.KongVersion,
		Plugins:    plugins,
		Committed:  c.committed,
		MaxAge:     streamMaxAge,
		PurgeDelay: cfg.Settings.ClusterPurgeDelay,
		MaxPayload: payload,
		Log:        cfg.Log.Logger,
	})
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if cfg.Settings.Database == "off" {
		c.loader = declarative.NewLoader(cfg.Store, cfg.Catalogue)
		if err := c.loadDeclarative(ctx, cfg.Settings); err != nil {
			return c, err
		}
	}
	if err := c.openCluster(); err != nil {
		return c, err
	}
	if err := c.openAdmin(ctx); err != nil {
		return c, err
	}
	if cfg.InProcess == nil {
		return c, c.openStatus(ctx)
	}
	return c, nil
}

// committed is the newest version in the database.
func (c *ControlPlane) committed(ctx context.Context) (v store.Version, err error) {
	err = c.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		v, err = r.Version()
		return err
	})
	return v, err
}

// openCluster readies the listener for data planes. In plaintext it exists on
// loopback only.
func (c *ControlPlane) openCluster() error {
	options := publish.ServerOptions()
	if c.cfg.InProcess != nil {
		c.clusterAt = c.cfg.InProcess
	} else {
		s := c.cfg.Settings
		if len(s.ClusterListen.Entries) != 1 {
			return fmt.Errorf("cluster_listen must name one address, not %d", len(s.ClusterListen.Entries))
		}
		entry := s.ClusterListen.Entries[0]
		if s.ClusterCert == "" {
			if !s.ClusterListen.Loopback() {
				return errors.New("cluster certificate and key must be provided to use Hybrid mode: " +
					"make them with 'gibbon hybrid gen_cert' and set cluster_cert and cluster_cert_key " +
					"(without them cluster_listen must be on loopback)")
			}
		} else {
			certs, err := pki.NewCluster(pki.ClusterConfig{
				Mode: s.ClusterMTLS, Cert: string(s.ClusterCert), Key: string(s.ClusterCertKey),
				CA: string(s.ClusterCACert), ServerName: s.ClusterServerName,
			})
			if err != nil {
				return err
			}
			options = append(options, grpc.Creds(credentials.NewTLS(certs.Server())))
		}
		at, err := net.Listen("tcp", entry.HostPort())
		if err != nil {
			return fmt.Errorf("cluster_listen: %w", err)
		}
		c.clusterAt = at
	}
	c.cluster = grpc.NewServer(options...)
	clusterpb.RegisterClusterServer(c.cluster, c.publisher)
	return nil
}

// openAdmin wires the Admin API and opens its listeners.
func (c *ControlPlane) openAdmin(ctx context.Context) error {
	s := c.cfg.Settings
	hostname, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	access, err := accessOf(s)
	if err != nil {
		return err
	}
	config := admin.Config{
		Store:       c.cfg.Store,
		Catalogue:   c.cfg.Catalogue,
		Declarative: c.loader,
		Info:        admin.Info{NodeID: c.cfg.NodeID, Hostname: hostname},
		Configuration: func() map[string]any {
			shown := s.Public()
			loaded := map[string]bool{}
			for _, p := range c.cfg.Catalogue.Plugins() {
				loaded[p.Plugin().GetName()] = true
			}
			shown["loaded_plugins"] = loaded
			return shown
		},
		LogLevel: c.cfg.Log,
		ConfigurationHash: func() string {
			p, _ := c.publisher.Published()
			return shown(p.Hash)
		},
		PurgeDelay:   c.publisher.PurgeDelay(),
		GUIOrigins:   s.AdminGUIURLs(),
		AllowedHosts: s.AdminAllowedHosts,
		Loopback:     c.adminOnLoopback,
		Access:       access,
		MaxBody:      int64(cmp.Or(s.AdminMaxBody, -1)), // in the settings 0 is no limit
		HideServer:   !slices.Contains(s.Headers, "server_tokens") && !slices.Contains(s.Headers, "server"),
		HideLatency:  !slices.Contains(s.Headers, "latency_tokens") && !slices.Contains(s.Headers, "x-kong-admin-latency"),
		Log:          c.cfg.Log.Logger,
	}
	if c.cfg.InProcess != nil {
		config.Live = c.live
	} else {
		config.DataPlanes = c.dataPlanes
		config.DataPlaneLevel = c.dataPlaneLevel
	}
	api, err := admin.New(config)
	if err != nil {
		return err
	}
	c.admin = api
	server := listener.Server(listener.Config{Handler: api, Refuse: api.Refuse, Limits: s.HeadLimits(), Log: c.cfg.Log.Logger})
	server.ConnState = api.ConnState
	c.front, err = web.Open(ctx, web.Config{
		Key:         "admin_listen",
		Certificate: "admin",
		HTTP:        server,
		HTTP2:       true, // gRPC shares the port, and needs it whatever the flags
		// An authority that a reload brings finds nobody asked for a certificate.
		ClientCertificates: s.AdminClientCA != "",
		Log:                c.cfg.Log.Logger,
		Pick: func(s *settings.Settings) (settings.Listeners, []settings.Material, []settings.Material) {
			return s.AdminListen, s.AdminSSLCert, s.AdminSSLCertKey
		},
	}, s)
	return err
}

// adminOnLoopback says whether the Admin API's listener with this local address
// was bound to a loopback address: a connection to 127.0.0.1 may also have come
// to one that was bound to all addresses.
func (c *ControlPlane) adminOnLoopback(local net.Addr) bool {
	at, ok := local.(*net.TCPAddr)
	for _, bound := range c.front.Addrs() {
		if b, isTCP := bound.(*net.TCPAddr); ok && isTCP && b.Port == at.Port {
			return b.IP.IsLoopback()
		}
	}
	return true
}

// dataPlanes lists the data planes as the Admin API shows them.
func (c *ControlPlane) dataPlanes() []admin.DataPlane {
	nodes := c.publisher.Nodes()
	list := make([]admin.DataPlane, len(nodes))
	for i, n := range nodes {
		list[i] = admin.DataPlane{
			ID: n.ID, Hostname: n.Hostname, IP: n.IP,
			Version: n.Version, GibbonVersion: n.GibbonVersion,
			SyncStatus: string(n.Status), Message: n.Message,
			Labels: n.Labels,
			Hash:   shown(n.Applied.Hash), Epoch: n.Applied.Epoch, Applied: n.Applied.Version,
			Connected: n.Connected, TakesLogLevel: n.TakesLogLevel, FirstSeen: n.FirstSeen, LastSeen: n.LastSeen,
			CertificateExpiry: n.CertificateExpiry,
		}
		if len(n.Reasons) > 0 {
			reasons := make([]string, len(n.Reasons))
			for i, r := range n.Reasons {
				reasons[i] = r.String()
			}
			list[i].Message = fmt.Sprintf("version %d refused: %s", n.Refused.Version, strings.Join(reasons, "; "))
		}
	}
	return list
}

// dataPlaneLevel asks a data plane for its log level, after a change if there is
// one.
func (c *ControlPlane) dataPlaneLevel(ctx context.Context, id string, change *admin.LevelChange) (admin.DataPlaneLevel, error) {
	var call publish.LogLevelCall
	if change != nil {
		call = publish.LogLevelCall{Level: change.Level, Timeout: change.Timeout, Restore: change.Level == ""}
	}
	level, err := c.publisher.LogLevel(ctx, id, call)
	return admin.DataPlaneLevel(level), err
}

// shown is a snapshot's hash as Kong's clients expect it: none for the empty
// configuration, which they know as one that is not there yet.
func shown(hash string) string {
	if hash == snapshot.EmptyHash() {
		return ""
	}
	return hash
}

// openStatus opens the status listener.
func (c *ControlPlane) openStatus(ctx context.Context) (err error) {
	s := c.cfg.Settings
	c.side, err = web.Open(ctx, web.Config{
		Key:         "status_listen",
		Certificate: "status",
		HTTP:        listener.Server(listener.Config{Handler: c.statusHandler(), Limits: s.HeadLimits(), Log: c.cfg.Log.Logger}),
		Log:         c.cfg.Log.Logger,
		Pick: func(s *settings.Settings) (settings.Listeners, []settings.Material, []settings.Material) {
			return s.StatusListen, s.StatusSSLCert, s.StatusSSLCertKey
		},
	}, s)
	return err
}

// servers are those that are open.
func (c *ControlPlane) servers() []*web.Server {
	var open []*web.Server
	for _, w := range []*web.Server{c.front, c.side} {
		if w != nil {
			open = append(open, w)
		}
	}
	return open
}
