package settings

import (
	"regexp"
	"strings"
)

// ignoredKeys are Kong's settings that say nothing to Gibbon. They are listed
// one by one because clients and scripts read them back from GET /, each with
// its own type.
var ignoredKeys = ignore(
	list("vaults", "bundled"), boolean("anonymous_reports", "off"),
	text("proxy_access_log", "logs/access.log"), text("proxy_error_log", "logs/error.log"),
	text("proxy_stream_access_log", "logs/access.log basic"), text("proxy_stream_error_log", "logs/error.log"),
	text("admin_access_log", "logs/admin_access.log"), text("admin_error_log", "logs/error.log"),
	text("admin_gui_access_log", "logs/admin_gui_access.log"), text("admin_gui_error_log", "logs/admin_gui_error.log"),
	text("status_access_log", "off"), text("status_error_log", "logs/status_error.log"),
	text("admin_gui_csp_header", ""),
	Descriptor{Key: "stream_listen", Default: "off", kind: streamKind},
	Descriptor{Key: "cluster_telemetry_listen", Default: "", kind: listenKind},
	list("host_ports", ""), secret("proxy_server"), boolean("proxy_server_ssl_verify", "on"),

	text("cluster_ocsp", "off", "on", "off", "optional"), boolean("cluster_use_proxy", "off"),
	boolean("cluster_rpc", "off"), text("cluster_rpc_sync", ""), text("incremental_sync", ""), boolean("cluster_cjson", "off"),
	text("cluster_telemetry_endpoint", ""), text("cluster_telemetry_server_name", ""), list("cluster_allowed_common_names", ""),
	text("cluster_fallback_config_import", ""), text("cluster_fallback_config_export", ""),
	text("cluster_fallback_config_storage", ""), text("cluster_fallback_config_export_delay", ""),

	text("pg_ssl_required", ""), text("pg_ssl_version", ""), number("pg_semaphore_timeout", "60000"),
	text("pg_keepalive_timeout", ""), text("pg_pool_size", ""), text("pg_backlog", ""),
	text("pg_ro_host", ""), text("pg_ro_port", ""), text("pg_ro_database", ""), text("pg_ro_user", ""), secret("pg_ro_password"),
	text("pg_ro_schema", ""), text("pg_ro_timeout", ""), text("pg_ro_ssl", ""), text("pg_ro_ssl_verify", ""), text("pg_ro_ssl_required", ""),
	text("pg_ro_ssl_version", ""), text("pg_ro_max_concurrent_queries", ""), text("pg_ro_semaphore_timeout", ""),
	text("pg_ro_keepalive_timeout", ""), text("pg_ro_pool_size", ""), text("pg_ro_backlog", ""),
	number("db_update_propagation", "0"), number("db_cache_ttl", "0"), text("db_cache_neg_ttl", ""), number("db_resurrect_ttl", "30"),
	list("db_cache_warmup_entities", "services"),
	text("lmdb_environment_path", "dbless.lmdb"), text("lmdb_map_size", "2048m"), text("mem_cache_size", "128m"),
	number("worker_events_max_payload", "65535"), text("worker_consistency", "eventual", "eventual", "strict"),
	number("worker_state_update_frequency", "5"), boolean("dedicated_config_processing", "on"), text("privileged_worker", ""),

	text("ssl_protocols", "TLSv1.2 TLSv1.3"), text("ssl_ciphers", ""), onOff("ssl_prefer_server_ciphers", "on"), text("ssl_dhparam", ""),
	onOff("ssl_session_tickets", "on"), text("ssl_session_timeout", "1d"), text("ssl_session_cache_size", "10m"),
	number("lua_ssl_verify_depth", "1"), text("lua_ssl_protocols", "TLSv1.2 TLSv1.3"), text("tls_certificate_verify", ""),
	number("lua_socket_pool_size", "256"),
	// Plugins here see all headers and arguments: request_head_lines and the size
	// of a head bound them, and what is not seen cannot be judged.
	count("lua_max_req_headers"), count("lua_max_resp_headers"), count("lua_max_uri_args"), count("lua_max_post_args"),

	text("error_template_html", ""), text("error_template_json", ""), text("error_template_xml", ""), text("error_template_plain", ""),
	text("client_body_buffer_size", "8k"), boolean("request_debug", "on"), secret("request_debug_token"),
	text("route_validation_strategy", "", "smart", "path", "static", "off"), text("enforce_route_path_pattern", ""),
	text("nginx_worker_processes", "auto"), text("nginx_daemon", "off", "on", "off"), text("nginx_user", ""),
	text("nginx_admin_client_body_buffer_size", ""),

	list("dns_resolver", ""), text("dns_hostsfile", "/etc/hosts"), list("dns_order", "LAST, SRV, A, CNAME"), text("dns_valid_ttl", ""),
	number("dns_stale_ttl", "3600"), number("dns_cache_size", "10000"), number("dns_not_found_ttl", "30"), number("dns_error_ttl", "1"),
	boolean("dns_no_sync", "off"), boolean("new_dns_client", "off"), list("resolver_address", ""), text("resolver_hosts_file", "/etc/hosts"),
	list("resolver_family", "A, SRV"), text("resolver_valid_ttl", ""), number("resolver_stale_ttl", "3600"), number("resolver_error_ttl", "1"),
	number("resolver_lru_cache_size", "10000"), text("resolver_mem_cache_size", "5m"),

	list("tracing_instrumentations", "off"),
	text("untrusted_lua", "sandbox", "off", "on", "sandbox", "strict", "lax"), list("untrusted_lua_sandbox_requires", ""), list("untrusted_lua_sandbox_environment", ""),
	text("lua_package_path", ""), text("lua_package_cpath", ""),
	boolean("wasm", "off"), text("wasm_filters_path", ""), list("wasm_filters", "bundled, user"), text("wasm_dynamic_module", ""),
	boolean("kic", "off"), list("pluginserver_names", ""), text("konnect_mode", ""), text("ai_mcp_listener_enabled", ""),
	text("enforce_rbac", ""), text("rbac", "off"), text("rbac_auth_header", ""), boolean("portal", "off"),
	text("admin_gui_auth", ""), secret("admin_gui_auth_conf"), secret("admin_gui_session_conf"), text("admin_gui_auth_header", ""),
	text("audit_log", ""), text("event_hooks_enabled", ""), text("fips", ""), secret("license_data"), text("license_path", ""),
)

// ignoredFamilies are whole groups of Kong's keys that are accepted by the look
// of their names: what they configure does not exist here.
var ignoredFamilies = regexp.MustCompile(`^(` +
	`nginx_(main|events|http|proxy|location|upstream|admin|admin_gui|status|stream|sproxy|supstream|debug|conf|wasm|inject)_.+` +
	`|(portal|smtp|keyring|audit_log|vitals|analytics|pluginserver|wasm|vault|konnect|admin_emails|admin_invitation|event_hooks)_.+` +
	`)$`)

// kubernetesLink recognises what Kubernetes puts into the environment of every
// pod for each Service of the namespace. A Service called gibbon or kong-proxy
// would otherwise look like a misspelt setting and stop the start.
var kubernetesLink = regexp.MustCompile(`^([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// isKubernetesLink judges the part of a variable's name after KONG_ or GIBBON_.
func isKubernetesLink(name, value string) bool {
	if kubernetesLink.MatchString(name) {
		return true
	}
	link := strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://") || strings.HasPrefix(value, "sctp://")
	return link && (name == "PORT" || strings.HasSuffix(name, "_PORT"))
}

// notSettings are variables of our prefix that speak to tests and build tools.
var notSettings = regexp.MustCompile(`^(TEST_.*|EXTRA_FIXTURES|REQUIRE_SERVICES|CRASH_AT)$`)

func ignore(keys ...Descriptor) []Descriptor {
	for i := range keys {
		keys[i].Owner = Ignored
	}
	return keys
}

func text(key, value string, enum ...string) Descriptor {
	return Descriptor{Key: key, Default: value, kind: textKind, Enum: enum}
}

func secret(key string) Descriptor {
	return Descriptor{Key: key, kind: secretKind, Secret: true}
}

func list(key, value string) Descriptor {
	return Descriptor{Key: key, Default: value, kind: listKind}
}

func number(key, value string) Descriptor {
	return Descriptor{Key: key, Default: value, kind: numberKind}
}

// count is one of Kong's bounds on what plugins see.
func count(key string) Descriptor {
	return Descriptor{Key: key, Default: "100", kind: intKind, min: 1, max: 1000}
}

func boolean(key, value string) Descriptor {
	return Descriptor{Key: key, Default: value, kind: boolKind}
}

func onOff(key, value string) Descriptor {
	return Descriptor{Key: key, Default: value, kind: switchKind}
}
