package admin

import (
	"context"

	"github.com/gibbon-gateway/gibbon/schema"
)

// hooks are what a kind of entity needs besides the rules that its schema can
// say. Where a function is nil or a flag false the generic behaviour is all there
// is.
type hooks struct {
	// refused is the answer to all calls about the kind, whatever they ask for.
	refused func() *Error

	// alias finds the entity for which a text may stand in a URL that is neither
	// its id nor a key of its own; store.ErrNotFound for none. noAlias is then the
	// answer, except to a PUT: that makes the entity of a body which withAlias
	// has completed.
	alias     func(r view, text string) (id string, err error)
	noAlias   func() *Error
	withAlias func(body schema.Document, text string) schema.Document

	// noName is the answer where a child is not found by its nested key.
	noName func() *Error

	// codedMissing says that GET answers with a code where there is no such
	// entity, as PATCH does.
	codedMissing bool

	// decidedFirst says that PATCH needs the entity before it can read a body that
	// does not choose a sub-schema, and so has no code where there is none.
	decidedFirst bool

	// mustExist says that PUT adds nothing, and changes what is there as PATCH does.
	mustExist bool

	// newestFirst orders the lists below a parent by age, with counts for
	// tokens.
	newestFirst bool

	// hashed says that ?skip_hash= keeps the body from being transformed.
	hashed bool

	// aside is work.aside of the kind.
	aside func(w *work, id string, body schema.Document, op schema.Op) (write func(id string) error, err error)

	// show completes what clients see of some entities with what is kept in others.
	// There is at least one.
	show func(ctx context.Context, r view, s *schema.Schema, data []schema.Document) error

	// wrap makes the answer to a GET of one entity.
	wrap func(ctx context.Context, r view, found stored, body schema.Document) (schema.Document, error)

	// removing runs before an entity is deleted, in the same transaction. An
	// error keeps it. Cascade says that the caller wants what it holds deleted
	// too.
	removing func(w *work, found stored, cascade bool) error
}

// hooksOf are the hooks of a kind: the one place that knows kinds by name.
func hooksOf(s *schema.Schema) hooks {
	switch s.Kind() {
	case certificateKind:
		return hooks{
			alias: certificateOf, noAlias: errNoSNI, withAlias: withSNI,
			codedMissing: true, aside: setSNIs, show: showSNIs,
		}
	case pluginKind:
		return hooks{decidedFirst: true}
	case workspaceKind:
		return hooks{removing: removeWorkspace}
	case targetKind:
		return hooks{mustExist: true, newestFirst: true}
	case groupSide.kind:
		return hooks{wrap: wrapGroup, show: countMembers}
	case "filter_chains":
		return hooks{refused: errNoWasm}
	case "acls":
		return hooks{noName: errNoGroup}
	case "basicauth_credentials":
		return hooks{hashed: true}
	case "ca_certificates":
		return hooks{removing: unreferencedCA}
	}
	return hooks{}
}
