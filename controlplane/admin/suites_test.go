package admin_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Ids that setups give to what others refer to.
const (
	serviceID     = "aaaaaaaa-0000-4000-8000-000000000001"
	routeID       = "aaaaaaaa-0000-4000-8000-000000000002"
	consumerID    = "aaaaaaaa-0000-4000-8000-000000000003"
	certificateID = "aaaaaaaa-0000-4000-8000-000000000004"
	upstreamID    = "aaaaaaaa-0000-4000-8000-000000000005"
	keySetID      = "aaaaaaaa-0000-4000-8000-000000000006"
	credentialID  = "aaaaaaaa-0000-4000-8000-000000000007"
	caID          = "aaaaaaaa-0000-4000-8000-000000000008"
	groupID       = "aaaaaaaa-0000-4000-8000-000000000009"
)

const (
	makeService  = "POST /services\n" + `{"id":"` + serviceID + `","name":"parent","host":"example.com"}`
	makeRoute    = "POST /routes\n" + `{"id":"` + routeID + `","name":"parent","paths":["/parent"]}`
	makeConsumer = "POST /consumers\n" + `{"id":"` + consumerID + `","username":"parent"}`
	makeKeySet   = "POST /key-sets\n" + `{"id":"` + keySetID + `","name":"parent"}`
	makeApp      = "POST /consumers/parent/oauth2\n" + `{"id":"` + credentialID + `","name":"app","client_id":"app"}`
	makeGroup    = "POST /consumer_groups\n" + `{"id":"` + groupID + `","name":"parent"}`

	ofConsumer = `"consumer":{"id":"` + consumerID + `"}`
)

// entitySuites has one entry for each kind of entity.
var entitySuites = []entitySuite{
	{
		kind:  "services",
		setup: []string{"POST /certificates\n" + certificateBody(certificateID)},
		least: `{"host":"example.com"}`,
		full: `{"name":"pay","retries":7,"protocol":"https","host":"example.com","port":8443,"path":"/v1",` +
			`"connect_timeout":1000,"write_timeout":2000,"read_timeout":3000,"tags":["a","b"],"client_certificate":{"id":"` + certificateID + `"},` +
			`"tls_verify":true,"tls_verify_depth":3,"ca_certificates":["` + missingID + `"],"enabled":false}`,
		form: "name=pay&retries=7&protocol=https&host=example.com&port=8443&path=/v1&connect_timeout=1000&write_timeout=2000&read_timeout=3000" +
			"&tags[]=a&tags[]=b&client_certificate.id=" + certificateID + "&tls_verify=true&tls_verify_depth=3&ca_certificates[1]=" + missingID + "&enabled=false",
		other: `{"name":"other","host":"other.example.com"}`,
		key:   "pay",
		base: map[string]string{
			"client_certificate": `{"protocol":"https"}`, "tls_verify": `{"protocol":"https"}`,
			"tls_verify_depth": `{"protocol":"https"}`, "ca_certificates": `{"protocol":"https"}`,
		},
		broken: map[string]string{
			"path_of_tcp":               `{"protocol":"tcp","path":"/a"}`,
			"client_certificate_of_tcp": `{"protocol":"tcp","client_certificate":{"id":"` + certificateID + `"}}`,
			"tls_of_http":               `{"tls_verify":true,"tls_verify_depth":1,"ca_certificates":[]}`,
			"url_port":                  `{"host":"(absent)","url":"http://example.com:port"}`,
			"url_without_host":          `{"host":"(absent)","url":"http://"}`,
			"url_no_text":               `{"host":"(absent)","url":7}`,
		},
		more: map[string][]string{
			"url": {
				"POST /services\n" + `{"url":"https://example.com"}`, "POST /services\n" + `{"url":"http://example.com:443/","port":1,"path":"/lost"}`,
				"POST /services\nurl=https://u:p@example.com:8443/a?b=c%23d",
			},
			"in_use": {
				"POST /services\n" + `{"name":"pay","host":"h"}`, "POST /services/pay/routes\n" + `{"paths":["/a"]}`, "DELETE /services/pay", "GET /services/pay",
			},
			"nested": {
				"POST /services\n" + `{"name":"pay","host":"h"}`, "POST /services/pay/routes\n" + `{"name":"r","paths":["/a"],"service":{"id":"` + missingID + `"}}`,
				"GET /services/pay/routes", "GET /services/pay/routes/r", "PATCH /services/pay/routes/r\n" + `{"paths":["/b"]}`,
				"PUT /services/pay/routes/r\n" + `{"paths":["/c"]}`, "GET /services/pay/client_certificate", "GET /services/nothing/routes",
				"DELETE /services/pay/routes/nothing", "DELETE /services/pay/routes/r", "DELETE /services/pay/routes/r",
			},
			"whole_row_back": {
				"POST /services\n" + `{"id":"` + missingID + `","name":"pay","host":"h"}`,
				"PATCH /services/pay\n" + `{"id":"` + missingID + `","created_at":1700000000,"updated_at":1700000000,"name":"pay","retries":5,"protocol":"http","host":"h","port":80,"path":null,"connect_timeout":60000,"write_timeout":60000,"read_timeout":60000,"tags":null,"client_certificate":null,"tls_verify":null,"tls_verify_depth":null,"ca_certificates":null,"enabled":false}`,
			},
		},
	},
	{
		kind:  "routes",
		setup: []string{makeService},
		least: `{"paths":["/a"]}`,
		full: `{"name":"pay","protocols":["https"],"methods":["GET","POST"],"hosts":["example.com","*.example.com"],"paths":["/a","~/b/\\d+$"],` +
			`"headers":{"x-kind":["a","b"]},"snis":["example.com"],"https_redirect_status_code":302,"strip_path":false,"preserve_host":true,` +
			`"request_buffering":false,"response_buffering":false,"regex_priority":5,"path_handling":"v1","tags":["a"],"service":{"id":"` + serviceID + `"}}`,
		form: "name=pay&protocols=https&methods[]=GET&methods[]=POST&hosts=example.com&hosts=*.example.com&paths[1]=/a&paths[2]=~/b/%5Cd%2B$" +
			"&headers.x-kind[]=a&headers.x-kind[]=b&snis=example.com&https_redirect_status_code=302&strip_path=false&preserve_host=true" +
			"&request_buffering=false&response_buffering=false&regex_priority=5&path_handling=v1&tags=a&service.name=parent",
		other:   `{"name":"other","paths":["/b"]}`,
		key:     "pay",
		decides: "protocols",
		kept:    []string{"hosts", "sources", "destinations"},
		before:  map[string]any{"protocols": "http"},
		base: map[string]string{
			"sources": `{"protocols":["tcp"],"paths":null}`, "destinations": `{"protocols":["tcp"],"paths":null}`,
		},
		broken: map[string]string{
			"second_regex":     `{"paths":["/a","~/("]}`,
			"empty_segment":    `{"paths":["/a","a//b"]}`,
			"header_host":      `{"headers":{"Host":["a"]}}`,
			"header_name":      `{"headers":{"a b":["a"]}}`,
			"header_value":     `{"headers":{"x-a":["~*("]}}`,
			"header_no_list":   `{"headers":{"x-a":"a"}}`,
			"nothing_http":     `{"paths":null,"protocols":["http"]}`,
			"nothing_https":    `{"paths":null,"protocols":["http","https"]}`,
			"nothing_tcp":      `{"paths":null,"protocols":["tcp"]}`,
			"nothing_tls_pass": `{"paths":null,"protocols":["tls_passthrough"]}`,
			"nothing_grpc":     `{"paths":null,"protocols":["grpc"]}`,
			"nothing_grpcs":    `{"paths":null,"protocols":["grpcs"]}`,
			"snis_of_http":     `{"protocols":["http"],"snis":["a.com"]}`,
			"sources_of_http":  `{"sources":[{"ip":"1.2.3.4"}],"destinations":[{"port":1}]}`,
			"fields_of_tcp":    `{"protocols":["tcp"],"methods":["GET"],"hosts":["a.com"],"paths":["/a"],"headers":{"a":["b"]},"sources":[{"port":1}]}`,
			"fields_of_tls":    `{"protocols":["tls_passthrough"],"methods":["GET"],"hosts":["a.com"],"paths":["/a"],"headers":{"a":["b"]},"snis":["a.com"]}`,
			"fields_of_grpc":   `{"protocols":["grpc"],"methods":["GET"],"sources":[{"port":1}],"destinations":[{"port":1}],"strip_path":true}`,
			"exclusive":        `{"protocols":["http","tcp"]}`,
			"exclusive_three":  `{"protocols":["http","tcp","grpc"]}`,
			"unknown_type":     `{"protocols":["nonsense"],"paths":7}`,
			"sources_empty":    `{"sources":[],"destinations":[]}`,
			"no_protocols":     `{"protocols":[]}`,
			"peer":             `{"protocols":["tcp"],"paths":null,"sources":[{}]}`,
			"peer_ip":          `{"protocols":["tcp"],"paths":null,"sources":[{"ip":"x","port":99999}]}`,
		},
		more: map[string][]string{
			"tcp":  {"POST /routes\n" + `{"protocols":["tcp"],"sources":[{"ip":"10.0.0.0/8"},{"ip":"10.0.0.0/8"},{"port":80}]}`},
			"grpc": {"POST /routes\n" + `{"protocols":["grpc"],"hosts":["a.com"]}`},
			"patch_takes_the_last": {
				"POST /routes\n" + `{"name":"pay","paths":["/a"]}`, "PATCH /routes/pay\n" + `{"paths":null}`, "PATCH /routes/pay\n" + `{"paths":[],"hosts":["a.com"]}`,
			},
			"service": {
				"POST /routes\n" + `{"name":"pay","paths":["/a"]}`, "GET /routes/pay/service", "DELETE /routes/pay/service",
				"PUT /routes/pay/service\n" + `{"name":"new","host":"h"}`, "GET /routes/pay/service", "PATCH /routes/pay/service\n" + `{"port":81}`,
				"PUT /routes/pay/service\n" + `{"host":"replaced"}`, "DELETE /routes/pay/service", "OPTIONS /routes/pay/service",
			},
		},
	},
	{
		kind:  "plugins",
		setup: []string{makeService, makeRoute, makeConsumer, makeGroup},
		least: `{"name":"file-log","config":{"path":"/tmp/a"}}`,
		full: `{"name":"file-log","instance_name":"pay","route":{"id":"` + routeID + `"},"service":{"id":"` + serviceID + `"},"consumer":{"id":"` + consumerID + `"},"consumer_group":{"id":"` + groupID + `"},` +
			`"config":{"path":"/tmp/a","reopen":true},"protocols":["http"],"enabled":false,"ordering":{"before":{"access":["key-auth"]}},"tags":["a"]}`,
		form: "config.path=/tmp/a&config.reopen=true&name=file-log&instance_name=pay&route.name=parent&service.name=parent&consumer.username=parent&consumer_group.name=parent" +
			"&protocols=http&enabled=false&ordering.before.access=key-auth&tags[]=a",
		other:   `{"name":"key-auth","instance_name":"other"}`,
		key:     "pay",
		decides: "name",
		broken: map[string]string{
			"not_enabled":     `{"name":"nonsense"}`,
			"no_name":         `{"name":"(absent)"}`,
			"config_no_json":  `{"config":"x"}`,
			"config_unknown":  `{"config":{"path":"/tmp/a","garbage":1}}`,
			"config_missing":  `{"config":null}`,
			"config_required": `{"config":{}}`,
			"scope":           `{"name":"key-auth","config":null,"consumer":{"id":"` + consumerID + `"}}`,
			"scope_group":     `{"name":"key-auth","config":null,"consumer_group":{"id":"` + groupID + `"}}`,
			"protocols":       `{"protocols":["tcp"]}`,
			"order_circle":    `{"ordering":{"before":{"access":["key-auth"]},"after":{"access":["key-auth"]}}}`,
			"order_of_itself": `{"ordering":{"after":{"access":["file-log"]}}}`,
			"protocols_none":  `{"protocols":[],"route":{"id":"` + routeID + `"}}`,
			"route_protocols": `{"protocols":["grpc"],"route":{"id":"` + routeID + `"}}`,
		},
		more: map[string][]string{
			"duplicate_scope": {
				"POST /plugins\n" + `{"name":"key-auth","service":{"id":"` + serviceID + `"}}`, "POST /plugins\n" + `{"name":"key-auth","service":{"id":"` + serviceID + `"}}`,
				"POST /plugins\n" + `{"name":"key-auth"}`, "POST /plugins\n" + `{"name":"key-auth"}`,
			},
			"by_name": {
				"POST /plugins\n" + `{"id":"` + missingID + `","name":"key-auth"}`, "GET /plugins/key-auth", "PATCH /plugins/key-auth\n" + `{"enabled":false}`,
				"POST /services/parent/plugins\n" + `{"id":"88888888-8888-4888-8888-888888888888","name":"key-auth"}`, "GET /plugins/key-auth", "GET /services/parent/plugins/key-auth",
				"DELETE /plugins/key-auth", "DELETE /services/parent/plugins/key-auth", "DELETE /plugins/key-auth", "GET /plugins/key-auth",
			},
			"patch_config": {
				"POST /plugins\n" + `{"instance_name":"pay","name":"key-auth","config":{"key_names":["a","b"]}}`,
				"PATCH /plugins/pay\n" + `{"config":{"hide_credentials":true}}`, "PATCH /plugins/pay\n" + `{"config":{"key_names":["c"]}}`,
				"PATCH /plugins/pay\nconfig.realm=x", "PATCH /plugins/pay\n" + `{"config":null}`, "PATCH /plugins/pay\n" + `{"name":"file-log"}`,
				"PATCH /plugins/" + missingID + "\n" + `{"name":"key-auth"}`,
			},
			"cascade": {
				"POST /routes/parent/plugins\n" + `{"name":"key-auth"}`, "DELETE /routes/parent", "GET /plugins",
			},
			"service_protocols": {
				"POST /services/parent/routes\n" + `{"paths":["/x"],"protocols":["https"]}`, "POST /services/parent/plugins\n" + `{"name":"key-auth","protocols":["http"]}`,
			},
		},
	},
	{
		kind:  "consumers",
		least: `{"username":"bob"}`,
		full:  `{"username":"pay","custom_id":"c-1","tags":["a"]}`,
		form:  "username=pay&custom_id=c-1&tags[]=a",
		other: `{"username":"other","custom_id":"c-2"}`,
		key:   "pay",
		kept:  []string{"username"},
		broken: map[string]string{
			"neither": `{"username":null}`,
		},
		more: map[string][]string{
			"custom_id": {
				"POST /consumers\n" + `{"custom_id":"c-1"}`, "GET /consumers?custom_id=c-1", "GET /consumers?custom_id=c-2", "GET /consumers?custom_id=", "GET /consumers?custom_id",
			},
			"patch_takes_both": {"POST /consumers\n" + `{"username":"pay"}`, "PATCH /consumers/pay\n" + `{"username":null}`},
			"put_takes_custom_id": {
				"PUT /consumers/pay\n" + `{"custom_id":"c-1"}`, "PUT /consumers/other\n" + `{"custom_id":"c-1"}`,
			},
			"names": {
				"POST /consumers\n" + `{"username":"a b/ü"}`, "GET /consumers/a%20b%2F%C3%BC", "POST /consumers\n" + `{"username":"` + serviceID + `"}`, "GET /consumers/" + serviceID,
			},
		},
	},
	{
		kind:  "keyauth_credentials",
		setup: []string{makeConsumer},
		least: `{"consumer":{"id":"` + consumerID + `"}}`,
		full:  `{"consumer":{"id":"` + consumerID + `"},"key":"pay","tags":["a"],"ttl":100000}`,
		form:  "consumer.username=parent&key=pay&tags[]=a&ttl=100000",
		other: `{"consumer":{"id":"` + consumerID + `"},"key":"other"}`,
		key:   "pay",
		broken: map[string]string{
			"no_consumer": `{"consumer":"(absent)"}`,
			"expires_at":  `{"expires_at":1}`,
		},
		more: map[string][]string{
			"nested": {
				"POST /consumers/parent/key-auth\nkey=pay", "GET /consumers/parent/key-auth", "GET /consumers/parent/key-auth/pay", "PUT /consumers/parent/key-auth/pay\n{}",
				"PATCH /consumers/parent/key-auth/pay\nkey=paid", "GET /key-auths/paid/consumer", "DELETE /key-auths/paid/consumer", "DELETE /consumers/parent/key-auth/paid", "DELETE /consumers/parent/key-auth/paid",
			},
			"null_key": {"POST /key-auths\n" + `{"key":null,"consumer":{"username":"parent"}}`, "POST /key-auths\n" + `{"key":null,"consumer":{"username":"parent"}}`},
			"cascade":  {"POST /key-auths\n" + `{"key":"pay","consumer":{"username":"parent"}}`, "DELETE /consumers/parent", "GET /key-auths"},
		},
	},
	{
		kind:  "certificates",
		least: certificateBody(""),
		full:  merged(certificateBody(""), `{"cert_alt":`+quoted(certificateECDSA)+`,"key_alt":`+quoted(keyECDSA)+`,"tags":["a"],"snis":["*.b.com","a.com"]}`),
		form: url.Values{
			"cert": {certificateRSA}, "key": {keyRSA}, "cert_alt": {certificateECDSA}, "key_alt": {keyECDSA}, "tags": {"a"}, "snis[1]": {"*.b.com"}, "snis[2]": {"a.com"},
		}.Encode(),
		other: `{"cert":` + quoted(certificateECDSA) + `,"key":` + quoted(keyECDSA) + `}`,
		broken: map[string]string{
			"alt_alone": `{"cert_alt":` + quoted(certificateECDSA) + `}`,
			"mismatch":  `{"key":` + quoted(keyOther) + `}`,
			"same_type": `{"cert_alt":` + quoted(certificateRSA) + `,"key_alt":` + quoted(keyRSA) + `}`,
			"alt_key":   `{"cert_alt":` + quoted(certificateECDSA) + `,"key_alt":` + quoted(keyOther) + `}`,
		},
		more: map[string][]string{
			"two":    {"POST /certificates\n" + merged(certificateBody(""), `{"cert_alt":`+quoted(certificateECDSA)+`,"key_alt":`+quoted(keyECDSA)+`}`)},
			"in_use": {"POST /certificates\n" + certificateBody(certificateID), "POST /services\n" + `{"url":"https://a.com","client_certificate":{"id":"` + certificateID + `"}}`, "DELETE /certificates/" + certificateID},
			"vault":  {"POST /certificates\n" + `{"cert":"{vault://env/cert}","key":"{vault://env/key}"}`},
		},
	},
	{
		kind: "key_sets", least: `{}`, full: `{"name":"pay","tags":["a"]}`, form: "name=pay&tags=a", other: `{"name":"other"}`, key: "pay",
		more: map[string][]string{
			"cascade": {"POST /key-sets\nname=a", "POST /key-sets/a/keys\n" + jwk("k1", "key"), "GET /key-sets/a/keys/key", "DELETE /key-sets/a", "GET /keys"},
		},
	},
	{
		kind:  "keys",
		setup: []string{makeKeySet},
		least: jwk("least", ""),
		full:  merged(jwk("k1", "pay"), `{"set":{"id":"`+keySetID+`"},"tags":["a"]}`),
		form:  url.Values{"kid": {"k1"}, "name": {"pay"}, "jwk": {`{"kty":"EC","crv":"P-256","kid":"k1",` + ecPoint + `}`}, "set.name": {"parent"}, "tags[]": {"a"}}.Encode(),
		other: jwk("other", "other"),
		key:   "pay",
		kept:  []string{"jwk", "pem"},
		broken: map[string]string{
			"neither":           `{"jwk":"(absent)"}`,
			"both":              `{"pem":{"public_key":` + quoted(pemText("rsa.pub")) + `}}`,
			"jwk_no_json":       `{"jwk":"nonsense"}`,
			"jwk_other_kid":     `{"jwk":` + quoted(`{"kty":"EC","crv":"P-256","kid":"b",`+ecPoint+`}`) + `}`,
			"jwk_symmetric":     `{"jwk":"{\"kty\":\"oct\",\"kid\":\"least\",\"k\":\"c2VjcmV0\"}"}`,
			"jwk_no_key":        `{"jwk":"{\"kty\":\"RSA\",\"kid\":\"least\"}"}`,
			"jwk_no_text":       `{"jwk":7}`,
			"pem_empty":         `{"jwk":"(absent)","pem":{}}`,
			"pem_no_public":     `{"jwk":"(absent)","pem":{"public_key":"nonsense"}}`,
			"pem_no_private":    `{"jwk":"(absent)","pem":{"private_key":"nonsense"}}`,
			"pem_mismatch":      `{"jwk":"(absent)","pem":{"private_key":` + quoted(keyOther) + `,"public_key":` + quoted(pemText("rsa.pub")) + `}}`,
			"pem_unknown_field": `{"jwk":"(absent)","pem":{"nonsense":1}}`,
		},
		more: map[string][]string{
			"pem":           {"POST /keys\n" + `{"kid":"a","pem":{"private_key":` + quoted(keyRSA) + `,"public_key":` + quoted(pemText("rsa.pub")) + `}}`},
			"duplicate_kid": {"POST /keys\n" + jwk("k1", ""), "POST /keys\n" + jwk("k1", ""), "POST /key-sets/parent/keys\n" + jwk("k1", ""), "POST /key-sets/parent/keys\n" + jwk("k1", "")},
			"vault":         {"POST /keys\n" + `{"kid":"a","jwk":"{vault://env/jwk}"}`},
		},
	},
	{
		kind: "licenses", least: `{"payload":"{\"license\":{\"version\":1}}"}`, full: `{"payload":"{\"license\":{\"version\":1}}"}`,
		form: url.Values{"payload": {`{"license":{"version":1}}`}}.Encode(), other: `{"payload":"{\"license\":{\"version\":2}}"}`,
	},
	{
		kind: "workspaces", least: `{"name":"least"}`, full: `{"name":"pay","comment":"c","config":{"a":"1"},"meta":{"color":"#fff","thumbnail":"t"}}`,
		form: "name=pay&comment=c&config.a=1&meta.color=%23fff&meta.thumbnail=t", other: `{"name":"other"}`, key: "pay",
		broken: map[string]string{"path": `{"name":"services"}`, "fixed_path": `{"name":"status"}`, "meta": `{"meta":{"nonsense":1}}`},
		more: map[string][]string{
			"default": {"GET /workspaces/default", "DELETE /workspaces/default", "GET /default/services", "HEAD /default/kong"},
			"rename":  {"POST /workspaces\nname=pay", "PATCH /workspaces/pay\nname=paid", "PATCH /workspaces/pay\ncomment=c"},
			"unknown": {"GET /nothing/services", "OPTIONS /nothing/services", "POST /nothing/services\n{}"},
			"probe":   {"POST /workspaces\nname=pay", "GET /pay/workspaces/pay", "GET /pay/workspaces/nothing"},
			"isolated": {
				"POST /workspaces\nname=pay", "POST /pay/services\n" + `{"id":"` + serviceID + `","name":"s","host":"h"}`, "POST /services\n" + `{"name":"s","host":"h"}`,
				"GET /services/" + serviceID, "GET /pay/services/s", "POST /routes\n" + `{"paths":["/a"],"service":{"id":"` + serviceID + `"}}`, "GET /pay/services?size=1",
				"PATCH /services/" + serviceID + "\n{}", "DELETE /services/" + serviceID, "GET /pay/services/s", "GET /workspaces/pay/meta",
				"DELETE /workspaces/pay", "DELETE /workspaces/pay?cascade=true", "GET /pay/services",
			},
			"id_of_another": {
				"POST /workspaces\nname=pay", "POST /pay/services\n" + `{"id":"` + serviceID + `","host":"h"}`, "PUT /services/" + serviceID + "\n" + `{"host":"mine"}`, "GET /pay/services/" + serviceID,
				"POST /services\n" + `{"id":"` + serviceID + `","host":"mine"}`,
			},
		},
	},
	{
		kind: "consumer_groups", setup: []string{makeConsumer}, least: `{"name":"least"}`, full: `{"name":"pay","tags":["a"]}`, form: "name=pay&tags=a", other: `{"name":"other"}`, key: "pay",
		more: map[string][]string{
			"members": {
				"POST /consumer_groups\nname=pay", "POST /consumer_groups/pay/consumers\nconsumer=parent", "POST /consumer_groups/pay/consumers\n" + `{"consumer":["` + consumerID + `"]}`,
				"GET /consumer_groups/pay", "GET /consumer_groups/pay/consumers", "GET /consumers/parent/consumer_groups", "GET /consumer_groups?counter=true",
				"DELETE /consumer_groups/pay/consumers/parent", "DELETE /consumer_groups/pay/consumers/parent", "GET /consumer_groups/pay?list_consumers=false",
			},
			"cascade": {"POST /consumer_groups\nname=pay", "POST /consumers/parent/consumer_groups\ngroup=pay", "DELETE /consumers/parent", "GET /consumer_groups/pay/consumers"},
		},
	},
	{
		kind: "basicauth_credentials", setup: []string{makeConsumer}, least: `{` + ofConsumer + `,"username":"least","password":"p"}`,
		full: `{` + ofConsumer + `,"username":"pay","password":"p","tags":["a"]}`, form: "consumer.username=parent&username=pay&password=p&tags=a",
		other: `{` + ofConsumer + `,"username":"other","password":"p"}`, key: "pay",
		broken: map[string]string{"no_password": `{"password":"(absent)"}`},
		more: map[string][]string{
			"hash": {
				"POST /consumers/parent/basic-auth\nusername=pay&password=p", "PATCH /consumers/parent/basic-auth/pay\nusername=paid", "PATCH /consumers/parent/basic-auth/paid\npassword=q",
				"PUT /consumers/parent/basic-auth/paid?skip_hash=true\npassword=kept",
			},
		},
	},
	{
		kind: "hmacauth_credentials", setup: []string{makeConsumer}, least: `{` + ofConsumer + `,"username":"least"}`,
		full: `{` + ofConsumer + `,"username":"pay","secret":"s","tags":["a"]}`, form: "consumer.username=parent&username=pay&secret=s&tags=a",
		other: `{` + ofConsumer + `,"username":"other"}`, key: "pay",
	},
	{
		kind: "jwt_secrets", setup: []string{makeConsumer}, least: `{` + ofConsumer + `}`,
		full:  `{` + ofConsumer + `,"key":"pay","secret":"s","algorithm":"RS256","rsa_public_key":` + quoted(pemText("rsa.pub")) + `,"tags":["a"]}`,
		form:  url.Values{"consumer.username": {"parent"}, "key": {"pay"}, "secret": {"s"}, "algorithm": {"RS256"}, "rsa_public_key": {pemText("rsa.pub")}, "tags": {"a"}}.Encode(),
		other: `{` + ofConsumer + `,"key":"other"}`, key: "pay",
		broken: map[string]string{"no_public_key": `{"algorithm":"PS512"}`, "bad_public_key": `{"algorithm":"EdDSA","rsa_public_key":"nonsense"}`},
	},
	{
		kind: "oauth2_credentials", setup: []string{makeConsumer}, least: `{` + ofConsumer + `,"name":"least"}`,
		full:  `{` + ofConsumer + `,"name":"app","client_id":"pay","client_secret":"s","hash_secret":false,"redirect_uris":["https://example.com/cb?a=b"],"client_type":"public","tags":["a"]}`,
		form:  "consumer.username=parent&name=app&client_id=pay&client_secret=s&hash_secret=false&redirect_uris[]=https://example.com/cb?a=b&client_type=public&tags=a",
		other: `{` + ofConsumer + `,"name":"other","client_id":"other"}`, key: "pay",
		more: map[string][]string{"hashed": {"POST /oauth2\n" + `{` + ofConsumer + `,"name":"app","client_id":"pay","client_secret":"s","hash_secret":true}`, "PATCH /oauth2/pay\nname=b"}},
	},
	{
		kind: "oauth2_tokens", setup: []string{makeConsumer, makeApp, makeService}, least: `{"credential":{"id":"` + credentialID + `"},"expires_in":10}`,
		full:  `{"credential":{"id":"` + credentialID + `"},"service":{"id":"` + serviceID + `"},"token_type":"bearer","expires_in":10,"access_token":"pay","refresh_token":"r","authenticated_userid":"u","scope":"a b","tags":["a"],"ttl":100000}`,
		form:  "credential.client_id=app&service.name=parent&token_type=bearer&expires_in=10&access_token=pay&refresh_token=r&authenticated_userid=u&scope=a+b&tags=a&ttl=100000",
		other: `{"credential":{"id":"` + credentialID + `"},"expires_in":10,"access_token":"other"}`, key: "pay",
		more: map[string][]string{
			"cascade": {"POST /oauth2/app/oauth2_tokens\n" + `{"expires_in":10,"access_token":"pay"}`, "GET /oauth2_tokens/pay/credential", "DELETE /oauth2/app", "GET /oauth2_tokens"},
		},
	},
	{
		kind: "acls", setup: []string{makeConsumer}, least: `{` + ofConsumer + `,"group":"least"}`, full: `{` + ofConsumer + `,"group":"pay","tags":["a"]}`,
		form: "consumer.username=parent&group=pay&tags=a", other: `{` + ofConsumer + `,"group":"other"}`,
		more: map[string][]string{
			"by_group": {
				"PUT /consumers/parent/acls/pay\n{}", "PUT /consumers/parent/acls/pay\n{}", "GET /consumers/parent/acls/pay", "PATCH /consumers/parent/acls/pay\ntags=a", "GET /consumers/parent/acls/none",
				"PATCH /consumers/parent/acls/none\n{}", "DELETE /consumers/parent/acls/none", "DELETE /consumers/parent/acls/pay", "GET /acls/pay",
			},
			"duplicate_group": {"POST /consumers/parent/acls\ngroup=pay", "POST /consumers/parent/acls\ngroup=pay"},
		},
	},
	{
		kind: "mtls_auth_credentials", setup: []string{makeConsumer, "POST /ca_certificates\n" + `{"id":"` + caID + `","cert":` + quoted(pemText("ca.crt")) + `}`},
		least: `{` + ofConsumer + `,"subject_name":"least"}`, full: `{` + ofConsumer + `,"subject_name":"pay","ca_certificate":{"id":"` + caID + `"},"tags":["a"]}`,
		form: "consumer.username=parent&subject_name=pay&ca_certificate.id=" + caID + "&tags=a", other: `{` + ofConsumer + `,"subject_name":"other"}`,
	},
	{
		kind: "filter_chains", least: `{"service":{"id":"` + serviceID + `"},"filters":[{"name":"f"}]}`, setup: []string{makeService, makeRoute},
		full: `{"name":"pay","service":{"id":"` + serviceID + `"},"filters":[{"name":"f"}]}`, form: "name=pay&filters[1].name=f", other: `{"route":{"id":"` + routeID + `"},"filters":[{"name":"f"}]}`, off: true,
	},
}

// Certificates and keys are files: each run has to see the same.
var (
	certificateRSA   = pemText("rsa.crt")
	keyRSA           = pemText("rsa.key")
	certificateECDSA = pemText("ec.crt")
	keyECDSA         = pemText("ec.key")
	keyOther         = pemText("other.key")
)

func pemText(name string) string {
	text, err := os.ReadFile(filepath.Join("testdata", "pem", name))
	if err != nil {
		panic(err) // the folder is part of the package
	}
	return string(text)
}

func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a text can always be written
	}
	return string(b)
}

func certificateBody(id string) string {
	if id != "" {
		return `{"id":"` + id + `","cert":` + quoted(certificateRSA) + `,"key":` + quoted(keyRSA) + `}`
	}
	return `{"cert":` + quoted(certificateRSA) + `,"key":` + quoted(keyRSA) + `}`
}

// ecPoint are the coordinates of the public key in RFC 7515, appendix A.3.
const ecPoint = `"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`

// jwk is the body of a key whose JWK has the same kid.
func jwk(kid, name string) string {
	body := `{"kid":"` + kid + `","jwk":` + quoted(`{"kty":"EC","crv":"P-256","kid":"`+kid+`",`+ecPoint+`}`)
	if name != "" {
		body += `,"name":"` + name + `"`
	}
	return body + "}"
}

// merged puts the members of one object behind those of another.
func merged(one, two string) string {
	return strings.TrimSuffix(one, "}") + "," + strings.TrimPrefix(two, "{")
}
