package settings

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var (
	guiPath    = regexp.MustCompile(`^[A-Za-z0-9/_-]+$`)
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
)

// check judges what no single value can tell, and returns sentences. The texts
// about roles are Kong's: scripts look for them.
func (s *Settings) check(command string) []string {
	var p []string
	bad := func(format string, args ...any) { p = append(p, fmt.Sprintf(format, args...)) }

	if s.NodeID != "" && !isUUID(s.NodeID) {
		bad("node_id must be a valid UUID")
	}
	for role, want := range map[string]string{"run": "traditional", "controlplane": "control_plane", "dataplane": "data_plane"} {
		if command == role && s.Role != "" && s.Role != want {
			bad("role = \"%s\" does not fit 'gibbon %s'; use 'gibbon %s'", s.Role, command,
				map[string]string{"traditional": "run", "control_plane": "controlplane", "data_plane": "dataplane"}[s.Role])
		}
	}
	p = append(p, s.checkRole()...)
	if s.Database != "off" && s.Database != "" && (s.Declarative != "" || s.DeclarativeDoc != "") {
		bad("declarative_config and declarative_config_string can only be used when database = off")
	}
	if s.Declarative != "" && s.DeclarativeDoc != "" {
		bad("declarative_config and declarative_config_string can not be used together")
	}
	if s.AdminGUIPath != "" && s.AdminGUIPath != "/" {
		switch {
		case !strings.HasPrefix(s.AdminGUIPath, "/"):
			bad("admin_gui_path must start with a slash ('/')")
		case strings.HasSuffix(s.AdminGUIPath, "/"):
			bad("admin_gui_path must not end with a slash ('/')")
		case !guiPath.MatchString(s.AdminGUIPath) || strings.Contains(s.AdminGUIPath, "//"):
			bad("admin_gui_path can only contain letters, digits, hyphens ('-'), underscores ('_') and single slashes ('/')")
		}
	}
	for _, u := range s.AdminGUIURLs() {
		if parsed, err := url.Parse(u); err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
			bad("admin_gui_url: '%s' is not an http or https URL", u)
		}
	}
	if u, err := url.Parse(s.OTLPEndpoint); s.OTLPEndpoint != "" &&
		(err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "") {
		bad("otlp_endpoint must be an http or https URL without user and query")
	}
	if _, err := s.OTLPHeaderMap(); err != nil {
		bad("%s", err)
	}
	for _, a := range s.ControlPlanes() {
		host, port, err := net.SplitHostPort(a)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" {
			bad("cluster_control_plane: '%s' is not of the form host:port", a)
		}
	}
	s.Trusted = nil
	for _, t := range s.TrustedIPs {
		prefix, ok := parseBlock(t)
		switch {
		case ok:
			s.Trusted = append(s.Trusted, prefix)
		case t != "unix:": // nginx's word for local sockets, which there are none of
			bad("trusted_ips: '%s' is not an IP address or a CIDR block", t)
		}
	}
	p = append(p, s.checkCertificates()...)
	return append(p, s.checkAccess()...)
}

// parseBlock reads an address or a block. An IPv4 block written as IPv6 counts
// as IPv4, the form in which peers are compared.
func parseBlock(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	b, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	if b.Addr().Is4In6() && b.Bits() >= 96 {
		b = netip.PrefixFrom(b.Addr().Unmap(), b.Bits()-96)
	}
	return b.Masked(), true
}

func (s *Settings) checkRole() []string {
	var p []string
	switch s.Role {
	case "control_plane":
		if len(s.AdminListen.Entries) == 0 {
			p = append(p, `admin_listen must be specified when role = "control_plane"`)
		}
		if len(s.ClusterListen.Entries) == 0 {
			p = append(p, `cluster_listen must be specified when role = "control_plane"`)
		}
		if s.Database == "off" {
			p = append(p, `in-memory storage can not be used when role = "control_plane"`)
		}
	case "data_plane":
		if len(s.ProxyListen.Entries) == 0 {
			p = append(p, `proxy_listen must be specified when role = "data_plane"`)
		}
		if s.Database != "off" {
			p = append(p, "only in-memory storage can be used when role = \"data_plane\"\nHint: set database = off")
		}
	}
	if s.Role == "control_plane" || s.Role == "data_plane" {
		if (s.ClusterCert == "") != (s.ClusterCertKey == "") || s.ClusterCert == "" && !s.clusterIsLocal() {
			p = append(p, "cluster certificate and key must be provided to use Hybrid mode\n"+
				"Hint: make them with 'gibbon hybrid gen_cert' and set cluster_cert and cluster_cert_key; without them only loopback addresses are used")
		}
		if s.ClusterMTLS == "pki" && s.ClusterCACert == "" {
			p = append(p, `cluster_ca_cert must be specified when cluster_mtls = "pki"`)
		}
	}
	if len(s.ClusterDPLabels) > 0 && s.Role != "data_plane" {
		p = append(p, `cluster_dp_labels can only be used when role = "data_plane"`)
	}
	return p
}

// clusterIsLocal reports whether the planes talk to each other inside this
// machine alone. Only there may they do it without certificates.
func (s *Settings) clusterIsLocal() bool {
	if s.Role == "control_plane" {
		return s.ClusterListen.Loopback()
	}
	for _, a := range s.ControlPlanes() {
		if host, _, err := net.SplitHostPort(a); err != nil || !isLoopback(host) {
			return false
		}
	}
	return true
}

// checkCertificates reads every certificate and key once, so that a wrong path
// stops the start instead of the first handshake.
func (s *Settings) checkCertificates() []string {
	var p []string
	read := func(key string, m Material) {
		if m == "" || m == "system" {
			return
		}
		if _, err := m.PEM(); err != nil {
			p = append(p, fmt.Sprintf("%s: %v", key, err))
		}
	}
	for _, pair := range []struct {
		name      string
		cert, key []Material
	}{
		{"ssl_cert", s.SSLCert, s.SSLCertKey},
		{"admin_ssl_cert", s.AdminSSLCert, s.AdminSSLCertKey},
		{"admin_gui_ssl_cert", s.AdminGUISSLCert, s.AdminGUISSLKey},
		{"status_ssl_cert", s.StatusSSLCert, s.StatusSSLCertKey},
		{"client_ssl_cert", one(s.ClientSSLCert), one(s.ClientSSLCertKey)},
		{"pg_ssl_cert", one(s.PGSSLCert), one(s.PGSSLCertKey)},
		{"cluster_cert", one(s.ClusterCert), one(s.ClusterCertKey)},
	} {
		if len(pair.cert) != len(pair.key) && pair.name != "cluster_cert" { // the role check speaks for that one
			p = append(p, fmt.Sprintf("%s and %s_key must be given together, as many of the one as of the other", pair.name, pair.name))
			continue
		}
		for _, m := range pair.cert {
			read(pair.name, m)
		}
		for _, m := range pair.key {
			read(pair.name+"_key", m)
		}
	}
	read("cluster_ca_cert", s.ClusterCACert)
	for _, m := range s.TrustedCerts {
		read("lua_ssl_trusted_certificate", m)
	}
	return p
}

func one(m Material) []Material {
	if m == "" {
		return nil
	}
	return []Material{m}
}

// OTLPHeaderMap takes otlp_headers apart. The error does not quote it.
func (s *Settings) OTLPHeaderMap() (map[string]string, error) {
	headers := make(map[string]string)
	if s.OTLPHeaders == "" {
		return headers, nil
	}
	for pair := range strings.SplitSeq(string(s.OTLPHeaders), ",") {
		name, value, ok := strings.Cut(pair, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		plain, err := url.PathUnescape(value)
		if !ok || err != nil || !headerName.MatchString(name) || strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, errors.New("otlp_headers must be of the form name=value,name=value")
		}
		headers[strings.ToLower(name)] = plain
	}
	return headers, nil
}
