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
)

const (
	makeService  = "POST /services\n" + `{"id":"` + serviceID + `","name":"parent","host":"example.com"}`
	makeRoute    = "POST /routes\n" + `{"id":"` + routeID + `","name":"parent","paths":["/parent"]}`
	makeConsumer = "POST /consumers\n" + `{"id":"` + consumerID + `","username":"parent"}`
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
		broken: map[string]string{
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
			"second_protocol":  `{"protocols":["http","nonsense"]}`,
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
		setup: []string{makeService, makeRoute, makeConsumer},
		least: `{"name":"file-log","config":{"path":"/tmp/a"}}`,
		full: `{"name":"file-log","instance_name":"pay","route":{"id":"` + routeID + `"},"service":{"id":"` + serviceID + `"},"consumer":{"id":"` + consumerID + `"},` +
			`"config":{"path":"/tmp/a","reopen":true},"protocols":["http"],"enabled":false,"tags":["a"]}`,
		form: "config.path=/tmp/a&config.reopen=true&name=file-log&instance_name=pay&route.name=parent&service.name=parent&consumer.username=parent" +
			"&protocols=http&enabled=false&tags[]=a",
		other:   `{"name":"key-auth","instance_name":"other"}`,
		key:     "pay",
		decides: "name",
		broken: map[string]string{
			"not_enabled":     `{"name":"nonsense"}`,
			"no_name":         `{"name":"(absent)"}`,
			"config_no_json":  `{"config":"x"}`,
			"config_unknown":  `{"config":{"path":"/tmp/a","nonsense":1}}`,
			"config_missing":  `{"config":null}`,
			"config_required": `{"config":{}}`,
			"scope":           `{"name":"key-auth","config":null,"consumer":{"id":"` + consumerID + `"}}`,
			"protocols":       `{"protocols":["tcp"]}`,
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
			"ttl_text":    `{"ttl":"x"}`,
			"ttl_range":   `{"ttl":100000001}`,
			"expires_at":  `{"expires_at":1}`,
		},
		more: map[string][]string{
			"nested": {
				"POST /consumers/parent/key-auth\nkey=pay", "GET /consumers/parent/key-auth", "GET /consumers/parent/key-auth/pay", "PUT /consumers/parent/key-auth/pay\n{}",
				"PATCH /consumers/parent/key-auth/pay\nkey=paid", "GET /key-auths/paid/consumer", "DELETE /key-auths/paid/consumer", "DELETE /consumers/parent/key-auth/paid", "DELETE /consumers/parent/key-auth/paid",
			},
			"cascade": {"POST /key-auths\n" + `{"key":"pay","consumer":{"username":"parent"}}`, "DELETE /consumers/parent", "GET /key-auths"},
			"ttl":     {"POST /key-auths\n" + `{"key":"pay","ttl":100000,"consumer":{"username":"parent"}}`, "PATCH /key-auths/pay\n" + `{"ttl":0}`, "GET /key-auths/pay"},
		},
	},
	{
		kind:  "certificates",
		least: certificateBody(""),
		full:  certificateBody(""),
		form:  certificateForm(),
		other: certificateBody(""),
		fixed: []string{"cert_alt", "key_alt"},
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

func certificateForm() string {
	return url.Values{"cert": {certificateRSA}, "key": {keyRSA}}.Encode()
}

// merged puts the members of one object behind those of another.
func merged(one, two string) string {
	return strings.TrimSuffix(one, "}") + "," + strings.TrimPrefix(two, "{")
}
