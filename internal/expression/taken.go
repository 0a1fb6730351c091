package expression

// Taken is what an expression took of a path.
type Taken struct {
	// HasPath says that a test of http.path took a part that begins the path;
	// Matched is that part.
	HasPath bool
	Matched string
	// Captures are what the groups of a regular expression matched, the whole
	// match first; nil when there was none with groups. Named are the named
	// groups of all of them; nil when there are none.
	Captures []string
	Named    map[string]string
}

// Taken says what the expression took of the path of a request that it matches.
// Only the tests that the match rests on count, and of several the last: not those
// within !( ), nor those of an alternative that failed.
//
// Kong cuts off as many bytes as a pattern matched, wherever it did. Here one that
// matched further on has taken nothing from the beginning.
func (e *Expression) Taken(r *Request) Taken {
	var out Taken
	if !e.fields.has(httpPath) {
		return out
	}
	var few [4]*test
	tests, _ := e.root.supports(r, few[:0])
	for _, t := range tests {
		t.take(r.Path, &out)
	}
	return out
}

// supports gathers the tests of the path that a match rests on.
func (n *node) supports(r *Request, tests []*test) ([]*test, bool) {
	switch n.logic {
	case isAnd:
		begin := len(tests)
		for i := range n.kids {
			var ok bool
			if tests, ok = n.kids[i].supports(r, tests); !ok {
				return tests[:begin], false
			}
		}
		return tests, true
	case isOr:
		for i := range n.kids {
			if more, ok := n.kids[i].supports(r, tests); ok {
				return more, true
			}
		}
		return tests, false
	case isNot:
		return tests, n.match(r)
	}
	if !n.test.match(r) {
		return tests, false
	}
	if n.test.field.kind == httpPath {
		tests = append(tests, n.test)
	}
	return tests, true
}

// take notes what one test took.
func (t *test) take(path string, out *Taken) {
	switch t.op {
	case opEqual:
		out.HasPath, out.Matched = true, path
	case opPrefix:
		n := len(t.want)
		if t.lower {
			n, _ = lowerPrefix(path, t.want)
		}
		out.HasPath, out.Matched = true, path[:n]
	case opMatches:
		t.takeGroups(path, out)
	}
}

func (t *test) takeGroups(path string, out *Taken) {
	value := path
	if t.lower {
		value = lower(path)
	}
	at := t.re.FindStringSubmatchIndex(value)
	if at == nil {
		return
	}
	if at[0] == 0 {
		n := at[1]
		if t.lower {
			n, _ = lowerPrefix(path, value[:n])
		}
		out.HasPath, out.Matched = true, path[:n]
	}
	names := t.re.SubexpNames()
	if len(names) == 1 {
		return
	}
	out.Captures = make([]string, len(names))
	for i, name := range names {
		if begin, end := at[2*i], at[2*i+1]; begin >= 0 {
			out.Captures[i] = value[begin:end]
		}
		if name != "" {
			if out.Named == nil {
				out.Named = make(map[string]string)
			}
			out.Named[name] = out.Captures[i]
		}
	}
}
