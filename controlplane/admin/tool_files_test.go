package admin_test

import "strings"

// wholeFile has an entity of every kind that tools handle. A reference is
// written as the name of what it means.
func wholeFile() string {
	replace := strings.NewReplacer(
		"$CERT", quoted(certificateRSA), "$KEY", quoted(keyRSA), "$CA", quoted(pemText("ca.crt")),
		"$RSA_PUBLIC", quoted(pemText("rsa.pub")), "$JWK", quoted(`{"kty":"EC","crv":"P-256","kid":"k1",`+ecPoint+`}`),
	)
	return replace.Replace(`{
	"certificates": [{"id": "c0000000-0000-4000-8000-000000000001", "cert": $CERT, "key": $KEY}],
	"ca_certificates": [{"id": "c0000000-0000-4000-8000-000000000002", "cert": $CA}],
	"consumers": [{"username": "alice", "custom_id": "a-1"}, {"username": "bob"}],
	"vaults": [{"prefix": "my-env", "name": "env", "config": {"prefix": "GIBBON_"}}],
	"key_sets": [{"name": "set"}],
	"consumer_groups": [{"name": "gold"}, {"name": "empty"}],
	"snis": [{"name": "*.example.com", "certificate": "c0000000-0000-4000-8000-000000000001"}],
	"services": [
		{"name": "chat", "host": "127.0.0.1", "port": 9997},
		{"name": "secure", "host": "upstream.internal", "protocol": "https", "port": 443, "path": "/v1", "retries": 2, "client_certificate": "c0000000-0000-4000-8000-000000000001",
		 "tls_verify": true, "tls_verify_depth": 2, "ca_certificates": ["c0000000-0000-4000-8000-000000000002"]}
	],
	"upstreams": [
		{"name": "upstream.internal", "slots": 100, "healthchecks": {"active": {"http_path": "/health", "healthy": {"interval": 5}}}},
		{"name": "hashed.internal", "algorithm": "consistent-hashing", "hash_on": "header", "hash_on_header": "x-user", "hash_fallback": "ip"}
	],
	"keys": [{"name": "key", "kid": "k1", "set": "set", "jwk": $JWK}],
	"keyauth_credentials": [{"consumer": "alice", "key": "alice-key"}],
	"basicauth_credentials": [{"consumer": "alice", "username": "alice", "password": "secret"}],
	"hmacauth_credentials": [{"consumer": "alice", "username": "alice", "secret": "s"}],
	"jwt_secrets": [{"consumer": "alice", "key": "alice-jwt", "secret": "s", "algorithm": "HS256"}, {"consumer": "bob", "key": "bob-jwt", "secret": "t", "algorithm": "RS256", "rsa_public_key": $RSA_PUBLIC}],
	"oauth2_credentials": [{"consumer": "alice", "name": "app", "client_id": "alice-app", "client_secret": "s", "redirect_uris": ["https://example.com/cb"], "client_type": "confidential", "hash_secret": false}],
	"acls": [{"consumer": "alice", "group": "admins"}, {"consumer": "bob", "group": "admins"}],
	"mtls_auth_credentials": [{"consumer": "alice", "subject_name": "alice@example.com", "ca_certificate": "c0000000-0000-4000-8000-000000000002"}],
	"routes": [
		{"name": "chat", "service": "chat", "paths": ["/chat", "~/chat/\\d+$"]},
		{"name": "secure", "service": "secure", "protocols": ["https"], "hosts": ["a.example.com"], "headers": {"x-kind": ["a", "b"]}, "methods": ["POST"], "snis": ["a.example.com"]},
		{"name": "grpc", "service": "chat", "protocols": ["grpc"], "hosts": ["grpc.example.com"], "strip_path": false},
		{"name": "stream", "protocols": ["tcp"], "sources": [{"ip": "10.0.0.0/8", "port": null}]}
	],
	"targets": [
		{"upstream": "upstream.internal", "target": "10.0.0.1:8080", "weight": 10},
		{"upstream": "upstream.internal", "target": "10.0.0.2:8080"},
		{"upstream": "hashed.internal", "target": "10.0.0.1:8080"}
	],
	"plugins": [
		{"instance_name": "chat-ai", "name": "ai-proxy", "route": "chat", "config": {"route_type": "llm/v1/chat", "auth": {"header_name": "Authorization", "header_value": "Bearer x"},
		 "model": {"provider": "openai", "name": "gpt", "options": {"max_tokens": 512, "temperature": 1}}}},
		{"instance_name": "guard", "name": "ai-prompt-guard", "service": "chat", "config": {"deny_patterns": ["secret"]}},
		{"instance_name": "template", "name": "ai-prompt-template", "route": "chat", "config": {"templates": [{"name": "t", "template": "{{x}}"}]}},
		{"instance_name": "decorate", "name": "ai-prompt-decorator", "config": {"prompts": {"prepend": [{"role": "system", "content": "be brief"}]}}},
		{"instance_name": "in", "name": "ai-request-transformer", "route": "chat", "config": {"prompt": "p", "llm": {"route_type": "llm/v1/chat", "model": {"provider": "openai", "name": "gpt"}}}},
		{"instance_name": "keys", "name": "key-auth", "service": "secure"},
		{"instance_name": "log", "name": "file-log", "consumer": "alice", "config": {"path": "/dev/stdout"}},
		{"instance_name": "gold-log", "name": "file-log", "consumer_group": "gold", "protocols": ["http"], "enabled": false, "config": {"path": "/dev/stdout"}}
	]}`)
}

// changedFile is wholeFile after an edit: values changed, set and taken out,
// entities gone, parents moved.
func changedFile() string {
	replace := strings.NewReplacer("$CERT", quoted(certificateECDSA), "$KEY", quoted(keyECDSA))
	return replace.Replace(`{
	"certificates": [{"id": "c0000000-0000-4000-8000-000000000001", "cert": $CERT, "key": $KEY}],
	"consumers": [{"username": "bob", "custom_id": "b-1"}],
	"vaults": [{"prefix": "my-env", "name": "env", "description": "d", "config": {"prefix": "OTHER_"}}],
	"consumer_groups": [{"name": "gold"}],
	"snis": [{"name": "*.example.com", "certificate": "c0000000-0000-4000-8000-000000000001"}, {"name": "b.example.com", "certificate": "c0000000-0000-4000-8000-000000000001"}],
	"services": [{"name": "chat", "host": "127.0.0.1", "port": 9998, "enabled": false}],
	"upstreams": [{"name": "upstream.internal", "healthchecks": {"threshold": 50.5}}],
	"keyauth_credentials": [{"consumer": "bob", "key": "alice-key"}],
	"acls": [{"consumer": "bob", "group": "users"}],
	"routes": [{"name": "chat", "paths": ["/other"]}],
	"targets": [{"upstream": "upstream.internal", "target": "10.0.0.2:8080", "weight": 0}],
	"plugins": [
		{"instance_name": "chat-ai", "name": "ai-proxy", "service": "chat", "config": {"route_type": "llm/v1/completions", "model": {"provider": "openai"}}},
		{"instance_name": "log", "name": "file-log", "consumer": "bob", "config": {"path": "/dev/stderr", "reopen": true}}
	]}`)
}
