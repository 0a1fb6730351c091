package admin

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// stored is an entity as the store has it, with its document read.
type stored struct {
	schema *schema.Schema
	id     string
	doc    schema.Document
}

func open(s *schema.Schema, e store.Entity) (stored, error) {
	doc, err := schema.Parse(e.Document)
	if err != nil {
		return stored{}, fmt.Errorf("read %s %q: %w", e.Kind, e.ID, unparsable{err})
	}
	return stored{s, e.ID, doc}, nil
}

func openAll(s *schema.Schema, entities []store.Entity) ([]stored, error) {
	found := make([]stored, len(entities))
	for i, e := range entities {
		var err error
		if found[i], err = open(s, e); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// unparsable hides that a stored document is no JSON: it must not be taken for
// a mistake of the client.
type unparsable struct{ cause error }

func (e unparsable) Error() string { return e.cause.Error() }

// missingError says that no entity was found. Its key is what it was looked up
// by, as Kong shows it.
type missingError struct{ by schema.Document }

func (e *missingError) Error() string { return "no entity with " + schema.LuaLiteral(e.by) }

func (e *missingError) Is(target error) bool { return target == store.ErrNotFound }

// isID tells whether a text from the URL is a UUID, in any case; everything
// else is taken for the endpoint key.
func isID(ref string) bool {
	_, err := uuid.Parse(ref)
	return err == nil && len(ref) == 36
}

// keyOf is how a ref is looked up: by id or by the endpoint key. The error is
// Kong's when a ref cannot be either.
func keyOf(s *schema.Schema, ref string) (field string, by schema.Document, err error) {
	switch {
	case isID(ref):
		return "id", key("id", schema.String(strings.ToLower(ref))), nil
	case s.EndpointKey() == "":
		return "", schema.Document{}, errPrimaryKey()
	}
	if err := s.ValidKey(ref); err != nil {
		return "", schema.Document{}, err
	}
	return s.EndpointKey(), key(s.EndpointKey(), schema.String(ref)), nil
}

// find finds an entity by a ref. The error is a *missingError when there is
// none.
func find(r view, s *schema.Schema, ref string) (stored, error) {
	if k := hooksOf(s); k.alias != nil && !isID(ref) {
		id, err := k.alias(r, ref)
		if errors.Is(err, store.ErrNotFound) {
			err = k.noAlias()
		}
		if err != nil {
			return stored{}, err
		}
		ref = id
	}
	field, by, err := keyOf(s, ref)
	if err != nil {
		return stored{}, err
	}
	var e store.Entity
	if field == "id" {
		e, err = r.Get(s.Kind(), by.Get("id").Text())
		if err == nil && e.Workspace != r.of(s) {
			err = store.ErrNotFound
		}
	} else {
		e, err = findUnique(r, s, field, ref)
	}
	if errors.Is(err, store.ErrNotFound) {
		return stored{}, &missingError{by}
	}
	if err != nil {
		return stored{}, err
	}
	return open(s, e)
}

// findUnique finds an entity by the text of a unique value. No value of the
// store holds a NUL, and not every database can be asked for one.
func findUnique(r view, s *schema.Schema, field, text string) (store.Entity, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return store.Entity{}, store.ErrNotFound
	}
	if !s.Everywhere(field) {
		return r.Find(r.of(s), s.Kind(), field, text)
	}
	e, err := r.Find("", s.Kind(), field, text)
	if err == nil && e.Workspace != r.of(s) {
		return e, store.ErrNotFound // it is there, but not for this workspace
	}
	return e, err
}

// relation is the entity that others must belong to.
type relation struct {
	parent stored
	field  string // of the child
}

func (r *relation) holds(child stored) bool {
	return child.doc.Get(r.field, "id").Text() == r.parent.id
}

// findIn finds an entity by a ref, among those of a parent if there is one, and
// as the last resort by the lookup field, if exactly one entity has that value.
func findIn(r view, s *schema.Schema, parent *relation, ref string) (stored, error) {
	if parent.names(s, ref) {
		found, err := findNamed(r, s, parent, ref)
		if k := hooksOf(s); k.noName != nil && errors.Is(err, store.ErrNotFound) {
			err = k.noName()
		}
		return found, err
	}
	found, err := find(r, s, ref)
	switch {
	case err == nil && (parent == nil || parent.holds(found)):
		return found, nil
	case err == nil:
		err = &missingError{key("id", schema.String(found.id))}
	case !errors.Is(err, store.ErrNotFound):
		return stored{}, err
	}
	if s.LookupField() == "" || isID(ref) {
		return stored{}, err
	}
	same, listErr := withLookup(r, s, parent, ref)
	switch {
	case listErr != nil:
		return stored{}, listErr
	case len(same) == 0:
		return stored{}, err
	case len(same) > 1:
		ids := make([]string, len(same))
		for i, e := range same {
			ids[i] = e.id
		}
		return stored{}, errAmbiguous(s.EndpointKey(), s.LookupField(), ref, ids)
	}
	return same[0], nil
}

// names tells whether a ref below the parent is the nested key of a child.
func (r *relation) names(s *schema.Schema, ref string) bool {
	return r != nil && s.NestedKey() != "" && !isID(ref)
}

// findNamed finds a child by its nested key. The error is a *missingError when
// there is none.
func findNamed(r view, s *schema.Schema, parent *relation, ref string) (stored, error) {
	if err := s.ValidValue(s.NestedKey(), ref); err != nil {
		return stored{}, err
	}
	// The key may be written in another form than it is stored in.
	body, err := s.Expand(key(s.NestedKey(), schema.String(ref)), schema.Document{})
	if err != nil {
		return stored{}, err
	}
	u, ok := s.Below(parent.field, parent.parent.id, body.Get(s.NestedKey()).Text())
	if !ok {
		return stored{}, errPrimaryKey()
	}
	e, err := findUnique(r, s, u.Field, u.Text)
	if errors.Is(err, store.ErrNotFound) {
		return stored{}, &missingError{key(s.NestedKey(), schema.String(ref))}
	}
	if err != nil {
		return stored{}, err
	}
	return open(s, e)
}

// maxNamed bounds how many ids are named when a name is ambiguous.
const maxNamed = 20

// withLookup lists entities whose lookup field has that text. The store keeps
// no index on it, so all are read; the text is looked for in the bytes first,
// since parsing each would cost much more.
func withLookup(r view, s *schema.Schema, parent *relation, text string) ([]stored, error) {
	needle := schema.String(text).AppendJSON(nil)
	var found []stored
	err := walk(r, s, parent, func(e store.Entity) (bool, error) {
		if !bytes.Contains(e.Document, needle) {
			return true, nil
		}
		one, err := open(s, e)
		if err != nil {
			return false, err
		}
		if one.doc.Get(s.LookupField()).Text() == text {
			found = append(found, one)
		}
		return len(found) < maxNamed, nil
	})
	return found, err
}

// walk calls f with all entities of a kind, or of a parent, until it returns
// false.
func walk(r view, s *schema.Schema, parent *relation, f func(store.Entity) (bool, error)) error {
	query := store.Query{Workspace: r.of(s), Kind: s.Kind(), Limit: maxSize, Parent: parent.reference()}
	return walkQuery(r, query, f)
}

// walkQuery calls f with all entities that a query finds, page after page,
// until it returns false.
func walkQuery(r view, query store.Query, f func(store.Entity) (bool, error)) error {
	for {
		page, more, err := r.List(query)
		if err != nil {
			return err
		}
		for _, e := range page {
			if on, err := f(e); err != nil || !on {
				return err
			}
		}
		if !more {
			return nil
		}
		query.AfterID = page[len(page)-1].ID
	}
}

// reference is the relation as the store is asked for it; nil for none.
func (r *relation) reference() *store.Reference {
	if r == nil {
		return nil
	}
	return &store.Reference{Field: r.field, Kind: r.parent.schema.Kind(), ID: r.parent.id}
}

// resolve puts ids in the place of references that name their entity by
// another unique field.
func resolve(r view, p *paths, s *schema.Schema, doc schema.Document) (schema.Document, error) {
	var unsolved []schema.Lookup
	for _, l := range s.Lookups(doc) {
		target, ok := p.catalogue.Entity(l.Kind)
		if !ok || !slices.Contains(target.Unique(), l.Unique) {
			unsolved = append(unsolved, l)
			continue
		}
		e, err := findUnique(r, target, l.Unique, schema.UniqueText(l.Value))
		switch {
		case errors.Is(err, store.ErrNotFound):
			unsolved = append(unsolved, l)
		case err != nil:
			return doc, err
		default:
			doc = doc.With(key("id", schema.String(e.ID)), l.Field)
		}
	}
	if len(unsolved) > 0 {
		return doc, errUnresolved(unsolved)
	}
	return doc, nil
}
