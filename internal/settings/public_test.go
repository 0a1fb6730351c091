package settings

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files and generated documents")

// TestPublicOfDefaults compares the whole object with a golden file. Its keys
// and types are those that Kong 3.8 shows in GET /.
func TestPublicOfDefaults(t *testing.T) {
	s, _, err := load(t, Source{Command: "run", Prefix: "/var/lib/gibbon"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(s.Public(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", "public.json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("public settings (-want +got):\n%s", d)
	}
}

// TestPublicTypes holds the JSON types that Kong's clients rely on, key by key,
// with everything they read set.
func TestPublicTypes(t *testing.T) {
	cert, key := clusterPair(t)
	s, _, err := load(t, Source{Command: "run", Environ: []string{"KONG_PG_PASSWORD=x", "KONG_SSL_CERT=" + cert, "KONG_SSL_CERT_KEY=" + key}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{
		"string": "database role router_flavor log_level prefix admin_gui_path real_ip_header real_ip_recursive proxy_access_log proxy_error_log " +
			"proxy_stream_access_log proxy_stream_error_log admin_access_log admin_error_log admin_gui_access_log admin_gui_error_log status_access_log " +
			"status_error_log pg_host pg_database pg_user pg_password lmdb_environment_path lmdb_map_size mem_cache_size dns_hostsfile resolver_hosts_file " +
			"resolver_mem_cache_size cluster_control_plane cluster_mtls cluster_ocsp ssl_cipher_suite ssl_protocols ssl_prefer_server_ciphers " +
			"ssl_session_tickets ssl_session_timeout ssl_session_cache_size ssl_cert_key lua_ssl_protocols error_default_type client_body_buffer_size " +
			"nginx_worker_processes nginx_daemon worker_consistency untrusted_lua rbac",
		"float64": "pg_port pg_timeout pg_max_concurrent_queries pg_semaphore_timeout db_update_frequency db_update_propagation db_cache_ttl db_resurrect_ttl " +
			"worker_events_max_payload dns_stale_ttl dns_cache_size dns_not_found_ttl dns_error_ttl resolver_stale_ttl resolver_lru_cache_size " +
			"resolver_error_ttl cluster_data_plane_purge_delay cluster_max_payload lua_ssl_verify_depth lua_socket_pool_size lua_max_req_headers " +
			"lua_max_resp_headers lua_max_uri_args lua_max_post_args upstream_keepalive_pool_size upstream_keepalive_max_requests " +
			"upstream_keepalive_idle_timeout worker_state_update_frequency tracing_sampling_rate",
		"bool": "anonymous_reports proxy_ssl_enabled admin_ssl_enabled admin_gui_ssl_enabled status_ssl_enabled stream_proxy_ssl_enabled pg_ssl pg_ssl_verify " +
			"dns_no_sync new_dns_client cluster_use_proxy cluster_rpc cluster_cjson proxy_server_ssl_verify client_ssl allow_debug_header request_debug " +
			"dedicated_config_processing wasm kic portal admin_exposed",
		"[]interface {}": "plugins vaults proxy_listen proxy_listeners admin_listen admin_listeners admin_gui_listen admin_gui_listeners status_listen " +
			"status_listeners stream_listen stream_listeners cluster_listen cluster_listeners port_maps host_ports trusted_ips db_cache_warmup_entities " +
			"dns_resolver dns_order resolver_address resolver_family cluster_dp_labels ssl_cert lua_ssl_trusted_certificate headers headers_upstream " +
			"tracing_instrumentations untrusted_lua_sandbox_requires untrusted_lua_sandbox_environment wasm_filters pluginserver_names",
		"map[string]interface {}": "loaded_vaults enabled_headers enabled_headers_upstream",
	}
	for want, keys := range types {
		for _, key := range strings.Fields(keys) {
			if typ := fmt.Sprintf("%T", got[key]); typ != want {
				t.Errorf("%s shows as %s (%v), want %s", key, typ, got[key], want)
			}
		}
	}
	for key, v := range got {
		if v == nil {
			t.Errorf("%s shows as null", key)
		}
	}
}

// TestNoSecretShows plants a marked text in every key that is secret and looks
// for it wherever settings may be printed.
func TestNoSecretShows(t *testing.T) {
	const mark = "hunter2"
	_, key := clusterPair(t)
	planted := strings.Split(key, "\n")[1]
	env := []string{"GIBBON_PG_SCHEMA={vault://env/SCHEMA}", "SCHEMA=" + mark, "GIBBON_PLUGINS={vault://env/SCHEMA},x", "GIBBON_DATABASE=off"}
	for _, d := range Table() {
		switch {
		case !d.Secret:
		case d.Key == "otlp_headers":
			env = append(env, "GIBBON_OTLP_HEADERS=authorization="+mark)
		case d.Key == "admin_tokens":
			env = append(env, "GIBBON_ADMIN_TOKENS=ann:full:"+mark+mark+mark)
		case d.kind == secretKind:
			env = append(env, "GIBBON_"+strings.ToUpper(d.Key)+"="+mark)
		default:
			cert, key := clusterPair(t)
			key += "# " + mark + "\n"
			env = append(env, "GIBBON_"+strings.ToUpper(d.Key)+"="+key, "GIBBON_"+strings.ToUpper(strings.TrimSuffix(d.Key, "_key"))+"="+cert+key)
		}
	}
	s, warnings, err := load(t, Source{Command: "run", Environ: env})
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	pg := s.Postgres()
	for name, text := range map[string]string{
		"%+v": strings.ReplaceAll(fmt.Sprintf("%+v", s), "PGSchema:"+mark, ""), "%#v of all": strings.ReplaceAll(fmt.Sprintf("%#v", *s), `PGSchema:"`+mark, ""),
		"Public": string(public), "JSON": string(whole), "warnings": fmt.Sprint(warnings),
		"postgres": fmt.Sprintf("%v %+v %#v %s", pg, pg, pg, pg.String()),
		"%v":       fmt.Sprintf("%v", s.PGPassword), "%#v": fmt.Sprintf("%#v %#v", s.PGPassword, s.ClusterCertKey),
		"fields": fmt.Sprintf("%v %v %v", s.SSLCertKey, s.ClusterCertKey, s.DeclarativeDoc),
	} {
		// The schema reaches Postgres's connection string, which is no place for
		// secrets, by the operator's own wish.
		if name == "postgres" || name == "JSON" {
			text = strings.ReplaceAll(strings.ReplaceAll(text, `search_path='"`+mark, ""), `"PGSchema":"`+mark, "")
			text = strings.ReplaceAll(text, `"Plugins":["`+mark, "")
		}
		text = strings.ReplaceAll(strings.ReplaceAll(text, "Plugins:["+mark, ""), `Plugins:[]string{"`+mark, "")
		if strings.Contains(text, mark) || strings.Contains(text, planted) || strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("%s shows a secret: %s", name, text)
		}
	}
	if s.PGPassword.Reveal() != mark {
		t.Errorf("Reveal() = %q, want the secret", s.PGPassword.Reveal())
	}
	got := s.Public()
	want := map[string]any{"pg_password": Mask, "declarative_config_string": Mask, "cluster_cert_key": Mask, "ssl_cert_key": Mask,
		"proxy_server": Mask, "pg_ro_password": Mask, "cluster_cert": Mask, "pg_schema": "{vault://env/SCHEMA}", "plugins": []string{"{vault://env/SCHEMA}", "x"}}
	for k := range want {
		if d := cmp.Diff(want[k], got[k]); d != "" {
			t.Errorf("%s (-want +got):\n%s", k, d)
		}
	}
}

func TestEnabledHeaders(t *testing.T) {
	for _, tt := range []struct{ headers, want string }{
		{"server_tokens, latency_tokens, x-kong-request-id", "Server Via X-Kong-Admin-Latency X-Kong-Proxy-Latency X-Kong-Request-Id X-Kong-Response-Latency X-Kong-Upstream-Latency latency_tokens server_tokens"},
		{"Via, X-Kong-Upstream-Status", "Via X-Kong-Upstream-Status"},
		{"off", ""},
	} {
		on := []string{}
		for name, enabled := range enabledHeaders(splitList(tt.headers)) {
			if enabled == true {
				on = append(on, name)
			}
		}
		slices.Sort(on)
		if got := strings.Join(on, " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.headers, got, tt.want)
		}
	}
}
