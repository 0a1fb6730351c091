package settings

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// Settings are needed before any vault is configured, so a reference in them
// can only lead into the environment.

// isRefText reports whether text is one vault reference.
func isRefText(text string) bool {
	return strings.HasPrefix(text, "{vault://") && strings.HasSuffix(text, "}")
}

// resolve replaces vault references by what they lead to. A list may hold a
// reference as an item.
func (l *loader) resolve(d *Descriptor, text string) (value string, isRef bool, err error) {
	if isRefText(text) && strings.Count(text, "{vault://") == 1 {
		value, err = l.lookUp(text)
		return value, true, err
	}
	if d.kind != listKind && d.kind != materialsKind {
		return text, false, nil
	}
	items := strings.Split(text, ",")
	for i, item := range items {
		item = strings.TrimSpace(item)
		if isRefText(item) {
			isRef = true
			if items[i], err = l.lookUp(item); err != nil {
				return "", true, err
			}
		}
	}
	return strings.Join(items, ","), isRef, nil
}

// lookUp resolves one reference: {vault://env/<resource>[/<key>][?prefix=<p>][#<version>]}.
func (l *loader) lookUp(ref string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.TrimPrefix(ref, "{"), "}"))
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("not a reference [%s]", ref)
	}
	if u.Host != "env" {
		return "", fmt.Errorf("vault '%s' can not be used in settings, only env can", u.Host)
	}
	if u.Path == "" {
		return "", fmt.Errorf("reference url is missing path [%s]", ref)
	}
	resource, key := strings.TrimPrefix(u.Path, "/"), ""
	if strings.HasSuffix(resource, "/") {
		resource = strings.TrimSuffix(resource, "/")
	} else if i := strings.LastIndexByte(resource, '/'); i >= 0 {
		resource, key = resource[:i], resource[i+1:]
	}
	if resource == "" {
		return "", fmt.Errorf("reference url has empty path [%s]", ref)
	}
	prefix := l.set["vault_env_prefix"].text
	if u.Query().Has("prefix") {
		prefix = u.Query().Get("prefix")
	}
	name := strings.ToUpper(strings.ReplaceAll(prefix+resource, "-", "_"))
	switch u.Fragment {
	case "", "1":
	case "2":
		name += "_PREVIOUS"
	default:
		return "", fmt.Errorf("reference url has invalid version [%s]", ref)
	}
	value, ok := l.env[name]
	if !ok || value == "" {
		return "", fmt.Errorf("could not get value from external vault (variable %s is not set)", name)
	}
	if key == "" {
		return value, nil
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(value), &object); err != nil {
		return "", fmt.Errorf("could not get value from external vault (variable %s is not a JSON object)", name)
	}
	switch v := object[key].(type) {
	case string:
		return v, nil
	case nil:
		return "", fmt.Errorf("could not get value from external vault (variable %s has no '%s')", name, key)
	case map[string]any, []any:
		return "", fmt.Errorf("could not get value from external vault ('%s' in variable %s is no plain value)", key, name)
	default:
		return fmt.Sprint(v), nil
	}
}
