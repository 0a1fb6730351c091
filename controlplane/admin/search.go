package admin

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// listing is one page of a list: what the store is asked for, what is left of
// that, and in which order.
type listing struct {
	schema *schema.Schema
	query  store.Query

	// search keeps the entities that mention all of these texts.
	search []mention

	// sortBy is the field that orders the list, ids its ties; "" is the order
	// of ids. desc turns the order of the field around.
	sortBy string
	desc   bool

	// after is where the page before ended, or nil.
	after *position

	// counted says that the tokens of the list are numbers, of which skip was
	// given: how many entities come before the page.
	counted bool
	skip    int
}

// mention is a text that a field must mention.
type mention struct{ field, text string }

// position is a place in the order of a list. The key is the value of the field
// that orders it.
type position struct {
	key schema.Document
	id  string
}

// maxSortKey is how many bytes of a text take part in the order: the token of a
// page holds them.
const maxSortKey = 256

// narrowed are the arguments that a list is narrowed down and ordered by. What
// the kind cannot be searched or ordered by is ignored, as an unknown argument is.
func (l *listing) narrowed(c *carrier, in *adminpb.ListRequest) {
	for _, field := range l.schema.Searchable() {
		if wanted := text(c, field, in.GetSearch()[field]); wanted != "" {
			l.search = append(l.search, mention{field, wanted})
		}
	}
	if by := text(c, "sort_by", in.GetSortBy()); by != "" && l.schema.Sortable(by) {
		l.sortBy, l.counted = by, false
		if l.desc = in.GetSortDesc(); c != nil {
			l.desc = flag(c.query, "sort_desc")
		}
	}
}

// newestFirst orders a list as Kong does that of targets. Its tokens are counts.
func (l *listing) newestFirst() { l.sortBy, l.desc, l.counted = "created_at", true, true }

// from reads the token of the page before.
func (l *listing) from(token string) error {
	switch {
	case l.counted:
		if token == "" {
			return nil
		}
		n, err := strconv.ParseUint(token, 10, 31)
		if err != nil {
			return errOffset(token, "it must be a whole number")
		}
		l.skip = int(n)
	case l.sortBy == "":
		after, err := parseToken(token, 1)
		if err != nil {
			return err
		}
		l.query.AfterID = after[0]
	case token != "":
		parts, err := parseToken(token, 2)
		if err != nil {
			return err
		}
		key, err := schema.Parse([]byte(parts[0]))
		if err != nil {
			return errOffset(token, "bad json encoding")
		}
		l.after = &position{key, parts[1]}
	}
	return nil
}

// page reads the page, and the token of the next one; "" when there is none.
func (l *listing) page(r view) ([]stored, string, error) {
	if l.sortBy != "" {
		return l.sorted(r)
	}
	if len(l.search) == 0 {
		entities, more, err := r.List(l.query)
		if err != nil {
			return nil, "", err
		}
		found, err := openAll(l.schema, entities)
		if err != nil {
			return nil, "", err
		}
		return l.cut(found, more)
	}
	// The order is the store's, so it is read until the page is full.
	var found []stored
	err := l.walk(r, func(one stored) bool {
		found = append(found, one)
		return len(found) <= l.query.Limit
	})
	if err != nil {
		return nil, "", err
	}
	more := len(found) > l.query.Limit
	return l.cut(found[:min(len(found), l.query.Limit)], more)
}

func (l *listing) cut(found []stored, more bool) ([]stored, string, error) {
	if !more {
		return found, "", nil
	}
	return found, token(found[len(found)-1].id), nil
}

// walk calls f with all entities that are wanted, in the order of their ids,
// until it returns false.
func (l *listing) walk(r view, f func(stored) bool) error {
	query := l.query
	query.Limit = maxSize
	return walkQuery(r, query, func(e store.Entity) (bool, error) {
		one, err := open(l.schema, e)
		if err != nil {
			return false, err
		}
		for _, m := range l.search {
			if !schema.Mentions(one.doc.Get(m.field), m.text) {
				return true, nil
			}
		}
		return f(one), nil
	})
}

// sorted makes a page of an ordered list. The store has no index on the fields,
// so each page reads the whole kind once, in pages of the store; of what it
// reads it keeps twice the page at most, or in a counted list, which are
// those below one parent, twice what comes up to the page's end. A position
// stays right whatever is written meanwhile: the key of its entity is in the
// token, and the entity itself may be gone.
func (l *listing) sorted(r view) ([]stored, string, error) {
	type row struct {
		at  position
		one stored
	}
	order := func(a, b row) int { return l.compare(a.at, b.at) }
	want := l.skip + l.query.Limit + 1
	var kept []row
	err := l.walk(r, func(one stored) bool {
		at := position{sortKey(one.doc.Get(l.sortBy)), one.id}
		if l.after != nil && l.compare(at, *l.after) <= 0 {
			return true
		}
		if kept = append(kept, row{at, one}); len(kept) >= 2*want {
			slices.SortFunc(kept, order)
			clear(kept[want:])
			kept = kept[:want]
		}
		return true
	})
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(kept, order)
	kept = kept[min(l.skip, len(kept)):]
	more := len(kept) > l.query.Limit
	kept = kept[:min(len(kept), l.query.Limit)]
	found := make([]stored, len(kept))
	for i, k := range kept {
		found[i] = k.one
	}
	switch {
	case !more:
		return found, "", nil
	case l.counted:
		return found, strconv.Itoa(l.skip + len(found)), nil
	}
	end := kept[len(kept)-1].at
	return found, token(end.key.String(), end.id), nil
}

// sortKey is the part of a value by which it is ordered; of a reference the id.
func sortKey(value schema.Document) schema.Document {
	switch value.Kind() {
	case schema.KindString:
		if text := value.Text(); len(text) > maxSortKey {
			return schema.String(strings.ToValidUTF8(text[:maxSortKey], ""))
		}
		return value
	case schema.KindNumber, schema.KindBool:
		return value
	case schema.KindObject:
		if id := value.Get("id"); !id.IsAbsent() {
			return id
		}
	}
	return schema.Null()
}

// compare orders two places of a list. What has no value comes last, or first
// when the order is turned around, as databases do it.
func (l *listing) compare(a, b position) int {
	n := compareKeys(a.key, b.key)
	if l.desc {
		n = -n
	}
	return cmp.Or(n, strings.Compare(a.id, b.id))
}

func compareKeys(a, b schema.Document) int {
	if n := cmp.Compare(rank(a), rank(b)); n != 0 {
		return n
	}
	if x, ok := a.Float(); ok {
		y, _ := b.Float()
		return cmp.Compare(x, y)
	}
	return strings.Compare(a.Text(), b.Text())
}

// rank keeps values of different types apart. A field has one type, but a token
// is the client's to write.
func rank(d schema.Document) int {
	switch d.Kind() {
	case schema.KindNumber:
		return 0
	case schema.KindString:
		return 1
	case schema.KindBool:
		if truth, _ := d.Truth(); truth {
			return 3
		}
		return 2
	}
	return 4
}

// repeated are the arguments that the link to the next page repeats. Kong
// repeats neither tags nor size on nested lists; it knows none of the others,
// without which the next page would be one of another list.
func (l *listing) repeated(nested bool) []string {
	var names []string
	if !nested {
		names = append(names, "tags", "size")
	}
	for _, m := range l.search {
		names = append(names, m.field)
	}
	if l.sortBy != "" && !l.counted {
		names = append(names, "sort_by", "sort_desc")
	}
	return names
}
