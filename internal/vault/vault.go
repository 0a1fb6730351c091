// Package vault reads references to secrets, such as {vault://env/my-key}, and
// finds what those into the environment lead to. Which other vaults there are is
// for its users to say.
package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// Env is the name of the vault that is the process's environment.
const Env = "env"

const (
	begin = "{vault://"
	end   = "}"
)

// IsReference reports whether a text as a whole claims to be a reference. What is
// wrong with it, if anything, is for Parse to say.
func IsReference(text string) bool {
	return strings.HasPrefix(text, begin) && strings.HasSuffix(text, end) && len(text) > len(begin)+len(end)
}

// Reference is what a reference says.
type Reference struct {
	// Vault is the name of a kind of vault, or the prefix of a configured one.
	Vault string
	// Resource is the path in the vault; Key is a member of the JSON object that
	// lies there, "" for all of it.
	Resource, Key string
	// Options take the place of what the vault's configuration says.
	Options map[string]string
	// Version counts backwards: 1 is the current value, 2 the one before.
	Version int

	text string
}

// String is the text that was parsed.
func (r Reference) String() string { return r.text }

// Parse reads a reference: {vault://<vault>/<resource>[/<key>][?<option>=<value>…][#<version>]}.
// Of several parts of the path the last one is the key, unless a slash follows it.
// The texts of the errors are Kong's.
func Parse(text string) (Reference, error) {
	bad := func(what string) (Reference, error) { return Reference{}, fmt.Errorf("%s [%s]", what, text) }
	if !IsReference(text) {
		return bad("not a reference")
	}
	u, err := url.Parse(text[len("{") : len(text)-len(end)])
	if err != nil || u.Host == "" || u.User != nil || u.Port() != "" || strings.ContainsAny(u.Host, ":[]{}") {
		return bad("not a reference")
	}
	path := u.EscapedPath()
	if path == "" {
		return bad("reference url is missing path")
	}
	r := Reference{Vault: u.Host, Version: 1, text: text}
	resource, key := strings.Trim(path, "/"), ""
	if i := strings.LastIndexByte(resource, '/'); i >= 0 && !strings.HasSuffix(path, "/") {
		resource, key = strings.TrimRight(resource[:i], "/"), resource[i+1:]
	}
	if resource == "" {
		return bad("reference url has empty path")
	}
	if r.Resource, err = url.PathUnescape(resource); err != nil {
		return bad("not a reference")
	}
	if r.Key, err = url.PathUnescape(key); err != nil {
		return bad("not a reference")
	}
	if u.Fragment != "" {
		if r.Version, err = strconv.Atoi(u.Fragment); err != nil || r.Version < 1 {
			return bad("reference url has invalid version")
		}
	}
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("not a reference")
	}
	r.Options = make(map[string]string, len(options))
	for name, values := range options {
		r.Options[name] = values[0]
	}
	return r, nil
}

// Variable is the name of the variable of the environment that a reference means,
// in a vault whose names begin with prefix.
func (r Reference) Variable(prefix string) (string, error) {
	if own, ok := r.Options["prefix"]; ok {
		prefix = own
	}
	name := strings.ToUpper(strings.ReplaceAll(prefix+r.Resource, "-", "_"))
	switch r.Version {
	case 1:
		return name, nil
	case 2:
		return name + "_PREVIOUS", nil
	}
	return "", fmt.Errorf("reference url has invalid version [%s]", r.text)
}

// FromEnv is what a reference leads to in the environment, which lookup reads. A
// variable that is empty is none. The errors hold no part of a value.
func (r Reference) FromEnv(prefix string, lookup func(name string) (string, bool)) (string, error) {
	name, err := r.Variable(prefix)
	if err != nil {
		return "", err
	}
	value, ok := lookup(name)
	if !ok || value == "" {
		return "", failed("variable %s is not set", name)
	}
	if r.Key == "" {
		return value, nil
	}
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte(value)))
	d.UseNumber()
	if err := d.Decode(&object); err != nil || object == nil || d.Decode(new(any)) != io.EOF {
		return "", failed("variable %s is not a JSON object", name)
	}
	switch v := object[r.Key].(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	case nil:
		return "", failed("variable %s has no '%s'", name, r.Key)
	}
	return "", failed("'%s' in variable %s is no plain value", r.Key, name)
}

// failed is Kong's error for a vault that did not give a value.
func failed(format string, args ...any) error {
	return fmt.Errorf("could not get value from external vault (%s)", fmt.Sprintf(format, args...))
}

// UnknownError says that nothing has the name of a vault.
type UnknownError struct{ Vault string }

func (e *UnknownError) Error() string { return fmt.Sprintf("could not find vault (%s)", e.Vault) }
