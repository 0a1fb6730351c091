package expression

import (
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// LooksAtPeers says whether a test is about an address or port.
func (e *Expression) LooksAtPeers() bool {
	return e.fields.has(netSrcIP) || e.fields.has(netSrcPort) || e.fields.has(netDstIP) || e.fields.has(netDstPort)
}

// Hosts are names of hosts, in lower case, of which a request must have one to
// match. Nil means that any will do as far as this can be told.
func (e *Expression) Hosts() []string {
	return e.root.required(func(t *test) (string, bool) { return t.want, t.field.kind == httpHost && t.op == opEqual })
}

// Prefixes are beginnings of the path, of which a request must have one to match.
// Nil means that any will do as far as this can be told.
func (e *Expression) Prefixes() []string {
	return e.root.required(func(t *test) (string, bool) {
		switch {
		case t.field.kind != httpPath || t.lower:
			return "", false
		case t.op == opMatches:
			return literalPrefix(t.text)
		}
		return t.want, t.op == opEqual || t.op == opPrefix
	})
}

// literalPrefix is the text with which all begins that a pattern matches, when it is
// tied to the beginning.
func literalPrefix(pattern string) (string, bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || re.Op != syntax.OpConcat || len(re.Sub) < 2 || re.Sub[0].Op != syntax.OpBeginText {
		return "", false
	}
	literal := re.Sub[1]
	if literal.Op != syntax.OpLiteral || literal.Flags&syntax.FoldCase != 0 {
		return "", false
	}
	text := literal.Rune
	// To a pattern this one stands for any byte that is no UTF-8.
	if i := slices.Index(text, utf8.RuneError); i >= 0 {
		text = text[:i]
	}
	return string(text), len(text) > 0
}

// required gathers texts that tests ask for, when one of these tests must hold for
// the expression to do so.
func (n *node) required(text func(*test) (string, bool)) []string {
	switch n.logic {
	case isTest:
		if s, ok := text(n.test); ok {
			return []string{s}
		}
	case isAnd:
		for i := range n.kids {
			if list := n.kids[i].required(text); list != nil {
				return list
			}
		}
	case isOr:
		var all []string
		for i := range n.kids {
			list := n.kids[i].required(text)
			if list == nil {
				return nil
			}
			all = append(all, list...)
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	return nil
}
