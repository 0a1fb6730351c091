package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/internal/pki"
)

// clusterPair makes one certificate for all tests that need hybrid mode.
func clusterPair(t *testing.T) (cert, key string) {
	t.Helper()
	certPEM, keyPEM, err := pki.GenerateClusterPair(1)
	if err != nil {
		t.Fatal(err)
	}
	return string(certPEM), string(keyPEM)
}

// load runs Load away from this machine's own files.
func load(t *testing.T, src Source) (*Settings, []string, error) {
	t.Helper()
	if src.SearchPaths == nil {
		src.SearchPaths = []string{}
	}
	if src.Prefix == "" {
		src.Prefix = t.TempDir()
	}
	return Load(src)
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gibbon.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// noClusterCert is Kong's text, with what to do about it.
const noClusterCert = "cluster certificate and key must be provided to use Hybrid mode\n" +
	"Hint: make them with 'gibbon hybrid gen_cert' and set cluster_cert and cluster_cert_key; without them only loopback addresses are used"

func TestDefaultsPerCommand(t *testing.T) {
	cert, key := clusterPair(t)
	env := []string{"GIBBON_CLUSTER_CERT=" + cert, "GIBBON_CLUSTER_CERT_KEY=" + key}
	for _, tt := range []struct{ command, database, role, proxy, admin, cluster string }{
		{"run", "sqlite", "traditional", "0.0.0.0:8000", "127.0.0.1:8001", "0.0.0.0:8005"},
		{"controlplane", "postgres", "control_plane", "0.0.0.0:8000", "127.0.0.1:8001", "0.0.0.0:8005"},
		{"dataplane", "off", "data_plane", "0.0.0.0:8000", "", ""},
		{"migrations", "postgres", "traditional", "0.0.0.0:8000", "127.0.0.1:8001", "0.0.0.0:8005"},
	} {
		t.Run(tt.command, func(t *testing.T) {
			s, warnings, err := load(t, Source{Command: tt.command, Environ: env})
			if err != nil {
				t.Fatal(err)
			}
			first := func(l Listeners) string {
				if len(l.Entries) == 0 {
					return ""
				}
				return l.Entries[0].HostPort()
			}
			got := []string{s.Database, s.Role, first(s.ProxyListen), first(s.AdminListen), first(s.ClusterListen)}
			want := []string{tt.database, tt.role, tt.proxy, tt.admin, tt.cluster}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("defaults of %s (-want +got):\n%s", tt.command, d)
			}
			if len(warnings) > 0 {
				t.Errorf("defaults warn: %q", warnings)
			}
			if s.RouteMatchCalculation != "strict" || s.DrainDelay != 5*time.Second || s.DrainStreamTimeout != 300*time.Second || s.PGTimeout != 5*time.Second {
				t.Errorf("got %q %v %v %v", s.RouteMatchCalculation, s.DrainDelay, s.DrainStreamTimeout, s.PGTimeout)
			}
			if s.SQLitePath != filepath.Join(s.Prefix, "gibbon.db") || s.ClusterCachePath != filepath.Join(s.Prefix, "cluster_cache") {
				t.Errorf("paths %q %q are not below %q", s.SQLitePath, s.ClusterCachePath, s.Prefix)
			}
		})
	}
}

func TestLaterSourceWins(t *testing.T) {
	file := writeFile(t, "log_level = debug\n")
	for _, tt := range []struct {
		name string
		src  Source
		want string
	}{
		{"default", Source{}, "notice"},
		{"file", Source{ConfFile: file}, "debug"},
		{"file found by search", Source{SearchPaths: []string{"/nowhere/gibbon.conf", file}}, "debug"},
		{"KONG_ over file", Source{ConfFile: file, Environ: []string{"KONG_LOG_LEVEL=info"}}, "info"},
		{"GIBBON_ over KONG_", Source{ConfFile: file, Environ: []string{"GIBBON_LOG_LEVEL=warn", "KONG_LOG_LEVEL=info"}}, "warn"},
		{"flag over all", Source{ConfFile: file, Environ: []string{"GIBBON_LOG_LEVEL=warn"}, Flags: map[string]string{"log_level": "crit"}}, "crit"},
		{"empty variable is none", Source{ConfFile: file, Environ: []string{"GIBBON_LOG_LEVEL="}}, "debug"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.src.Command = "run"
			s, _, err := load(t, tt.src)
			if err != nil {
				t.Fatal(err)
			}
			if s.LogLevel != tt.want {
				t.Errorf("log_level = %q, want %q", s.LogLevel, tt.want)
			}
		})
	}
	named := filepath.Join(t.TempDir(), "named")
	s, _, err := load(t, Source{Prefix: named, Environ: []string{"GIBBON_PREFIX=/elsewhere"}})
	if err != nil || s.Prefix != named {
		t.Errorf("prefix = %v, %v; want the one of the command line, %q", s, err, named)
	}
}

func TestNoCertificatesInsideOneMachine(t *testing.T) {
	for _, src := range []Source{
		{Command: "controlplane", Environ: []string{"GIBBON_CLUSTER_LISTEN=127.0.0.1:8005"}},
		{Command: "dataplane", Environ: []string{"GIBBON_CLUSTER_CONTROL_PLANE=localhost:8005, [::1]:8005"}},
	} {
		if _, _, err := load(t, src); err != nil {
			t.Errorf("%s: %v", src.Command, err)
		}
	}
}

func TestFirstFileFoundIsTheOnlyOne(t *testing.T) {
	ours, kongs := writeFile(t, "log_level = debug"), writeFile(t, "log_level = crit\npg_host = db")
	s, _, err := load(t, Source{SearchPaths: []string{ours, kongs}})
	if err != nil || s.LogLevel != "debug" || s.PGHost != "127.0.0.1" {
		t.Errorf("got %v, %v", s, err)
	}
	if _, _, err := load(t, Source{ConfFile: "/nowhere/gibbon.conf"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named file that is missing gave %v, want ErrNotExist", err)
	}
}

func TestProblems(t *testing.T) {
	cert, key := clusterPair(t)
	hybrid := []string{"KONG_CLUSTER_CERT=" + cert, "KONG_CLUSTER_CERT_KEY=" + key}
	for _, tt := range []struct {
		name, command string
		env           []string
		file          string
		want          string
	}{
		{name: "unknown GIBBON_ name", env: []string{"GIBBON_PROXY_LISEN=x"}, want: "unknown setting 'proxy_lisen' in the variable GIBBON_PROXY_LISEN (did you mean 'proxy_listen'?)"},
		{name: "unknown name far from any", env: []string{"GIBBON_ZZZZZZZZZZ=x"}, want: "unknown setting 'zzzzzzzzzz' in the variable GIBBON_ZZZZZZZZZZ"},
		{name: "unknown key in the file", file: "# c\npg_hots = x\n", want: "unknown setting 'pg_hots' in FILE line 2 (did you mean 'pg_host'?)"},
		{name: "malformed line", file: "[section]\n", want: "FILE line 1 is not of the form 'key = value'"},
		{name: "boolean", env: []string{"KONG_PG_SSL=yes"}, want: "pg_ssl is not a boolean: 'yes'"},
		{name: "number", env: []string{"KONG_PG_PORT=abc"}, want: "pg_port is not a number: 'abc'"},
		{name: "seconds", env: []string{"KONG_DB_UPDATE_FREQUENCY=soon"}, want: "db_update_frequency is not a number: 'soon'"},
		{name: "duration", env: []string{"GIBBON_DRAIN_DELAY=soon"}, want: "drain_delay is not a duration: 'soon'"},
		{name: "negative duration", env: []string{"GIBBON_DRAIN_DELAY=-1s"}, want: "drain_delay must not be negative: '-1s'"},
		{name: "size", env: []string{"KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE=8x"}, want: "nginx_http_client_max_body_size is not a size: '8x'"},
		{name: "size too large", env: []string{"KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE=9999999999999g"}, want: "nginx_http_client_max_body_size is not a size: '9999999999999g'"},
		{name: "enum", env: []string{"KONG_LOG_LEVEL=loud"}, want: "log_level has an invalid value: 'loud' (debug, info, notice, warn, error, crit, alert, emerg)"},
		{name: "cassandra", env: []string{"KONG_DATABASE=cassandra"}, want: "database has an invalid value: 'cassandra' (sqlite, postgres, off)"},
		{name: "entry of a list", env: []string{"KONG_HEADERS=via,x"}, want: "headers: invalid entry 'x'"},
		{name: "listen", env: []string{"KONG_PROXY_LISTEN=8000"}, want: "proxy_listen must be of form: [off] | <ip>:<port> [flags], [... next entry ...]"},
		{name: "port", env: []string{"KONG_PG_PORT=70000"}, want: "pg_port must be from 0 to 65535"},
		{name: "range", env: []string{"KONG_LUA_MAX_URI_ARGS=0"}, want: "lua_max_uri_args must be from 1 to 1000"},
		{name: "sampling rate", env: []string{"KONG_TRACING_SAMPLING_RATE=1.5"}, want: "tracing_sampling_rate must be from 0 to 1"},
		{name: "least payload", env: []string{"KONG_CLUSTER_MAX_PAYLOAD=1"}, want: "cluster_max_payload must be from 4194304 to 2147483648"},
		{name: "purge delay", env: []string{"KONG_CLUSTER_DATA_PLANE_PURGE_DELAY=59"}, want: "cluster_data_plane_purge_delay must be 60 or greater"},
		{name: "node id", env: []string{"KONG_NODE_ID=abc"}, want: "node_id must be a valid UUID"},
		{name: "NONE where a value is needed", env: []string{"KONG_LOG_LEVEL=NONE"}, want: "log_level needs a value, NONE is not one"},
		{name: "ports", env: []string{"KONG_PORT_MAPS=80"}, want: "port_maps: '80' is not a port mapping of the form public:local"},
		{name: "trusted ips", env: []string{"KONG_TRUSTED_IPS=10.0.0.0/33"}, want: "trusted_ips: '10.0.0.0/33' is not an IP address or a CIDR block"},
		{name: "gui path", env: []string{"KONG_ADMIN_GUI_PATH=manager"}, want: "admin_gui_path must start with a slash ('/')"},
		{name: "gui path end", env: []string{"KONG_ADMIN_GUI_PATH=/manager/"}, want: "admin_gui_path must not end with a slash ('/')"},
		{name: "gui path letters", env: []string{"KONG_ADMIN_GUI_PATH=/man*"}, want: "admin_gui_path can only contain letters, digits, hyphens ('-'), underscores ('_') and single slashes ('/')"},
		{name: "gui url", env: []string{"KONG_ADMIN_GUI_URL=manager.local"}, want: "admin_gui_url: 'manager.local' is not an http or https URL"},
		{name: "declarative with a database", env: []string{"KONG_DECLARATIVE_CONFIG=/x.yml"}, want: "declarative_config and declarative_config_string can only be used when database = off"},
		{name: "certificate without key", env: []string{"KONG_SSL_CERT=/x.crt"}, want: "ssl_cert and ssl_cert_key must be given together, as many of the one as of the other"},
		{name: "certificate missing", env: []string{"KONG_CLUSTER_CA_CERT=/nowhere/x.crt"}, want: "cluster_ca_cert: read certificate or key: open /nowhere/x.crt: no such file or directory"},
		{name: "nobody to ask for", env: []string{"GIBBON_ADMIN_REQUIRE_AUTH=on"}, want: "admin_require_auth = on needs admin_tokens, admin_tokens_file or admin_client_ca, by which callers of the Admin API are known"},
		{name: "labels off a data plane", env: []string{"KONG_CLUSTER_DP_LABELS=a:b"}, want: `cluster_dp_labels can only be used when role = "data_plane"`},
		{name: "bad label", command: "dataplane", env: append([]string{"KONG_CLUSTER_DP_LABELS=a"}, hybrid...), want: "cluster_dp_labels: 'a' is not a label; labels are key:value, of letters, digits, '-', '_' and '.', at most 63 each"},
		{name: "control plane without store", command: "controlplane", env: append([]string{"KONG_DATABASE=off"}, hybrid...), want: `in-memory storage can not be used when role = "control_plane"`},
		{name: "control plane without Admin API", command: "controlplane", env: append([]string{"KONG_ADMIN_LISTEN=off"}, hybrid...), want: `admin_listen must be specified when role = "control_plane"`},
		{name: "control plane without cluster port", command: "controlplane", env: append([]string{"KONG_CLUSTER_LISTEN=off"}, hybrid...), want: `cluster_listen must be specified when role = "control_plane"`},
		{name: "data plane with database", command: "dataplane", env: append([]string{"KONG_DATABASE=postgres"}, hybrid...), want: "only in-memory storage can be used when role = \"data_plane\"\nHint: set database = off"},
		{name: "data plane without proxy", command: "dataplane", env: append([]string{"KONG_PROXY_LISTEN=off"}, hybrid...), want: `proxy_listen must be specified when role = "data_plane"`},
		{name: "data plane without certificate", command: "dataplane", env: []string{"KONG_CLUSTER_CONTROL_PLANE=127.0.0.1:8005,cp:8005"}, want: noClusterCert},
		{name: "certificate without key on loopback", command: "dataplane", env: hybrid[:1], want: noClusterCert},
		{name: "control plane without certificate", command: "controlplane", want: noClusterCert},
		{name: "pki without authority", command: "dataplane", env: append([]string{"KONG_CLUSTER_MTLS=pki"}, hybrid...), want: `cluster_ca_cert must be specified when cluster_mtls = "pki"`},
		{name: "role of another command", env: []string{"KONG_ROLE=data_plane", "KONG_DATABASE=off", "KONG_CLUSTER_CERT=" + cert, "KONG_CLUSTER_CERT_KEY=" + key}, want: `role = "data_plane" does not fit 'gibbon run'; use 'gibbon dataplane'`},
		{name: "other vault", env: []string{"KONG_PG_PASSWORD={vault://hcv/pg/password}"}, want: "pg_password: vault 'hcv' can not be used in settings, only env can"},
		{name: "unset reference", env: []string{"KONG_PG_PASSWORD={vault://env/pg-pass}"}, want: "pg_password: could not get value from external vault (variable PG_PASS is not set)"},
		{name: "reference without path", env: []string{"KONG_PG_PASSWORD={vault://env}"}, want: "pg_password: reference url is missing path [{vault://env}]"},
		{name: "reference with empty path", env: []string{"KONG_PG_PASSWORD={vault://env/}"}, want: "pg_password: reference url has empty path [{vault://env/}]"},
		{name: "reference with a version that is none", env: []string{"KONG_PG_PASSWORD={vault://env/a#x}"}, want: "pg_password: reference url has invalid version [{vault://env/a#x}]"},
		{name: "secret in the wrong place", env: []string{"KONG_PG_PORT={vault://env/a}", "A=hunter2"}, want: "pg_port: the value that its reference leads to does not fit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := Source{Command: tt.command, Environ: tt.env}
			if src.Command == "" {
				src.Command = "run"
			}
			if tt.file != "" {
				src.ConfFile = writeFile(t, tt.file)
			}
			_, _, err := load(t, src)
			var invalid *InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v, want an InvalidError", err)
			}
			want := []string{strings.ReplaceAll(tt.want, "FILE", src.ConfFile)}
			if d := cmp.Diff(want, invalid.Problems); d != "" {
				t.Errorf("problems (-want +got):\n%s", d)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, _, err := load(t, Source{Environ: []string{"KONG_PG_PORT=x", "KONG_LOG_LEVEL=y", "GIBBON_NOPE_NOPE=1"}})
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) != 3 {
		t.Errorf("got %v, want three problems", err)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		name, file, command string
		env                 []string
		want                []string
	}{
		{name: "unknown KONG_ name", env: []string{"KONG_PG_HOTS=x"}, want: []string{"KONG_PG_HOTS is not a setting and is ignored (did you mean 'pg_host'?)"}},
		{name: "ignored families are said once", env: []string{"KONG_NGINX_HTTP_LUA_SHARED_DICT=x", "KONG_SMTP_HOST=y", "GIBBON_NGINX_PROXY_PROXY_BUFFERS=z", "KONG_DNS_STALE_TTL=5"},
			want: []string{"these settings of Kong's change nothing in Gibbon: dns_stale_ttl, nginx_http_lua_shared_dict, nginx_proxy_proxy_buffers, smtp_host"}},
		{name: "ignored at its default", env: []string{"KONG_MEM_CACHE_SIZE=128m"}},
		{name: "variables that are no settings", env: []string{"GIBBON_TEST_POSTGRES=x", "GIBBON_CRASH_AT=commit", "GIBBON_EXTRA_FIXTURES=/x", "GIBBON_REQUIRE_SERVICES=1", "GIBBONS=3", "PATH=/bin"}},
		{name: "Kubernetes service links", env: []string{"GIBBON_SERVICE_HOST=10.0.0.1", "GIBBON_SERVICE_PORT=8000", "GIBBON_SERVICE_PORT_HTTP=8000", "GIBBON_PORT=tcp://10.0.0.1:8000",
			"GIBBON_PORT_8000_TCP=tcp://10.0.0.1:8000", "GIBBON_PORT_8000_TCP_ADDR=10.0.0.1", "GIBBON_ADMIN_PORT=tcp://10.0.0.1:8001", "KONG_PROXY_SERVICE_HOST=10.0.0.2"}},
		{name: "twice in the file", file: "log_level = info\nlog_level = warn\n", want: []string{"FILE sets log_level on line 1 and again on line 2; the last one counts"}},
		{name: "no effect yet", env: []string{"KONG_ADMIN_GUI_LISTEN=127.0.0.1:8002", "KONG_ADMIN_GUI_PATH=/manager"}, want: []string{
			"admin_gui_listen has no effect in this version: there is no admin GUI yet", "admin_gui_path has no effect in this version: there is no admin GUI yet"}},
		{name: "no effect, and none is wanted", env: []string{"KONG_ADMIN_GUI_LISTEN=off", "KONG_ADMIN_GUI_PATH=/", "KONG_DECLARATIVE_CONFIG=NONE"}},
		{name: "everybody reaches the Admin API", env: []string{"KONG_ADMIN_LISTEN=0.0.0.0:8001, 127.0.0.1:8444 ssl"}, want: []string{
			"ANYONE WHO REACHES 0.0.0.0:8001, 127.0.0.1:8444 ssl CAN CHANGE THE CONFIGURATION AND READ ITS CREDENTIALS: admin_listen is not on loopback, " +
				"and the Admin API asks nobody who they are. Set admin_tokens or admin_client_ca, or bind it to 127.0.0.1; admin_require_auth = on refuses to start like this"}},
		{name: "known callers in the clear", env: []string{"KONG_ADMIN_LISTEN=0.0.0.0:8001, 127.0.0.1:8002, 0.0.0.0:8444 ssl", "GIBBON_ADMIN_TOKENS=ann:full:0123456789abcdef"}, want: []string{
			"admin tokens cross the network in the clear at 0.0.0.0:8001: give that address of admin_listen the flag ssl, or see to it that only a proxy with TLS reaches it"}},
		{name: "known callers over TLS", env: []string{"KONG_ADMIN_LISTEN=0.0.0.0:8444 ssl", "GIBBON_ADMIN_TOKENS=ann:full:0123456789abcdef"}},
		{name: "a data plane asks nobody", command: "dataplane", env: []string{"GIBBON_ADMIN_REQUIRE_AUTH=on"}},
		{name: "a data plane has no Admin API", command: "dataplane", env: []string{"KONG_ADMIN_LISTEN=0.0.0.0:8001"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			command := tt.command
			if command == "" {
				command = "run"
			}
			src := Source{Command: command, Environ: tt.env}
			if tt.file != "" {
				src.ConfFile = writeFile(t, tt.file)
			}
			_, got, err := load(t, src)
			if err != nil {
				t.Fatal(err)
			}
			for i := range tt.want {
				tt.want[i] = strings.ReplaceAll(tt.want[i], "FILE", src.ConfFile)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("warnings (-want +got):\n%s", d)
			}
		})
	}
}

func TestPortThatOnlyLooksLikeALink(t *testing.T) {
	_, _, err := load(t, Source{Environ: []string{"GIBBON_PGG_PORT=5433"}})
	if err == nil || !strings.Contains(err.Error(), "did you mean 'pg_port'?") {
		t.Errorf("got %v, want the misspelt name refused", err)
	}
}

func TestVaultReferences(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  []string
		want string
	}{
		{"plain", []string{"GIBBON_PG_PASSWORD={vault://env/pg-pass}", "PG_PASS=one"}, "one"},
		{"key of an object", []string{"GIBBON_PG_PASSWORD={vault://env/creds/password}", `CREDS={"password":"two"}`}, "two"},
		{"number in an object", []string{"GIBBON_PG_PASSWORD={vault://env/creds/pin}", `CREDS={"pin":1234}`}, "1234"},
		{"prefix of the setting", []string{"GIBBON_PG_PASSWORD={vault://env/pass}", "GIBBON_VAULT_ENV_PREFIX=my-", "MY_PASS=three"}, "three"},
		{"prefix of the reference", []string{"GIBBON_PG_PASSWORD={vault://env/pass?prefix=x_}", "GIBBON_VAULT_ENV_PREFIX=my-", "X_PASS=four"}, "four"},
		{"previous version", []string{"GIBBON_PG_PASSWORD={vault://env/pass#2}", "PASS=new", "PASS_PREVIOUS=five"}, "five"},
		{"final slash", []string{"GIBBON_PG_PASSWORD={vault://env/pass/}", "PASS=six"}, "six"},
		{"no reference", []string{"GIBBON_PG_PASSWORD=a#b={vault"}, "a#b={vault"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, err := load(t, Source{Environ: tt.env})
			if err != nil {
				t.Fatal(err)
			}
			if got := s.PGPassword.Reveal(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestValues(t *testing.T) {
	s, _, err := load(t, Source{Command: "run", Environ: []string{
		"KONG_PORT_MAPS=80:8000, 443:8443", "KONG_TRUSTED_IPS=10.1.2.3/8,::ffff:1.2.3.4,unix:", "KONG_DB_UPDATE_FREQUENCY=0.5",
		"GIBBON_DRAIN_DELAY=1m30s", "GIBBON_DRAIN_TIMEOUT=7", "KONG_NGINX_ADMIN_CLIENT_MAX_BODY_SIZE=2G", "KONG_PLUGINS=bundled, my-plugin,",
		"KONG_REAL_IP_RECURSIVE=on", "KONG_LUA_SSL_TRUSTED_CERTIFICATE=NONE",
	}})
	if err != nil {
		t.Fatal(err)
	}
	blocks := []string{}
	for _, b := range s.Trusted {
		blocks = append(blocks, b.String())
	}
	got := []any{s.PortMaps, blocks, s.DBUpdateEvery, s.DrainDelay, s.DrainTimeout, s.AdminMaxBody, s.Plugins, s.RealIPRecursive, len(s.TrustedCerts)}
	want := []any{map[int]int{8000: 80, 8443: 443}, []string{"10.0.0.0/8", "1.2.3.4/32"}, 500 * time.Millisecond, 90 * time.Second,
		7 * time.Second, Size(2 << 30), []string{"bundled", "my-plugin"}, true, 0}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("values (-want +got):\n%s", d)
	}
}
