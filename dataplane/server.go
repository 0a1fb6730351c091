package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/listener"
	"github.com/gibbon-gateway/gibbon/internal/pki"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

// server is an HTTP server with its listeners and their certificates.
type server struct {
	name         string // of the certificate that is made when there is none
	http         *http.Server
	gate         *listener.Gate
	accepted     atomic.Uint64
	listeners    []*listener.Listener
	certificates pki.Certificates
	files        func(*settings.Settings) (certs, keys []settings.Material)
	tls          bool
}

// closeTime is how long idle connections have to close by themselves once all
// requests have ended.
const closeTime = 5 * time.Second

func (d *DataPlane) openProxy(ctx context.Context) error {
	s := d.cfg.Settings
	server := &server{
		name: "default",
		gate: listener.NewGate(s.ConnectionsMax, s.ConnectionsPerClient),
		http: listener.Server(listener.Config{
			Handler: d.proxy, Refuse: d.proxy.Refuse, Limits: s.HeadLimits(), Streams: s.HTTP2Streams,
			// Kong's 0 also lets the first request pass.
			Requests: max(s.KeepaliveRequests, 1), Log: d.cfg.Log.Logger,
		}),
		files: func(s *settings.Settings) (certs, keys []settings.Material) { return s.SSLCert, s.SSLCertKey },
	}
	d.servers = append(d.servers, server)
	return server.open(ctx, d.cfg, "proxy_listen", s.ProxyListen)
}

func (d *DataPlane) openStatus(ctx context.Context) error {
	s := d.cfg.Settings
	server := &server{
		name: "status",
		http: listener.Server(listener.Config{Handler: d.statusHandler(), Limits: s.HeadLimits(), Log: d.cfg.Log.Logger}),
		files: func(s *settings.Settings) (certs, keys []settings.Material) {
			return s.StatusSSLCert, s.StatusSSLCertKey
		},
	}
	d.servers = append(d.servers, server)
	return server.open(ctx, d.cfg, "status_listen", s.StatusListen)
}

func (s *server) open(ctx context.Context, cfg Config, key string, at settings.Listeners) error {
	next := s.http.ConnContext
	s.http.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		s.accepted.Add(1)
		return next(ctx, c)
	}
	s.tls = at.AnyTLS()
	if err := s.load(cfg.Settings); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	options := listener.Options{Limits: cfg.Settings.HeadLimits(), Gate: s.gate, Log: cfg.Log.Logger}
	if s.tls {
		options.TLS = s.certificates.TLS(cfg.Settings.SSLCipherSuite)
	}
	var err error
	if s.listeners, err = listener.Open(ctx, at.Entries, options); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// load reads the certificates. Without one of the operator's a self-signed one
// is made in the prefix.
func (s *server) load(from *settings.Settings) error {
	if !s.tls {
		return nil
	}
	certs, keys := s.files(from)
	if len(certs) == 0 {
		cert, key, err := pki.DefaultPair(from.Prefix, s.name)
		if err != nil {
			return err
		}
		certs, keys = []settings.Material{settings.Material(cert)}, []settings.Material{settings.Material(key)}
	}
	return s.certificates.Load(texts(certs), texts(keys))
}

func texts(list []settings.Material) []string {
	out := make([]string, len(list))
	for i, m := range list {
		out[i] = string(m)
	}
	return out
}

// serve begins to serve, in goroutines that running waits for.
func (s *server) serve(running *sync.WaitGroup, fail func(error)) {
	for _, l := range s.listeners {
		running.Go(func() {
			if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				fail(fmt.Errorf("serve %s: %w", l.Addr(), err))
			}
		})
	}
}

// stop takes in no more connections and waits for those that are open, closeTime
// at most.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return s.shutdown(ctx)
}

// stopWhen takes in no more connections and waits for those that are open, at
// most closeTime longer than it takes done to close.
func (s *server) stopWhen(done <-chan struct{}) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-done:
		case <-ended:
			return
		}
		timer := time.NewTimer(closeTime)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-ended:
		}
	}()
	return s.shutdown(ctx)
}

func (s *server) shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		// Connections on which no request ever came, or none any more.
		err = s.http.Close()
	}
	return err
}

// close closes what is still open.
func (s *server) close() error {
	errs := []error{s.http.Close()}
	for _, l := range s.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// urls are where the server is reached.
func (s *server) urls() []string {
	var urls []string
	for _, l := range s.listeners {
		scheme := "http://"
		if l.Entry().SSL {
			scheme = "https://"
		}
		urls = append(urls, scheme+l.Addr().String())
	}
	return urls
}
