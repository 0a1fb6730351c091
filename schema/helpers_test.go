package schema

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

type checkProto = schemapb.Check

func mustCheck(t testing.TB, text string) *checkProto {
	t.Helper()
	var c checkProto
	if err := prototext.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

// noon is when everything happens in these tests.
var noon = time.Date(2024, 11, 22, 8, 0, 0, 0, time.UTC)

func mustParse(t testing.TB, text string) Document {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return d
}

func complete(t testing.TB, s *Schema, body string) Document {
	t.Helper()
	d, err := s.Expand(mustParse(t, body), Document{})
	if err != nil {
		t.Fatalf("Expand(%s): %v", body, err)
	}
	return s.Complete(d, noon)
}

// violation is the "fields" of a violation; absent when there is none.
func violation(err error) Document {
	var v *ViolationError
	if errors.As(err, &v) {
		return v.Document()
	}
	return Document{}
}

func load(t testing.TB) *Catalogue { return loadFlavor(t, "") }

func loadFlavor(t testing.TB, router string) *Catalogue {
	t.Helper()
	c, err := Load(Options{RouterFlavor: router})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func entity(t testing.TB, kind string) *Schema { return entityIn(t, "", kind) }

func entityIn(t testing.TB, router, kind string) *Schema {
	t.Helper()
	s, ok := loadFlavor(t, router).Entity(kind)
	if !ok {
		t.Fatalf("no entity %q", kind)
	}
	return s
}
