package runtime

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
)

// defaultTimeout stands in for a timeout that a service does not set.
const defaultTimeout = time.Minute

func (b *builder) readServices() map[string]*Service {
	services := make(map[string]*Service, len(b.config.Services))
	for _, s := range b.config.Services {
		services[s.GetId()] = b.service(s)
	}
	b.rt.carrier = b.service(&entitypb.Service{})
	return services
}

// service readies the way to a service's upstream. One whose trust cannot be
// settled is broken: it costs its own requests, not the whole configuration.
func (b *builder) service(s *entitypb.Service) *Service {
	service := &Service{
		Service: s,
		JSON:    render(s, b.tenant(s).workspace),
		Scheme:  "http",
		Read:    milliseconds(s.ReadTimeout),
		Retries: 5,
	}
	if s.Retries != nil {
		service.Retries = int(s.GetRetries())
	}
	switch s.GetProtocol() {
	case "https", "grpcs":
		service.Scheme = "https"
	}
	// A client of the node's defaults serves targets that plugins choose, and the
	// service itself when it asks for nothing else.
	identity := identity{
		verify:  b.Upstream.Verify,
		connect: milliseconds(s.ConnectTimeout),
		write:   milliseconds(s.WriteTimeout),
	}
	var shown pairs
	if b.Upstream.Certificate != nil {
		shown = pairs{b.Upstream.Certificate}
	}
	service.Foreign = b.client(identity, shown, b.Upstream.Roots)
	if id := s.GetClientCertificate().GetId(); id != "" {
		var err error
		if shown, err = b.certificate(id); err != nil {
			return b.broken(service, "client_certificate", fmt.Errorf("certificate %s: %w", id, err))
		}
		identity.certificate = shown.fingerprint()
	}
	if s.TlsVerify != nil {
		identity.verify = s.GetTlsVerify()
	}
	if s.TlsVerifyDepth != nil {
		identity.depth = cmp.Or(int(s.GetTlsVerifyDepth()), -1)
	}
	roots := b.Upstream.Roots
	if ids := s.GetCaCertificates(); len(ids) > 0 && identity.verify {
		var err error
		if roots, identity.roots, err = b.authorities(ids); err != nil {
			return b.broken(service, "ca_certificates", err)
		}
	}
	service.Client = b.client(identity, shown, roots)
	return service
}

// broken marks a service that cannot be called, and says so in the log.
func (b *builder) broken(service *Service, field string, err error) *Service {
	problem := Problem{
		Kind: "services", ID: service.Service.GetId(), Name: service.Service.GetName(), Field: field, Message: err.Error(),
	}
	b.Log.Warn("a service cannot be called; its requests are answered with status 502", "problem", problem.String())
	service.Broken = err
	return service
}

// identity is what tells connection pools apart, together with address and
// server name: requests share a connection only when all of it is equal.
type identity struct {
	verify         bool
	depth          int
	certificate    string // fingerprint of the service's; empty: the node's
	roots          string // fingerprint of what the service trusts; empty: the node's
	connect, write time.Duration
}

func (b *builder) client(i identity, shown pairs, roots *x509.CertPool) upstream.Client {
	env := plugin.Env{Name: "upstream", Keeper: b.rt.holder}
	pool, err := plugin.Keep(env, fmt.Sprintf("%+v", i), func() (Pool, error) {
		config := &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: !i.verify, // Kong's default; services and the node turn it on
			RootCAs:            roots,
		}
		if len(shown) > 0 {
			config.GetClientCertificate = shown.show
		}
		settings := upstream.Config{
			Connect: i.connect, Write: i.write,
			TLS: config, VerifyDepth: i.depth,
			PoolSize: b.Upstream.PoolSize, IdleTime: b.Upstream.IdleTime,
			MaxRequests: b.Upstream.MaxRequests, HeadSize: b.Upstream.HeadSize,
		}
		if b.Upstream.Open != nil {
			return b.Upstream.Open(settings), nil
		}
		return upstream.New(settings), nil
	})
	if err != nil {
		b.problems.add(Problem{Kind: "upstream", Message: err.Error()})
	}
	return pool
}

func milliseconds(ms *int32) time.Duration {
	if ms == nil {
		return defaultTimeout
	}
	return time.Duration(*ms) * time.Millisecond
}
