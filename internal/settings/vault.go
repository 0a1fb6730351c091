package settings

import (
	"fmt"
	"strings"

	"github.com/gibbon-gateway/gibbon/internal/vault"
)

// Settings are needed before any vault is configured, so a reference in them
// can only lead into the environment.

// resolve replaces vault references by what they lead to. A list may hold a
// reference as an item.
func (l *loader) resolve(d *Descriptor, text string) (value string, isRef bool, err error) {
	if vault.IsReference(text) && strings.Count(text, "{vault://") == 1 {
		value, err = l.lookUp(text)
		return value, true, err
	}
	if d.kind != listKind && d.kind != materialsKind {
		return text, false, nil
	}
	items := strings.Split(text, ",")
	for i, item := range items {
		item = strings.TrimSpace(item)
		if vault.IsReference(item) {
			isRef = true
			if items[i], err = l.lookUp(item); err != nil {
				return "", true, err
			}
		}
	}
	return strings.Join(items, ","), isRef, nil
}

// lookUp resolves one reference.
func (l *loader) lookUp(text string) (string, error) {
	ref, err := vault.Parse(text)
	if err != nil {
		return "", err
	}
	if ref.Vault != vault.Env {
		return "", fmt.Errorf("vault '%s' can not be used in settings, only env can", ref.Vault)
	}
	return ref.FromEnv(l.set["vault_env_prefix"].text, func(name string) (string, bool) {
		value, ok := l.env[name]
		return value, ok
	})
}
