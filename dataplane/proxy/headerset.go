package proxy

import (
	"fmt"
	"strings"
)

// HeaderSet says which headers of its own the gateway adds to answers.
type HeaderSet uint16

// The headers, one bit each.
const (
	HeaderVia HeaderSet = 1 << iota
	HeaderServer
	HeaderProxyLatency
	HeaderUpstreamLatency
	HeaderResponseLatency
	HeaderUpstreamStatus
	HeaderRequestID
	headersNone // nothing at all: tells "off" from the zero value

	serverTokens  = HeaderVia | HeaderServer
	latencyTokens = HeaderProxyLatency | HeaderUpstreamLatency | HeaderResponseLatency

	// DefaultHeaders is Kong's default.
	DefaultHeaders = serverTokens | latencyTokens | HeaderRequestID
)

// ParseHeaders reads the setting named headers: a list of Kong's words, or off.
func ParseHeaders(words []string) (HeaderSet, error) {
	set := headersNone
	for _, word := range words {
		switch strings.ToLower(strings.TrimSpace(word)) {
		case "off", "":
		case "server_tokens":
			set |= serverTokens
		case "latency_tokens":
			set |= latencyTokens
		case "via":
			set |= HeaderVia
		case "server":
			set |= HeaderServer
		case "x-kong-proxy-latency":
			set |= HeaderProxyLatency
		case "x-kong-upstream-latency":
			set |= HeaderUpstreamLatency
		case "x-kong-response-latency":
			set |= HeaderResponseLatency
		case "x-kong-upstream-status":
			set |= HeaderUpstreamStatus
		case "x-kong-request-id":
			set |= HeaderRequestID
		case "x-kong-admin-latency", "advanced_latency_tokens":
			// Of the Admin API, and of a later Kong.
		default:
			return 0, fmt.Errorf("headers: invalid entry '%s'", word)
		}
	}
	return set, nil
}
