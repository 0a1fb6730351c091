package runtime

import (
	"os"

	"google.golang.org/protobuf/proto"

	"github.com/gibbon-gateway/gibbon/dataplane/vault"
)

// VaultOptions are about references into vaults.
type VaultOptions struct {
	// Prefix begins the names of variables where a reference leads into the
	// environment.
	Prefix string
	// Lookup reads the environment; nil: os.LookupEnv.
	Lookup func(name string) (string, bool)
}

func (b *builder) readVaults() {
	lookup := b.Vault.Lookup
	if lookup == nil {
		lookup = os.LookupEnv
	}
	b.vaults = vault.New(b.config.Vaults, b.Vault.Prefix, lookup)
}

// resolve puts the secrets that references lead to into a message. Where one leads
// to nothing the field is empty, which the log says of the entity, and the
// configuration is put in force all the same: it holds on this node only.
func (b *builder) resolve(m proto.Message, kind, id, name string) (found bool) {
	return b.vaults.Resolve(m, func(field, ref string, err error) {
		b.Log.Warn("a vault reference leads to nothing on this node; the field is empty",
			"entity", kind, "id", id, "name", name, "field", field, "reference", ref, "error", err)
	})
}
