package store

import (
	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/schema"
)

var rules = map[schemapb.OnDelete]OnDelete{
	schemapb.OnDelete_ON_DELETE_UNSPECIFIED: Restrict,
	schemapb.OnDelete_ON_DELETE_CASCADE:     Cascade,
	schemapb.OnDelete_ON_DELETE_NULL:        SetNull,
}

// EntityOf is a valid document as a writer hands it to the store, together with
// what its schema says that it is to be found by. The workspace is "" for
// global kinds.
func EntityOf(s *schema.Schema, workspace string, doc schema.Document) Entity {
	x := s.Index(doc)
	e := Entity{
		Workspace: workspace, Kind: s.Kind(), ID: doc.Get("id").Text(),
		Document: doc.AppendJSON(nil), Tags: x.Tags, ExpiresAt: x.ExpiresAt,
	}
	for _, u := range x.Uniques {
		e.Uniques = append(e.Uniques, Unique{Field: u.Field, Value: u.Text, Everywhere: u.Everywhere})
	}
	for _, r := range x.References {
		e.References = append(e.References, Reference{Field: r.Field, Kind: r.Kind, ID: r.ID, OnDelete: rules[r.OnDelete]})
	}
	return e
}
