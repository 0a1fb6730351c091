package declarative

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// Format is how a configuration is written.
type Format uint8

// The two ways to write a configuration.
const (
	YAML Format = iota
	JSON
)

// Export writes entities as a configuration that Parse reads, in collections by
// kind and id: equal entities give equal bytes. Entities of other workspaces
// than the default one say so. The time is the one at which those with a ttl
// are written; those that have ended are left out.
func Export(w io.Writer, catalogue *schema.Catalogue, entities iter.Seq2[store.Entity, error], format Format, at time.Time) error {
	var all []store.Entity
	ids := map[string]string{}
	for e, err := range entities {
		if err != nil {
			return fmt.Errorf("read entities: %w", err)
		}
		if !e.ExpiresAt.IsZero() && !e.ExpiresAt.After(at) {
			continue
		}
		all = append(all, e)
		if e.Kind == workspaceKind {
			doc, err := schema.Parse(e.Document)
			if err != nil {
				return fmt.Errorf("%s %s: %w", e.Kind, e.ID, err)
			}
			ids[doc.Get("name").Text()] = e.ID
		}
	}
	slices.SortStableFunc(all, func(a, b store.Entity) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	out := bufio.NewWriterSize(w, 1<<16)
	var lines writer = &yamlWriter{Writer: out}
	if format == JSON {
		lines = &jsonWriter{Writer: out}
	}
	lines.begin()
	kind := ""
	for _, e := range all {
		doc, err := portable(catalogue, e, ids, at)
		if err != nil {
			return fmt.Errorf("%s %s: %w", e.Kind, e.ID, err)
		}
		if e.Kind != kind {
			kind = e.Kind
			lines.collection(kind)
		}
		lines.entity(doc)
	}
	lines.end()
	return out.Flush()
}

func portable(catalogue *schema.Catalogue, e store.Entity, workspaces map[string]string, at time.Time) (schema.Document, error) {
	s, ok := catalogue.Entity(e.Kind)
	if !ok {
		return schema.Document{}, fmt.Errorf("no schema for that kind")
	}
	doc, err := schema.Parse(e.Document)
	if err != nil {
		return doc, err
	}
	doc = s.Portable(doc, at)
	if e.Workspace == "" || e.Workspace == defaultWorkspace {
		return doc, nil
	}
	id, ok := workspaces[e.Workspace]
	if !ok {
		return doc, fmt.Errorf("its workspace %q is missing", e.Workspace)
	}
	return doc.With(schema.String(id), workspaceField), nil
}

// writer lays a configuration out. What goes wrong the underlying buffer
// remembers.
type writer interface {
	begin()
	collection(kind string)
	entity(doc schema.Document)
	end()
}

// jsonWriter writes one object, with an entity in each line.
type jsonWriter struct {
	*bufio.Writer
	within, follows bool
	line            []byte
}

func (w *jsonWriter) begin() {
	w.WriteString(`{"` + formatField + `":"` + newestFormat + `","` + transformField + `":false`)
}

func (w *jsonWriter) collection(kind string) {
	if w.within {
		w.WriteString("\n]")
	}
	w.within, w.follows = true, false
	w.WriteString(",\n\"" + kind + "\":[")
}

func (w *jsonWriter) entity(doc schema.Document) {
	if w.follows {
		w.WriteByte(',')
	}
	w.follows = true
	w.line = doc.AppendJSON(append(w.line[:0], '\n'))
	w.Write(w.line)
}

func (w *jsonWriter) end() {
	if w.within {
		w.WriteString("\n]")
	}
	w.WriteString("}\n")
}
