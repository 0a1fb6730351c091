package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Role is what a caller may do. The zero value may do nothing, and each role may
// do what the ones before it may.
type Role uint8

const (
	// NoRole opens nothing.
	NoRole Role = iota
	// Monitor sees what the node and its data planes are and how they fare, and
	// nothing of the entities.
	Monitor
	// ReadOnly sees everything, credentials included.
	ReadOnly
	// Full may do everything.
	Full
)

var roleWords = []string{"none", "monitor", "read-only", "full"}

// String is the role's word in the settings.
func (r Role) String() string { return roleWords[r] }

// ParseRole returns the role of a word in the settings.
func ParseRole(word string) (Role, error) {
	if i := slices.Index(roleWords, word); i > 0 {
		return Role(i), nil
	}
	return NoRole, errors.New("'" + word + "' is none of the roles " + strings.Join(roleWords[1:], ", "))
}

// Access says whom the API answers. With an empty one that is nobody.
type Access struct {
	// Tokens are known by their hashes.
	Tokens []Token
	// ClientCAs signed the client certificates that are believed. Nil: none is.
	ClientCAs *x509.CertPool
	// ClientRoles are the roles of client certificates, by the name that is in
	// them: the common name, or the first URI or DNS name of one without. The
	// name * stands for all that are not listed.
	ClientRoles map[string]Role
}

// Token is one who proves itself by a token. Roles come from here only, never
// from a request.
type Token struct {
	Name string
	Role Role
	Hash [sha256.Size]byte // SHA-256 of the token
}

// SetAccess changes whom the API answers from now on, requests in progress
// excepted. An API that asks callers who they are never stops doing so.
func (s *Server) SetAccess(a *Access) error {
	if a == nil && s.access.Load() != nil {
		return errors.New("an Admin API that asks callers who they are does so until it is restarted")
	}
	s.access.Store(a)
	return nil
}

// caller is who sends a request.
type caller struct {
	// name is who the change log and the access log name.
	name string
	role Role
}

// nobodyAsked is the name of all callers of an API that asks nobody.
const nobodyAsked = "admin"

type callerKey struct{}

func withCaller(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) (caller, bool) {
	c, ok := ctx.Value(callerKey{}).(caller)
	return c, ok
}

// actorOf is who the change log names for what is done in ctx; "" before it is
// known who that is.
func actorOf(ctx context.Context) string {
	c, _ := callerOf(ctx)
	return c.name
}

// The headers, and so the metadata of gRPC, in which callers prove themselves.
const (
	tokenHeader = "Kong-Admin-Token"
	userHeader  = "Kong-Admin-User"
)

// identify tells who sends a request. It looks at nothing but the connection and
// the three headers; what the caller may do is decided per method, by guard.
func (s *Server) identify(r *http.Request) (caller, error) {
	rules := s.access.Load()
	if rules == nil {
		return caller{nobodyAsked, Full}, nil
	}
	token, given := tokenOf(r.Header)
	if !given {
		return s.identifyCertificate(rules, r)
	}
	user := r.Header.Get(userHeader)
	sources := []string{addressOf(r.RemoteAddr)}
	if user != "" {
		sources = append(sources, nameSource(user))
	}
	var found *Token
	wait, begins := s.logins.try(time.Now(), sources, func() bool {
		found = rules.token(token, user)
		return found != nil
	})
	if begins {
		s.cfg.Log.WarnContext(r.Context(), "bad logins at the Admin API, the next one has to wait", "client", r.RemoteAddr, "wait", wait.String())
	}
	switch {
	case found != nil:
		return caller{found.Name, found.Role}, nil
	case wait > 0 && !begins:
		return caller{}, errTooManyLogins(wait)
	}
	return caller{}, errBadCredentials()
}

// tokenOf finds the token of a request. One that is given twice is given, and
// fits nobody.
func tokenOf(h http.Header) (token string, given bool) {
	values := h.Values(tokenHeader)
	if len(values) == 0 {
		for _, v := range h.Values("Authorization") {
			if scheme, rest, _ := strings.Cut(v, " "); strings.EqualFold(scheme, "Bearer") {
				values = append(values, strings.TrimSpace(rest))
			}
		}
	}
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	switch len(values) {
	case 0:
		return "", false
	case 1:
		return values[0], true
	}
	return "", true
}

// token finds whose token this is, in a time that does not tell how much of a
// wrong one is right. A caller who says a name must have the token of that name.
func (a *Access) token(token, user string) *Token {
	hash := sha256.Sum256([]byte(token))
	var found *Token
	for i := range a.Tokens {
		t := &a.Tokens[i]
		if subtle.ConstantTimeCompare(hash[:], t.Hash[:]) == 1 && (user == "" || user == t.Name) {
			found = t
		}
	}
	return found
}

// identifyCertificate tells who shows a client certificate. It is checked at
// each request, so that one which expires or whose authority is taken away ends
// on connections that are open too.
func (s *Server) identifyCertificate(rules *Access, r *http.Request) (caller, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || rules.ClientCAs == nil {
		return caller{}, errNoCredentials()
	}
	leaf := r.TLS.PeerCertificates[0]
	options := x509.VerifyOptions{
		Roots: rules.ClientCAs, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range r.TLS.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		s.cfg.Log.InfoContext(r.Context(), "client certificate refused", "client", r.RemoteAddr, "error", err)
		return caller{}, errBadCredentials()
	}
	name := nameIn(leaf)
	role, ok := rules.ClientRoles[name]
	if !ok {
		role = rules.ClientRoles["*"]
	}
	return caller{printable(cmp.Or(leaf.Subject.String(), "SAN="+name)), role}, nil
}

// nameIn is the name by which a certificate is listed.
func nameIn(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	}
	return ""
}

// printable keeps what cannot be stored or would break a line out of a name.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
}
