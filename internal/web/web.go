// Package web owns an HTTP server of either plane together with its listeners and
// their certificates: opened from settings, told in URLs, its certificates
// renewed while it serves. What it answers is its handler's business.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/gibbon-gateway/gibbon/internal/listener"
	"github.com/gibbon-gateway/gibbon/internal/pki"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

// Config says what to open. Key, HTTP and Pick are required.
type Config struct {
	// Key is the setting that names the addresses, such as proxy_listen. Errors
	// begin with it.
	Key string
	// Certificate is the name of the self-signed certificate that is made in the
	// prefix where the operator gave none.
	Certificate string
	// HTTP comes from listener.Server.
	HTTP *http.Server
	// Pick finds the addresses and the operator's certificates in the settings.
	Pick func(*settings.Settings) (at settings.Listeners, certs, keys []settings.Material)
	// Choose finds the certificate for a client that has named a server. Nil, or a
	// nil certificate: those of the settings.
	Choose func(*tls.ClientHelloInfo) *tls.Certificate
	// ClientCertificates asks clients for a certificate over TLS. Whether one is
	// shown, and whether to believe it, is for the handler to judge: it finds what
	// was shown in http.Request.TLS.
	ClientCertificates bool
	// HTTP2 turns HTTP/2 on at every address, whatever its flags.
	HTTP2 bool
	// Gate bounds connections; nil means no bound.
	Gate *listener.Gate
	// Log hears of connections that came to nothing. Nil means no log.
	Log *slog.Logger
}

// Server is an HTTP server whose listeners are open.
type Server struct {
	cfg          Config
	listeners    []*listener.Listener
	certificates pki.Certificates
	accepted     atomic.Uint64
}

// Open opens all listeners, or none.
func Open(ctx context.Context, cfg Config, s *settings.Settings) (*Server, error) {
	w := &Server{cfg: cfg}
	next := cfg.HTTP.ConnContext
	cfg.HTTP.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		w.accepted.Add(1)
		if next == nil {
			return ctx
		}
		return next(ctx, c)
	}
	if err := w.load(s); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Key, err)
	}
	at, _, _ := cfg.Pick(s)
	entries := slices.Clone(at.Entries)
	for i := range entries {
		entries[i].HTTP2 = entries[i].HTTP2 || cfg.HTTP2
	}
	secure := w.certificates.TLS(s.SSLCipherSuite)
	if cfg.Choose != nil {
		other := secure.GetCertificate
		secure.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if chosen := cfg.Choose(hello); chosen != nil {
				return chosen, nil
			}
			return other(hello)
		}
	}
	if cfg.ClientCertificates {
		secure.ClientAuth = tls.RequestClientCert
	}
	var err error
	w.listeners, err = listener.Open(ctx, entries, listener.Options{
		TLS:    secure,
		Limits: s.HeadLimits(),
		Gate:   cfg.Gate,
		Log:    cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Key, err)
	}
	return w, nil
}

// load reads the certificates.
func (w *Server) load(s *settings.Settings) error {
	at, certs, keys := w.cfg.Pick(s)
	if !at.AnyTLS() {
		return nil
	}
	if len(certs) > 0 {
		return w.certificates.Load(texts(certs), texts(keys))
	}
	cert, key, err := pki.DefaultPair(s.Prefix, w.cfg.Certificate)
	if err != nil {
		return err
	}
	return w.certificates.Load([]string{cert}, []string{key})
}

func texts(list []settings.Material) []string {
	out := make([]string, len(list))
	for i, m := range list {
		out[i] = string(m)
	}
	return out
}

// Reload takes up renewed certificates; after an error those that were in use
// stay. Addresses are not looked at again.
func (w *Server) Reload(s *settings.Settings) error {
	if err := w.load(s); err != nil {
		return fmt.Errorf("%s: the certificates that were in use stay: %w", w.cfg.Key, err)
	}
	return nil
}

// Serve serves until Shutdown or Close is called. It returns nil then, and the
// error of a listener that failed otherwise.
func (w *Server) Serve() error {
	var group errgroup.Group
	for _, l := range w.listeners {
		group.Go(func() error {
			if err := w.cfg.HTTP.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("%s: serve %s: %w", w.cfg.Key, l.Addr(), err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Shutdown takes in no more connections and waits for those that have a request
// in progress. When ctx ends first it cuts them, and returns ctx's error.
func (w *Server) Shutdown(ctx context.Context) error {
	err := w.cfg.HTTP.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("%s: stop: %w", w.cfg.Key, err), w.cfg.HTTP.Close())
	}
	return err
}

// Close closes all at once, also what never served.
func (w *Server) Close() error {
	errs := []error{w.cfg.HTTP.Close()}
	for _, l := range w.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// URLs are where the server is reached.
func (w *Server) URLs() []string {
	var urls []string
	for _, l := range w.listeners {
		scheme := "http://"
		if l.Entry().SSL {
			scheme = "https://"
		}
		urls = append(urls, scheme+l.Addr().String())
	}
	return urls
}

// Addrs are the addresses that were bound.
func (w *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(w.listeners))
	for i, l := range w.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// Accepted counts the connections that were taken in so far.
func (w *Server) Accepted() uint64 { return w.accepted.Load() }
