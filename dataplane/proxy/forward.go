package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
)

// now is a moment; a function of its own so that its uses read alike.
func now() time.Time { return time.Now() }

// holdBody is how much of a request body is read before the upstream is asked
// when the route wants that. A larger body is sent as it comes, which also means
// that it can be sent only once.
const holdBody = 1 << 20

// errReadTimeout is the cause with which a call ends when the upstream was silent
// for too long.
var errReadTimeout = errors.New("the upstream was silent for too long")

// forward asks the upstream. nil means that its answer has come.
func (x *exchange) forward() *answer {
	r := &x.req
	u := &r.Upstream
	// A service's IPv6 address may be written as in a URL.
	u.Host = strings.Trim(u.Host, "[]")
	if u.Host == "" {
		return fail(http.StatusServiceUnavailable, "no Service found with those values")
	}
	if x.route.GRPC {
		// This data plane cannot carry gRPC yet.
		return fail(http.StatusNotImplemented, "")
	}
	if x.route.Route.GetRequestBuffering() && !r.Rewindable() {
		if _, err := r.Body(holdBody); err != nil && !errors.Is(err, plugin.ErrBodyTooLarge) {
			return x.fault(err)
		}
	}
	if x.source != nil && x.source.fault.Load() != nil {
		return x.fault(*x.source.fault.Load())
	}
	x.finishHeaders()
	client := x.service.Client
	if u.Foreign {
		client = x.service.Foreign
	} else if err := x.service.Broken; err != nil {
		x.p.o.Log.Warn("a service cannot be called", "request_id", r.ID, "service", r.Service.GetId(), "error", err)
		return page(http.StatusBadGateway)
	}
	out := upstream.Request{
		Method: r.Method, Scheme: u.Scheme, Host: hostHeader(u), Target: u.Path, Header: r.Header,
	}
	if u.Query != "" || x.bareMark && !u.Foreign {
		out.Target += "?" + u.Query
	}
	out.ServerName = strings.Trim(hostName(out.Host), "[]")
	r.Record.UpstreamURI = out.Target
	// Sent outlives the exchange when the upstream answers early, so it must not
	// reach into it.
	idle, read := x.idle, x.service.Read
	if u.Patience > 0 {
		read = min(read, u.Patience)
	}
	out.Sent = func() { idle.sent(read) }
	return x.try(client, &out)
}

// checkGRPC answers what is no gRPC on a route that takes nothing else.
func (x *exchange) checkGRPC() *answer {
	switch {
	case !x.isGRPC():
		return fail(http.StatusUnsupportedMediaType, "Non-gRPC request matched gRPC route")
	case x.in.ProtoMajor != 2:
		a := fail(http.StatusUpgradeRequired, "Please use HTTP2 protocol")
		a.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"HTTP/2"}}
		return a
	case x.route.GRPCS && x.req.ForwardedScheme != "https":
		// Kong says so with status 200 and gRPC's code for a cancelled call.
		return &answer{Reject: plugin.Reject{
			Status: http.StatusOK, Body: []byte{}, ContentType: "application/grpc",
			Header: http.Header{"Grpc-Status": {"1"}, "Grpc-Message": {"gRPC request matched gRPCs route"}},
		}}
	}
	return nil
}

// finishHeaders adds what is about the connection to the upstream.
func (x *exchange) finishHeaders() {
	r := &x.req
	h := r.Header
	via := x.p.via
	if x.in.ProtoMajor == 2 {
		via = "2" + via[len("1.1"):]
	} else if x.in.ProtoMinor == 0 {
		via = "1.0" + via[len("1.1"):]
	}
	if list := h["Via"]; len(list) > 0 {
		via = joined(list) + ", " + via
	}
	connection := "keep-alive"
	if x.websocket {
		connection = "keep-alive, Upgrade"
		h["Upgrade"] = []string{"websocket"}
	}
	values := []string{via, connection}
	h["Via"], h["Connection"] = values[0:1:1], values[1:2:2]
	if x.trailers {
		h["Te"] = []string{"trailers"}
	}
	if _, has := h["User-Agent"]; !has {
		// Without an entry the transport would send a name of its own.
		h["User-Agent"] = nil
	}
	if n := r.BodyLength(); n >= 0 && n != x.in.ContentLength {
		h["Content-Length"] = []string{strconv.FormatInt(n, 10)}
	}
}

// hostHeader is the Host header that goes upstream.
func hostHeader(u *plugin.Upstream) string {
	if u.HostHeader != "" {
		return u.HostHeader
	}
	standard := 80
	if u.Scheme == "https" {
		standard = 443
	}
	if u.Port == standard {
		if addr, err := netip.ParseAddr(u.Host); err == nil && addr.Is6() {
			return "[" + u.Host + "]"
		}
		return u.Host
	}
	return net.JoinHostPort(u.Host, strconv.Itoa(u.Port))
}

// try sends the request, again and again as far as that is allowed.
func (x *exchange) try(client upstream.Client, out *upstream.Request) *answer {
	r := &x.req
	var tried []netip.AddrPort
	for {
		before := now()
		addr, err := x.p.o.Picker.Pick(r.Context(), r.Upstream.Host, r.Upstream.Port, tried)
		if err != nil {
			return x.noAddress(err)
		}
		if r.Upstream.Outside && plugin.IsMetadata(addr.Addr()) {
			x.p.o.Log.Warn("a request wanted to reach the cloud's metadata; it is refused", "request_id", r.ID, "address", addr.String())
			return fail(http.StatusServiceUnavailable, upstream.ErrNoPeer.Error())
		}
		start := now()
		if r.Record.Dialled.IsZero() {
			r.Record.Dialled = start
		}
		out.Address = addr
		try := plugin.Try{IP: addr.Addr().String(), Port: int(addr.Port()), Start: before, Balancing: start.Sub(before)}
		seen := x.bodySeen()
		rewindable := r.Rewindable()
		answered, cancel, err := x.call(client, out)
		if err == nil {
			try.Status = answered.Status
			r.Record.Tries = append(r.Record.Tries, try)
			return x.answered(answered)
		}
		timeout := errors.Is(context.Cause(x.tryContext), errReadTimeout)
		cancel()
		try.Failed, try.Err, try.Code = true, err, http.StatusBadGateway
		if timeout || isTimeout(err) {
			try.Code = http.StatusGatewayTimeout
		}
		r.Record.Tries = append(r.Record.Tries, try)
		tried = append(tried, addr)
		if a := x.interrupted(err); a != nil {
			return a
		}
		// A body that was not touched can still be sent, wherever it is.
		sendable := rewindable || x.bodySeen() == seen
		if len(tried) > x.service.Retries || !sendable || !mayRepeat(out.Method, err) {
			x.p.o.Log.Warn("an upstream failed", "request_id", r.ID, "address", addr.String(),
				"tries", len(tried), "status", try.Code, "error", err)
			return page(try.Code)
		}
	}
}

// call makes one try. On success the call's context lives as long as the
// exchange; else the caller ends it.
func (x *exchange) call(client upstream.Client, out *upstream.Request) (*upstream.Response, context.CancelFunc, error) {
	r := &x.req
	ctx, cancel := context.WithCancelCause(r.Context())
	x.tryContext = ctx
	x.idle.onAlarm(func() { cancel(errReadTimeout) })
	out.Body, out.Length = r.OpenBody(), r.BodyLength()
	answered, err := client.Do(ctx, out)
	if err != nil {
		x.idle.rest()
		return nil, func() { cancel(nil) }, err
	}
	x.idle.stop()
	x.cancelTry = cancel
	return answered, nil, nil
}

// bodySeen is how much of the client's body was read.
func (x *exchange) bodySeen() int64 {
	if x.source == nil {
		return 0
	}
	return x.source.read.Load()
}

// noAddress answers when there is nothing to dial.
func (x *exchange) noAddress(err error) *answer {
	if a := x.interrupted(err); a != nil {
		return a
	}
	host := x.req.Upstream.Host
	x.p.o.Log.Warn("no address for an upstream", "request_id", x.req.ID, "host", host, "error", err)
	switch {
	case errors.Is(err, upstream.ErrUnknownHost):
		return fail(http.StatusServiceUnavailable, upstream.ErrUnknownHost.Error())
	case errors.Is(err, upstream.ErrNoPeer):
		return fail(http.StatusServiceUnavailable, upstream.ErrNoPeer.Error())
	}
	return fail(http.StatusInternalServerError,
		fmt.Sprintf("failed the initial dns/balancer resolve for '%s' with: %v", host, err))
}

// interrupted answers when a call failed for a reason on this side: the client
// broke its own request, left, or the node stops. nil: it was the upstream.
func (x *exchange) interrupted(err error) *answer {
	if x.source != nil {
		if fault := x.source.fault.Load(); fault != nil {
			return x.fault(*fault)
		}
	}
	if a := x.clientFault(err); a != nil {
		return a
	}
	switch cause := context.Cause(x.req.Context()); {
	case cause == nil:
		return nil
	case errors.Is(cause, errStopping):
		a := page(http.StatusServiceUnavailable)
		a.close = true
		return a
	}
	return gone()
}

// fault is the answer to an error of the client's body.
func (x *exchange) fault(err error) *answer {
	if a := x.clientFault(err); a != nil {
		if a.Status == statusClientGone {
			return gone()
		}
		return a
	}
	if x.req.Context().Err() != nil {
		return gone()
	}
	a := page(http.StatusBadRequest)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		a = page(http.StatusRequestTimeout)
	}
	a.close = true
	return a
}

// mayRepeat says whether a failed try may be followed by another: always when
// nothing was sent, else only when sending twice does no harm.
func mayRepeat(method string, err error) bool {
	var connect *upstream.ConnectError
	if errors.As(err, &connect) {
		return true
	}
	switch method {
	case http.MethodPost, http.MethodPatch, "LOCK":
		return false
	}
	return true
}

func isTimeout(err error) bool {
	var connect *upstream.ConnectError
	if errors.As(err, &connect) {
		return connect.Timeout
	}
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// answered takes over an upstream's answer.
func (x *exchange) answered(in *upstream.Response) *answer {
	r := &x.req
	r.Record.Answered = now()
	if in.Status == http.StatusSwitchingProtocols {
		return x.tunnel(in)
	}
	takeHopAnswer(in.Header)
	r.Response = plugin.Response{Status: in.Status, Header: in.Header, FromUpstream: true}
	x.body, x.length = in.Body, in.Length
	if x.noBody() {
		x.closeBody()
		x.body, x.length = io.NopCloser(http.NoBody), 0
	}
	return nil
}

// noBody says that the answer has no body by HTTP's rules.
func (x *exchange) noBody() bool {
	status := x.req.Response.Status
	return x.req.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified ||
		status/100 == 1
}
