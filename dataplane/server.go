package dataplane

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/listener"
	"github.com/gibbon-gateway/gibbon/internal/settings"
	"github.com/gibbon-gateway/gibbon/internal/web"
)

// closeTime is how long idle connections have to close by themselves once all
// requests have ended.
const closeTime = 5 * time.Second

func (d *DataPlane) openProxy(ctx context.Context) (err error) {
	s := d.cfg.Settings
	d.gate = listener.NewGate(s.ConnectionsMax, s.ConnectionsPerClient)
	d.front, err = web.Open(ctx, web.Config{
		Key:         "proxy_listen",
		Certificate: "default",
		HTTP: listener.Server(listener.Config{
			Handler: d.proxy, Refuse: d.proxy.Refuse, Limits: s.HeadLimits(), Streams: s.HTTP2Streams,
			// Kong's 0 also lets the first request pass.
			Requests: max(s.KeepaliveRequests, 1), Log: d.cfg.Log.Logger,
		}),
		Pick: func(s *settings.Settings) (settings.Listeners, []settings.Material, []settings.Material) {
			return s.ProxyListen, s.SSLCert, s.SSLCertKey
		},
		Choose: d.certificate,
		Gate:   d.gate,
		Log:    d.cfg.Log.Logger,
	}, s)
	return err
}

// certificate is what the configuration has for a client's server name. A
// handshake sees the configuration of its moment; connections outlive it.
func (d *DataPlane) certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	rt := d.live.Acquire()
	if rt == nil {
		return nil
	}
	defer rt.Release()
	return rt.Certificate(hello)
}

func (d *DataPlane) openStatus(ctx context.Context) (err error) {
	s := d.cfg.Settings
	d.side, err = web.Open(ctx, web.Config{
		Key:         "status_listen",
		Certificate: "status",
		HTTP:        listener.Server(listener.Config{Handler: d.statusHandler(), Limits: s.HeadLimits(), Log: d.cfg.Log.Logger}),
		Pick: func(s *settings.Settings) (settings.Listeners, []settings.Material, []settings.Material) {
			return s.StatusListen, s.StatusSSLCert, s.StatusSSLCertKey
		},
		Log: d.cfg.Log.Logger,
	}, s)
	return err
}

// servers are those that are open.
func (d *DataPlane) servers() []*web.Server {
	var open []*web.Server
	for _, w := range []*web.Server{d.front, d.side} {
		if w != nil {
			open = append(open, w)
		}
	}
	return open
}

// stop takes in no more connections and waits for those that have a request in
// progress until ctx ends. Those that are left then carry nothing: no request
// ever came on them, or none will any more.
func stop(ctx context.Context, w *web.Server) error {
	err := w.Shutdown(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}
