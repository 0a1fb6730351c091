package plugin

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxLogArgs is how many arguments of a query the log object shows, as in Kong.
const maxLogArgs = 100

// AppendLog appends the log object of a request that is over, as compact JSON
// without an end of line: what every log plugin sends. Values that are absent are
// left out, and secrets are replaced.
func (r *Request) AppendLog(dst []byte) []byte {
	dst = append(dst, `{"request":`...)
	dst = r.appendRequest(dst)
	if r.Record.UpstreamURI != "" {
		dst = append(dst, `,"upstream_uri":`...)
		dst = AppendString(dst, r.redactTarget(r.Record.UpstreamURI))
	}
	dst = append(dst, `,"upstream_status":"`...)
	for i := range r.Record.Tries {
		try := &r.Record.Tries[i]
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = strconv.AppendInt(dst, int64(max(try.Status, try.Code)), 10)
	}
	dst = append(dst, `","response":{"status":`...)
	dst = strconv.AppendInt(dst, int64(r.Response.Status), 10)
	dst = append(dst, `,"headers":`...)
	dst = r.appendHeaders(dst, r.Response.Header, "")
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendInt(dst, r.Record.BytesOut, 10)
	dst = append(dst, '}')
	dst = r.appendLatencies(dst)
	dst = r.appendTries(dst)
	if r.Credential != nil {
		dst = append(dst, `,"authenticated_entity":{"id":`...)
		dst = AppendString(dst, r.Credential.ID)
		if r.Credential.Consumer != nil {
			dst = append(dst, `,"consumer_id":`...)
			dst = AppendString(dst, r.Credential.Consumer.ID)
		}
		dst = append(dst, '}')
	}
	if r.Consumer != nil {
		dst = appendEntity(dst, "consumer", r.Consumer.JSON)
	}
	dst = appendEntity(dst, "route", r.Record.RouteJSON)
	dst = appendEntity(dst, "service", r.Record.ServiceJSON)
	dst = append(dst, `,"client_ip":`...)
	dst = AppendString(dst, r.ClientIP)
	dst = append(dst, `,"started_at":`...)
	dst = strconv.AppendInt(dst, r.Started.UnixMilli(), 10)
	if r.Response.FromUpstream {
		dst = append(dst, `,"source":"upstream"`...)
	} else {
		dst = append(dst, `,"source":"kong"`...)
	}
	if r.Record.Workspace != "" {
		dst = append(dst, `,"workspace":`...)
		dst = AppendString(dst, r.Record.Workspace)
	}
	if r.Record.WorkspaceName != "" {
		dst = append(dst, `,"workspace_name":`...)
		dst = AppendString(dst, r.Record.WorkspaceName)
	}
	dst = r.Log.AppendJSON(dst)
	return append(dst, '}')
}

func appendEntity(dst []byte, name string, json []byte) []byte {
	if len(json) == 0 {
		return dst
	}
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return append(dst, json...)
}

func (r *Request) appendRequest(dst []byte) []byte {
	target := r.redactTarget(r.Target)
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, r.ID)
	dst = append(dst, `,"uri":`...)
	dst = AppendString(dst, target)
	dst = append(dst, `,"url":`...)
	dst = AppendString(dst, r.url(target))
	dst = append(dst, `,"querystring":`...)
	dst = r.appendQuery(dst)
	dst = append(dst, `,"method":`...)
	dst = AppendString(dst, r.Method)
	dst = append(dst, `,"headers":`...)
	dst = r.appendHeaders(dst, r.Header, r.Host)
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendInt(dst, r.Record.BytesIn, 10)
	if r.TLS != nil {
		dst = append(dst, `,"tls":{"version":`...)
		dst = AppendString(dst, strings.Replace(tls.VersionName(r.TLS.Version), "TLS ", "TLSv", 1))
		dst = append(dst, `,"cipher":`...)
		dst = AppendString(dst, tls.CipherSuiteName(r.TLS.CipherSuite))
		dst = append(dst, `,"client_verify":`...)
		if len(r.TLS.VerifiedChains) > 0 {
			dst = append(dst, `"SUCCESS"}`...)
		} else {
			dst = append(dst, `"NONE"}`...)
		}
	}
	return append(dst, '}')
}

// url is where the request came to: host, port of the listener, raw target.
func (r *Request) url(target string) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
		if strings.IndexByte(host, ':') >= 0 {
			host = "[" + host + "]"
		}
	}
	if !strings.HasPrefix(target, "/") {
		target = "" // the absolute form says it all again
	}
	return r.Scheme + "://" + host + ":" + strconv.Itoa(r.Port) + target
}

// appendQuery writes the arguments by name: a text, an array when a name is
// repeated, true for a name without a value.
func (r *Request) appendQuery(dst []byte) []byte {
	if r.Query == "" {
		return append(dst, "{}"...)
	}
	var args []Arg
	for arg := range Args(r.Query) {
		if len(args) == maxLogArgs {
			break
		}
		args = append(args, arg)
	}
	dst = append(dst, '{')
	for i, arg := range args {
		repeated := func(other Arg) bool { return other.Name == arg.Name }
		if slices.ContainsFunc(args[:i], repeated) {
			continue
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, arg.Name)
		dst = append(dst, ':')
		if !slices.ContainsFunc(args[i+1:], repeated) {
			dst = r.appendArg(dst, arg)
			continue
		}
		dst = append(dst, '[')
		dst = r.appendArg(dst, arg)
		for _, other := range args[i+1:] {
			if repeated(other) {
				dst = append(dst, ',')
				dst = r.appendArg(dst, other)
			}
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func (r *Request) appendArg(dst []byte, arg Arg) []byte {
	switch {
	case arg.Bare:
		return append(dst, "true"...)
	case r.isSecretArg(arg.Name):
		return append(dst, `"`+redacted+`"`...)
	}
	return AppendString(dst, arg.Value)
}

// appendHeaders writes headers in the order of their names.
func (r *Request) appendHeaders(dst []byte, h http.Header, host string) []byte {
	var space [48]string
	names := space[:0]
	for name, values := range h {
		if len(values) > 0 {
			names = append(names, name)
		}
	}
	if host != "" {
		names = append(names, "Host")
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLower(dst, name)
		dst = append(dst, ':')
		values := h[name]
		switch {
		case name == "Host" && host != "":
			dst = AppendString(dst, host)
		case r.isSecret(name):
			dst = append(dst, `"`+redacted+`"`...)
		case len(values) == 1:
			dst = AppendString(dst, values[0])
		default:
			dst = append(dst, '[')
			for j, value := range values {
				if j > 0 {
					dst = append(dst, ',')
				}
				dst = AppendString(dst, value)
			}
			dst = append(dst, ']')
		}
	}
	return append(dst, '}')
}

// appendLower appends a header's name in lower case as JSON. The listener lets
// only tokens through, but an upstream's and a plugin's names are taken as they
// come.
func appendLower(dst []byte, name string) []byte {
	start := len(dst)
	dst = AppendString(dst, name)
	for i, c := range dst[start:] {
		if 'A' <= c && c <= 'Z' {
			dst[start+i] = c | 0x20
		}
	}
	return dst
}

// appendLatencies writes where the time went, in milliseconds.
func (r *Request) appendLatencies(dst []byte) []byte {
	rec := &r.Record
	whole := rec.Ended.Sub(r.Started)
	kong, proxy, receive := whole, time.Duration(-1), time.Duration(0)
	if !rec.Dialled.IsZero() {
		kong = rec.Dialled.Sub(r.Started)
		proxy = max(0, rec.Answered.Sub(rec.Dialled))
	}
	if !rec.Answered.IsZero() {
		receive = max(0, rec.Ended.Sub(rec.Answered))
	}
	dst = append(dst, `,"latencies":{"request":`...)
	dst = strconv.AppendInt(dst, whole.Milliseconds(), 10)
	dst = append(dst, `,"kong":`...)
	dst = strconv.AppendInt(dst, kong.Milliseconds(), 10)
	dst = append(dst, `,"proxy":`...)
	if proxy < 0 {
		dst = append(dst, "-1"...)
	} else {
		dst = strconv.AppendInt(dst, proxy.Milliseconds(), 10)
	}
	dst = append(dst, `,"receive":`...)
	dst = strconv.AppendInt(dst, receive.Milliseconds(), 10)
	return append(dst, '}')
}

func (r *Request) appendTries(dst []byte) []byte {
	dst = append(dst, `,"tries":[`...)
	for i := range r.Record.Tries {
		try := &r.Record.Tries[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"ip":`...)
		dst = AppendString(dst, try.IP)
		dst = append(dst, `,"port":`...)
		dst = strconv.AppendInt(dst, int64(try.Port), 10)
		dst = append(dst, `,"balancer_start":`...)
		dst = strconv.AppendInt(dst, try.Start.UnixMilli(), 10)
		dst = append(dst, `,"balancer_start_ns":`...)
		dst = strconv.AppendInt(dst, try.Start.UnixNano(), 10)
		dst = append(dst, `,"balancer_latency":`...)
		dst = strconv.AppendInt(dst, try.Balancing.Milliseconds(), 10)
		dst = append(dst, `,"balancer_latency_ns":`...)
		dst = strconv.AppendInt(dst, try.Balancing.Nanoseconds(), 10)
		if try.Failed {
			dst = append(dst, `,"state":"failed","code":`...)
			dst = strconv.AppendInt(dst, int64(try.Code), 10)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
