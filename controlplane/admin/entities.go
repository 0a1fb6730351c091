package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// fieldRef is the ref of the entity that a foreign field of the parent names.
const fieldRef = "-"

// entities implements the Entities service for all kinds. It knows none of
// them by name.
type entities struct {
	adminpb.UnimplementedEntitiesServer
	server *Server
}

// target is what a call is about.
type target struct {
	schema *schema.Schema
	ref    string

	// parent and parentRef name the parent, of which the child's field is
	// field; parent is nil when the call is about the whole collection.
	parent    *schema.Schema
	parentRef string
	field     string

	// singular says that the parent's field names the entity, not the entity's
	// field the parent.
	singular bool
}

// request is what all requests have in common.
type request interface {
	GetKind() string
	GetParentKind() string
	GetParent() string
}

// target finds out what a request is about, without looking at the store.
func (e *entities) target(in request, ref string) (target, error) {
	t, err := e.server.paths.target(in, ref)
	if err != nil {
		return t, err
	}
	for _, s := range []*schema.Schema{t.schema, t.parent} {
		if s == nil {
			continue
		}
		if refused := hooksOf(s).refused; refused != nil {
			return t, refused()
		}
	}
	return t, nil
}

func (p *paths) target(in request, ref string) (target, error) {
	if in.GetParentKind() == "" {
		if in.GetParent() != "" {
			// Taken for a call without a parent, it could do more than was meant.
			return target{}, badRequest("parent without parent_kind")
		}
		s, ok := p.kind(in.GetKind())
		if !ok {
			return target{}, errNotFound()
		}
		return target{schema: s, ref: ref}, nil
	}
	parent, ok := p.kind(in.GetParentKind())
	if !ok {
		return target{}, errNotFound()
	}
	t := target{ref: ref, parent: parent, parentRef: in.GetParent()}
	if n, ok := p.child(parent, in.GetKind()); ok {
		t.schema, t.field = n.schema, n.field
		return t, nil
	}
	n, ok := p.singular[parent.Path()][in.GetKind()]
	if !ok || ref != fieldRef {
		return target{}, errNotFound()
	}
	t.schema, t.field, t.singular = n.schema, n.field, true
	return t, nil
}

// owner finds the parent; a missing one is Kong's plain 404.
func (t target) owner(r view) (stored, error) {
	owner, err := find(r, t.parent, t.parentRef)
	if errors.Is(err, store.ErrNotFound) {
		return stored{}, errNotFound()
	}
	return owner, err
}

// relation is nil for a call without a parent.
func (t target) relation(r view) (*relation, error) {
	if t.parent == nil {
		return nil, nil
	}
	owner, err := t.owner(r)
	if err != nil {
		return nil, err
	}
	return &relation{owner, t.field}, nil
}

// List implements adminpb.EntitiesServer.
func (e *entities) List(ctx context.Context, in *adminpb.ListRequest) (*adminpb.ListResponse, error) {
	t, err := e.target(in, "")
	if err != nil {
		return nil, err
	}
	c := carried(ctx)
	now := time.Now()
	var data []schema.Document
	next := ""
	var repeat []string
	err = e.server.view(ctx, func(r view) error {
		var found []stored
		if id, asked := customID(c, in, t); asked {
			found, err = byUnique(r, t.schema, "custom_id", id)
		} else {
			var l listing
			if l, err = e.listing(r, t, c, in); err != nil {
				return err
			}
			repeat = l.repeated(t.parent != nil)
			found, next, err = l.page(r)
		}
		if err != nil {
			return err
		}
		data, err = show(ctx, r, t.schema, found, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	return listAnswer(c, data, next, repeat...)
}

// show is what clients see of entities of one kind.
func show(ctx context.Context, r view, s *schema.Schema, found []stored, now time.Time) ([]schema.Document, error) {
	data := make([]schema.Document, len(found))
	for i, one := range found {
		data[i] = s.Render(one.doc, now)
	}
	if more := hooksOf(s).show; more != nil && len(data) > 0 {
		if err := more(ctx, r, s, data); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// listing is the page that is asked for. The parent is looked up before the
// options are judged, as Kong does.
func (e *entities) listing(r view, t target, c *carrier, in *adminpb.ListRequest) (listing, error) {
	parent, err := t.relation(r)
	if err != nil {
		return listing{}, err
	}
	l := listing{schema: t.schema, query: store.Query{Workspace: r.of(t.schema), Kind: t.schema.Kind(), Parent: parent.reference()}}
	if l.query.Limit, err = pageSize(c, in.GetSize()); err != nil {
		return l, err
	}
	given := in.GetTags() != ""
	if c != nil {
		given = c.query.Has("tags")
	}
	if given && t.schema.HasTags() {
		filter, err := parseTags(text(c, "tags", in.GetTags()))
		if err != nil {
			return l, err
		}
		// Nested lists ignore the filter, but not its syntax.
		if parent == nil {
			l.query.Tags, l.query.AnyTag = filter.tags, filter.any
		}
	}
	if parent != nil && hooksOf(t.schema).newestFirst {
		l.newestFirst()
	}
	l.narrowed(c, in)
	return l, l.from(text(c, "offset", in.GetOffset()))
}

// customID is the value that a list is narrowed down to by ?custom_id=, where
// the kind has such a field.
func customID(c *carrier, in *adminpb.ListRequest, t target) (id string, asked bool) {
	asked = in.GetCustomId() != ""
	if c != nil {
		asked = c.query.Has("custom_id")
	}
	if !asked || t.parent != nil || !slices.Contains(t.schema.Unique(), "custom_id") {
		return "", false
	}
	return text(c, "custom_id", in.GetCustomId()), true
}

// byUnique is the page of the one entity with a unique value, or of none.
func byUnique(r view, s *schema.Schema, field, value string) ([]stored, error) {
	if value == "" {
		return nil, badRequest(field + " must be an unempty string")
	}
	entity, err := findUnique(r, s, field, value)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	one, err := open(s, entity)
	return []stored{one}, err
}

// Get implements adminpb.EntitiesServer.
func (e *entities) Get(ctx context.Context, in *adminpb.GetRequest) (*adminpb.EntityResponse, error) {
	t, err := e.target(in, in.GetRef())
	if err != nil {
		return nil, err
	}
	var body schema.Document
	err = e.server.view(ctx, func(r view) error {
		found, err := t.get(r)
		if err != nil {
			return err
		}
		data, err := show(ctx, r, found.schema, []stored{found}, time.Now())
		if err != nil {
			return err
		}
		body = data[0]
		if wrap := hooksOf(found.schema).wrap; wrap != nil && !t.singular {
			body, err = wrap(ctx, r, found, body)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return entityAnswer(ctx, http.StatusOK, body)
}

// get finds the entity that a GET asks for.
func (t target) get(r view) (stored, error) {
	if t.singular {
		return t.referred(r)
	}
	parent, err := t.relation(r)
	if err != nil {
		return stored{}, err
	}
	found, err := findIn(r, t.schema, parent, t.ref)
	var missing *missingError
	if hooksOf(t.schema).codedMissing && parent == nil && errors.As(err, &missing) {
		return stored{}, errMissing(missing.by)
	}
	return found, err
}

// referred is the entity that the parent's field names; errNotFound for none.
func (t target) referred(r view) (stored, error) {
	owner, err := t.owner(r)
	if err != nil {
		return stored{}, err
	}
	id := owner.doc.Get(t.field, "id").Text()
	if id == "" {
		return stored{}, errNotFound()
	}
	found, err := find(r, t.schema, id)
	if errors.Is(err, store.ErrNotFound) {
		return stored{}, errNotFound()
	}
	return found, err
}

// Create implements adminpb.EntitiesServer.
func (e *entities) Create(ctx context.Context, in *adminpb.CreateRequest) (*adminpb.EntityResponse, error) {
	t, err := e.target(in, "")
	if err != nil {
		return nil, err
	}
	ctx = about(ctx, "create", t)
	return e.write(ctx, in, http.StatusCreated, func(w *work) (stored, error) {
		parent, err := t.relation(w.view)
		if err != nil {
			return stored{}, err
		}
		body, err := bodyOf(ctx, in.GetBody())(t.schema, schema.Document{})
		if err != nil {
			return stored{}, err
		}
		return w.insert(t.schema, parent.force(body))
	})
}

// force puts the parent into a body, whatever that says.
func (r *relation) force(body schema.Document) schema.Document {
	if r == nil {
		return body
	}
	return body.With(key("id", schema.String(r.parent.id)), r.field)
}

// Update implements adminpb.EntitiesServer.
func (e *entities) Update(ctx context.Context, in *adminpb.UpdateRequest) (*adminpb.EntityResponse, error) {
	t, err := e.target(in, in.GetRef())
	if err != nil {
		return nil, err
	}
	ctx = about(ctx, "update", t)
	body := bodyOf(ctx, in.GetBody())
	return e.write(ctx, in, http.StatusOK, func(w *work) (stored, error) {
		if t.singular {
			found, err := t.referred(w.view)
			if err != nil {
				return stored{}, err
			}
			return w.patch(found.schema, nil, found.id, body)
		}
		parent, err := t.relation(w.view)
		if err != nil {
			return stored{}, err
		}
		return w.patch(t.schema, parent, t.ref, body)
	})
}

// Upsert implements adminpb.EntitiesServer.
func (e *entities) Upsert(ctx context.Context, in *adminpb.UpsertRequest) (*adminpb.EntityResponse, error) {
	t, err := e.target(in, in.GetRef())
	if err != nil {
		return nil, err
	}
	ctx = about(ctx, "create or update", t)
	read := bodyOf(ctx, in.GetBody())
	return e.write(ctx, in, http.StatusOK, func(w *work) (stored, error) {
		if t.singular {
			return w.putField(t, read)
		}
		parent, err := t.relation(w.view)
		if err != nil {
			return stored{}, err
		}
		if hooksOf(t.schema).mustExist {
			return w.patch(t.schema, parent, t.ref, read)
		}
		body, err := read(t.schema, schema.Document{})
		if err != nil {
			return stored{}, err
		}
		return w.put(t.schema, parent, t.ref, parent.force(body))
	})
}

// Delete implements adminpb.EntitiesServer.
func (e *entities) Delete(ctx context.Context, in *adminpb.DeleteRequest) (*adminpb.DeleteResponse, error) {
	t, err := e.target(in, in.GetRef())
	if err != nil {
		return nil, err
	}
	ctx = about(ctx, "remove", t)
	cascade := in.GetCascade()
	if c := carried(ctx); c != nil {
		cascade = flag(c.query, "cascade")
	}
	err = e.server.update(ctx, func(w *work) error {
		if t.singular {
			// Kong has the path, but not the method on what is referred to.
			if _, err := t.referred(w.view); err != nil {
				return err
			}
			return errMethod()
		}
		parent, err := t.relation(w.view)
		if err != nil {
			return err
		}
		found, err := findIn(w.view, t.schema, parent, t.ref)
		if removing := hooksOf(t.schema).removing; err == nil && removing != nil {
			err = removing(w, found, cascade)
		}
		if err == nil {
			err = w.tx.Delete(found.schema.Kind(), found.id)
		}
		// What is not there need not be deleted. Below a parent, Kong insists.
		if errors.Is(err, store.ErrNotFound) && parent == nil {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if c := carried(ctx); c != nil {
		c.status = http.StatusNoContent
	}
	return &adminpb.DeleteResponse{}, nil
}

// write runs a transaction that leaves one entity, and answers with it.
func (e *entities) write(ctx context.Context, in interface{ GetSkipHash() bool }, status int, f func(*work) (stored, error)) (*adminpb.EntityResponse, error) {
	skipHash := in.GetSkipHash()
	if c := carried(ctx); c != nil {
		skipHash = flag(c.query, "skip_hash")
	}
	var body schema.Document
	err := e.server.update(ctx, func(w *work) error {
		w.skipHash = skipHash
		left, err := f(w)
		if err != nil {
			return err
		}
		data, err := show(ctx, w.view, left.schema, []stored{left}, w.now)
		if err == nil {
			body = data[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return entityAnswer(ctx, status, body)
}
