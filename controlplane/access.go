package controlplane

import (
	"fmt"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

// accessOf is whom the Admin API answers by the settings; nil when they ask
// nobody.
func accessOf(s *settings.Settings) (*admin.Access, error) {
	if !s.AsksAdmins() {
		return nil, nil
	}
	a := &admin.Access{ClientRoles: map[string]admin.Role{}}
	tokens, err := s.AdminTokenList()
	if err != nil {
		return nil, err
	}
	for _, t := range tokens {
		role, err := admin.ParseRole(t.Role)
		if err != nil {
			return nil, fmt.Errorf("admin token of '%s': %w", t.Name, err)
		}
		a.Tokens = append(a.Tokens, admin.Token{Name: t.Name, Role: role, Hash: t.Hash})
	}
	if a.ClientCAs, err = s.AdminClientAuthorities(); err != nil {
		return nil, err
	}
	names, err := s.AdminClientRoleMap()
	if err != nil {
		return nil, err
	}
	for name, word := range names {
		if a.ClientRoles[name], err = admin.ParseRole(word); err != nil {
			return nil, fmt.Errorf("admin_client_roles: '%s': %w", name, err)
		}
	}
	return a, nil
}
