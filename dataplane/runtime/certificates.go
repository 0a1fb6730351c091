package runtime

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// pairs are the certificates of one entity with their keys: one, or two with keys
// of different types, that on an elliptic curve first since it costs less.
type pairs []*tls.Certificate

// material is a certificate entity that something uses.
type material struct {
	pairs pairs
	err   error
}

// certificate reads a certificate entity, once. What is written in the entity
// itself was checked when it was written, so that what cannot be read is a problem
// of the configuration. Where a reference leads is the node's matter: it costs what
// needs the certificate.
func (b *builder) certificate(id string) (pairs, error) {
	if m, ok := b.materials[id]; ok {
		return m.pairs, m.err
	}
	var m material
	if entity := b.certificates[id]; entity == nil {
		m.err = errors.New("it does not exist")
	} else {
		own := proto.CloneOf(entity)
		referring := b.resolve(own, "certificates", id, "")
		if m.pairs, m.err = b.pairsOf(own); m.err != nil && !referring {
			b.problems.add(Problem{Kind: "certificates", ID: id, Field: "cert", Message: m.err.Error()})
		}
	}
	b.materials[id] = m
	return m.pairs, m.err
}

// pairsOf reads what an entity holds, unless the configuration in force has read
// it: keys take long to check, and most are the same in the next configuration.
func (b *builder) pairsOf(entity *entitypb.Certificate) (pairs, error) {
	sum := sha256.New()
	for _, text := range []string{entity.GetCert(), entity.GetKey(), entity.GetCertAlt(), entity.GetKeyAlt()} {
		fmt.Fprintf(sum, "%d %s", len(text), text)
	}
	env := plugin.Env{Name: "certificate", Keeper: b.rt.holder}
	return plugin.Keep(env, hex.EncodeToString(sum.Sum(nil)), func() (pairs, error) { return readPairs(entity) })
}

// Close makes pairs something that can be kept. There is nothing to close.
func (pairs) Close() error { return nil }

// readPairs reads what an entity holds. Its errors hold no part of a key.
func readPairs(entity *entitypb.Certificate) (pairs, error) {
	first, err := tls.X509KeyPair([]byte(entity.GetCert()), []byte(entity.GetKey()))
	if err != nil {
		return nil, err
	}
	all := pairs{&first}
	if entity.GetCertAlt() != "" {
		second, err := tls.X509KeyPair([]byte(entity.GetCertAlt()), []byte(entity.GetKeyAlt()))
		if err != nil {
			return nil, fmt.Errorf("cert_alt: %w", err)
		}
		all = append(all, &second)
		slices.SortStableFunc(all, func(a, b *tls.Certificate) int { return cost(a) - cost(b) })
	}
	return all, nil
}

// cost is what a handshake with a pair costs, next to others.
func cost(pair *tls.Certificate) int {
	if _, ok := pair.PrivateKey.(*ecdsa.PrivateKey); ok {
		return 0
	}
	return 1
}

// serve is the pair to show to a client: one that it can use, if there is one. The
// name that the client asked for has been looked up, and is not compared with the
// names in the certificate.
func (p pairs) serve(hello *tls.ClientHelloInfo) *tls.Certificate {
	ask := *hello
	ask.ServerName = ""
	for _, pair := range p {
		if ask.SupportsCertificate(pair) == nil {
			return pair
		}
	}
	return p[0]
}

// show is the pair to show to an upstream that asks for one. As in Kong it is
// shown whichever authorities the upstream says that it trusts.
func (p pairs) show(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	ask := *asked
	ask.AcceptableCAs = nil
	for _, pair := range p {
		if ask.SupportsCertificate(pair) == nil {
			return pair, nil
		}
	}
	return p[0], nil
}

// fingerprint tells the pairs from all others.
func (p pairs) fingerprint() string {
	sum := sha256.New()
	for _, pair := range p {
		for _, der := range pair.Certificate {
			sum.Write(der)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// readNames readies the certificates that are shown to clients by server name.
func (b *builder) readNames() {
	b.rt.names = make(map[string]pairs, len(b.config.SNIs))
	for _, sni := range b.config.SNIs {
		p, err := b.certificate(sni.GetCertificate().GetId())
		if err != nil {
			b.Log.Warn("a server name has no certificate; the node's default is shown", "sni", sni.GetName(),
				"sni_id", sni.GetId(), "certificate_id", sni.GetCertificate().GetId(), "error", err)
			continue
		}
		b.rt.names[strings.ToLower(strings.TrimSuffix(sni.GetName(), "."))] = p
	}
}

// Certificate is the certificate for a client's server name: that of the name
// itself, else that of a name whose first label is an asterisk, else one whose last
// label is. It is nil when none is configured.
func (rt *Runtime) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := strings.ToLower(hello.ServerName)
	if len(rt.names) == 0 || name == "" {
		return nil
	}
	candidates := [3]string{name}
	if i := strings.IndexByte(name, '.'); i >= 0 {
		candidates[1] = "*" + name[i:]
		candidates[2] = name[:strings.LastIndexByte(name, '.')] + ".*"
	}
	for _, candidate := range candidates {
		if p, ok := rt.names[candidate]; ok {
			return p.serve(hello)
		}
	}
	return nil
}

// authorities is what a service trusts: the certificate authorities with these
// ids, and what tells them from others.
func (b *builder) authorities(ids []string) (pool *x509.CertPool, fingerprint string, err error) {
	pool = x509.NewCertPool()
	sum := sha256.New()
	for _, id := range slices.Sorted(slices.Values(ids)) {
		entity, ok := b.roots[id]
		if !ok {
			return nil, "", fmt.Errorf("certificate authority %s does not exist", id)
		}
		if !pool.AppendCertsFromPEM([]byte(entity.GetCert())) {
			return nil, "", fmt.Errorf("certificate authority %s cannot be read", id)
		}
		sum.Write([]byte(entity.GetCert()))
	}
	return pool, hex.EncodeToString(sum.Sum(nil)), nil
}
