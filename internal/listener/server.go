package listener

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Config says what a plane's server does. Handler is required.
type Config struct {
	// Handler sees good requests only: never one that was refused, and never
	// CONNECT or TRACE.
	Handler http.Handler
	// Refuse answers a request that was refused: it writes why.Status and a body
	// of its choice. The request is an empty one, since nothing a refused client
	// sent can be trusted; only its context and addresses are real. The
	// connection closes afterwards. Nil means a line of plain text.
	Refuse func(w http.ResponseWriter, r *http.Request, why Reason)
	// Limits bounds request heads, as in Options. Header lines of HTTP/2 are
	// counted here too.
	Limits Limits
	// Requests is how many requests one connection may carry; with the last one
	// the client is told to open another. 0: any number.
	Requests int
	// Streams is how many requests one HTTP/2 connection may carry at once.
	// 0: 100.
	Streams int
	// Log gets what net/http has to say, at level debug. Nil means no log.
	Log *slog.Logger
}

// Server returns a server for the connections of this package's listeners, with
// timeouts and limits set. It speaks HTTP/1 and HTTP/2; which of them a client
// can reach is decided by the flags of the listener. There is no limit on the
// time for a body or an answer, because a stream may rightly last: handlers set
// deadlines through http.ResponseController. The caller serves it and shuts it
// down.
func Server(c Config) *http.Server {
	if c.Refuse == nil {
		c.Refuse = refusePlain
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Limits = c.Limits.orDefault()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	connContext := ConnContext
	if c.Requests > 0 {
		connContext = func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ConnContext(ctx, conn), countKey{}, new(atomic.Int64))
		}
	}
	return &http.Server{
		Handler:   &guard{c},
		Protocols: protocols,
		// OPTIONS * is a request like any other.
		DisableGeneralOptionsHandler: true,
		ConnContext:                  connContext,
		ReadHeaderTimeout:            c.Limits.Time,
		// As long as nginx keeps an idle client by default.
		IdleTimeout: 75 * time.Second,
		// net/http allows a little more than this, so Conn always decides first.
		MaxHeaderBytes: c.Limits.HeadBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: cmp.Or(c.Streams, 100),
			// A client that takes nothing for so long has gone.
			WriteByteTimeout: 30 * time.Second,
		},
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
}

// countKey is where a connection's context has the number of its requests.
type countKey struct{}

// last tells whether no further request should come over r's connection.
func (g *guard) last(r *http.Request) bool {
	if g.Requests <= 0 {
		return false
	}
	count, ok := r.Context().Value(countKey{}).(*atomic.Int64)
	return ok && count.Add(1) >= int64(g.Requests)
}

type guard struct{ Config }

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if why, ok := Refused(r); ok {
		g.refuse(w, r, why)
		return
	}
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		// After CONNECT a client may take the connection for a tunnel, so no
		// further request is read from it.
		g.refuse(w, r, *whyMethod)
	case r.ProtoMajor > 1 && tooManyLines(r.Header, g.Limits.Lines):
		g.refuse(w, r, *whyLines)
	default:
		if g.last(r) {
			// With HTTP/2 net/http turns this into a GOAWAY.
			w.Header().Set("Connection", "close")
		}
		g.Handler.ServeHTTP(w, r)
		if _, broken := BrokenBody(r); broken {
			closeGently(w)
		}
	}
}

// closeGently makes net/http close the connection after the answer, its own
// side first, so that a client that is still sending can read the answer.
// Going over a limit on the body is the way to say so.
func closeGently(w http.ResponseWriter) {
	body := http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0)
	// The error is the one that is wanted.
	_, _ = body.Read(make([]byte, 1))
}

func (g *guard) refuse(w http.ResponseWriter, r *http.Request, why Reason) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
		closeGently(w)
	}
	empty := (&http.Request{
		Method:     http.MethodGet,
		URL:        &url.URL{Path: "/"},
		RequestURI: "/",
		Proto:      r.Proto,
		ProtoMajor: r.ProtoMajor,
		ProtoMinor: r.ProtoMinor,
		Header:     make(http.Header),
		Body:       http.NoBody,
		RemoteAddr: r.RemoteAddr,
		TLS:        r.TLS,
	}).WithContext(r.Context())
	g.Refuse(w, empty, why)
}

func tooManyLines(h http.Header, limit int) bool {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	return n > limit
}

func refusePlain(w http.ResponseWriter, _ *http.Request, why Reason) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(why.Status)
	// A client that is gone needs no answer.
	_, _ = fmt.Fprintln(w, http.StatusText(why.Status))
}
