// Package vault puts the secrets that references lead to into configurations, on
// the node that uses them: control planes and snapshots have the references only.
package vault

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/internal/vault"
)

// Vaults finds secrets: in the environment by the name of that vault, and in the
// vaults of a configuration by their prefixes.
type Vaults struct {
	prefix string // of the environment's names, where no vault says another
	lookup func(name string) (string, bool)
	vaults map[string]configured
}

// configured is a vault of the configuration.
type configured struct {
	kind, prefix string
	err          error
}

// New takes the vaults of a configuration. The environment is what lookup reads,
// os.LookupEnv for example; prefix is what the names of its variables begin with.
func New(entities []*entitypb.Vault, prefix string, lookup func(name string) (string, bool)) *Vaults {
	v := &Vaults{prefix: prefix, lookup: lookup, vaults: make(map[string]configured, len(entities))}
	for _, e := range entities {
		one := configured{kind: e.GetName()}
		var config struct {
			Prefix string `json:"prefix"`
		}
		if len(e.GetConfig()) > 0 {
			one.err = json.Unmarshal(e.GetConfig(), &config)
		}
		one.prefix = config.Prefix
		v.vaults[e.GetPrefix()] = one
	}
	return v
}

// Get finds the secret that a reference leads to. The errors are Kong's, and hold
// no part of a secret.
func (v *Vaults) Get(text string) (string, error) {
	ref, err := vault.Parse(text)
	if err != nil {
		return "", err
	}
	prefix := v.prefix
	if ref.Vault != vault.Env {
		one, ok := v.vaults[ref.Vault]
		switch {
		case !ok:
			return "", &vault.UnknownError{Vault: ref.Vault}
		case one.err != nil:
			return "", fmt.Errorf("the configuration of vault %s: %w", ref.Vault, one.err)
		case one.kind != vault.Env:
			return "", &vault.UnknownError{Vault: one.kind}
		}
		prefix = one.prefix
	}
	return ref.FromEnv(prefix, v.lookup)
}

// Resolve replaces the references in a message by what they lead to, where the
// message's schema lets references stand; elsewhere they are texts like any other.
// One that leads to nothing becomes an empty text, and lost hears of it: of the
// path of the field and of the reference. The answer is whether there were
// references.
func (v *Vaults) Resolve(m proto.Message, lost func(field, ref string, err error)) bool {
	return v.record(m.ProtoReflect(), "", lost)
}

func (v *Vaults) record(m protoreflect.Message, path string, lost func(field, ref string, err error)) (found bool) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		rules, _ := proto.GetExtension(field.Options(), schemapb.E_Field).(*schemapb.Field)
		at := path + string(field.Name())
		// one resolves a value that lies in the field, and gives what takes its place;
		// ok is false where it stays.
		one := func(of protoreflect.FieldDescriptor, referenceable bool, at string, value protoreflect.Value) (next protoreflect.Value, ok bool) {
			switch {
			case of.Message() != nil:
				found = v.record(value.Message(), at+".", lost) || found
			case of.Kind() == protoreflect.StringKind && referenceable && vault.IsReference(value.String()):
				found = true
				secret, err := v.Get(value.String())
				if err != nil {
					lost(at, value.String(), err)
				}
				return protoreflect.ValueOfString(secret), true
			}
			return value, false
		}
		switch {
		case field.IsList():
			list, referenceable := value.List(), rules.GetReferenceable() || rules.GetElements().GetReferenceable()
			for i := range list.Len() {
				if next, ok := one(field, referenceable, fmt.Sprintf("%s.%d", at, i+1), list.Get(i)); ok {
					list.Set(i, next)
				}
			}
		case field.IsMap():
			entries, referenceable := value.Map(), rules.GetReferenceable() || rules.GetValues().GetReferenceable()
			entries.Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
				if next, ok := one(field.MapValue(), referenceable, at+"."+key.String(), value); ok {
					entries.Set(key, next)
				}
				return true
			})
		default:
			if next, ok := one(field, rules.GetReferenceable(), at, value); ok {
				m.Set(field, next)
			}
		}
		return true
	})
	return found
}
