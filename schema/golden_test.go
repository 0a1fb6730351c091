package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// section is a part of a golden file: a line "-- name --" and what follows.
type section struct{ name, text string }

func readSections(t *testing.T, path string) []section {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []section
	for line := range strings.Lines(string(b)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "-- ")
		if name, end := strings.CutSuffix(name, " --"); ok && end {
			out = append(out, section{name: name})
			continue
		}
		if len(out) == 0 {
			t.Fatalf("%s begins with no section", path)
		}
		out[len(out)-1].text += line
	}
	return out
}

func pick(sections []section, name string) string {
	for _, s := range sections {
		if s.name == name {
			return strings.TrimSuffix(s.text, "\n")
		}
	}
	return ""
}

// TestEntities takes bodies along the whole road: body, stored document, what
// clients see, or Kong's error body. The inputs are kind, flavor (of the router;
// none: the default), content-type (none: JSON), current (a PATCH to that) and
// body; the rest is rewritten by -update.
// What clients see is left out where it is what is stored.
func TestEntities(t *testing.T) {
	files, err := filepath.Glob("testdata/entities/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			var got []section
			in := readSections(t, path)
			for _, name := range []string{"kind", "flavor", "content-type", "current", "body"} {
				if text := pick(in, name); text != "" || name == "body" {
					got = append(got, section{name, text + "\n"})
				}
			}
			got = append(got, walk(t, in)...)
			var b bytes.Buffer
			for _, s := range got {
				fmt.Fprintf(&b, "-- %s --\n%s", s.name, s.text)
			}
			compareGolden(t, path, b.Bytes())
		})
	}
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (a new golden file is written by -update)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got)\n%s", path, diff)
	}
}

func walk(t *testing.T, in []section) []section {
	t.Helper()
	s := entityIn(t, pick(in, "flavor"), pick(in, "kind"))
	var current Document
	if text := pick(in, "current"); text != "" {
		// What is stored went through Complete, an hour before.
		current = s.Complete(mustParse(t, text), noon.Add(-time.Hour))
	}
	var body Document
	var err error
	if kind := pick(in, "content-type"); kind != "" {
		body, err = s.DecodeForm(kind, []byte(pick(in, "body")), current)
	} else {
		body, err = ParseObject([]byte(pick(in, "body")))
	}
	if err != nil {
		return failed(t, err)
	}
	if body, err = s.Expand(body, current); err != nil {
		return failed(t, err)
	}
	var doc Document
	if current.IsAbsent() {
		doc = known(s, s.Complete(body, noon), body)
		err = s.Validate(doc, Insert)
	} else {
		doc = s.Merge(current, body, noon)
		err = s.ValidateUpdate(current, doc)
	}
	if err != nil {
		return failed(t, err)
	}
	if doc, err = s.Transform(doc, body); err != nil {
		return failed(t, err)
	}
	doc = unsalted(s.Stored(doc))
	out := []section{{"stored", indent(t, doc)}}
	if shown := s.Render(doc, noon.Add(time.Second)); shown.String() != doc.String() {
		out = append(out, section{"rendered", indent(t, shown)})
	}
	for _, u := range s.Index(doc).Uniques {
		out = append(out, section{"unique", u.Field + " " + u.Key.String() + " " + u.Text + "\n"})
	}
	return out
}

// known puts something known in place of what was generated.
func known(s *Schema, doc, body Document) Document {
	for _, f := range s.record.fields {
		if !f.rules.GetAuto() || f.typ != typeString || !body.Get(f.name).unset() || doc.Get(f.name).unset() {
			continue
		}
		value := "GeneratedGeneratedGeneratedGener"
		if f.rules.GetUuid() {
			value = "00000000-0000-4000-8000-000000000001"
		}
		if len(doc.Get(f.name).Text()) == len(value) {
			doc = doc.With(String(value), f.name)
		}
	}
	return doc
}

// unsalted puts something known in place of a random salt and the hash with it.
func unsalted(doc Document) Document {
	if isSecretHash(doc.Get("client_secret").Text()) {
		return doc.With(String(secretHash+"<salt>$<hash>"), "client_secret")
	}
	return doc
}

func failed(t *testing.T, err error) []section {
	t.Helper()
	var violation *ViolationError
	var option *OptionError
	message := section{"message", err.Error() + "\n"}
	switch {
	case errors.As(err, &violation):
		return []section{message, {"fields", indent(t, violation.Document())}}
	case errors.As(err, &option):
		return []section{message, {"options", indent(t, option.Document())}}
	}
	return []section{{"refused", err.Error() + "\n"}}
}

// indent puts one member a line, for the reader.
func indent(t *testing.T, d Document) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, d.AppendJSON(nil), "", " "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}
