package settings

import "strings"

// Owner says whose setting a key is, and whether it does anything here.
type Owner uint8

const (
	// Kong is a key of Kong's that Gibbon honours.
	Kong Owner = iota
	// Gibbon is a key that Kong does not have.
	Gibbon
	// Ignored is a key of Kong's that is accepted, checked and shown, and
	// changes nothing.
	Ignored
)

// Descriptor describes one key.
type Descriptor struct {
	Key     string
	Default string // as it would be written in the file; "" means no value
	Enum    []string
	Secret  bool
	Owner   Owner
	Doc     string // for operators, a sentence or two
	// Missing is what the key would be about and this version does not have; the
	// key has no effect then, and a start that sets it is told so. "" when it has
	// an effect.
	Missing string

	kind     kind
	min, max float64 // limits of a number, in the unit it is written in; no upper one when max is 0
	at       func(*Settings) any
	required bool // NONE is refused although the kind could be empty
}

// optional reports whether the key may be without a value.
func (d *Descriptor) optional() bool {
	if d.required || len(d.Enum) > 0 && d.kind != listKind {
		return false
	}
	switch d.kind {
	case textKind, secretKind, listKind, labelsKind, portsKind, materialKind, materialsKind:
		return true
	}
	return d.Default == ""
}

// bind gives the place where the key's value is kept.
func (d *Descriptor) bind(s *Settings) any {
	if d.at != nil {
		return d.at(s)
	}
	if s.extra[d.Key] == nil {
		s.extra[d.Key] = d.kind.newValue()
	}
	return s.extra[d.Key]
}

// section is a group of keys under one heading of the generated documents.
type section struct {
	title string
	keys  []Descriptor
}

// Table lists every key in the order of the documentation. The result is the
// caller's own.
func Table() []Descriptor {
	var all []Descriptor
	for _, s := range sections() {
		all = append(all, s.keys...)
	}
	return all
}

func sections() []section {
	return []section{
		{"General", generalKeys},
		{"Listeners", listenKeys},
		{"Database", databaseKeys},
		{"Control plane and data planes", clusterKeys},
		{"TLS", tlsKeys},
		{"Admin API and GUI", adminKeys},
		{"Proxying", proxyKeys},
		{"Limits and draining", limitKeys},
		{"Logs, metrics and traces of AI traffic", signalKeys},
		{"Accepted for compatibility, without effect", ignoredKeys},
	}
}

var (
	logLevels   = strings.Fields("debug info notice warn error crit alert emerg")
	headerWords = strings.Fields("server_tokens latency_tokens via server x-kong-proxy-latency x-kong-response-latency " +
		"x-kong-admin-latency x-kong-upstream-latency x-kong-upstream-status x-kong-request-id off")
)

// What this version lacks.
const noGUI = "there is no admin GUI yet"

var generalKeys = []Descriptor{
	{Key: "prefix", kind: textKind, at: func(s *Settings) any { return &s.Prefix }, required: true,
		Doc: "Folder of this node's data. Default: /usr/local/gibbon for root and where it is writable, else $HOME/.gibbon, else gibbon-<uid> in the folder for temporary files."},
	{Key: "role", Default: "traditional", kind: textKind, Enum: strings.Fields("traditional control_plane data_plane"), at: func(s *Settings) any { return &s.Role },
		Doc: "What this node is. The command decides it: run is traditional, controlplane control_plane, dataplane data_plane."},
	{Key: "log_level", Default: "notice", kind: textKind, Enum: logLevels, at: func(s *Settings) any { return &s.LogLevel },
		Doc: "Least severity that is logged."},
	{Key: "log_format", Default: "auto", kind: textKind, Enum: strings.Fields("auto text json"), Owner: Gibbon, at: func(s *Settings) any { return &s.LogFormat },
		Doc: "Form of the log on standard error; auto is text on a terminal and JSON elsewhere."},
	{Key: "node_id", kind: textKind, at: func(s *Settings) any { return &s.NodeID },
		Doc: "UUID of this node; made at the first start and kept in the prefix when not set."},
	{Key: "plugins", Default: "bundled", kind: listKind, at: func(s *Settings) any { return &s.Plugins },
		Doc: "Plugins that may be used: bundled, off, or names."},
	{Key: "vault_env_prefix", kind: textKind, at: func(s *Settings) any { return &s.VaultEnvPrefix },
		Doc: "Put in front of the names that {vault://env/...} references look up."},
}

var listenKeys = []Descriptor{
	{Key: "proxy_listen", Default: "0.0.0.0:8000, 0.0.0.0:8443 http2 ssl", kind: listenKind, at: func(s *Settings) any { return &s.ProxyListen },
		Doc: "Where clients are served: off, or <ip>:<port> with the flags ssl, http2, ipv6only=<on|off> and so_keepalive=<...>; reuseport, deferred, bind and backlog=<n> are accepted without effect."},
	{Key: "admin_listen", Default: "127.0.0.1:8001, 127.0.0.1:8444 http2 ssl", kind: listenKind, at: func(s *Settings) any { return &s.AdminListen },
		Doc: "Where the Admin API is served, REST and gRPC on the same port."},
	{Key: "admin_gui_listen", Default: "0.0.0.0:8002, 0.0.0.0:8445 ssl", kind: listenKind, at: func(s *Settings) any { return &s.AdminGUIListen },
		Missing: noGUI, Doc: "Where the admin GUI is served."},
	{Key: "status_listen", Default: "127.0.0.1:8007", kind: listenKind, at: func(s *Settings) any { return &s.StatusListen },
		Doc: "Where status, readiness and metrics are served."},
	{Key: "cluster_listen", Default: "0.0.0.0:8005", kind: listenKind, at: func(s *Settings) any { return &s.ClusterListen },
		Doc: "Where a control plane awaits its data planes, over mutual TLS."},
	{Key: "port_maps", kind: portsKind, at: func(s *Settings) any { return &s.PortMaps },
		Doc: "Ports that the public sees in place of the ones listened on, such as 80:8000,443:8443."},
}

var databaseKeys = []Descriptor{
	{Key: "database", Default: "postgres", kind: textKind, Enum: strings.Fields("sqlite postgres off"), at: func(s *Settings) any { return &s.Database },
		Doc: "Where entities are kept. The default is sqlite for run and off for dataplane; off means a declarative file, or a control plane, instead of a database."},
	{Key: "sqlite_path", Default: "gibbon.db", kind: textKind, Owner: Gibbon, required: true, at: func(s *Settings) any { return &s.SQLitePath },
		Doc: "File of the SQLite database, below the prefix unless absolute."},
	{Key: "pg_host", Default: "127.0.0.1", kind: textKind, required: true, at: func(s *Settings) any { return &s.PGHost },
		Doc: "Host of the Postgres server, or the folder of its socket."},
	{Key: "pg_port", Default: "5432", kind: intKind, max: 65535, at: func(s *Settings) any { return &s.PGPort },
		Doc: "Port of the Postgres server."},
	{Key: "pg_database", Default: "kong", kind: textKind, required: true, at: func(s *Settings) any { return &s.PGDatabase },
		Doc: "Name of the database."},
	{Key: "pg_user", Default: "kong", kind: textKind, required: true, at: func(s *Settings) any { return &s.PGUser },
		Doc: "User of the database."},
	{Key: "pg_password", kind: secretKind, Secret: true, at: func(s *Settings) any { return &s.PGPassword },
		Doc: "Password of the user."},
	{Key: "pg_schema", kind: textKind, at: func(s *Settings) any { return &s.PGSchema },
		Doc: "Schema that holds the tables; the user's search path decides when not set."},
	{Key: "pg_timeout", Default: "5000", kind: millisKind, at: func(s *Settings) any { return &s.PGTimeout },
		Doc: "Time to connect to Postgres."},
	{Key: "pg_ssl", Default: "off", kind: boolKind, at: func(s *Settings) any { return &s.PGSSL },
		Doc: "Speak TLS to Postgres. A server without TLS is then refused, never used in the clear."},
	{Key: "pg_ssl_verify", Default: "off", kind: boolKind, at: func(s *Settings) any { return &s.PGSSLVerify },
		Doc: "With pg_ssl: check the server's certificate against lua_ssl_trusted_certificate, and its name."},
	{Key: "pg_ssl_cert", kind: materialKind, at: func(s *Settings) any { return &s.PGSSLCert },
		Doc: "Client certificate for Postgres."},
	{Key: "pg_ssl_cert_key", kind: materialKind, Secret: true, at: func(s *Settings) any { return &s.PGSSLCertKey },
		Doc: "Key of the client certificate for Postgres."},
	{Key: "pg_max_concurrent_queries", Default: "0", kind: intKind, max: 10000, at: func(s *Settings) any { return &s.PGMaxQueries },
		Doc: "Connections to Postgres in use at once; 0 leaves the choice to Gibbon."},
	{Key: "db_update_frequency", Default: "5", kind: secondsKind, min: 0.05, at: func(s *Settings) any { return &s.DBUpdateEvery },
		Doc: "How often a control plane looks for changes that no notification told it of."},
	{Key: "config_history_retention", Default: "7776000", kind: secondsKind, Owner: Gibbon, at: func(s *Settings) any { return &s.HistoryAge },
		Doc: "How long versions of the configuration can be read, compared and restored; 0 is for ever. They hold what the configuration held, secrets included."},
	{Key: "config_history_versions", Default: "0", kind: intKind, Owner: Gibbon, at: func(s *Settings) any { return &s.HistoryLength },
		Doc: "How many versions are kept at most; 0 is any number. The newest one always is."},
	{Key: "declarative_config", kind: textKind, at: func(s *Settings) any { return &s.Declarative },
		Doc: "With database = off: path of the declarative file to serve. A reload reads it again."},
	{Key: "declarative_config_string", kind: secretKind, Secret: true, at: func(s *Settings) any { return &s.DeclarativeDoc },
		Doc: "With database = off: the declarative document itself, in place of a file."},
}

var clusterKeys = []Descriptor{
	{Key: "cluster_control_plane", Default: "127.0.0.1:8005", kind: textKind, required: true, at: func(s *Settings) any { return &s.ClusterControlPlane },
		Doc: "On a data plane: host:port of its control plane, or of several, comma separated."},
	{Key: "cluster_cert", kind: materialKind, at: func(s *Settings) any { return &s.ClusterCert },
		Doc: "Certificate with which control plane and data planes prove themselves; see gibbon hybrid gen_cert. It may be left out only while they talk over loopback."},
	{Key: "cluster_cert_key", kind: materialKind, Secret: true, at: func(s *Settings) any { return &s.ClusterCertKey },
		Doc: "Key of cluster_cert."},
	{Key: "cluster_mtls", Default: "shared", kind: textKind, Enum: strings.Fields("shared pki"), at: func(s *Settings) any { return &s.ClusterMTLS },
		Doc: "shared: both sides hold the same certificate. pki: each side holds one of its own, signed by cluster_ca_cert."},
	{Key: "cluster_ca_cert", kind: materialKind, at: func(s *Settings) any { return &s.ClusterCACert },
		Doc: "With cluster_mtls = pki: the certificate authority."},
	{Key: "cluster_server_name", kind: textKind, at: func(s *Settings) any { return &s.ClusterServerName },
		Doc: "With cluster_mtls = pki: name in the control plane's certificate, when it is not the host in cluster_control_plane."},
	{Key: "cluster_max_payload", Default: "16777216", kind: intKind, min: 4194304, max: 1 << 31, at: func(s *Settings) any { return &s.ClusterMaxPayload },
		Doc: "Largest configuration that goes from control plane to data planes, in bytes after compression; 67108864 is the most in any case. A data plane refuses what is larger, and keeps what it has."},
	{Key: "cluster_data_plane_purge_delay", Default: "1209600", kind: secondsKind, min: 60, at: func(s *Settings) any { return &s.ClusterPurgeDelay },
		Doc: "How long a data plane that is gone stays listed."},
	{Key: "cluster_dp_labels", kind: labelsKind, at: func(s *Settings) any { return &s.ClusterDPLabels },
		Doc: "Labels of this data plane, such as region:eu,tier:gold."},
	{Key: "cluster_cache_path", Default: "cluster_cache", kind: textKind, Owner: Gibbon, required: true, at: func(s *Settings) any { return &s.ClusterCachePath },
		Doc: "Folder in which a data plane keeps its last configurations, below the prefix unless absolute."},
}

var tlsKeys = []Descriptor{
	{Key: "ssl_cert", kind: materialsKind, at: func(s *Settings) any { return &s.SSLCert },
		Doc: "Default certificates of proxy_listen; a self-signed one is made when not set."},
	{Key: "ssl_cert_key", kind: materialsKind, Secret: true, at: func(s *Settings) any { return &s.SSLCertKey },
		Doc: "Keys of ssl_cert, in the same order."},
	{Key: "admin_ssl_cert", kind: materialsKind, at: func(s *Settings) any { return &s.AdminSSLCert },
		Doc: "Certificates of admin_listen; a self-signed one is made when not set."},
	{Key: "admin_ssl_cert_key", kind: materialsKind, Secret: true, at: func(s *Settings) any { return &s.AdminSSLCertKey },
		Doc: "Keys of admin_ssl_cert, in the same order."},
	{Key: "admin_gui_ssl_cert", kind: materialsKind, at: func(s *Settings) any { return &s.AdminGUISSLCert },
		Missing: noGUI, Doc: "Certificates of admin_gui_listen; a self-signed one is made when not set."},
	{Key: "admin_gui_ssl_cert_key", kind: materialsKind, Secret: true, at: func(s *Settings) any { return &s.AdminGUISSLKey },
		Missing: noGUI, Doc: "Keys of admin_gui_ssl_cert, in the same order."},
	{Key: "status_ssl_cert", kind: materialsKind, at: func(s *Settings) any { return &s.StatusSSLCert },
		Doc: "Certificates of status_listen; a self-signed one is made when not set."},
	{Key: "status_ssl_cert_key", kind: materialsKind, Secret: true, at: func(s *Settings) any { return &s.StatusSSLCertKey },
		Doc: "Keys of status_ssl_cert, in the same order."},
	{Key: "ssl_cipher_suite", Default: "intermediate", kind: textKind, Enum: strings.Fields("modern intermediate old fips custom"), at: func(s *Settings) any { return &s.SSLCipherSuite },
		Doc: "modern serves TLS 1.3 only, old also TLS 1.0 and 1.1, every other word TLS 1.2 and 1.3."},
	{Key: "client_ssl", Default: "off", kind: boolKind, at: func(s *Settings) any { return &s.ClientSSL },
		Doc: "Show client_ssl_cert to upstream servers."},
	{Key: "client_ssl_cert", kind: materialKind, at: func(s *Settings) any { return &s.ClientSSLCert },
		Doc: "Client certificate for upstream servers."},
	{Key: "client_ssl_cert_key", kind: materialKind, Secret: true, at: func(s *Settings) any { return &s.ClientSSLCertKey },
		Doc: "Key of client_ssl_cert."},
	{Key: "lua_ssl_trusted_certificate", Default: "system", kind: materialsKind, at: func(s *Settings) any { return &s.TrustedCerts },
		Doc: "Certificate authorities trusted for outgoing connections; system is the pool of the operating system."},
}

var adminKeys = []Descriptor{
	{Key: "admin_gui_url", kind: textKind, at: func(s *Settings) any { return &s.AdminGUIURL },
		Doc: "Addresses at which browsers load the admin GUI, comma separated; the Admin API lets their pages in."},
	{Key: "admin_gui_path", Default: "/", kind: textKind, required: true, at: func(s *Settings) any { return &s.AdminGUIPath },
		Missing: noGUI, Doc: "Path of the admin GUI."},
	{Key: "admin_gui_api_url", kind: textKind, at: func(s *Settings) any { return &s.AdminGUIAPIURL },
		Missing: noGUI, Doc: "Address of the Admin API as browsers see it; derived from admin_listen when not set."},
	{Key: "admin_require_auth", Default: "off", kind: boolKind, Owner: Gibbon, at: func(s *Settings) any { return &s.AdminRequireAuth },
		Doc: "Refuse to start unless admin_tokens, admin_tokens_file or admin_client_ca makes callers of the Admin API prove who they are. See admin-access.md."},
	{Key: "admin_tokens", kind: secretKind, Secret: true, Owner: Gibbon, at: func(s *Settings) any { return &s.AdminTokens },
		Doc: "Who may call the Admin API: name:role:token, comma separated, the token in the clear or as sha256:<hex>. The roles are monitor, read-only and full. With one entry or more, every call needs a token or a client certificate. Read again on reload."},
	{Key: "admin_tokens_file", kind: textKind, Owner: Gibbon, at: func(s *Settings) any { return &s.AdminTokensFile },
		Doc: "Path of a file with entries as those of admin_tokens, one a line; both may be set. Read again on reload."},
	{Key: "admin_client_ca", kind: materialKind, Owner: Gibbon, at: func(s *Settings) any { return &s.AdminClientCA },
		Doc: "Certificate authorities of the client certificates that open the Admin API on the ssl addresses of admin_listen. Read again on reload."},
	{Key: "admin_client_roles", kind: listKind, Owner: Gibbon, at: func(s *Settings) any { return &s.AdminClientRoles },
		Doc: "With admin_client_ca: which common name of a client certificate has which role, name:role; the name * stands for all others."},
	{Key: "admin_allowed_hosts", kind: listKind, Owner: Gibbon, at: func(s *Settings) any { return &s.AdminAllowedHosts },
		Doc: "Host names, besides localhost, by which a loopback admin_listen may be addressed."},
	{Key: "nginx_admin_client_max_body_size", Default: "10m", kind: sizeKind, at: func(s *Settings) any { return &s.AdminMaxBody },
		Doc: "Largest body of an Admin API request; 0 is no limit."},
}

var proxyKeys = []Descriptor{
	{Key: "router_flavor", Default: "traditional_compatible", kind: textKind, Enum: strings.Fields("traditional traditional_compatible expressions"), at: func(s *Settings) any { return &s.RouterFlavor },
		Doc: "How routes are written and ordered. With expressions they may also be written in a language of their own: see routing.md. Control plane and data planes need the same value."},
	{Key: "route_match_calculation", Default: "strict", kind: textKind, Enum: strings.Fields("strict original"), at: func(s *Settings) any { return &s.RouteMatchCalculation },
		Doc: "strict orders routes as Kong documents it, original as Kong's router does it by default."},
	{Key: "headers", Default: "server_tokens, latency_tokens, x-kong-request-id", kind: listKind, Enum: headerWords, at: func(s *Settings) any { return &s.Headers },
		Doc: "Headers that the gateway adds to answers, or off."},
	{Key: "headers_upstream", Default: "x-kong-request-id", kind: listKind, Enum: strings.Fields("x-kong-request-id off"), at: func(s *Settings) any { return &s.HeadersUpstream },
		Doc: "Headers that the gateway adds to requests, or off."},
	{Key: "trusted_ips", kind: listKind, at: func(s *Settings) any { return &s.TrustedIPs },
		Doc: "Addresses and blocks of proxies whose X-Forwarded-* headers are believed."},
	{Key: "real_ip_header", Default: "X-Real-IP", kind: textKind, required: true, at: func(s *Settings) any { return &s.RealIPHeader },
		Doc: "Header in which a trusted proxy names the client, or proxy_protocol."},
	{Key: "real_ip_recursive", Default: "off", kind: switchKind, at: func(s *Settings) any { return &s.RealIPRecursive },
		Doc: "Look for the last address that is not trusted, instead of the last one."},
	{Key: "error_default_type", Default: "text/plain", kind: textKind, Enum: strings.Fields("application/json application/xml text/html text/plain"), at: func(s *Settings) any { return &s.ErrorDefaultType },
		Doc: "Form of the gateway's own errors when the request does not say what it accepts."},
	{Key: "allow_debug_header", Default: "off", kind: boolKind, at: func(s *Settings) any { return &s.AllowDebugHeader },
		Doc: "Answer Kong-Debug: 1 with headers that name the route, the service and the configuration."},
	{Key: "nginx_http_client_max_body_size", Default: "0", kind: sizeKind, at: func(s *Settings) any { return &s.ProxyMaxBody },
		Doc: "Largest body of a proxied request; 0 is no limit."},
	{Key: "nginx_http_keepalive_requests", Default: "10000", kind: intKind, at: func(s *Settings) any { return &s.KeepaliveRequests },
		Doc: "Requests served on one client connection."},
	{Key: "upstream_keepalive_pool_size", Default: "512", kind: intKind, at: func(s *Settings) any { return &s.UpstreamPoolSize },
		Doc: "Idle connections kept open to one upstream address; 0 keeps none."},
	{Key: "upstream_keepalive_max_requests", Default: "10000", kind: intKind, at: func(s *Settings) any { return &s.UpstreamMaxRequests },
		Doc: "Requests sent on one upstream connection; 0 is no limit."},
	{Key: "upstream_keepalive_idle_timeout", Default: "60", kind: secondsKind, at: func(s *Settings) any { return &s.UpstreamIdleTimeout },
		Doc: "How long an upstream connection may be idle; 0 is for ever."},
}

var limitKeys = []Descriptor{
	{Key: "request_head_size", Default: "32k", kind: sizeKind, min: 1024, Owner: Gibbon, at: func(s *Settings) any { return &s.RequestHeadSize },
		Doc: "Largest request line with headers, on every port."},
	{Key: "request_head_lines", Default: "100", kind: intKind, min: 1, max: 1000, Owner: Gibbon, at: func(s *Settings) any { return &s.RequestHeadLines },
		Doc: "Most header lines of a request, on every port."},
	{Key: "request_head_timeout", Default: "10s", kind: durationKind, min: 0.1, Owner: Gibbon, at: func(s *Settings) any { return &s.RequestHeadTimeout },
		Doc: "Time to read the head of a request."},
	{Key: "request_body_idle_timeout", Default: "60s", kind: durationKind, min: 0.1, Owner: Gibbon, at: func(s *Settings) any { return &s.RequestBodyIdle },
		Doc: "Time between two reads of a request's body."},
	{Key: "response_stall_timeout", Default: "30s", kind: durationKind, min: 0.1, Owner: Gibbon, at: func(s *Settings) any { return &s.ResponseStall },
		Doc: "Time for which a client may read nothing of its answer."},
	{Key: "buffered_body_max", Default: "64m", kind: sizeKind, min: 1024, Owner: Gibbon, at: func(s *Settings) any { return &s.BufferedBodyMax },
		Doc: "Largest request body that any plugin may hold in memory."},
	{Key: "buffered_response_max", Default: "32m", kind: sizeKind, min: 1024, Owner: Gibbon, at: func(s *Settings) any { return &s.BufferedResponseMax },
		Doc: "Largest upstream answer that is held in memory to be transformed."},
	{Key: "stream_event_max", Default: "1m", kind: sizeKind, min: 1024, Owner: Gibbon, at: func(s *Settings) any { return &s.StreamEventMax },
		Doc: "Largest single event of an upstream's stream."},
	{Key: "ai_stream_keepalive_interval", Default: "15s", kind: durationKind, Owner: Gibbon, at: func(s *Settings) any { return &s.AIStreamKeepAlive },
		Doc: "Silence of a model after which the caller of a stream is sent a comment; 0: never."},
	{Key: "ai_stream_first_token_timeout", Default: "0", kind: durationKind, Owner: Gibbon, at: func(s *Settings) any { return &s.AIStreamFirstToken },
		Doc: "Longest wait for the first token of a streamed answer; 0: only the service's read_timeout counts."},
	{Key: "ai_stream_idle_timeout", Default: "0", kind: durationKind, Owner: Gibbon, at: func(s *Settings) any { return &s.AIStreamIdle },
		Doc: "Longest silence of a model in the middle of a streamed answer, comments of the provider not counted; 0: only the service's read_timeout counts."},
	{Key: "upstream_head_size", Default: "64k", kind: sizeKind, min: 1024, Owner: Gibbon, at: func(s *Settings) any { return &s.UpstreamHeadSize },
		Doc: "Largest header block of an upstream answer."},
	{Key: "connections_max", Default: "20000", kind: intKind, min: 1, Owner: Gibbon, at: func(s *Settings) any { return &s.ConnectionsMax },
		Doc: "Client connections of one data plane."},
	{Key: "connections_per_client", Default: "1000", kind: intKind, min: 1, Owner: Gibbon, at: func(s *Settings) any { return &s.ConnectionsPerClient },
		Doc: "Connections of one client address."},
	{Key: "requests_in_flight_max", Default: "10000", kind: intKind, min: 1, Owner: Gibbon, at: func(s *Settings) any { return &s.RequestsInFlightMax },
		Doc: "Requests that one data plane works on at once."},
	{Key: "http2_streams_max", Default: "100", kind: intKind, min: 1, Owner: Gibbon, at: func(s *Settings) any { return &s.HTTP2Streams },
		Doc: "Requests at once on one HTTP/2 client connection."},
	{Key: "json_depth_max", Default: "200", kind: intKind, min: 1, max: 1000, Owner: Gibbon, at: func(s *Settings) any { return &s.JSONMaxDepth },
		Doc: "Deepest nesting of JSON that is inspected."},
	{Key: "json_values_max", Default: "1000000", kind: intKind, min: 1, Owner: Gibbon, at: func(s *Settings) any { return &s.JSONMaxValues },
		Doc: "Most values in JSON that is inspected."},
	{Key: "drain_delay", Default: "5s", kind: durationKind, Owner: Gibbon, at: func(s *Settings) any { return &s.DrainDelay },
		Doc: "After a signal to stop: how long connections are still accepted, so that balancers can notice."},
	{Key: "drain_timeout", Default: "30s", kind: durationKind, Owner: Gibbon, at: func(s *Settings) any { return &s.DrainTimeout },
		Doc: "Time that requests in flight then have to end."},
	{Key: "drain_stream_timeout", Default: "300s", kind: durationKind, Owner: Gibbon, at: func(s *Settings) any { return &s.DrainStreamTimeout },
		Doc: "Time that streams then have to end; drain_timeout at least."},
}

var signalKeys = []Descriptor{
	{Key: "ai_log_layout", Default: "current", kind: textKind, Enum: strings.Fields("current 3.8"), Owner: Gibbon, at: func(s *Settings) any { return &s.AILogLayout },
		Doc: "How log lines show calls to models: current is ai.proxy, 3.8 is ai[\"ai-proxy\"] with the keys of Kong 3.8."},
	{Key: "ai_price_list", Default: "builtin", kind: textKind, required: true, Owner: Gibbon, at: func(s *Settings) any { return &s.AIPriceList },
		Doc: "Prices of models whose configuration names none: builtin, off, or the path of a JSON file, which is read again on reload."},
	{Key: "ai_metrics", Default: "on", kind: boolKind, Owner: Gibbon, at: func(s *Settings) any { return &s.AIMetrics },
		Doc: "Count calls to models in the metrics of the status listener."},
	{Key: "otlp_endpoint", kind: textKind, Owner: Gibbon, at: func(s *Settings) any { return &s.OTLPEndpoint },
		Doc: "URL of a collector that gets traces and metrics of AI traffic by OTLP, such as http://collector:4317; nothing is sent when not set. The standard OTEL_EXPORTER_OTLP_* variables say what the settings do not."},
	{Key: "otlp_protocol", Default: "grpc", kind: textKind, Enum: strings.Fields("grpc http"), Owner: Gibbon, at: func(s *Settings) any { return &s.OTLPProtocol },
		Doc: "What the collector speaks: grpc, or http with protobuf, whose paths /v1/traces and /v1/metrics are put behind the endpoint's."},
	{Key: "otlp_headers", kind: secretKind, Secret: true, Owner: Gibbon, at: func(s *Settings) any { return &s.OTLPHeaders },
		Doc: "Headers that the collector asks for, name=value with commas between; values are percent-encoded where they have to be."},
	{Key: "tracing_sampling_rate", Default: "0.01", kind: numberKind, max: 1, at: func(s *Settings) any { return &s.TracingSamplingRate },
		Doc: "With otlp_endpoint: the part of requests that is traced, from 0 to 1, where the caller's traceparent does not decide."},
}
