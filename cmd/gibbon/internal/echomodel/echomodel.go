// Package echomodel is an OpenAI-compatible server that repeats what it is
// told. It stands in for a real model in demos and tests, needs no key and no
// network, and is never part of a data plane.
//
// Every answer is a function of the request alone: the same request gives the
// same bytes, ids and times included. README.md beside this file lists the
// paths, the headers and the rules by which tokens are counted.
//
// The package owns its listener, its handlers and a bounded memory of recent
// requests; flags and signals belong to the command.
package echomodel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// DefaultListen is the address served when Config.Listen is empty.
	DefaultListen = "127.0.0.1:9997"

	// MaxBody is the largest request body read, in bytes. A longer one is
	// answered with 413.
	MaxBody = 32 << 20

	defaultGrace = 5 * time.Second
)

// Config says where to listen and how to misbehave. The zero value is a
// server on DefaultListen that answers at once and has no faults. A request
// can override each of the five behaviours with a header (see README.md).
type Config struct {
	// Listen is a TCP address; empty means DefaultListen.
	Listen string

	// Latency passes before the first byte of an answer.
	Latency time.Duration

	// TokensPerSecond is the pace at which an answer is made. Zero means
	// at once. An answer that is not streamed arrives when its last token
	// would have.
	TokensPerSecond float64

	// Status, from 400 to 599, is answered with an error body instead of
	// any real answer. Zero means none.
	Status int

	// ResetAfter is the number of body bytes after which the connection is
	// reset (TCP RST). Zero resets before the response head is sent; nil
	// means never. An answer shorter than this is not touched.
	ResetAfter *int64

	// StallAfter is the number of body bytes after which nothing more is
	// sent until the client leaves or the server stops. Zero stalls before
	// the response head is sent; nil means never. When both faults name
	// the same byte, the reset wins.
	StallAfter *int64

	// Grace is how long Run lets running answers finish once its context
	// has ended. Zero means five seconds, below zero means not at all.
	Grace time.Duration

	// Logger hears of connections that failed. Nil means silence.
	Logger *slog.Logger
}

// Server is one echo model. Its methods are safe for concurrent use.
type Server struct {
	listener net.Listener
	defaults behaviour
	grace    time.Duration
	log      *slog.Logger
	history  *history

	stopOnce sync.Once
	stopping chan struct{} // closed when Run begins to stop; ends stalls

	// running is held for reading by every request, so that taking it for
	// writing waits for all of them. shut, which it guards, turns away what
	// comes after.
	running sync.RWMutex
	shut    bool
}

// New checks cfg and takes the listening address, so that a port in use is
// reported here and Addr is known at once. The caller must then call Run or
// Close, either of which gives the address back.
func New(cfg Config) (*Server, error) {
	defaults := behaviour{
		latency:         cfg.Latency,
		tokensPerSecond: cfg.TokensPerSecond,
		status:          cfg.Status,
		resetAfter:      cfg.ResetAfter,
		stallAfter:      cfg.StallAfter,
	}
	if err := defaults.check(); err != nil {
		return nil, fmt.Errorf("echo model: %w", err)
	}
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("echo model: listen on %s: %w", cfg.Listen, err)
	}
	return &Server{
		listener: listener,
		defaults: defaults,
		grace:    cfg.Grace,
		log:      cfg.Logger,
		history:  newHistory(historyRequests, historyBytes),
		stopping: make(chan struct{}),
	}, nil
}

// Addr is the address that the server listens on, with the real port when the
// configured one was 0.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives the address back without waiting for anything. It is for a
// Server that is not going to Run; after Run it does nothing.
func (s *Server) Close() error {
	s.stop()
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("echo model: close listener: %w", err)
	}
	return nil
}

func (s *Server) stop() { s.stopOnce.Do(func() { close(s.stopping) }) }

// Run serves until ctx ends, then stops listening, lets running answers
// finish for Config.Grace, cuts those that remain, and returns nil after the
// last handler has returned. It returns an error when serving fails. Run can
// be called once.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	var failed, serveErr error
	served := make(chan struct{})
	go func() {
		defer close(served)
		serveErr = server.Serve(s.listener)
	}()
	select {
	case <-served:
		failed = fmt.Errorf("echo model: serve on %s: %w", s.Addr(), serveErr)
	case <-ctx.Done():
	}

	s.stop()
	// Requests outlive ctx by the grace period. Closing a connection then ends
	// the context of its request, and with that the handler.
	grace, release := context.WithTimeout(context.WithoutCancel(ctx), max(s.grace, 0))
	err := server.Shutdown(grace)
	release()
	if err != nil {
		s.log.Warn("echo model: cutting answers that did not finish in time", "grace", s.grace)
		if err := server.Close(); err != nil && failed == nil {
			failed = fmt.Errorf("echo model: close: %w", err)
		}
	}
	<-served
	s.running.Lock()
	s.shut = true
	s.running.Unlock()
	return failed
}

// sleep waits for d, or less when ctx ends first, and says which.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pace holds an answer to a number of tokens per second. Moments are counted
// from the start of the answer, so that late timers do not add up.
type pace struct {
	start           time.Time
	tokensPerSecond float64
}

// wait returns when the token with this number, counted from 1, is due.
func (p pace) wait(ctx context.Context, token int) error {
	if p.tokensPerSecond == 0 {
		return ctx.Err()
	}
	// A pace near zero would overflow a Duration; a year is as good as never.
	const year = 365 * 24 * time.Hour
	due := time.Duration(math.Min(float64(token)/p.tokensPerSecond*float64(time.Second), float64(year)))
	return sleep(ctx, due-time.Since(p.start))
}
