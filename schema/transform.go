package schema

import "fmt"

// transformFunc changes a valid entity before it is stored. The error is a
// *ViolationError when the entity turns out to be wrong after all.
type transformFunc func(doc Document) (Document, error)

// transforms are the changes that protos name in "transformations".
var transforms = map[string]transformFunc{
	"cert_digest":        certDigest,
	"hash_password":      hashPassword,
	"hash_client_secret": hashClientSecret,
}

// transformation is a compiled change and what it is about.
type transformation struct {
	input []string
	run   transformFunc
}

// Transform makes the changes that a valid entity needs before it is stored,
// such as hashing a password. It comes after Validate and before Stored. Given
// is the body of the write: a change that is about some of its fields is made
// only when the body has one of them. What was exported from a database is
// imported again without it.
func (s *Schema) Transform(doc, given Document) (Document, error) {
	for _, t := range s.transformations {
		if !t.wanted(given) {
			continue
		}
		var err error
		if doc, err = t.run(doc); err != nil {
			return doc, err
		}
	}
	return doc, nil
}

func (t *transformation) wanted(given Document) bool {
	for _, name := range t.input {
		if !given.Get(name).unset() {
			return true
		}
	}
	return len(t.input) == 0
}

func (s *Schema) compileTransformations() error {
	for _, rules := range s.entity.GetTransformations() {
		run := transforms[rules.GetName()]
		if run == nil {
			return fmt.Errorf("no transformation %q", rules.GetName())
		}
		s.transformations = append(s.transformations, transformation{rules.GetInput(), run})
	}
	return nil
}
