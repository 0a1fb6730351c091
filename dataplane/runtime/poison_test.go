package runtime_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugins"
	"github.com/gibbon-gateway/gibbon/dataplane/router"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/schema"
)

const uuid = "5fd1c5d1-60b2-4d1b-9a4e-9f2b7a0c3e11"

// poison is an entity that is hard to put in force.
type poison struct {
	name, kind, body string
	// refused is part of why the control plane does not take it; empty: it does.
	refused string
	// warns is part of what the node's log says of it.
	warns string
}

// What a control plane takes a data plane of the same version puts in force:
// otherwise one entity would keep all later changes from every node. What it
// cannot run costs its own requests only.
func TestNoPoison(t *testing.T) {
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []poison{
		{"authorities", "services", `{"host":"a","protocol":"https","tls_verify":true,"ca_certificates":["` + uuid + `"]}`, "", "certificate authority"},
		{"authorities that nobody asks", "services", `{"host":"a","protocol":"https","ca_certificates":["` + uuid + `"]}`, "", ""},
		{"client certificate in a vault", "services", `{"host":"a","protocol":"https","client_certificate":{"id":"` + uuid + `"}}`, "", "a vault reference leads to nothing"},
		{"no upstream of HTTP", "services", `{"host":"a","protocol":"tcp"}`, "", ""},
		{"port 0", "services", `{"host":"a","port":0}`, "", ""},
		{"all null", "services", `{"host":"a","retries":null,"connect_timeout":null,"read_timeout":null,"write_timeout":null,"path":null}`, "", ""},
		{"address in brackets", "services", `{"host":"[::1]"}`, "", ""},
		{"certificate that does not parse", "certificates", `{"cert":"a","key":"b"}`, "invalid certificate", ""},
		{"certificate in a vault", "certificates", `{"cert":"{vault://env/a}","key":"{vault://env/b}"}`, "", ""},
		{"pattern of a path", "routes", `{"paths":["~/a["]}`, "invalid regex", ""},
		{"pattern of a header", "routes", `{"headers":{"a":["~*a["]}}`, "invalid regex: 'a[' (PCRE returned: missing closing ]: `[`)", ""},
		{"pattern that lower case breaks", "routes", `{"headers":{"a":["~*(?P<n>a)"]}}`, "invalid regex", ""},
		{"empty pattern of a header", "routes", `{"headers":{"a":["~*"]}}`, "", ""},
		{"no value of a header", "routes", `{"headers":{"a":[]}}`, "", ""},
		{"long pattern", "routes", `{"paths":["~/z` + strings.Repeat("(a|b)?", 150) + `"]}`, "", ""},
		{"repetition beyond Go's", "routes", `{"paths":["~/a{2000}"]}`, "invalid regex", ""},
		{"greatest priority", "routes", `{"paths":["/a"],"regex_priority":9007199254740991}`, "", ""},
		{"stream route", "routes", `{"protocols":["tcp"],"sources":[{"ip":"10.0.0.0/8"}]}`, "", ""},
		{"gRPC route", "routes", `{"protocols":["grpcs"],"paths":["/a"]}`, "", ""},
		{"path_handling v1", "routes", `{"paths":["/a"],"path_handling":"v1"}`, "", ""},
		{"consumer without a name", "consumers", `{"custom_id":"a"}`, "", ""},
		{"file that cannot be opened", "plugins", `{"name":"file-log","config":{"path":"/nowhere/at/all/log"}}`, "", ""},
		{"folder for a file", "plugins", `{"name":"file-log","config":{"path":"/"}}`, "", ""},
		{"Lua", "plugins", `{"name":"file-log","config":{"path":"/tmp/a","custom_fields_by_lua":{"a.b.c":"while true do end"}}}`, "", "custom_fields_by_lua"},
		{"anonymous that is not there", "plugins", `{"name":"key-auth","config":{"anonymous":"nobody"}}`, "", ""},
		{"no key names", "plugins", `{"name":"key-auth","config":{"key_names":[]}}`, "", ""},
		{"realm with a quote", "plugins", `{"name":"key-auth","config":{"realm":"a\"b"}}`, "", ""},
		{"llama2", "plugins", aiConfig(`"provider":"llama2","options":{"llama2_format":"raw","upstream_url":"http://a"}`), "", ""},
		{"azure without a host", "plugins", aiConfig(`"provider":"azure","options":{"azure_instance":"a.b/c","azure_deployment_id":".."}`), "", ""},
		{"bedrock without a region", "plugins", aiConfig(`"provider":"bedrock"`), "", ""},
		{"service account that does not parse", "plugins", `{"name":"ai-proxy","config":{"route_type":"llm/v1/chat",` +
			`"auth":{"gcp_use_service_account":true,"gcp_service_account_json":"a"},"model":{"provider":"gemini"}}}`, "", "calls are refused"},
		{"calls that the provider has not", "plugins", `{"name":"ai-proxy","config":{"route_type":"realtime/v1/realtime","model":{"provider":"cohere"}}}`, "", ""},
		{"pattern of a guard", "plugins", `{"name":"ai-prompt-guard","config":{"deny_patterns":["("]}}`, "invalid regex", ""},
		{"costly pattern of a guard", "plugins", `{"name":"ai-prompt-guard","config":{"deny_patterns":["(a+)+(?!b)"]}}`, "", ""},
		{"template that is no JSON", "plugins", `{"name":"ai-prompt-template","config":{"templates":[{"name":"a","template":"{{"},{"name":"a","template":"b"}]}}`, "", ""},
		{"transformer", "plugins", `{"name":"ai-request-transformer","config":{"prompt":"a","http_timeout":-1,"http_proxy_host":"a","http_proxy_port":0,` +
			`"llm":{"route_type":"llm/v1/chat","model":{"provider":"openai","options":{"upstream_url":"a"}}}}}`, "", "upstream_url is no absolute"},
		{"URL of no scheme", "plugins", aiConfig(`"provider":"openai","options":{"upstream_url":"a"}`), "", "upstream_url is no absolute"},
		{"URL that does not parse", "plugins", aiConfig(`"provider":"openai","options":{"upstream_url":"http://a:b%zz/"}`), "", "upstream_url is no absolute"},
		{"URL with a host of the request's", "plugins", `{"name":"ai-proxy","config":{"route_type":"llm/v1/chat","auth":{"header_name":"a","header_value":"b"},` +
			`"model":{"provider":"openai","options":{"upstream_url":"http://$(headers.a)/"}}}}`, "", "the host comes from the request"},
		{"credentials in a vault that is not there", "plugins", `{"name":"ai-proxy","config":{"route_type":"llm/v1/chat","auth":{"header_name":"a","header_value":"{vault://nowhere/a}"},` +
			`"model":{"provider":"openai"}}}`, "", "could not find vault (nowhere)"},
		{"circle", "plugins", `{"name":"key-auth","ordering":{"before":{"access":["file-log"]}}}`, "", ""},
		{"broken template", "plugins", aiConfig(`"provider":"openai","name":"$(a","options":{"upstream_path":"/$(b.c.d)"}`), "", ""},
	} {
		t.Run(tt.kind+"/"+tt.name, func(t *testing.T) {
			message, err := admitted(catalogue, tt.kind, tt.body)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Fatalf("the control plane says %v, want %q", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatalf("the control plane says %v", err)
			}
			config := &runtime.Config{
				Services: []*entitypb.Service{{Id: "good", Host: "a", Protocol: "http", Enabled: true}},
				Routes:   []*entitypb.Route{{Id: "good", Protocols: []string{"http"}, Paths: []string{"/good"}, Service: ref("good")}},
				Certificates: []*entitypb.Certificate{{
					Id: uuid, Cert: "{vault://env/a}", Key: "{vault://env/b}",
				}},
			}
			switch m := message.(type) {
			case *entitypb.Service:
				config.Services = append(config.Services, m)
			case *entitypb.Route:
				config.Routes = append(config.Routes, m)
			case *entitypb.Plugin:
				config.Plugins = append(config.Plugins, m)
			case *entitypb.Consumer:
				config.Consumers = append(config.Consumers, m)
			case *entitypb.Certificate:
				config.Certificates = append(config.Certificates, m)
			default:
				t.Fatalf("no place for a %T", m)
			}
			var log bytes.Buffer
			keeper := new(runtime.Keeper)
			rt, err := runtime.BuildConfig(config, runtime.Options{
				Plugins: plugins.All, Keeper: keeper, Decode: runtime.Decoder(catalogue), Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil {
				t.Fatalf("it was taken, and no configuration can be put in force with it: %v", err)
			}
			if tt.warns == "" && log.Len() > 0 || !strings.Contains(log.String(), tt.warns) {
				t.Errorf("the log says %q, want %q", log.String(), tt.warns)
			}
			if _, route, ok := rt.Match(&router.Request{Method: "GET", Scheme: "http", Path: "/good"}); !ok || route.Route.Id != "good" {
				t.Error("the good route is not served")
			}
			rt.Release()
			if n := keeper.Kept(); n != 0 {
				t.Errorf("%d resources are kept", n)
			}
		})
	}
}

func aiConfig(model string) string {
	return `{"name":"ai-proxy","config":{"route_type":"llm/v1/chat","model":{` + model + `}}}`
}

// A number that the control plane takes fits where the plugin expects it.
func TestNumbersFit(t *testing.T) {
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	decode := runtime.Decoder(catalogue)
	base := map[string]string{
		"ai-proxy": `{"route_type":"llm/v1/chat","model":{"provider":"openai","options":{"input_cost":1,"output_cost":1}}}`,
		"file-log": `{"path":"/tmp/a"}`, "key-auth": `{}`,
		"ai-prompt-guard":         `{"deny_patterns":["a"]}`,
		"ai-prompt-decorator":     `{"prompts":{"append":[{"content":"a"}]}}`,
		"ai-prompt-template":      `{"templates":[{"name":"a","template":"b"}]}`,
		"ai-request-transformer":  `{"prompt":"a","llm":{"route_type":"llm/v1/chat","model":{"provider":"openai"}}}`,
		"ai-response-transformer": `{"prompt":"a","llm":{"route_type":"llm/v1/chat","model":{"provider":"openai"}}}`,
	}
	taken, refused := 0, 0
	for _, p := range plugins.All {
		s, ok := catalogue.Plugin(p.Name())
		if !ok || base[p.Name()] == "" {
			t.Fatalf("%s has no schema, or no configuration here", p.Name())
		}
		for _, path := range numeric(p.Config(), nil) {
			for _, number := range []string{"0", "-1", "0.5", "2147483648", "4294967296", "-2147483649", "9007199254740993", "1e19", "-1e300"} {
				value, err := schema.Parse([]byte(number))
				if err != nil {
					t.Fatal(err)
				}
				doc, err := schema.ParseObject([]byte(base[p.Name()]))
				if err != nil {
					t.Fatal(err)
				}
				doc = s.Complete(doc.With(value, path...), time.Unix(1, 0))
				if s.Validate(doc, schema.Insert) != nil {
					refused++
					continue
				}
				taken++
				if err := decode(p.Name(), doc.AppendJSON(nil), p.NewConfig()); err != nil {
					t.Errorf("%s: %s of %s was taken and cannot be read: %v", p.Name(), number, strings.Join(path, "."), err)
				}
			}
		}
	}
	if taken < 20 || refused < 20 {
		t.Errorf("%d were taken and %d refused, too few to tell anything", taken, refused)
	}
}

// numeric are the paths of a message's fields that hold one number.
func numeric(m protoreflect.MessageDescriptor, path []string) (paths [][]string) {
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		at := append(slices.Clone(path), string(field.Name()))
		switch {
		case field.IsList() || field.IsMap():
		case field.Message() != nil:
			paths = append(paths, numeric(field.Message(), at)...)
		case field.Kind() != protoreflect.StringKind && field.Kind() != protoreflect.BoolKind && field.Kind() != protoreflect.BytesKind:
			paths = append(paths, at)
		}
	}
	return paths
}

// admitted is an entity as a control plane stores it and sends it, or why it does
// not.
func admitted(catalogue *schema.Catalogue, kind, body string) (proto.Message, error) {
	s, ok := catalogue.Entity(kind)
	if !ok {
		return nil, fmt.Errorf("no kind %q", kind)
	}
	doc, err := schema.ParseObject([]byte(body))
	if err != nil {
		return nil, err
	}
	if doc, err = s.Expand(doc, schema.Document{}); err != nil {
		return nil, err
	}
	doc = s.Complete(doc, time.Unix(1, 0))
	if err := s.Validate(doc, schema.Insert); err != nil {
		return nil, err
	}
	return s.Message(s.Stored(doc))
}
