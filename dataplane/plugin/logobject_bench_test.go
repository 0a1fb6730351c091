package plugin_test

import (
	"net/http"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// The log line of a call of ordinary size, as file-log writes it for each.
func BenchmarkAppendLog(b *testing.B) {
	r := &plugin.Request{
		ID: "0123456789abcdef0123456789abcdef", Method: "POST", Target: "/chat/completions", Host: "gateway.example:8000",
		Scheme: "http", Port: 8000, ClientIP: "10.0.0.1",
		Header: http.Header{
			"Accept-Encoding": {"gzip"}, "Authorization": {"Bearer secret"}, "Connection": {"keep-alive"},
			"Content-Length": {"2048"}, "Content-Type": {"application/json"}, "User-Agent": {"client/1.0"},
			"Via": {"1.1 kong/3.8.1"}, "X-Consumer-Id": {"c5b4c8e4-0000-4000-8000-000000000000"},
			"X-Consumer-Username": {"someone"}, "X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Host": {"gateway.example"},
			"X-Forwarded-Path": {"/chat"}, "X-Forwarded-Port": {"8000"}, "X-Forwarded-Proto": {"http"},
			"X-Kong-Request-Id": {"0123456789abcdef0123456789abcdef"}, "X-Real-Ip": {"10.0.0.1"},
		},
	}
	r.Response.Status, r.Response.FromUpstream = http.StatusOK, true
	r.Response.Header = http.Header{
		"Content-Length": {"2048"}, "Content-Type": {"application/json"}, "Date": {"Mon, 02 Jan 2006 15:04:05 GMT"},
		"Openai-Organization": {"bench"}, "Openai-Processing-Ms": {"12"}, "Openai-Version": {"2020-10-01"},
		"Server": {"provider"}, "Via": {"1.1 kong/3.8.1"}, "X-Kong-Proxy-Latency": {"0"},
		"X-Kong-Request-Id": {"0123456789abcdef0123456789abcdef"}, "X-Kong-Upstream-Latency": {"1"},
		"X-Ratelimit-Limit-Requests": {"10000"}, "X-Ratelimit-Remaining-Requests": {"9999"}, "X-Request-Id": {"req_0123456789"},
	}
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = r.AppendLog(line[:0])
	}
}
