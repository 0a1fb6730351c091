package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Config is what connections that may be shared have in common: it says what
// makes two pools the same pool.
type Config struct {
	// Connect bounds dialling and the TLS handshake together, Write one write
	// to the connection. 0 means no bound.
	Connect, Write time.Duration
	// TLS is for https requests; its ServerName comes from the request. Nil: no
	// certificate is verified and none is shown, as is Kong's default.
	TLS *tls.Config
	// VerifyDepth is how many certificates may stand between the server's own and
	// the root, where certificates are verified. 0: any number; less than 0: none.
	VerifyDepth int
	// Idle connections are kept for IdleTime, up to PoolSize for an address.
	// Zero: 60 seconds, 512 connections. A negative PoolSize keeps none.
	IdleTime time.Duration
	PoolSize int
	// MaxRequests is how many requests one connection carries. 0: any number.
	MaxRequests int
	// HeadSize bounds the head of an answer, in bytes. 0: 64 KiB.
	HeadSize int
}

func (c Config) orDefault() Config {
	c.IdleTime = cmp.Or(c.IdleTime, defaultIdleTime)
	c.PoolSize = cmp.Or(c.PoolSize, defaultPoolSize)
	c.HeadSize = cmp.Or(c.HeadSize, maxHead)
	return c
}

// Transport is a Client on net/http's Transport. It speaks HTTP/1.1 and keeps
// its connections. Close it when its last user is gone.
type Transport struct {
	http        *http.Transport
	maxRequests int64 // of one connection; 0: any number
}

const (
	defaultIdleTime = 60 * time.Second
	defaultPoolSize = 512
	// maxHead bounds the head of an answer, in bytes, unless configured.
	maxHead    = 64 << 10
	bufferSize = 8 << 10
	// sessions is how many TLS sessions are kept for resumption.
	sessions = 64
)

// NewTransport makes a client that dials by itself.
func NewTransport(c Config) *Transport {
	c = c.orDefault()
	if c.TLS == nil {
		c.TLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // Kong's default; services turn verification on
	}
	c.TLS = c.TLS.Clone()
	c.TLS.NextProtos = nil
	c.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(sessions)
	if depth := c.VerifyDepth; depth != 0 && !c.TLS.InsecureSkipVerify {
		depth = max(depth, 0)
		c.TLS.VerifyConnection = func(state tls.ConnectionState) error { return checkDepth(state, depth) }
	}
	d := &dialer{config: c}
	t := &http.Transport{
		DialContext:            d.dial,
		DialTLSContext:         d.dialTLS,
		Proxy:                  nil,
		DisableCompression:     true,
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    c.PoolSize,
		IdleConnTimeout:        c.IdleTime,
		MaxResponseHeaderBytes: int64(c.HeadSize),
		WriteBufferSize:        bufferSize,
		ReadBufferSize:         bufferSize,
		DisableKeepAlives:      c.PoolSize < 0,
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	t.Protocols = protocols
	return &Transport{http: t, maxRequests: int64(c.MaxRequests)}
}

// Close closes the idle connections. Those in use close with their request.
func (t *Transport) Close() error {
	t.http.CloseIdleConnections()
	return nil
}

// Do implements Client.
func (t *Transport) Do(ctx context.Context, r *Request) (*Response, error) {
	out := &http.Request{
		Method:        r.Method,
		URL:           target(r),
		Host:          r.Host,
		Header:        r.Header,
		Body:          r.Body,
		ContentLength: r.Length,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
	}
	if r.Body == nil {
		out.ContentLength = 0
	}
	if r.Sent != nil || t.maxRequests > 0 {
		trace := new(httptrace.ClientTrace)
		if r.Sent != nil {
			trace.WroteRequest = func(info httptrace.WroteRequestInfo) {
				if info.Err == nil {
					r.Sent()
				}
			}
		}
		if t.maxRequests > 0 {
			out.Header = make(http.Header, len(r.Header)+1) // count may change it
			maps.Copy(out.Header, r.Header)
			trace.GotConn = func(info httptrace.GotConnInfo) { t.count(info.Conn, out.Header) }
		}
		ctx = httptrace.WithClientTrace(ctx, trace)
	}
	in, err := t.http.RoundTrip(out.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	return &Response{Status: in.StatusCode, Header: in.Header, Body: in.Body, Length: in.ContentLength}, nil
}

// count counts a request of a connection, before anything of it is written. The
// last one asks the server to close, which net/http has no other way to be told
// at this time.
func (t *Transport) count(c net.Conn, h http.Header) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	g, ok := c.(*guarded)
	if ok && g.served.Add(1) >= t.maxRequests && len(h["Upgrade"]) == 0 {
		h["Connection"] = []string{"close"}
	}
}

// target makes a URL whose request line is exactly r.Target. An opaque URL is
// written as it is, except that two slashes at its start would be read as the
// start of a host name.
//
// The host of the URL is never sent; it is what the transport keys its pools by
// and what it dials. For TLS the server's name is part of it, since a connection
// that was made for one name must not serve another.
func target(r *Request) *url.URL {
	path, query, has := strings.Cut(r.Target, "?")
	u := &url.URL{Scheme: r.Scheme, RawQuery: query, ForceQuery: has && query == ""}
	if r.Scheme == "https" {
		u.Host = net.JoinHostPort(r.Address.Addr().String()+nameMark+r.ServerName, strconv.Itoa(int(r.Address.Port())))
	} else {
		u.Host = r.Address.String()
	}
	if strings.HasPrefix(path, "//") {
		if plain, err := url.PathUnescape(path); err == nil {
			u.Path, u.RawPath = plain, path
			return u
		}
	}
	u.Opaque = path
	return u
}

// nameMark stands between the address and the server's name; no address has it.
const nameMark = "_"

// splitName takes apart what target put together.
func splitName(address string) (dial, name string, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", "", err
	}
	ip, name, _ := strings.Cut(host, nameMark)
	if name == "" {
		name = ip
	}
	return net.JoinHostPort(ip, port), name, nil
}

// checkDepth refuses a server all of whose verified chains are too long.
func checkDepth(state tls.ConnectionState, depth int) error {
	for _, chain := range state.VerifiedChains {
		if len(chain)-2 <= depth {
			return nil
		}
	}
	return fmt.Errorf("certificate chain has more than %d intermediates", depth)
}

// dialer opens connections within the time for connecting.
type dialer struct {
	config Config
	net    net.Dialer
}

func (d *dialer) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.config.Connect <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d.config.Connect)
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	conn, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, connectError(ctx, address, err)
	}
	return d.guard(conn), nil
}

func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	address, name, err := splitName(address)
	if err != nil {
		return nil, &ConnectError{Address: address, Err: err}
	}
	conn, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, connectError(ctx, address, err)
	}
	config := d.config.TLS.Clone()
	config.ServerName = name
	secure := tls.Client(d.guard(conn), config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, connectError(ctx, address, err)
	}
	return secure, nil
}

func (d *dialer) guard(conn net.Conn) net.Conn {
	return &guarded{Conn: conn, write: d.config.Write}
}

func connectError(ctx context.Context, address string, err error) error {
	timeout := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(ctx.Err(), context.DeadlineExceeded)
	return &ConnectError{Address: address, Timeout: timeout, Err: err}
}

// guarded bounds each write to a connection, and knows how many requests it has
// carried.
type guarded struct {
	net.Conn
	write  time.Duration // 0: no bound
	served atomic.Int64
}

func (g *guarded) Write(p []byte) (int, error) {
	if g.write <= 0 {
		return g.Conn.Write(p)
	}
	if err := g.Conn.SetWriteDeadline(time.Now().Add(g.write)); err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}
