package runtime

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"time"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

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
		problem := Problem{Kind: "services", ID: s.GetId(), Name: s.GetName()}
		service, field, err := b.service(s, certificates)
		if err != nil {
			problem.Field, problem.Message = field, err.Error()
			b.problems.add(problem)
			continue
		}
		services[s.GetId()] = service
	}
	carrier, field, err := b.service(&entitypb.Service{}, nil)
	if err != nil {
		b.problems.add(Problem{Field: field, Message: err.Error()})
	}
	b.rt.carrier = carrier
	return services
}

// service readies the way to a service's upstream; field names the culprit when
// that fails.
func (b *builder) service(s *entitypb.Service, certificates map[string]*entitypb.Certificate) (service *Service, field string, err error) {
	service = &Service{
		Service: s,
		JSON:    render(s),
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
	service.Foreign, err = b.client(identity, b.Upstream.Certificate)
	if err != nil {
		return nil, "host", err
	}
	certificate := b.Upstream.Certificate
	if id := s.GetClientCertificate().GetId(); id != "" {
		entity, ok := certificates[id]
		if !ok {
			return nil, "client_certificate", fmt.Errorf("certificate %s does not exist", id)
		}
		pair, err := tls.X509KeyPair([]byte(entity.GetCert()), []byte(entity.GetKey()))
		if err != nil {
			// The texts of this package hold no part of the key.
			return nil, "client_certificate", fmt.Errorf("certificate %s: %w", id, err)
		}
		certificate, identity.certificate = &pair, fingerprint(pair)
	}
	if s.TlsVerify != nil {
		identity.verify = s.GetTlsVerify()
	}
	identity.depth = int(s.GetTlsVerifyDepth())
	if len(s.GetCaCertificates()) > 0 && identity.verify {
		return nil, "ca_certificates", fmt.Errorf("certificate authorities of a service are not available on this node")
	}
	service.Client, err = b.client(identity, certificate)
	if err != nil {
		return nil, "host", err
	}
	return service, "", nil
}

// identity is what tells connection pools apart, together with address and
// server name: requests share a connection only when all of it is equal.
type identity struct {
	verify         bool
	depth          int
	certificate    string // fingerprint of the service's; empty: the node's
	connect, write time.Duration
}

func (b *builder) client(i identity, certificate *tls.Certificate) (upstream.Client, error) {
	return keep(b, "upstream", fmt.Sprintf("%+v", i), func() (Pool, error) {
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
}

func fingerprint(pair tls.Certificate) string {
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
