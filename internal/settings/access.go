package settings

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// AdminRoles are the words for what a caller of the Admin API may do, the least
// of them first.
var AdminRoles = []string{"monitor", "read-only", "full"}

// minToken is the least length of an admin token: what is shorter can be guessed
// from its hash, and from the outside.
const minToken = 16

// reservedNames would make an entry of the change log look like one of Gibbon
// itself, or like one of a time when nobody was asked.
var reservedNames = []string{"admin", "ttl"}

var (
	tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	tokenHash = regexp.MustCompile(`^sha256:[0-9a-fA-F]{64}$`)
)

// AdminToken is one who may call the Admin API, known by the SHA-256 of a
// token.
type AdminToken struct {
	Name, Role string
	Hash       [sha256.Size]byte
}

// AsksAdmins reports whether callers of the Admin API must prove who they are.
func (s *Settings) AsksAdmins() bool {
	return s.AdminTokens != "" || s.AdminTokensFile != "" || s.AdminClientCA != ""
}

// AdminTokenList reads the tokens of admin_tokens and admin_tokens_file; it
// reads the file anew. Its errors name an entry by its place and never quote a
// token.
func (s *Settings) AdminTokenList() ([]AdminToken, error) {
	var all []AdminToken
	add := func(where, entry string) error {
		t, err := parseToken(entry)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		for _, other := range all {
			switch {
			case other.Name == t.Name:
				return fmt.Errorf("%s: the name '%s' has a token already", where, t.Name)
			case other.Hash == t.Hash:
				return fmt.Errorf("%s: '%s' and '%s' have the same token", where, other.Name, t.Name)
			}
		}
		all = append(all, t)
		return nil
	}
	entries := splitList(s.AdminTokens.Reveal())
	if s.AdminTokens != "" && len(entries) == 0 {
		return nil, errors.New("admin_tokens has no token in it")
	}
	for i, entry := range entries {
		if err := add(fmt.Sprintf("admin_tokens, entry %d", i+1), entry); err != nil {
			return nil, err
		}
	}
	if s.AdminTokensFile == "" {
		return all, nil
	}
	text, err := os.ReadFile(s.AdminTokensFile)
	if err != nil {
		return nil, fmt.Errorf("admin_tokens_file: %w", err)
	}
	before := len(all)
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := add(fmt.Sprintf("admin_tokens_file: %s, line %d", s.AdminTokensFile, i+1), line); err != nil {
			return nil, err
		}
	}
	if len(all) == before {
		return nil, fmt.Errorf("admin_tokens_file: %s has no token in it", s.AdminTokensFile)
	}
	return all, nil
}

// parseToken reads name:role:token, where the token may be given by its hash.
func parseToken(entry string) (AdminToken, error) {
	name, rest, _ := strings.Cut(entry, ":")
	role, token, ok := strings.Cut(rest, ":")
	t := AdminToken{Name: name, Role: role}
	switch {
	case !ok:
		return t, errors.New("a token is written name:role:token")
	case !tokenName.MatchString(name):
		return t, errors.New("a token's name has letters, digits, '.', '_' and '-', at most 64, and begins with one of the first two")
	case slices.Contains(reservedNames, name):
		return t, fmt.Errorf("the name '%s' is taken: the change log writes it where nobody was asked", name)
	case !slices.Contains(AdminRoles, role):
		// What stands here, and before it, may be a token in the wrong place.
		return t, fmt.Errorf("the role is none of %s", strings.Join(AdminRoles, ", "))
	}
	if tokenHash.MatchString(token) {
		sum, err := hex.DecodeString(strings.TrimPrefix(token, "sha256:"))
		copy(t.Hash[:], sum)
		return t, err
	}
	switch {
	case strings.Contains(token, "{vault://"):
		// Taken for a token, what stands in the settings would open the API.
		return t, errors.New("the token is a vault reference: only admin_tokens as a whole can be one")
	case len(token) < minToken:
		return t, fmt.Errorf("the token is shorter than %d characters; 'openssl rand -hex 32' makes a good one", minToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return t, errors.New("the token has a character that a header cannot carry")
	}
	t.Hash = sha256.Sum256([]byte(token))
	return t, nil
}

// AdminClientAuthorities are the certificates of admin_client_ca; nil when there
// are none.
func (s *Settings) AdminClientAuthorities() (*x509.CertPool, error) {
	if s.AdminClientCA == "" {
		return nil, nil
	}
	text, err := s.AdminClientCA.PEM()
	if err != nil {
		return nil, fmt.Errorf("admin_client_ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("admin_client_ca: there is no certificate in it")
	}
	return pool, nil
}

// AdminClientRoleMap says which common name of a client certificate has which
// role; the name * stands for all that are not listed.
func (s *Settings) AdminClientRoleMap() (map[string]string, error) {
	roles := map[string]string{}
	for _, item := range s.AdminClientRoles {
		i := strings.LastIndexByte(item, ':')
		if i <= 0 {
			return nil, fmt.Errorf("admin_client_roles: '%s' is not of the form name:role", item)
		}
		name, role := item[:i], item[i+1:]
		if !slices.Contains(AdminRoles, role) {
			return nil, fmt.Errorf("admin_client_roles: the role of '%s' is none of %s", name, strings.Join(AdminRoles, ", "))
		}
		if _, twice := roles[name]; twice {
			return nil, fmt.Errorf("admin_client_roles: '%s' is given twice", name)
		}
		roles[name] = role
	}
	return roles, nil
}

// checkAccess judges the settings of this file, and what they mean for
// admin_listen. A node without an Admin API has nothing to protect, but what is
// set must still be right.
func (s *Settings) checkAccess() []string {
	var p []string
	if _, err := s.AdminTokenList(); err != nil {
		p = append(p, err.Error())
	}
	if _, err := s.AdminClientAuthorities(); err != nil {
		p = append(p, err.Error())
	}
	roles, err := s.AdminClientRoleMap()
	switch {
	case err != nil:
		p = append(p, err.Error())
	case (s.AdminClientCA == "") != (len(roles) == 0):
		p = append(p, "admin_client_ca and admin_client_roles must be given together: without a role a certificate opens nothing")
	}
	if s.Role == "data_plane" || len(s.AdminListen.Entries) == 0 {
		return p
	}
	if s.AdminRequireAuth && !s.AsksAdmins() {
		p = append(p, "admin_require_auth = on needs admin_tokens, admin_tokens_file or admin_client_ca, by which callers of the Admin API are known")
	}
	if s.AdminClientCA != "" && !s.AdminListen.AnyTLS() {
		p = append(p, "admin_client_ca needs an address with ssl in admin_listen: certificates are shown over TLS only")
	}
	return p
}

// adminWarnings are what an operator should hear of who reaches the Admin API.
func (s *Settings) adminWarnings() []string {
	if s.Role == "data_plane" {
		return nil
	}
	if s.AdminExposed() {
		return []string{fmt.Sprintf("ANYONE WHO REACHES %s CAN CHANGE THE CONFIGURATION AND READ ITS CREDENTIALS: admin_listen is not on loopback, "+
			"and the Admin API asks nobody who they are. Set admin_tokens or admin_client_ca, or bind it to 127.0.0.1; "+
			"admin_require_auth = on refuses to start like this", strings.Join(s.AdminListen.shown(), ", "))}
	}
	if s.AdminTokens == "" && s.AdminTokensFile == "" {
		return nil
	}
	var clear []string
	for i, a := range s.AdminListen.Entries {
		if !a.SSL && !isLoopback(a.Host) {
			clear = append(clear, s.AdminListen.texts[i])
		}
	}
	if len(clear) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("admin tokens cross the network in the clear at %s: give that address of admin_listen the flag ssl, "+
		"or see to it that only a proxy with TLS reaches it", strings.Join(clear, ", "))}
}
