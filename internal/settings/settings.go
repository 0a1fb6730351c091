// Package settings owns how Gibbon is told what to do before it has a
// configuration: the keys of kong.conf that it honours and its own, where their
// values come from, and the checks that stop a start.
//
// One table (see [Table]) describes every key; parsing, checking, the
// "configuration" object of the Admin API's root, gibbon.conf.default and
// docs/settings.md all read it, so they can not disagree. What the values mean
// is the business of the packages that read them.
package settings

import (
	"net/netip"
	"path/filepath"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/listener"
)

// Settings are the checked values of one process. They are made by [Load] and
// read-only afterwards, apart from the few fields a start fills in itself
// (NodeID, generated certificates) before it hands them on.
//
// Printing a Settings shows no secret: secret values have types that print as
// six asterisks.
type Settings struct {
	// Prefix is the absolute folder that holds all data of this node. Load does
	// not create it; see [PreparePrefix].
	Prefix string
	// NodeID is empty unless the operator chose one; see [NodeID].
	NodeID    string
	LogLevel  string // Kong's word: debug, info, notice, warn, error, crit, alert or emerg
	LogFormat string // auto, text or json
	Role      string // traditional, control_plane or data_plane

	Database       string // sqlite, postgres or off
	SQLitePath     string // absolute
	PGHost         string
	PGPort         int
	PGDatabase     string
	PGUser         string
	PGPassword     Secret
	PGSchema       string
	PGTimeout      time.Duration
	PGSSL          bool
	PGSSLVerify    bool
	PGSSLCert      Material
	PGSSLCertKey   Material
	PGMaxQueries   int // connections in use at once; 0 means no limit
	DBUpdateEvery  time.Duration
	HistoryAge     time.Duration // how long versions are kept; 0 means for ever
	HistoryLength  int           // how many versions are kept; 0 means any number
	Declarative    string        // path of a declarative file, only without a database
	DeclarativeDoc Secret        // the declarative document itself; may hold credentials

	ProxyListen    Listeners
	AdminListen    Listeners
	AdminGUIListen Listeners
	StatusListen   Listeners
	ClusterListen  Listeners

	AdminGUIURL       string // one URL or several, comma separated; see AdminGUIURLs
	AdminGUIPath      string
	AdminGUIAPIURL    string
	AdminRequireAuth  bool
	AdminTokens       Secret   // name:role:token, comma separated; see AdminTokenList
	AdminTokensFile   string   // a file of such entries, one a line
	AdminClientCA     Material // see AdminClientAuthorities
	AdminClientRoles  []string // name:role; see AdminClientRoleMap
	AdminAllowedHosts []string
	AdminMaxBody      Size // 0 means no limit

	ClusterControlPlane string // host:port, one or several, comma separated; see ControlPlanes
	ClusterCert         Material
	ClusterCertKey      Material
	ClusterMTLS         string // shared or pki
	ClusterCACert       Material
	ClusterServerName   string
	ClusterMaxPayload   int // bytes
	ClusterPurgeDelay   time.Duration
	ClusterDPLabels     map[string]string
	ClusterCachePath    string // absolute

	SSLCert          []Material
	SSLCertKey       []Material
	AdminSSLCert     []Material
	AdminSSLCertKey  []Material
	AdminGUISSLCert  []Material
	AdminGUISSLKey   []Material
	StatusSSLCert    []Material
	StatusSSLCertKey []Material
	ClientSSL        bool
	ClientSSLCert    Material
	ClientSSLCertKey Material
	TrustedCerts     []Material // "system" stands for the pool of the operating system
	SSLCipherSuite   string     // modern, intermediate, old, fips or custom

	Plugins               []string // bundled, off, or names
	RouterFlavor          string
	RouteMatchCalculation string // strict or original
	VaultEnvPrefix        string

	Headers          []string // as Kong's setting of the same name
	HeadersUpstream  []string
	TrustedIPs       []string
	Trusted          []netip.Prefix // TrustedIPs, parsed
	PortMaps         map[int]int    // port listened on → port the public sees
	RealIPHeader     string
	RealIPRecursive  bool
	ErrorDefaultType string
	AllowDebugHeader bool

	ProxyMaxBody         Size // 0 means no limit
	KeepaliveRequests    int  // requests on one client connection
	UpstreamPoolSize     int
	UpstreamMaxRequests  int // 0 means no limit
	UpstreamIdleTimeout  time.Duration
	RequestHeadSize      Size
	RequestHeadLines     int
	RequestHeadTimeout   time.Duration
	RequestBodyIdle      time.Duration
	ResponseStall        time.Duration
	BufferedBodyMax      Size
	BufferedResponseMax  Size
	StreamEventMax       Size
	AIStreamKeepAlive    time.Duration
	AIStreamFirstToken   time.Duration
	AIStreamIdle         time.Duration
	UpstreamHeadSize     Size
	ConnectionsMax       int
	ConnectionsPerClient int
	RequestsInFlightMax  int
	HTTP2Streams         int
	JSONMaxDepth         int
	JSONMaxValues        int
	DrainDelay           time.Duration
	DrainTimeout         time.Duration
	DrainStreamTimeout   time.Duration

	AILogLayout, AIPriceList string
	AIMetrics                bool
	OTLPEndpoint             string
	OTLPProtocol             string
	OTLPHeaders              Secret
	TracingSamplingRate      float64

	extra map[string]any    // values of keys that have no field above, by key
	texts map[string]string // what Public shows better as it was written, by key; never a secret
	refs  map[string]bool   // keys whose value came from a vault reference
}

// Path returns a path of this node: absolute ones as they are, others below the
// prefix.
func (s *Settings) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.Prefix, name)
}

// ControlPlanes lists the control planes' addresses, host:port each.
func (s *Settings) ControlPlanes() []string { return splitList(s.ClusterControlPlane) }

// AdminGUIURLs lists the addresses at which browsers load the admin GUI.
func (s *Settings) AdminGUIURLs() []string { return splitList(s.AdminGUIURL) }

// AdminExposed reports whether other machines can use the Admin API without
// proving who they are.
func (s *Settings) AdminExposed() bool { return !s.AdminListen.Loopback() && !s.AsksAdmins() }

// HeadLimits are the bounds of a request's head, which hold on every port.
func (s *Settings) HeadLimits() listener.Limits {
	return listener.Limits{HeadBytes: int(s.RequestHeadSize), Lines: s.RequestHeadLines, Time: s.RequestHeadTimeout}
}

// Secret is text that must not be shown. Every way of printing it gives six
// asterisks; only Reveal gives the text.
type Secret string

// Mask is what stands where a secret would.
const Mask = "******"

// Reveal returns the secret text.
func (s Secret) Reveal() string { return string(s) }

// String returns [Mask], or nothing when there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Mask
}

// GoString hides the text from %#v.
func (s Secret) GoString() string { return `settings.Secret("` + s.String() + `")` }

// MarshalText hides the text from encoders, slog's among them.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
