package schema

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"
)

const someID = "5fd1c5d1-60b2-4d1b-9a4e-9f2b7a0c3e11"

func TestMessage(t *testing.T) {
	for _, tt := range []struct {
		kind, body string
		want       proto.Message
	}{
		{"routes", `{"id":"` + someID + `","name":null,"protocols":["tcp"],"headers":null,"sources":[{"ip":"10.0.0.1"},{"port":0}],"tags":[],"service":{"id":"` + someID + `"},"regex_priority":-9007199254740993}`,
			&entitypb.Route{
				Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(), Protocols: []string{"tcp"},
				Sources:                 []*entitypb.Peer{{Ip: proto.String("10.0.0.1")}, {Port: proto.Int32(0)}},
				HttpsRedirectStatusCode: 426, StripPath: true, RequestBuffering: true, ResponseBuffering: true,
				RegexPriority: proto.Int64(-9007199254740993), PathHandling: proto.String("v0"), Service: &entitypb.Reference{Id: someID},
			}},
		{"routes", `{"id":"` + someID + `","headers":{"X":["a","b"],"Y":[]},"path_handling":null,"regex_priority":null}`,
			&entitypb.Route{
				Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(), Protocols: []string{"http", "https"},
				Headers:                 map[string]*entitypb.Values{"X": {Values: []string{"a", "b"}}, "Y": {}},
				HttpsRedirectStatusCode: 426, StripPath: true, RequestBuffering: true, ResponseBuffering: true,
			}},
		{"keyauth_credentials", `{"id":"` + someID + `","key":"k","consumer":{"id":"` + someID + `"},"ttl":60}`,
			&entitypb.KeyauthCredential{Id: someID, CreatedAt: noon.Unix(), Key: "k", Consumer: &entitypb.Reference{Id: someID}, ExpiresAt: noon.Unix() + 60}},
		{"workspaces", `{"id":"` + someID + `","name":"w","meta":{"color":"red"},"config":{"b":null,"a":[1]}}`,
			&entitypb.Workspace{
				Id: someID, Name: "w", CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(),
				Meta: &entitypb.WorkspaceMeta{Color: proto.String("red")}, Config: []byte(`{"b":null,"a":[1]}`),
			}},
		{"consumer_groups", `{"id":"` + someID + `","name":"g","tags":["t"]}`,
			&entitypb.ConsumerGroup{Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(), Name: "g", Tags: []string{"t"}}},
		{"consumer_group_consumers", `{"id":"` + someID + `",` + consumer + `,"consumer_group":{"id":"` + someID + `"}}`,
			&entitypb.ConsumerGroupConsumer{
				Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(),
				Consumer: &entitypb.Reference{Id: someID}, ConsumerGroup: &entitypb.Reference{Id: someID},
			}},
		{"licenses", `{"id":"` + someID + `","payload":"{}"}`,
			&entitypb.License{Id: someID, Payload: "{}", CreatedAt: noon.Unix(), UpdatedAt: noon.Unix()}},
		{"key_sets", `{"id":"` + someID + `"}`, &entitypb.KeySet{Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix()}},
		{"keys", `{"id":"` + someID + `","kid":"k","jwk":null,"pem":{"public_key":"p"},"set":{"id":"` + someID + `"}}`,
			&entitypb.Key{
				Id: someID, Kid: "k", Pem: &entitypb.KeyPem{PublicKey: proto.String("p")}, Set: &entitypb.Reference{Id: someID},
				CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(),
			}},
		{"basicauth_credentials", `{"id":"` + someID + `","username":"u","password":"p",` + consumer + `}`,
			&entitypb.BasicauthCredential{Id: someID, CreatedAt: noon.Unix(), Username: "u", Password: "p", Consumer: &entitypb.Reference{Id: someID}}},
		{"hmacauth_credentials", `{"id":"` + someID + `","username":"u","secret":"s",` + consumer + `}`,
			&entitypb.HmacauthCredential{Id: someID, CreatedAt: noon.Unix(), Username: "u", Secret: proto.String("s"), Consumer: &entitypb.Reference{Id: someID}}},
		{"jwt_secrets", `{"id":"` + someID + `","key":"k","secret":null,"rsa_public_key":"p","algorithm":"RS256",` + consumer + `}`,
			&entitypb.JwtSecret{
				Id: someID, CreatedAt: noon.Unix(), Key: "k", RsaPublicKey: proto.String("p"), Algorithm: proto.String("RS256"),
				Consumer: &entitypb.Reference{Id: someID},
			}},
		{"oauth2_credentials", `{"id":"` + someID + `","name":"a","client_id":"i","client_secret":"s","redirect_uris":["http://h/"],` + consumer + `}`,
			&entitypb.Oauth2Credential{
				Id: someID, CreatedAt: noon.Unix(), Name: "a", ClientId: "i", ClientSecret: proto.String("s"), RedirectUris: []string{"http://h/"},
				ClientType: "confidential", Consumer: &entitypb.Reference{Id: someID},
			}},
		{"oauth2_tokens", `{"id":"` + someID + `","access_token":"t","expires_in":5,"credential":{"id":"` + someID + `"},"ttl":60}`,
			&entitypb.Oauth2Token{
				Id: someID, CreatedAt: noon.Unix(), TokenType: "bearer", AccessToken: "t", ExpiresIn: 5,
				Credential: &entitypb.Reference{Id: someID}, ExpiresAt: noon.Unix() + 60,
			}},
		{"oauth2_authorization_codes", `{"id":"` + someID + `","code":"c","credential":{"id":"` + someID + `"},"plugin":{"id":"` + someID + `"},"ttl":60}`,
			&entitypb.Oauth2AuthorizationCode{
				Id: someID, CreatedAt: noon.Unix(), Code: "c", Credential: &entitypb.Reference{Id: someID}, Plugin: &entitypb.Reference{Id: someID},
				ExpiresAt: noon.Unix() + 60,
			}},
		{"acls", `{"id":"` + someID + `","group":"g",` + consumer + `}`,
			&entitypb.Acl{Id: someID, CreatedAt: noon.Unix(), Group: "g", Consumer: &entitypb.Reference{Id: someID}}},
		{"mtls_auth_credentials", `{"id":"` + someID + `","subject_name":"n","ca_certificate":{"id":"` + someID + `"},` + consumer + `}`,
			&entitypb.MtlsAuthCredential{
				Id: someID, CreatedAt: noon.Unix(), SubjectName: "n", CaCertificate: &entitypb.Reference{Id: someID},
				Consumer: &entitypb.Reference{Id: someID},
			}},
		{"plugins", `{"id":"` + someID + `","name":"file-log","config":{"path":"/l","custom_fields_by_lua":{"b":"2","a":"1"}}}`,
			&entitypb.Plugin{
				Id: someID, Name: "file-log", CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(), Enabled: true,
				Protocols: []string{"grpc", "grpcs", "http", "https"},
				Config:    []byte(`{"path":"/l","reopen":false,"custom_fields_by_lua":{"a":"1","b":"2"}}`),
			}},
		{"targets", `{"id":"` + someID + `","target":"h","upstream":{"id":"` + someID + `"},"created_at":1700000000.123}`,
			&entitypb.Target{
				Id: someID, CreatedAt: 1700000000.123, UpdatedAt: float64(noon.Unix()), Upstream: &entitypb.Reference{Id: someID},
				Target: "h:8000", Weight: proto.Int32(100),
			}},
		{"snis", `{"id":"` + someID + `","name":"a.com","certificate":{"id":"` + someID + `"}}`,
			&entitypb.Sni{Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(), Name: "a.com", Certificate: &entitypb.Reference{Id: someID}}},
		{"ca_certificates", `{"id":"` + someID + `","cert":"c","cert_digest":"d"}`,
			&entitypb.CaCertificate{Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(), Cert: "c", CertDigest: proto.String("d")}},
		{"vaults", `{"id":"` + someID + `","name":"env","prefix":"my-env","config":{"prefix":"A_"}}`,
			&entitypb.Vault{Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(), Prefix: "my-env", Name: "env", Config: []byte(`{"prefix":"A_"}`)}},
		{"partials", `{"id":"` + someID + `","type":"redis-ce","config":{"host":"h"}}`,
			&entitypb.Partial{
				Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(), Type: "redis-ce",
				Config: []byte(`{"host":"h","port":6379,"timeout":2000,"username":null,"password":null,"database":0,"ssl":false,"ssl_verify":false,"server_name":null}`),
			}},
		{"filter_chains", `{"id":"` + someID + `","route":{"id":"` + someID + `"},"filters":[{"name":"f","config":{"b":[1],"a":null}}]}`,
			&entitypb.FilterChain{
				Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(), Enabled: true, Route: &entitypb.Reference{Id: someID},
				Filters: []*entitypb.Filter{{Name: "f", Enabled: true, Config: []byte(`{"b":[1],"a":null}`)}},
			}},
		{"upstreams", `{"id":"` + someID + `","name":"up","hash_on":"ip","healthchecks":{"threshold":12.5,"active":{"headers":{"A":["b"]},"concurrency":2147483648}}}`,
			&entitypb.Upstream{
				Id: someID, CreatedAt: noon.Unix(), UpdatedAt: noon.Unix(), Name: "up", Algorithm: proto.String("consistent-hashing"),
				HashOn: proto.String("ip"), HashFallback: proto.String("none"), HashOnCookiePath: proto.String("/"), Slots: proto.Int32(10000), UseSrvName: proto.Bool(false),
				Healthchecks: &entitypb.Healthchecks{
					Threshold: proto.Float64(12.5),
					Active: &entitypb.ActiveHealthcheck{
						Type: proto.String("http"), Timeout: proto.Float64(1), Concurrency: proto.Int64(2147483648), HttpPath: proto.String("/"), HttpsVerifyCertificate: true,
						Headers: map[string]*entitypb.HeaderValues{"A": {Values: []string{"b"}}},
						Healthy: &entitypb.ActiveHealthy{Interval: proto.Float64(0), HttpStatuses: []int32{200, 302}, Successes: proto.Int32(0)},
						Unhealthy: &entitypb.ActiveUnhealthy{
							Interval: proto.Float64(0), HttpStatuses: []int32{429, 404, 500, 501, 502, 503, 504, 505},
							TcpFailures: proto.Int32(0), Timeouts: proto.Int32(0), HttpFailures: proto.Int32(0),
						},
					},
					Passive: &entitypb.PassiveHealthcheck{
						Type: proto.String("http"),
						Healthy: &entitypb.PassiveHealthy{
							HttpStatuses: []int32{200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308}, Successes: proto.Int32(0),
						},
						Unhealthy: &entitypb.PassiveUnhealthy{HttpStatuses: []int32{429, 500, 503}, TcpFailures: proto.Int32(0), Timeouts: proto.Int32(0), HttpFailures: proto.Int32(0)},
					},
				},
			}},
	} {
		s := entity(t, tt.kind)
		got, err := s.Message(complete(t, s, tt.body))
		if err != nil {
			t.Errorf("%s: %v", tt.body, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.body, diff)
		}
	}
}

// TestUnmarshalConfig is the data plane's way: the configuration's bytes
// become the plugin's message.
func TestUnmarshalConfig(t *testing.T) {
	c := load(t)
	plugins, _ := c.Entity("plugins")
	m, err := plugins.Message(complete(t, plugins, `{"name":"key-auth","config":{"anonymous":"bob"}}`))
	if err != nil {
		t.Fatal(err)
	}
	config := mustParse(t, string(m.(*entitypb.Plugin).GetConfig()))
	s, _ := c.Plugin("key-auth")
	got := &pluginpb.KeyAuth{Realm: proto.String("left over")}
	if err := s.Unmarshal(config, got); err != nil {
		t.Fatal(err)
	}
	want := &pluginpb.KeyAuth{KeyNames: []string{"apikey"}, Anonymous: proto.String("bob"), KeyInHeader: true, KeyInQuery: true, RunOnPreflight: true}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// A document from before a field was there has its default.
	if err := s.Unmarshal(mustParse(t, `{}`), got); err != nil {
		t.Fatal(err)
	}
	want.Anonymous = nil
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("an older document (-want +got)\n%s", diff)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	s := entity(t, "routes")
	for _, tt := range []struct {
		name, doc string
		into      proto.Message
	}{
		{"another message", `{}`, &entitypb.Service{}},
		{"no object", `[]`, &entitypb.Route{}},
		{"text for a list", `{"paths":"x"}`, &entitypb.Route{}},
		{"number in a list of texts", `{"paths":[1]}`, &entitypb.Route{}},
		{"text for a truth value", `{"strip_path":"x"}`, &entitypb.Route{}},
		{"text for a number", `{"regex_priority":"1"}`, &entitypb.Route{}},
		{"fraction for an integer", `{"regex_priority":1.5}`, &entitypb.Route{}},
		{"out of range", `{"https_redirect_status_code":4294967296}`, &entitypb.Route{}},
		{"list for a map", `{"headers":[]}`, &entitypb.Route{}},
		{"text for a list in a map", `{"headers":{"a":"b"}}`, &entitypb.Route{}},
		{"text for a record", `{"sources":["x"]}`, &entitypb.Route{}},
	} {
		if err := s.Unmarshal(mustParse(t, tt.doc), tt.into); err == nil {
			t.Errorf("%s: %s became %v", tt.name, tt.doc, tt.into)
		}
	}
}

// TestMessageVocabulary has what no entity uses yet: any JSON, numbers and
// records that are not generated into the program.
func TestMessageVocabulary(t *testing.T) {
	s := entitySchema(t, protoField("j", `type: TYPE_BYTES`, `type: TYPE_JSON`)+protoField("n", number, ``)+protoField("r", inner, ``)+protoField("w", lists, ``), ``, ``)
	m, err := s.Message(complete(t, s, `{"j":{"b":[1.50,null],"a":{}},"n":2.5,"r":{"b":1},"w":["x"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r := m.ProtoReflect()
	fields := r.Descriptor().Fields()
	if got, want := string(r.Get(fields.ByName("j")).Bytes()), `{"b":[1.50,null],"a":{}}`; got != want {
		t.Errorf("j = %s, want %s, as it came", got, want)
	}
	if got := r.Get(fields.ByName("n")).Float(); got != 2.5 {
		t.Errorf("n = %v", got)
	}
	in := r.Get(fields.ByName("r")).Message()
	if got := in.Get(in.Descriptor().Fields().ByName("a")).String(); got != "x" {
		t.Errorf("r.a = %q, want its default", got)
	}
}
