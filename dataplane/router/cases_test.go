package router

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/internal/uri"
)

// caseFile is testdata/router-cases.json; its member format says what each
// field means.
type caseFile struct {
	RouteSets map[string][]caseRoute `json:"route_sets"`
	Cases     []struct {
		Name    string
		Routes  string
		Unsure  bool
		Request struct {
			Method     string
			Scheme     string
			Host       string
			Target     string
			ListenPort int `json:"listen_port"`
			SNI        string
			Headers    map[string]any
		}
		Expect      caseAnswer
		Original    *caseAnswer
		Traditional *caseAnswer
	}
}

type caseRoute struct {
	Name           string
	Protocols      []string
	Methods        []string
	Hosts          []string
	Paths          []string
	Snis           []string
	Headers        map[string][]string
	StripPath      *bool `json:"strip_path"`
	RegexPriority  int64 `json:"regex_priority"`
	RedirectStatus int32 `json:"https_redirect_status_code"`
	Service        *struct {
		Protocol string
		Host     string
		Port     int32
		Path     *string
	}
}

type caseAnswer struct {
	Route           *string
	Status          int
	UpstreamPath    *string `json:"upstream_path"`
	ForwardedPrefix *string `json:"forwarded_prefix"`
	Captures        map[string]string
}

func readCases(t testing.TB) caseFile {
	t.Helper()
	b, err := os.ReadFile("../../testdata/router-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var f caseFile
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Cases) < 100 {
		t.Fatalf("%d cases, there were more than 100", len(f.Cases))
	}
	return f
}

// entities makes the entities of a route set, the nth route created at 1000+n.
func entities(set []caseRoute) ([]*entitypb.Route, map[string]*entitypb.Service) {
	var routes []*entitypb.Route
	services := map[string]*entitypb.Service{}
	for i, c := range set {
		r := &entitypb.Route{
			Id: "r" + strconv.Itoa(i), Name: &c.Name, CreatedAt: int64(1000 + i),
			Protocols: c.Protocols, Methods: c.Methods, Hosts: c.Hosts, Paths: c.Paths, Snis: c.Snis,
			StripPath: c.StripPath == nil || *c.StripPath, RegexPriority: &c.RegexPriority,
			HttpsRedirectStatusCode: c.RedirectStatus,
		}
		for name, values := range c.Headers {
			if r.Headers == nil {
				r.Headers = map[string]*entitypb.Values{}
			}
			r.Headers[name] = &entitypb.Values{Values: values}
		}
		if c.Service != nil {
			id := "s" + strconv.Itoa(i)
			services[id] = &entitypb.Service{
				Id: id, Protocol: c.Service.Protocol, Host: c.Service.Host, Port: c.Service.Port, Path: c.Service.Path, Enabled: true,
			}
			r.Service = &entitypb.Reference{Id: id}
		}
		routes = append(routes, r)
	}
	return routes, services
}

func TestCases(t *testing.T) {
	f := readCases(t)
	for _, mode := range []struct {
		name    string
		options Options
		differs func(expect caseAnswer, original, traditional *caseAnswer) *caseAnswer
	}{
		{"strict", Options{}, func(_ caseAnswer, _, _ *caseAnswer) *caseAnswer { return nil }},
		{"original", Options{Calculation: Original}, func(_ caseAnswer, o, _ *caseAnswer) *caseAnswer { return o }},
		{"traditional", Options{Flavor: Traditional}, func(_ caseAnswer, _, tr *caseAnswer) *caseAnswer { return tr }},
	} {
		for _, c := range f.Cases {
			t.Run(mode.name+"/"+c.Name, func(t *testing.T) {
				want := c.Expect
				if other := mode.differs(c.Expect, c.Original, c.Traditional); other != nil {
					want = caseAnswer{Route: other.Route, UpstreamPath: other.UpstreamPath, ForwardedPrefix: other.ForwardedPrefix}
				}
				if c.Name == "host case is not folded" {
					// Kong does not fold; this package does, as RFC 9110 says.
					want = caseAnswer{Route: new("host")}
				}
				routes, services := entities(f.RouteSets[c.Routes])
				r, err := New(routes, services, mode.options)
				if err != nil {
					t.Fatal(err)
				}
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
				target, query, _ := strings.Cut(c.Request.Target, "?")
				path := uri.Normalize(target)
				m, ok := r.Match(&Request{
					Method: c.Request.Method, Scheme: c.Request.Scheme, Host: c.Request.Host, Port: c.Request.ListenPort,
					Path: path, SNI: c.Request.SNI, Header: header,
				})
				var got *string
				if ok {
					got = m.Route.Name
				}
				if diff := cmp.Diff(want.Route, got); diff != "" {
					t.Fatalf("route (-want +got):\n%s", diff)
				}
				if !ok || m.Service == nil {
					return
				}
				if want.UpstreamPath != nil {
					up := uri.Escape(m.UpstreamPath(path))
					if query != "" || strings.HasSuffix(c.Request.Target, "?") {
						up += "?" + query
					}
					if up != *want.UpstreamPath {
						t.Errorf("upstream path = %q, want %q", up, *want.UpstreamPath)
					}
				}
				if want.Captures != nil {
					captures := map[string]string{}
					for i, v := range m.Captures {
						if i > 0 {
							captures[strconv.Itoa(i)] = v
						}
					}
					for k, v := range m.Named {
						captures[k] = v
					}
					if diff := cmp.Diff(want.Captures, captures); diff != "" {
						t.Errorf("captures (-want +got):\n%s", diff)
					}
				}
			})
		}
	}
}
