package admin_test

import "net/url"

// trafficSuites are the kinds around the way of a request to a service.
var trafficSuites = []entitySuite{
	{
		kind:  "upstreams",
		setup: []string{"POST /certificates\n" + certificateBody(certificateID)},
		least: `{"name":"up.internal"}`,
		full: `{"name":"pay","algorithm":"consistent-hashing","hash_on":"header","hash_fallback":"cookie","hash_on_header":"x-user","hash_fallback_header":"x-other","hash_on_cookie":"sid","hash_on_cookie_path":"/a",` +
			`"hash_on_query_arg":"q","hash_fallback_query_arg":"p","hash_on_uri_capture":"c","hash_fallback_uri_capture":"d","slots":100,` +
			`"healthchecks":{"active":{"type":"https","timeout":2.5,"concurrency":5,"http_path":"/live","https_sni":"up.example.com","https_verify_certificate":false,"headers":{"x-probe":["1"]},` +
			`"healthy":{"interval":5,"http_statuses":[204],"successes":2},"unhealthy":{"interval":3,"http_statuses":[500],"tcp_failures":1,"timeouts":2,"http_failures":3}},` +
			`"passive":{"type":"tcp","healthy":{"http_statuses":[200],"successes":1},"unhealthy":{"http_statuses":[503],"tcp_failures":1,"timeouts":2,"http_failures":3}},"threshold":12.5},` +
			`"tags":["a","b"],"host_header":"up.example.com:8443","client_certificate":{"id":"` + certificateID + `"},"use_srv_name":true}`,
		form: "name=pay&hash_on=header&hash_fallback=cookie&hash_on_header=x-user&hash_fallback_header=x-other&hash_on_cookie=sid&hash_on_cookie_path=/a" +
			"&hash_on_query_arg=q&hash_fallback_query_arg=p&hash_on_uri_capture=c&hash_fallback_uri_capture=d&slots=100" +
			"&healthchecks.active.type=https&healthchecks.active.timeout=2.5&healthchecks.active.concurrency=5&healthchecks.active.http_path=/live" +
			"&healthchecks.active.https_sni=up.example.com&healthchecks.active.https_verify_certificate=false&healthchecks.active.headers.x-probe[]=1" +
			"&healthchecks.active.healthy.interval=5&healthchecks.active.healthy.http_statuses[]=204&healthchecks.active.healthy.successes=2" +
			"&healthchecks.active.unhealthy.interval=3&healthchecks.active.unhealthy.http_statuses[1]=500&healthchecks.active.unhealthy.tcp_failures=1" +
			"&healthchecks.active.unhealthy.timeouts=2&healthchecks.active.unhealthy.http_failures=3&healthchecks.passive.type=tcp" +
			"&healthchecks.passive.healthy.http_statuses=200&healthchecks.passive.healthy.successes=1&healthchecks.passive.unhealthy.http_statuses=503" +
			"&healthchecks.passive.unhealthy.tcp_failures=1&healthchecks.passive.unhealthy.timeouts=2&healthchecks.passive.unhealthy.http_failures=3" +
			"&healthchecks.threshold=12.5&tags[]=a&tags[]=b&host_header=up.example.com:8443&client_certificate.id=" + certificateID + "&use_srv_name=true",
		other: `{"name":"other"}`,
		key:   "pay",
		broken: map[string]string{
			"fallback_of_consumer":     `{"hash_on":"consumer","hash_fallback":"consumer"}`,
			"fallback_of_cookie":       `{"hash_on":"cookie","hash_on_cookie":"c","hash_fallback":"ip"}`,
			"fallback_of_none":         `{"hash_fallback":"ip"}`,
			"same_header":              `{"hash_on":"header","hash_fallback":"header","hash_on_header":"a","hash_fallback_header":"a"}`,
			"header_alone":             `{"hash_on":"header"}`,
			"fallback_header_alone":    `{"hash_on":"ip","hash_fallback":"header"}`,
			"cookie_alone":             `{"hash_on":"cookie"}`,
			"fallback_cookie_alone":    `{"hash_on":"ip","hash_fallback":"cookie"}`,
			"query_arg_alone":          `{"hash_on":"query_arg"}`,
			"fallback_query_arg_alone": `{"hash_on":"ip","hash_fallback":"query_arg"}`,
			"uri_capture_alone":        `{"hash_on":"uri_capture"}`,
			"fallback_uri_capture":     `{"hash_on":"ip","hash_fallback":"uri_capture"}`,
			"fallback_of_ip":           `{"hash_on":"ip","hash_fallback":"ip"}`,
			"fallback_of_path":         `{"hash_on":"path","hash_fallback":"path"}`,
			"fallback_of_header":       `{"hash_on":"header","hash_on_header":"x","hash_fallback":"nonsense"}`,
			"fallback_nonsense":        `{"hash_on":"ip","hash_fallback":"nonsense"}`,
			"same_query_arg":           `{"hash_on":"query_arg","hash_on_query_arg":"x","hash_fallback":"query_arg","hash_fallback_query_arg":"x"}`,
			"same_uri_capture":         `{"hash_on":"uri_capture","hash_on_uri_capture":"x","hash_fallback":"uri_capture","hash_fallback_uri_capture":"x"}`,
			"probe_header":             `{"healthchecks":{"active":{"headers":{"a b":["x"]}}}}`,
		},
		more: map[string][]string{
			"rewrite": {
				"POST /upstreams\n" + `{"name":"a","hash_on":"ip","algorithm":"round-robin"}`, "PATCH /upstreams/a\n" + `{"algorithm":"latency"}`,
				"PATCH /upstreams/a\n" + `{"hash_on":"path"}`, "PATCH /upstreams/a\n" + `{"hash_on":null}`, "PATCH /upstreams/a\n" + `{"hash_on":"none"}`,
			},
			"nested": {
				"POST /upstreams\n" + `{"name":"a","client_certificate":{"id":"` + certificateID + `"}}`, "GET /upstreams/a/client_certificate",
				"POST /upstreams/a/targets\n" + `{"target":"h"}`, "DELETE /upstreams/a", "GET /upstreams/a/targets",
			},
			"patch_deep": {
				"POST /upstreams\n" + `{"name":"a.internal","healthchecks":{"active":{"healthy":{"interval":5,"successes":2}}}}`,
				"PATCH /upstreams/a.internal\n" + `{"healthchecks":{"active":{"healthy":{"successes":3}}}}`, "PATCH /upstreams/a.internal\n" + `{"healthchecks":{"active":{"healthy":null}}}`,
				"PUT /upstreams/a.internal\n{}",
			},
		},
	},
	{
		kind:  "targets",
		path:  "/upstreams/parent.internal/targets",
		setup: []string{"POST /upstreams\n" + `{"id":"` + upstreamID + `","name":"parent.internal"}`},
		least: `{"target":"example.com"}`,
		full:  `{"target":"10.0.0.1:80","weight":5,"tags":["a"],"upstream":{"id":"` + upstreamID + `"}}`,
		form:  "target=10.0.0.1%3A80&weight=5&tags=a",
		other: `{"target":"[::1]:443"}`,
		key:   "10.0.0.1:80",
		// The path says which upstream it is.
		fixed:  []string{"upstream"},
		listed: true,
		more: map[string][]string{
			"put_key": {
				"PUT /upstreams/parent.internal/targets/10.0.0.1:80\n{}", "POST /upstreams/parent.internal/targets\n" + `{"target":"10.0.0.1:80"}`,
				"PUT /upstreams/parent.internal/targets/10.0.0.1:80\n" + `{"weight":7}`, "PUT /upstreams/parent.internal/targets/10.0.0.1:80\nweight=8",
				"DELETE /upstreams/parent.internal/targets/10.0.0.1:80", "GET /upstreams/parent.internal/targets/10.0.0.1:80",
			},
			"tags": {
				"POST /upstreams/parent.internal/targets\n" + `{"id":"11111111-1111-4111-8111-111111111111","target":"a.com","tags":["red","blue"]}`,
				"POST /upstreams/parent.internal/targets\n" + `{"id":"22222222-2222-4222-8222-222222222222","target":"b.com","tags":["red"]}`,
				"# nested lists have no filter\nGET /upstreams/parent.internal/targets?tags=blue", "GET /upstreams/parent.internal/targets/all?tags=blue", "GET /tags/red", "GET /tags/blue",
			},
			"no_path":   {"GET /targets", "POST /targets\n{}", "OPTIONS /targets", "GET /targets/" + missingID, "GET /targets/" + missingID + "/upstream"},
			"duplicate": {"POST /upstreams/parent.internal/targets\n" + `{"target":"h"}`, "POST /upstreams/parent.internal/targets\n" + `{"target":"h:8000"}`, "POST /upstreams/parent.internal/targets\n" + `{"target":"h:8001"}`},
			"bad":       {"POST /upstreams/parent.internal/targets\n" + `{"target":"a b","weight":-1}`, "POST /upstreams/nothing/targets\n{}"},
			"forms_of_target": {
				"POST /upstreams/parent.internal/targets\ntarget=::1", "POST /upstreams/parent.internal/targets\ntarget=[::1]:80", "POST /upstreams/parent.internal/targets\ntarget=10.0.0.1",
			},
			"cascade":          {"POST /upstreams/parent.internal/targets\ntarget=10.0.0.1", "DELETE /upstreams/parent.internal", "GET /upstreams/parent.internal/targets"},
			"upstream_in_body": {"POST /upstreams/parent.internal/targets\n" + `{"target":"10.0.0.1","upstream":{"id":"` + missingID + `"}}`},
			"foreign_parent": {
				"POST /upstreams\nname=b.internal", "POST /upstreams/b.internal/targets\n" + `{"id":"` + missingID + `","target":"10.0.0.1"}`,
				"GET /upstreams/parent.internal/targets/" + missingID, "DELETE /upstreams/parent.internal/targets/" + missingID,
			},
		},
		broken: map[string]string{
			"target_port": `{"target":"a.com:99999"}`,
		},
	},
	{
		kind:  "snis",
		setup: []string{"POST /certificates\n" + certificateBody(certificateID)},
		least: `{"name":"a.example.com","certificate":{"id":"` + certificateID + `"}}`,
		full:  `{"name":"pay.example.com","certificate":{"id":"` + certificateID + `"},"tags":["a"]}`,
		form:  "name=pay.example.com&certificate.id=" + certificateID + "&tags=a",
		other: `{"name":"*.other.com","certificate":{"id":"` + certificateID + `"}}`,
		key:   "pay.example.com",
		more: map[string][]string{
			"no_path": {"POST /snis\n" + `{"name":"a.com","certificate":{"id":"` + certificateID + `"}}`, "GET /snis/a.com/certificate", "OPTIONS /snis/a.com/certificate"},
			"nested":  {"POST /certificates/" + certificateID + "/snis\nname=a.com", "GET /certificates/" + certificateID + "/snis/a.com", "DELETE /certificates/" + certificateID, "GET /snis"},
			"everywhere": {
				"POST /workspaces\nname=team", "POST /team/certificates\n" + certificateBody(missingID), "POST /snis\n" + `{"name":"a.com","certificate":{"id":"` + certificateID + `"}}`,
				"POST /team/snis\n" + `{"name":"a.com","certificate":{"id":"` + missingID + `"}}`, "GET /team/snis/a.com", "POST /team/snis\n" + `{"name":"b.com","certificate":{"id":"` + certificateID + `"}}`,
			},
			"cascade": {"POST /snis\n" + `{"name":"a.com","certificate":{"id":"` + certificateID + `"}}`, "DELETE /certificates/" + certificateID, "GET /snis"},
		},
		broken: map[string]string{
			"no_certificate": `{"certificate":"(absent)"}`,
		},
	},
	{
		kind:  "ca_certificates",
		least: `{"cert":` + quoted(certificateCA) + `}`,
		full:  `{"cert":` + quoted(certificateCA) + `,"tags":["a"]}`,
		form:  url.Values{"cert": {certificateCA}, "tags": {"a"}}.Encode(),
		other: `{"cert":` + quoted(pemText("ca2.crt")) + `}`,
		fixed: []string{"cert_digest"},
		broken: map[string]string{
			"two":     `{"cert":` + quoted(certificateCA+certificateCA) + `}`,
			"expired": `{"cert":` + quoted(pemText("expired.crt")) + `}`,
			"leaf":    `{"cert":` + quoted(pemText("leaf.crt")) + `}`,
		},
		more: map[string][]string{
			"duplicate_cert_digest": {"POST /ca_certificates\n" + `{"cert":` + quoted(certificateCA) + `}`, "POST /ca_certificates\n" + `{"cert":` + quoted("\n"+certificateCA) + `,"cert_digest":"0"}`},
			"in_use": {
				"POST /ca_certificates\n" + `{"id":"` + caID + `","cert":` + quoted(pemText("ca.crt")) + `}`,
				"POST /services\n" + `{"id":"` + serviceID + `","url":"https://a.com","ca_certificates":["` + caID + `"]}`, "DELETE /ca_certificates/" + caID,
				"DELETE /services/" + serviceID, "DELETE /ca_certificates/" + caID,
			},
			"digest_sent": {"POST /ca_certificates\n" + `{"cert":` + quoted(pemText("ca.crt")) + `,"cert_digest":"mine"}`},
		},
	},
	{
		kind:    "vaults",
		least:   `{"name":"env","prefix":"my-env"}`,
		full:    `{"name":"env","prefix":"pay","description":"of the app","config":{"prefix":"APP_"},"tags":["a"]}`,
		form:    "name=env&prefix=pay&description=of+the+app&config.prefix=APP_&tags=a",
		other:   `{"name":"env","prefix":"other"}`,
		key:     "pay",
		decides: "name",
		broken: map[string]string{
			"prefix_of_type":  `{"prefix":"env"}`,
			"prefix_short":    `{"prefix":"a"}`,
			"not_installed":   `{"name":"hcv"}`,
			"config_prefix":   `{"config":{"prefix":"1A"}}`,
			"config_unknown":  `{"config":{"nonsense":1}}`,
			"config_no_table": `{"config":[]}`,
			"prefix_upper":    `{"prefix":"Abc"}`,
			"config_no_json":  `{"config":"x"}`,
		},
		more: map[string][]string{
			"everywhere": {"POST /workspaces\nname=team", "POST /vaults\n" + `{"prefix":"pay","name":"env"}`, "POST /team/vaults\n" + `{"prefix":"pay","name":"env"}`, "GET /team/vaults/pay"},
		},
	},
	{
		kind:    "partials",
		least:   `{"type":"redis-ce"}`,
		full:    `{"name":"pay","type":"redis-ce","config":{"host":"h","port":6380,"timeout":100,"username":"u","password":"{vault://env/pw}","database":1,"ssl":true,"ssl_verify":true,"server_name":"h.com"},"tags":["a"]}`,
		form:    "name=pay&type=redis-ce&config.host=h&config.port=6380&config.timeout=100&config.username=u&config.password=%7Bvault://env/pw%7D&config.database=1&config.ssl=true&config.ssl_verify=true&config.server_name=h.com&tags=a",
		other:   `{"name":"other","type":"redis-ee"}`,
		key:     "pay",
		decides: "type",
		broken: map[string]string{
			"config_unknown":  `{"config":{"nonsense":1}}`,
			"config_port":     `{"config":{"port":65536}}`,
			"sentinel_alone":  `{"type":"redis-ee","config":{"sentinel_master":"m"}}`,
			"host_alone":      `{"type":"redis-ee","config":{"port":null}}`,
			"proxied":         `{"type":"redis-ee","config":{"connection_is_proxied":true,"host":null,"port":null,"database":1,"sentinel_master":"m","sentinel_role":"any","sentinel_nodes":[{"host":"h"}]}}`,
			"two_ways_to_one": `{"type":"redis-ee","config":{"sentinel_master":"m","sentinel_role":"any","sentinel_nodes":[{"host":"h"}],"cluster_nodes":[{"ip":"h"}]}}`,
			"type_unknown":    `{"type":"nonsense"}`,
		},
	},
}

var certificateCA = pemText("ca.crt")
