package runtime

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
)

// defaultTimeout stands in for a timeout that a service does not set.
const defaultTimeout = time.Minute

func (b *builder) readServices() map[string]*Service {
	certificates := make(map[string]*entitypb.Certificate, len(b.config.Certificates))
	for _, c := range b.config.Certificates {
		certificates[c.GetId()] = c
	}
	services := make(map[string]*Service, len(b.config.Services))
	for _, s := range b.config.Services {
		services[s.GetId()] = b.service(s, certificates)
	}
	b.rt.carrier = b.service(&entitypb.Service{}, nil)
	return services
}

// service readies the way to a service's upstream. One whose trust cannot be
// settled is broken: it costs its own requests, not the whole configuration.
func (b *builder) service(s *entitypb.Service, certificates map[string]*entitypb.Certificate) *Service {
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
	service.Foreign = b.client(identity, b.Upstream.Certificate)
	certificate := b.Upstream.Certificate
	if id := s.GetClientCertificate().GetId(); id != "" {
		pair, err := clientPair(certificates[id])
		if err != nil {
			return b.broken(service, "client_certificate", fmt.Errorf("certificate %s: %w", id, err))
		}
		certificate, identity.certificate = pair, fingerprint(pair)
	}
	if s.TlsVerify != nil {
		identity.verify = s.GetTlsVerify()
	}
	identity.depth = int(s.GetTlsVerifyDepth())
	if len(s.GetCaCertificates()) > 0 && identity.verify {
		return b.broken(service, "ca_certificates", errors.New("certificate authorities of a service are not available on this node"))
	}
	service.Client = b.client(identity, certificate)
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

// clientPair reads the certificate that a service shows. Its errors hold no part
// of the key.
func clientPair(entity *entitypb.Certificate) (*tls.Certificate, error) {
	if entity == nil {
		return nil, errors.New("it does not exist")
	}
	if strings.HasPrefix(entity.GetCert(), "{vault://") || strings.HasPrefix(entity.GetKey(), "{vault://") {
		return nil, errors.New("vault references are not resolved by this version")
	}
	pair, err := tls.X509KeyPair([]byte(entity.GetCert()), []byte(entity.GetKey()))
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// identity is what tells connection pools apart, together with address and
// server name: requests share a connection only when all of it is equal.
type identity struct {
	verify         bool
	depth          int
	certificate    string // fingerprint of the service's; empty: the node's
	connect, write time.Duration
}

func (b *builder) client(i identity, certificate *tls.Certificate) upstream.Client {
	env := plugin.Env{Name: "upstream", Keeper: b.rt.holder}
	pool, err := plugin.Keep(env, fmt.Sprintf("%+v", i), func() (Pool, error) {
		config := &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: !i.verify, // Kong's default; services and the node turn it on
			RootCAs:            b.Upstream.Roots,
		}
		if certificate != nil {
			config.Certificates = []tls.Certificate{*certificate}
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

func fingerprint(pair *tls.Certificate) string {
	sum := sha256.New()
	for _, der := range pair.Certificate {
		sum.Write(der)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func milliseconds(ms *int32) time.Duration {
	if ms == nil {
		return defaultTimeout
	}
	return time.Duration(*ms) * time.Millisecond
}
