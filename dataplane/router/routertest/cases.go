// Package routertest reads the cases that say which route wins and what is sent
// upstream, for the tests of the router and of the proxy around it.
package routertest

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
)

// File is testdata/router-cases.json, whose member format says what each field
// means, or testdata/router-expressions.json.
type File struct {
	RouteSets map[string][]Route `json:"route_sets"`
	Cases     []Case
}

// Case is one request with what becomes of it.
type Case struct {
	Name    string
	Routes  string
	Request struct {
		Method      string
		Scheme      string
		Host        string
		Target      string
		ListenPort  int `json:"listen_port"`
		SNI         string
		HTTPVersion string `json:"http_version"`
		Source      netip.AddrPort
		Headers     map[string]any
	}
	Expect      Answer
	Original    *Answer
	Traditional *Answer
}

// Header are the headers of the case's request.
func (c *Case) Header() http.Header {
	header := http.Header{}
	for name, v := range c.Request.Headers {
		switch v := v.(type) {
		case string:
			header.Add(name, v)
		case []any:
			for _, e := range v {
				header.Add(name, e.(string))
			}
		}
	}
	return header
}

// Peers are the ends of the connection of the case's request.
func (c *Case) Peers() (source, destination netip.AddrPort) {
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if source = c.Request.Source; !source.IsValid() {
		source = netip.AddrPortFrom(local, 50000)
	}
	return source, netip.AddrPortFrom(local, uint16(c.Request.ListenPort))
}

// Route is a route of a set with its service.
type Route struct {
	Name           string
	Protocols      []string
	Methods        []string
	Hosts          []string
	Paths          []string
	Snis           []string
	Headers        map[string][]string
	StripPath      *bool  `json:"strip_path"`
	PreserveHost   bool   `json:"preserve_host"`
	PathHandling   string `json:"path_handling"`
	RegexPriority  int64  `json:"regex_priority"`
	RedirectStatus int32  `json:"https_redirect_status_code"`
	Sources        []Peer
	Destinations   []Peer
	Expression     *string
	Priority       *int64
	Service        *struct {
		Protocol string
		Host     string
		Port     int32
		Path     *string
	}
}

// Peer is an end of a connection that a route asks for.
type Peer struct {
	IP   *string
	Port *int32
}

func peers(list []Peer) (out []*entitypb.Peer) {
	for _, p := range list {
		out = append(out, &entitypb.Peer{Ip: p.IP, Port: p.Port})
	}
	return out
}

// Answer is what becomes of a request.
type Answer struct {
	Route           *string
	Status          int
	Location        string
	UpstreamScheme  string  `json:"upstream_scheme"`
	UpstreamHost    string  `json:"upstream_host"`
	UpstreamPath    *string `json:"upstream_path"`
	ForwardedPrefix *string `json:"forwarded_prefix"`
	Captures        map[string]string
}

// Read reads the cases of the classic flavours. The working directory is that of the
// test: root is the way from there to the module's root.
func Read(t testing.TB, root string) *File { return read(t, root, "router-cases.json", 100) }

// ReadExpressions is Read for the flavour expressions.
func ReadExpressions(t testing.TB, root string) *File {
	return read(t, root, "router-expressions.json", 50)
}

func read(t testing.TB, root, name string, least int) *File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	f := new(File)
	if err := json.Unmarshal(data, f); err != nil {
		t.Fatal(err)
	}
	if len(f.Cases) < least {
		t.Fatalf("%s has %d cases, there were more than %d", name, len(f.Cases), least)
	}
	return f
}

// Entities makes the entities of a route set, the nth route created at 1000+n.
func Entities(set []Route) (routes []*entitypb.Route, services []*entitypb.Service) {
	for i, c := range set {
		r := &entitypb.Route{
			Id: "r" + strconv.Itoa(i), Name: &c.Name, CreatedAt: int64(1000 + i),
			Protocols: c.Protocols, Methods: c.Methods, Hosts: c.Hosts, Paths: c.Paths, Snis: c.Snis,
			StripPath: c.StripPath == nil || *c.StripPath, PreserveHost: c.PreserveHost, RegexPriority: &c.RegexPriority,
			RequestBuffering: true, ResponseBuffering: true, HttpsRedirectStatusCode: c.RedirectStatus,
			Sources: peers(c.Sources), Destinations: peers(c.Destinations), Expression: c.Expression, Priority: c.Priority,
		}
		if c.PathHandling != "" {
			r.PathHandling = &c.PathHandling
		}
		for name, values := range c.Headers {
			if r.Headers == nil {
				r.Headers = map[string]*entitypb.Values{}
			}
			r.Headers[name] = &entitypb.Values{Values: values}
		}
		if c.Service != nil {
			id := "s" + strconv.Itoa(i)
			services = append(services, &entitypb.Service{
				Id: id, Protocol: c.Service.Protocol, Host: c.Service.Host, Port: c.Service.Port, Path: c.Service.Path, Enabled: true,
			})
			r.Service = &entitypb.Reference{Id: id}
		}
		routes = append(routes, r)
	}
	return routes, services
}
