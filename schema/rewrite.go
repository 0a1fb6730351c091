package schema

import "fmt"

// rewriteFunc changes a body before anything is filled in or judged. Members
// are texts on fields that cannot be rewritten; nothing else is judged then.
type rewriteFunc func(body Document) (Document, []Member)

// rewrites are the changes that protos name in "rewrites".
var rewrites = map[string]rewriteFunc{
	"algorithm_and_hash_on": algorithmAndHashOn,
	"target_with_port":      targetWithPort,
}

func (s *Schema) compileRewrites() error {
	for _, name := range s.entity.GetRewrites() {
		run := rewrites[name]
		if run == nil {
			return fmt.Errorf("no rewrite %q", name)
		}
		s.rewrites = append(s.rewrites, run)
	}
	return nil
}

// rewrite makes all changes of the schema; the error is a *ViolationError.
func (s *Schema) rewrite(body Document) (Document, error) {
	for _, run := range s.rewrites {
		out, broken := run(body)
		if len(broken) > 0 {
			return body, &ViolationError{Fields: Object(broken...)}
		}
		body = out
	}
	return body, nil
}
