package sqlstore

import (
	"database/sql"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// reader implements store.Reader on a session whose transaction has begun, or
// begins before the first read.
type reader struct {
	ses *session
}

const (
	columns = `e.kind, e.id, e.workspace, e.document, e.expires_at`

	// visible is the condition on an entity e; its parameter is the time.
	visible = `(e.expires_at is null or e.expires_at > `

	// pageSize is how many rows All asks for at once.
	pageSize = 1000
)

// errLimit complains about a query that asks for an empty page.
var errLimit = errors.New("the limit of a query must be at least 1")

// scanner is a row of a result, of database/sql or of pgx.
type scanner interface{ Scan(...any) error }

func scanEntity(rows scanner) (store.Entity, error) {
	var e store.Entity
	var expires sql.NullInt64
	var document string
	err := rows.Scan(&e.Kind, &e.ID, &e.Workspace, &document, &expires)
	e.Document = []byte(document)
	if expires.Valid {
		e.ExpiresAt = time.UnixMicro(expires.Int64).UTC()
	}
	return e, err
}

// entities runs a query for columns.
func (r *reader) entities(query string, args ...any) ([]store.Entity, error) {
	var found []store.Entity
	err := r.ses.query(query, args, func(rows *sql.Rows) error {
		e, err := scanEntity(rows)
		found = append(found, e)
		return err
	})
	return found, err
}

// one is entities for a query that has at most one result.
func (r *reader) one(query string, args ...any) (store.Entity, error) {
	found, err := r.entities(query, args...)
	switch {
	case err != nil:
		return store.Entity{}, err
	case len(found) == 0:
		return store.Entity{}, store.ErrNotFound
	}
	return found[0], nil
}

// Version implements store.Reader.
func (r *reader) Version() (store.Version, error) { return r.ses.version() }

// Get implements store.Reader.
func (r *reader) Get(kind, id string) (store.Entity, error) {
	return r.one(`select `+columns+` from entity e where e.kind = $1 and e.id = $2 and `+visible+`$3)`,
		kind, id, now())
}

// Find implements store.Reader.
func (r *reader) Find(workspace, kind, field, value string) (store.Entity, error) {
	return r.one(`select `+columns+` from unique_value u join entity e on e.kind = u.kind and e.id = u.id
		where u.workspace = $1 and u.kind = $2 and u.field = $3 and u.value = $4 and `+visible+`$5)`,
		workspace, kind, field, value, now())
}

// Count implements store.Reader.
func (r *reader) Count(workspace string) (map[string]int, error) {
	counts := map[string]int{}
	err := r.ses.query(`select e.kind, count(*) from entity e where e.workspace = $1 and `+visible+`$2) group by e.kind`,
		[]any{workspace, now()}, func(rows *sql.Rows) error {
			kind, n := "", 0
			if err := rows.Scan(&kind, &n); err != nil {
				return err
			}
			counts[kind] = n
			return nil
		})
	return counts, err
}

// statementText builds a statement and its numbered parameters side by side.
type statementText struct {
	strings.Builder
	args []any
}

// param adds an argument and returns its placeholder.
func (q *statementText) param(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// List implements store.Reader.
func (r *reader) List(query store.Query) ([]store.Entity, bool, error) {
	if query.Limit < 1 {
		return nil, false, errLimit
	}
	var q statementText
	q.WriteString(`select ` + columns + ` from `)
	// Every table that can lead the search has the id as the last part of its
	// index, so each form reads its page in order.
	id, tags := "e.id", query.Tags
	switch {
	case query.Parent != nil:
		id = "r.id"
		q.WriteString(`reference r join entity e on e.kind = r.kind and e.id = r.id where r.target_kind = ` +
			q.param(query.Parent.Kind) + ` and r.target_id = ` + q.param(query.Parent.ID) +
			` and r.field = ` + q.param(query.Parent.Field) + ` and r.kind = ` + q.param(query.Kind) +
			` and e.workspace = ` + q.param(query.Workspace))
	case len(tags) > 0 && (len(tags) == 1 || !query.AnyTag):
		id = "l.id"
		// Asking for the entity's workspace too would lead PostgreSQL, as long as
		// it has no statistics, to read the whole kind for each tag.
		q.WriteString(`entity_tag l join entity e on e.kind = l.kind and e.id = l.id where l.workspace = ` +
			q.param(query.Workspace) + ` and l.tag = ` + q.param(tags[0]) + ` and l.kind = ` + q.param(query.Kind))
		tags = tags[1:]
	default:
		q.WriteString(`entity e where e.kind = ` + q.param(query.Kind) + ` and e.workspace = ` + q.param(query.Workspace))
	}
	q.WriteString(` and ` + visible + q.param(now()) + `)`)
	if query.AfterID != "" {
		q.WriteString(` and ` + id + ` > ` + q.param(query.AfterID))
	}
	if len(tags) > 0 {
		conditions := make([]string, len(tags))
		for i, tag := range tags {
			conditions[i] = `exists (select 1 from entity_tag t where t.workspace = e.workspace and t.tag = ` +
				q.param(tag) + ` and t.kind = e.kind and t.id = e.id)`
		}
		operator := ` and `
		if query.AnyTag {
			operator = ` or `
		}
		q.WriteString(` and (` + strings.Join(conditions, operator) + `)`)
	}
	q.WriteString(` order by ` + id + ` limit ` + q.param(query.Limit+1))
	found, err := r.entities(q.String(), q.args...)
	if err != nil {
		return nil, false, err
	}
	page, more := cut(found, query.Limit)
	return page, more, nil
}

// Children implements store.Reader.
func (r *reader) Children(kind, field, parentKind string, parentIDs ...string) ([]store.Entity, error) {
	return r.chunks(parentIDs, func(ids []string) ([]store.Entity, error) {
		var q statementText
		q.WriteString(`select ` + columns)
		q.children(kind, field, parentKind, ids)
		return r.entities(q.String(), q.args...)
	})
}

// children writes the rest of a query for entities that refer to others.
func (q *statementText) children(kind, field, parentKind string, parentIDs []string) {
	q.WriteString(` from reference r join entity e on e.kind = r.kind and e.id = r.id where r.target_kind = ` +
		q.param(parentKind) + ` and r.field = ` + q.param(field) + ` and r.kind = ` + q.param(kind) +
		` and r.target_id in (` + q.list(parentIDs) + `) and ` + visible + q.param(now()) + `)`)
}

// list adds arguments and returns their placeholders with commas.
func (q *statementText) list(values []string) string {
	params := make([]string, len(values))
	for i, v := range values {
		params[i] = q.param(v)
	}
	return strings.Join(params, ", ")
}

// chunks runs a query for some ids at a time, since a statement takes so many
// parameters only, and returns what it finds in the order of the found ids.
func (r *reader) chunks(ids []string, query func(ids []string) ([]store.Entity, error)) ([]store.Entity, error) {
	var found []store.Entity
	for some := range slices.Chunk(ids, pageSize) {
		part, err := query(some)
		if err != nil {
			return nil, err
		}
		found = append(found, part...)
	}
	slices.SortFunc(found, func(a, b store.Entity) int { return strings.Compare(a.ID, b.ID) })
	return found, nil
}

// CountChildren implements store.Reader.
func (r *reader) CountChildren(kind, field, parentKind string, parentIDs ...string) (map[string]int, error) {
	counts := map[string]int{}
	for ids := range slices.Chunk(parentIDs, pageSize) {
		var q statementText
		q.WriteString(`select r.target_id, count(*)`)
		q.children(kind, field, parentKind, ids)
		q.WriteString(` group by r.target_id`)
		err := r.ses.query(q.String(), q.args, func(rows *sql.Rows) error {
			id, n := "", 0
			err := rows.Scan(&id, &n)
			counts[id] = n
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// Several implements store.Reader.
func (r *reader) Several(kind string, ids ...string) ([]store.Entity, error) {
	return r.chunks(ids, func(ids []string) ([]store.Entity, error) {
		var q statementText
		q.WriteString(`select ` + columns + ` from entity e where e.kind = ` + q.param(kind) + ` and e.id in (` +
			q.list(ids) + `) and ` + visible + q.param(now()) + `)`)
		return r.entities(q.String(), q.args...)
	})
}

// cut takes the one element away that was asked for to learn whether more
// follow.
func cut[T any](found []T, limit int) ([]T, bool) {
	if len(found) > limit {
		return found[:limit], true
	}
	return found, false
}

// Tags implements store.Reader.
func (r *reader) Tags(query store.TagQuery) ([]store.TagUse, bool, error) {
	if query.Limit < 1 {
		return nil, false, errLimit
	}
	var q statementText
	q.WriteString(`select t.tag, t.kind, t.id from entity_tag t join entity e on e.kind = t.kind and e.id = t.id
		where t.workspace = ` + q.param(query.Workspace) + ` and ` + visible + q.param(now()) + `)`)
	if query.Tag != "" {
		q.WriteString(` and t.tag = ` + q.param(query.Tag))
	}
	if query.After != (store.TagUse{}) {
		q.WriteString(` and (t.tag, t.kind, t.id) > (` + q.param(query.After.Tag) + `, ` +
			q.param(query.After.Kind) + `, ` + q.param(query.After.ID) + `)`)
	}
	q.WriteString(` order by t.tag, t.kind, t.id limit ` + q.param(query.Limit+1))
	var found []store.TagUse
	err := r.ses.query(q.String(), q.args, func(rows *sql.Rows) error {
		var u store.TagUse
		err := rows.Scan(&u.Tag, &u.Kind, &u.ID)
		found = append(found, u)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	page, more := cut(found, query.Limit)
	return page, more, nil
}

// All implements store.Reader.
func (r *reader) All() iter.Seq2[store.Entity, error] {
	return func(yield func(store.Entity, error) bool) {
		at := now() // One time for all pages: an entity must not expire between its parent and its child.
		r.pages(func(last key) ([]store.Entity, error) {
			return r.entities(`select `+columns+` from entity e where (e.kind, e.id) > ($1, $2) and `+visible+`$3)
				order by e.kind, e.id limit $4`, last.kind, last.id, at, pageSize)
		})(yield)
	}
}

// pages returns all entities of a query that gives at most pageSize of those
// after a key. After an error it ends.
func (r *reader) pages(query func(after key) ([]store.Entity, error)) iter.Seq2[store.Entity, error] {
	return func(yield func(store.Entity, error) bool) {
		var last key
		for {
			page, err := query(last)
			if err != nil {
				yield(store.Entity{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			last = key{page[len(page)-1].Kind, page[len(page)-1].ID}
		}
	}
}

// Changes implements store.Reader.
func (r *reader) Changes(after uint64, limit int) ([]store.Change, error) {
	if limit < 1 {
		return nil, errLimit
	}
	const from = `select version, ordinal, time, actor, workspace, kind, id, op, document_before, document_after from change `
	found, err := r.changes(from+`where version > $1 order by version, ordinal limit $2`, int64(after), limit+1)
	if err != nil || len(found) <= limit {
		return found, err
	}
	// The last version may be cut. It is left to the next call, unless it is
	// all that there is.
	last := found[limit].Version
	whole := limit
	for whole > 0 && found[whole-1].Version == last {
		whole--
	}
	if whole > 0 {
		return found[:whole], nil
	}
	return r.changes(from+`where version = $1 order by ordinal`, int64(last))
}

func (r *reader) changes(query string, args ...any) ([]store.Change, error) {
	var found []store.Change
	err := r.ses.query(query, args, func(rows *sql.Rows) error {
		var c store.Change
		var version, at int64
		var before, after sql.NullString
		err := rows.Scan(&version, &c.Ordinal, &at, &c.Actor, &c.Workspace, &c.Kind, &c.ID, &c.Op, &before, &after)
		c.Version, c.Time = uint64(version), time.UnixMicro(at).UTC()
		if before.Valid {
			c.Before = []byte(before.String)
		}
		if after.Valid {
			c.After = []byte(after.String)
		}
		found = append(found, c)
		return err
	})
	return found, err
}
