package declarative

import (
	"errors"
	"fmt"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// Counts are how many entities a transaction wrote, and how many were there
// already as they should be.
type Counts struct {
	Inserted, Updated, Deleted, Unchanged int
}

// Apply makes the store hold the configuration, and writes only what differs.
// With exact nothing else is left in the store; without, nothing is deleted.
// A workspace is known by its name, whatever its id in the file.
//
// Errors of the store pass through. Apply may run again in another transaction.
func (c *Config) Apply(tx store.Tx, exact bool) (Counts, error) {
	a := applying{tx: tx, stored: map[key]store.Entity{}, gone: map[key]bool{}, workspaces: map[string]string{}}
	for e, err := range tx.All() {
		if err != nil {
			return a.counts, err
		}
		k := key{e.Kind, e.ID}
		a.stored[k] = e
		a.order = append(a.order, k)
	}
	if err := a.readWorkspaces(); err != nil {
		return a.counts, err
	}
	if err := a.holdWorkspace(c); err != nil {
		return a.counts, err
	}
	if exact {
		if err := a.clear(c); err != nil {
			return a.counts, err
		}
	}
	for _, e := range c.entities {
		if err := a.write(e); err != nil {
			return a.counts, err
		}
	}
	return a.counts, nil
}

// applying is one run of Apply.
type applying struct {
	tx     store.Tx
	stored map[key]store.Entity
	order  []key // of the stored ones
	// gone are the entities that were deleted.
	gone map[key]bool
	// workspaces are the ids of the stored workspaces by their names.
	workspaces map[string]string
	counts     Counts
}

func (a *applying) readWorkspaces() error {
	for _, k := range a.order {
		if k.kind != workspaceKind {
			continue
		}
		e := a.stored[k]
		doc, err := schema.Parse(e.Document)
		if err != nil {
			return fmt.Errorf("workspace %s: %w", e.ID, err)
		}
		a.workspaces[doc.Get("name").Text()] = e.ID
	}
	return nil
}

// holdWorkspace keeps the workspace that the configuration is meant for from
// being deleted meanwhile.
func (a *applying) holdWorkspace(c *Config) error {
	if c.workspace == defaultWorkspace {
		return nil
	}
	id, ok := a.workspaces[c.workspace]
	if ok {
		if _, err := a.tx.Lock(workspaceKind, id); !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return fmt.Errorf("there is no workspace %q", c.workspace)
}

// idOf is the id under which the store keeps an entity.
func (a *applying) idOf(e *entity) string {
	if e.schema.Kind() == workspaceKind {
		if id, ok := a.workspaces[e.doc.Get("name").Text()]; ok {
			return id
		}
	}
	return e.id
}

// clear deletes what the configuration does not have. It also deletes what
// refers to that, even if it stays: it is written again as the configuration
// has it, and nothing is ever refused because of what it was before.
func (a *applying) clear(c *Config) error {
	wanted := make(map[key]*entity, len(c.entities))
	for _, e := range c.entities {
		wanted[key{e.schema.Kind(), a.idOf(e)}] = e
	}
	referrers := map[key][]key{}
	for _, k := range a.order {
		s, ok := c.schemas.Entity(k.kind)
		if !ok {
			continue
		}
		doc, err := schema.Parse(a.stored[k].Document)
		if err != nil {
			return fmt.Errorf("%s %s: %w", k.kind, k.id, err)
		}
		for _, r := range s.Index(doc).References {
			to := key{r.Kind, r.ID}
			referrers[to] = append(referrers[to], k)
		}
	}
	var remove func(k key) error
	remove = func(k key) error {
		if a.gone[k] {
			return nil
		}
		a.gone[k] = true
		for _, from := range referrers[k] {
			if err := remove(from); err != nil {
				return err
			}
		}
		if wanted[k] == nil {
			a.counts.Deleted++
		}
		if err := a.tx.Delete(k.kind, k.id); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return nil
	}
	for _, k := range a.order {
		if k.kind == workspaceKind && k.id == a.workspaces[defaultWorkspace] {
			continue
		}
		if want := wanted[k]; want == nil || want.workspace != a.stored[k].Workspace {
			if err := remove(k); err != nil {
				return err
			}
		}
	}
	return nil
}

// write writes an entity unless it is there as it should be.
func (a *applying) write(e *entity) error {
	doc, kind := e.doc, e.schema.Kind()
	id := a.idOf(e)
	if id != e.id {
		doc = doc.With(schema.String(id), "id")
	}
	old, ok := a.stored[key{kind, id}]
	if !ok {
		a.counts.Inserted++
		return a.tx.Insert(store.EntityOf(e.schema, e.workspace, doc))
	}
	if old.Workspace != e.workspace && !a.gone[key{kind, id}] {
		return fmt.Errorf("%s %s: the id is taken in the workspace %q", kind, id, old.Workspace)
	}
	before, err := schema.Parse(old.Document)
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind, id, err)
	}
	doc, differs := e.schema.Settle(doc, e.body, before)
	switch {
	case differs:
		a.counts.Updated++
	default:
		a.counts.Unchanged++
		if !a.gone[key{kind, id}] {
			return nil
		}
	}
	return a.tx.Put(store.EntityOf(e.schema, e.workspace, doc))
}
