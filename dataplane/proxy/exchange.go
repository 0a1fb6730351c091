package proxy

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/router"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/internal/uri"
)

// exchange is one request in progress, from its head to its log phase.
type exchange struct {
	p   *Proxy
	w   http.ResponseWriter
	rc  http.ResponseController
	in  *http.Request
	req plugin.Request

	cancel context.CancelCauseFunc
	idle   *idleTimer
	source *clientBody // nil when the request has no body

	rt      *runtime.Runtime // nil when there is no configuration
	route   *runtime.Route   // nil when no route matched
	service *runtime.Service // the way to the upstream
	chain   *runtime.Chain
	// chosen has the instance that runs for each entry of the chain; nil: none.
	// picked entries are settled, in the order of the access phase.
	chosen []*runtime.Instance
	picked int

	websocket, trailers, trusted, debug bool
	pathTarget                          string // the target's path as received
	// bareMark says that the target ends in a question mark with nothing behind
	// it, which the service gets to see too.
	bareMark bool

	// The try that was answered. Its context ends with the exchange.
	tryContext context.Context
	cancelTry  context.CancelCauseFunc

	// The upstream's answer.
	body   io.ReadCloser // nil when there is none (any more)
	length int64         // of body; -1: unknown
	// unfiltered says that filters must not run (any more).
	unfiltered bool
	renewed    time.Time // when the client last got new time to take what is written

	// Memory that is kept from request to request.
	buf       []byte // for pieces of body
	headLines []byte // for the head of the answer

	// Of the list of active requests, guarded by its lock.
	prev, next  *exchange
	stream, cut bool
}

// pieceSize is how much of an answer is read at once.
const pieceSize = 8 << 10

// begin readies an exchange.
func (p *Proxy) begin(w http.ResponseWriter, in *http.Request) *exchange {
	x := p.pool.Get().(*exchange)
	x.p, x.w, x.in = p, w, in
	x.rc = *http.NewResponseController(w)
	ctx, cancel := context.WithCancelCause(in.Context())
	x.cancel = cancel
	x.idle = newIdleTimer()
	x.length = -1
	x.req.ID = newID()
	x.req.Started = time.Now()
	x.req.SetContext(ctx)
	x.req.Response.Status = http.StatusInternalServerError
	x.rt = p.o.Live.Acquire()
	p.active.add(x)
	return x
}

// end gives back all that the exchange holds.
func (x *exchange) end() {
	x.idle.close()
	// A connection whose call was cancelled is not used again, so the body comes
	// first.
	x.closeBody()
	x.cancel(nil)
	if x.cancelTry != nil {
		x.cancelTry(nil)
	}
	if x.rt != nil {
		x.rt.Release()
	}
	// Who waits for the last request to end wants all of it given back.
	x.p.active.remove(x)
	x.req.Reset()
	clear(x.chosen)
	p := x.p
	*x = exchange{req: x.req, chosen: x.chosen[:0], buf: x.buf, headLines: x.headLines}
	p.pool.Put(x)
}

func (x *exchange) closeBody() {
	if x.body != nil {
		// The connection is not used again unless the body was read to its end,
		// so there is nothing to be learnt from this error.
		_ = x.body.Close()
		x.body = nil
	}
}

// serve carries the request through all phases, or, when it was refused before,
// gives it that answer. It tells whether the answer broke off, so that the client
// must see an unclean end.
func (x *exchange) serve(refused *answer) (broken bool) {
	defer x.log()
	defer func() {
		if cause := recover(); cause != nil {
			broken = x.panicked(cause)
		}
	}()
	x.read()
	answer := refused
	if answer == nil {
		answer = x.find()
	}
	if answer == nil {
		answer = x.access()
	} else {
		x.pickRest()
	}
	if answer == nil {
		answer = x.forward()
	}
	return x.respond(answer)
}

// panicked makes the best of a panic: an error page when nothing was sent, else
// an unclean end.
func (x *exchange) panicked(cause any) (broken bool) {
	x.p.panics.Add(1)
	x.p.o.Log.Error("a request failed with a panic", "request_id", x.req.ID, "panic", cause, "stack", string(debug.Stack()))
	x.closeBody()
	if x.req.Response.Sent {
		x.req.Record.Aborted = true
		return true
	}
	defer func() {
		if again := recover(); again != nil {
			x.p.o.Log.Error("the error page failed with a panic", "request_id", x.req.ID, "panic", again)
			broken = true
		}
	}()
	// The filters may be what failed, so they are not run again.
	x.unfiltered = true
	x.setAnswer(&answer{Reject: plugin.Reject{Status: http.StatusInternalServerError}})
	return x.send()
}

// read takes in the head of the request.
func (x *exchange) read() {
	in, r := x.in, &x.req
	r.Method, r.Proto, r.Host, r.Header, r.TLS = in.Method, in.Proto, in.Host, in.Header, in.TLS
	r.Target = in.RequestURI
	r.Record.BytesIn = int64(len(r.Method)+len(r.Target)+len(r.Proto)+len("  \r\n\r\n")) + headSize(r.Header) +
		int64(len("Host: \r\n")+len(r.Host))
	r.Scheme = "http"
	if in.TLS != nil {
		r.Scheme = "https"
	}
	if local, ok := in.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		r.Port = local.Port
		if mapped, ok := x.p.o.PortMaps[r.Port]; ok {
			r.Port = mapped
		}
	}
	x.readPeer()
	x.websocket, x.trailers = takeHop(r.Header, x.trusted)
	x.readForwarded()
	x.readBody()
	x.debug = r.Header.Get("Kong-Debug") == "1"
	for _, recorder := range x.p.o.Recorders {
		recorder.Begin(r)
	}

	if x.rt != nil {
		r.Record.ConfigVersion = x.rt.Version()
		var workspace *runtime.Workspace
		x.chain, workspace = x.rt.Global()
		r.Record.Workspace, r.Record.WorkspaceName = workspace.ID, workspace.Name
	}
}

// noRoute is Kong's text for a request that no route matches.
const noRoute = "no Route matched with those values"

// find finds the route of the request.
func (x *exchange) find() *answer {
	r := &x.req
	if x.rt == nil {
		// Kong's node without a configuration has no route either. Balancers hear
		// from the status listener that it is not ready, and why.
		return fail(http.StatusNotFound, noRoute)
	}
	if n := x.p.o.MaxRequests; n > 0 {
		if all, _ := x.p.active.count(); all > n {
			x.p.refused.Add(1)
			return fail(http.StatusServiceUnavailable, "")
		}
	}
	path, query, ok := splitTarget(r.Target)
	if !ok {
		return page(http.StatusBadRequest)
	}
	x.pathTarget = path
	x.bareMark = query == "" && strings.HasSuffix(r.Target, "?")
	r.Query = query
	r.Path = uri.Normalize(path)
	if hops(r.Header["Via"]) >= maxHops {
		return fail(http.StatusLoopDetected, "")
	}
	return x.match()
}

// splitTarget takes a request target apart: the path as received and the query.
func splitTarget(target string) (path, query string, ok bool) {
	if !strings.HasPrefix(target, "/") {
		// The absolute form, whose authority net/http has made the Host.
		_, rest, found := strings.Cut(target, "://")
		if !found {
			return "", "", false
		}
		switch i := strings.IndexAny(rest, "/?"); {
		case i < 0:
			target = "/"
		case rest[i] == '?':
			target = "/" + rest[i:]
		default:
			target = rest[i:]
		}
	}
	path, query, _ = strings.Cut(target, "?")
	return path, query, true
}

// hops counts the gateways of our kind that a request has passed.
func hops(via []string) (n int) {
	for _, line := range via {
		n += strings.Count(line, " kong/")
	}
	return n
}

// match finds the route and fills in where the request goes.
func (x *exchange) match() *answer {
	r := &x.req
	query := router.Request{Method: r.Method, Scheme: r.Scheme, Host: r.Host, Port: r.Port, Path: r.Path, Query: r.Query, Header: r.Header}
	if r.TLS != nil {
		query.SNI = r.TLS.ServerName
	}
	if x.rt.LooksAtPeers() {
		query.Source, query.Destination = x.ends()
	}
	found, route, ok := x.rt.Match(&query)
	if !ok {
		return fail(http.StatusNotFound, noRoute)
	}
	x.route, x.chain = route, route.Chain
	r.Route, r.Captures, r.Named, r.Matched = found.Route, found.Captures, found.Named, found.Matched
	r.Record.RouteJSON = route.JSON
	r.Record.Workspace, r.Record.WorkspaceName = route.Workspace.ID, route.Workspace.Name
	if x.p.o.MaxBody > 0 && x.in.ContentLength > x.p.o.MaxBody {
		return page(http.StatusRequestEntityTooLarge)
	}
	if route.HTTPS && r.ForwardedScheme != "https" {
		return x.toHTTPS()
	}
	if route.GRPC {
		if a := x.checkGRPC(); a != nil {
			return a
		}
	}
	x.service = x.rt.Carrier()
	if service := route.Service; service != nil {
		x.service = service
		r.Service, r.Record.ServiceJSON = service.Service, service.JSON
		r.Upstream = plugin.Upstream{
			Scheme: service.Scheme, Host: service.Service.GetHost(), Port: int(service.Service.GetPort()),
		}
		if found.Route.GetPreserveHost() {
			r.Upstream.HostHeader = r.Host
		}
	}
	r.Upstream.Path = uri.Escape(found.UpstreamPath(r.Path))
	r.Upstream.Query = r.Query
	prefix := found.Stripped()
	if prefix == "/" {
		prefix = "" // nothing that the upstream could put before a path
	}
	x.tellUpstream(prefix)
	return nil
}

// ends are where the client is, as far as trusted peers name it, and where it
// connected to. The port of a client that a peer speaks for is not known.
func (x *exchange) ends() (source, destination netip.AddrPort) {
	r := &x.req
	if addr, err := netip.ParseAddr(r.ClientIP); err == nil {
		port := uint16(0)
		if peer, err := netip.ParseAddrPort(x.in.RemoteAddr); err == nil && r.ClientIP == r.PeerIP {
			port = peer.Port()
		}
		source = netip.AddrPortFrom(addr, port)
	}
	if local, ok := x.in.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		destination = netip.AddrPortFrom(local.AddrPort().Addr().Unmap(), uint16(r.Port))
	}
	return source, destination
}

// toHTTPS answers a plain request on a route that takes https only.
func (x *exchange) toHTTPS() *answer {
	status := int(x.route.Route.GetHttpsRedirectStatusCode())
	if status == http.StatusUpgradeRequired || status == 0 {
		a := fail(http.StatusUpgradeRequired, "Please use HTTPS protocol")
		a.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"TLS/1.2, HTTP/1.1"}}
		return a
	}
	target := x.pathTarget
	if _, query, has := strings.Cut(x.req.Target, "?"); has {
		target += "?" + query
	}
	return &answer{Reject: plugin.Reject{
		Status: status,
		Body:   []byte{},
		Header: http.Header{"Location": {"https://" + x.req.ForwardedHost + target}},
	}}
}

// readPeer finds out who is at the other end.
func (x *exchange) readPeer() {
	r := &x.req
	host, _, err := net.SplitHostPort(x.in.RemoteAddr)
	if err != nil {
		host = x.in.RemoteAddr
	}
	r.PeerIP, r.ClientIP = host, host
	x.trusted = x.p.trusts(host)
	if !x.trusted {
		return
	}
	list := joined(r.Header[x.p.realIP])
	for list != "" {
		rest, last, found := cutLast(list)
		last = strings.TrimSpace(last)
		addr, err := netip.ParseAddr(last)
		if err != nil {
			// A port may follow an address.
			withPort, err := netip.ParseAddrPort(last)
			if err != nil {
				return
			}
			addr = withPort.Addr()
		}
		r.ClientIP = addr.Unmap().String()
		if !x.p.o.RealIPRecursive || !found || !x.p.trusts(r.ClientIP) {
			return
		}
		list = rest
	}
}

func cutLast(list string) (before, last string, found bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return "", list, false
	}
	return list[:i], list[i+1:], true
}

func (p *Proxy) trusts(ip string) bool {
	if len(p.o.Trusted) == 0 {
		return false
	}
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	for _, prefix := range p.o.Trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// readForwarded settles how the client's first hop looked.
func (x *exchange) readForwarded() {
	r := &x.req
	r.ForwardedScheme, r.ForwardedPort = r.Scheme, r.Port
	r.ForwardedHost = hostName(r.Host)
	if !x.trusted {
		return
	}
	if v := r.Header.Get("X-Forwarded-Proto"); v != "" {
		r.ForwardedScheme = strings.ToLower(v)
	}
	if v := r.Header.Get("X-Forwarded-Host"); v != "" {
		r.ForwardedHost = hostName(v)
	}
	if port, err := strconv.ParseUint(r.Header.Get("X-Forwarded-Port"), 10, 16); err == nil {
		r.ForwardedPort = int(port)
	}
}

// hostName is a Host header in lower case without its port.
func hostName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.ToLower(host)
}

// tellUpstream sets the headers that tell the upstream about the client.
func (x *exchange) tellUpstream(prefix string) {
	r := &x.req
	h := r.Header
	values := make([]string, 0, 8) // one block of memory for all of them
	set := func(name, value string) {
		values = append(values, value)
		n := len(values)
		h[name] = values[n-1 : n : n]
	}
	keep := func(name, value string) {
		if x.trusted && len(h[name]) > 0 {
			return
		}
		set(name, value)
	}
	set("X-Real-Ip", r.ClientIP)
	if list := h["X-Forwarded-For"]; len(list) > 0 {
		set("X-Forwarded-For", joined(list)+", "+r.PeerIP)
	} else {
		set("X-Forwarded-For", r.ClientIP)
	}
	keep("X-Forwarded-Proto", r.Scheme)
	keep("X-Forwarded-Host", hostName(r.Host))
	keep("X-Forwarded-Port", strconv.Itoa(r.Port))
	keep("X-Forwarded-Path", x.pathTarget)
	if prefix != "" {
		keep("X-Forwarded-Prefix", uri.Escape(prefix))
	}
	if !x.p.o.NoUpstreamID {
		set("X-Kong-Request-Id", r.ID)
	}
}

// newID draws a request id. The source is seeded by the system's randomness and
// cannot be predicted from the ids that it gave.
func newID() string {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	var text [32]byte
	hex.Encode(text[:], raw[:])
	return string(text[:])
}
