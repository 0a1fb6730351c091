package runtime

import (
	"fmt"
	"strings"
)

// Problem is one thing of a configuration that cannot be put in force. Empty
// parts are unknown.
type Problem struct {
	Kind, ID, Name string // the entity: "plugins", its id, its name
	Field          string
	Message        string
}

// String says it in one line.
func (p Problem) String() string {
	var b strings.Builder
	if p.Kind != "" {
		b.WriteString(p.Kind)
	}
	if p.Name != "" {
		fmt.Fprintf(&b, " %q", p.Name)
	}
	if p.ID != "" {
		fmt.Fprintf(&b, " (%s)", p.ID)
	}
	for _, part := range []string{p.Field, p.Message} {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// BuildError lists why a configuration cannot be put in force.
type BuildError struct {
	// Problems are as many as were found, MaxProblems at most.
	Problems []Problem
}

// MaxProblems is how many problems one BuildError names.
const MaxProblems = 100

// Error gives the first problem and the number of the others.
func (e *BuildError) Error() string {
	switch n := len(e.Problems); n {
	case 0:
		return "configuration refused"
	case 1:
		return e.Problems[0].String()
	default:
		return fmt.Sprintf("%s (and %d more)", e.Problems[0], n-1)
	}
}

// problems gathers what goes wrong while a configuration is built.
type problems struct{ list []Problem }

func (p *problems) add(problem Problem) {
	if len(p.list) < MaxProblems {
		p.list = append(p.list, problem)
	}
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &BuildError{Problems: p.list}
}
