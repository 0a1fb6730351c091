package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/follow"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/price"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy"
	"github.com/gibbon-gateway/gibbon/dataplane/router"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/dataplane/signals"
	"github.com/gibbon-gateway/gibbon/internal/buildinfo"
	"github.com/gibbon-gateway/gibbon/internal/pki"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

// newCalls are the connections of plugins' own calls.
func newCalls(s *settings.Settings) *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{}).DialContext,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    s.UpstreamPoolSize,
		IdleConnTimeout:        s.UpstreamIdleTimeout,
		MaxResponseHeaderBytes: int64(s.UpstreamHeadSize),
	}
}

func buildOptions(cfg Config, all []plugin.Plugin, keeper *runtime.Keeper, calls http.RoundTripper, prices *price.Book) (runtime.Options, error) {
	s := cfg.Settings
	roots, err := s.TrustedPool()
	if err != nil {
		return runtime.Options{}, err
	}
	o := runtime.Options{
		Plugins: enabled(all, s.Plugins),
		Decode:  runtime.Decoder(cfg.Catalogue),
		Keeper:  keeper,
		Log:     cfg.Log.Logger,
		Router: router.Options{
			Flavor:      router.Flavor(s.RouterFlavor),
			Calculation: router.Calculation(s.RouteMatchCalculation),
		},
		HTTP:   calls,
		Limits: limits(s),
		Models: plugin.Models{Layout: logLayout(s), Prices: prices},
		Vault:  runtime.VaultOptions{Prefix: s.VaultEnvPrefix},
		Upstream: runtime.UpstreamOptions{
			PoolSize: s.UpstreamPoolSize, IdleTime: s.UpstreamIdleTimeout, Roots: roots,
			MaxRequests: s.UpstreamMaxRequests, HeadSize: int(s.UpstreamHeadSize),
		},
	}
	// A router that is not there would make every configuration one that cannot be
	// put in force.
	if _, err := router.New(nil, nil, o.Router); err != nil {
		return runtime.Options{}, fmt.Errorf("router_flavor, route_match_calculation: %w", err)
	}
	if o.Upstream.PoolSize == 0 {
		o.Upstream.PoolSize = -1 // Kong's 0 turns the pool off
	}
	if o.Upstream.IdleTime == 0 {
		o.Upstream.IdleTime = math.MaxInt64 // Kong's 0 keeps connections for ever
	}
	if s.ClientSSL {
		pair, err := pki.LoadPair(string(s.ClientSSLCert), string(s.ClientSSLCertKey))
		if err != nil {
			return runtime.Options{}, fmt.Errorf("client_ssl_cert: %w", err)
		}
		o.Upstream.Certificate = &pair
	}
	return o, nil
}

// limits are the bounds on what plugins hold and read.
func limits(s *settings.Settings) plugin.Limits {
	return plugin.Limits{
		Body: int64(s.BufferedBodyMax), Response: int64(s.BufferedResponseMax),
		Event: int(s.StreamEventMax), Depth: s.JSONMaxDepth, Values: s.JSONMaxValues,
		Streams: plugin.StreamTimes{KeepAlive: s.AIStreamKeepAlive, FirstToken: s.AIStreamFirstToken, Idle: s.AIStreamIdle},
	}
}

// newExporter makes what sends to a collector; nil when the settings name none.
func newExporter(ctx context.Context, cfg Config) (*signals.Exporter, error) {
	s := cfg.Settings
	if s.OTLPEndpoint == "" {
		return nil, nil
	}
	headers, err := s.OTLPHeaderMap()
	if err != nil {
		return nil, err
	}
	return signals.Open(ctx, signals.Config{
		Endpoint: s.OTLPEndpoint, HTTP: s.OTLPProtocol == "http", Headers: headers, Sampling: s.TracingSamplingRate,
		NodeID: cfg.NodeID, Version: buildinfo.Version(), Log: cfg.Log.Logger,
	})
}

func logLayout(s *settings.Settings) plugin.LogLayout {
	if s.AILogLayout == "3.8" {
		return plugin.Layout38
	}
	return plugin.LayoutCurrent
}

// priceList reads the list that the setting names; nil when there is to be none.
func priceList(s *settings.Settings) (*price.List, error) {
	switch s.AIPriceList {
	case "off":
		return nil, nil
	case "builtin":
		return price.Builtin()
	}
	text, err := readFile(s.AIPriceList, price.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("ai_price_list: %w", err)
	}
	list, err := price.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("ai_price_list: %s: %w", s.AIPriceList, err)
	}
	return list, nil
}

// readFile reads a file that is not to be longer than a number of bytes; of a
// longer one it gives one byte more than that.
func readFile(name string, most int64) (text []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, most+1))
}

// enabled are the plugins that the setting of that name lets run.
func enabled(all []plugin.Plugin, names []string) []plugin.Plugin {
	if slices.Contains(names, "bundled") {
		return all
	}
	var some []plugin.Plugin
	for _, p := range all {
		if slices.Contains(names, p.Name()) {
			some = append(some, p)
		}
	}
	return some
}

func (d *DataPlane) proxyOptions() (proxy.Options, error) {
	s := d.cfg.Settings
	headers, err := proxy.ParseHeaders(s.Headers)
	if err != nil {
		return proxy.Options{}, err
	}
	o := proxy.Options{
		Live:            &d.live,
		Picker:          d.resolver,
		Log:             d.cfg.Log.Logger,
		Version:         buildinfo.KongVersion,
		Headers:         headers,
		NoUpstreamID:    slices.Contains(s.HeadersUpstream, "off"),
		Trusted:         s.Trusted,
		RealIPHeader:    s.RealIPHeader,
		RealIPRecursive: s.RealIPRecursive,
		PortMaps:        s.PortMaps,
		ErrorType:       s.ErrorDefaultType,
		DebugHeader:     s.AllowDebugHeader,
		Limits:          limits(s),
		MaxBody:         int64(s.ProxyMaxBody),
		BodyIdle:        s.RequestBodyIdle,
		WriteStall:      s.ResponseStall,
		MaxRequests:     s.RequestsInFlightMax,
	}
	if d.models != nil {
		o.Recorders = append(o.Recorders, d.models)
	}
	if d.exporter != nil {
		o.Recorders = append(o.Recorders, d.exporter)
	}
	if o.MaxRequests == 0 {
		o.MaxRequests = -1
	}
	return o, nil
}

func (d *DataPlane) newFollower() (*follow.Follower, error) {
	s := d.cfg.Settings
	node := follow.Node{
		ID:            d.cfg.NodeID,
		Version:       buildinfo.KongVersion,
		GibbonVersion: buildinfo.Version(),
		Plugins:       make(map[string]string),
		Labels:        s.ClusterDPLabels,
	}
	for _, p := range d.build.Plugins {
		node.Plugins[p.Name()] = p.Info().GetVersion()
	}
	cfg := follow.Config{Node: node, Apply: d.Apply, Advance: d.advance, Dial: d.cfg.Dial, Log: d.cfg.Log.Logger, LogLevel: d.cfg.Log}
	if d.cfg.Dial != nil {
		// The control plane of the same process has the configuration on disk.
		return follow.New(cfg)
	}
	cfg.Addresses, cfg.MaxPayload = s.ControlPlanes(), s.ClusterMaxPayload
	var key []byte
	if s.ClusterCert != "" {
		cluster, err := pki.NewCluster(pki.ClusterConfig{
			Mode: s.ClusterMTLS, Cert: string(s.ClusterCert), Key: string(s.ClusterCertKey),
			CA: string(s.ClusterCACert), ServerName: s.ClusterServerName,
		})
		if err != nil {
			return nil, err
		}
		cfg.TLS = cluster.Client
		// Provider keys lie in the snapshots, so the cache is sealed.
		if key, err = cluster.Secret("snapshot cache"); err != nil {
			return nil, err
		}
	}
	// The addresses tell one cluster from another; certificates are renewed.
	addresses := slices.Sorted(slices.Values(cfg.Addresses))
	cache, err := follow.OpenCache(s.ClusterCachePath, strings.Join(addresses, ","), key)
	if err != nil {
		return nil, err
	}
	cfg.Cache = cache
	return follow.New(cfg)
}
