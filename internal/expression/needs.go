package expression

import "slices"

// LooksAtPeers says whether a test is about an address or port.
func (e *Expression) LooksAtPeers() bool {
	return e.fields.has(netSrcIP) || e.fields.has(netSrcPort) || e.fields.has(netDstIP) || e.fields.has(netDstPort)
}

// Hosts are names of hosts, in lower case, of which a request must have one to
// match. Nil means that any will do as far as this can be told.
func (e *Expression) Hosts() []string {
	return e.root.required(func(t *test) bool { return t.field.kind == httpHost && t.op == opEqual })
}

// Prefixes are beginnings of the path, of which a request must have one to match.
// Nil means that any will do as far as this can be told.
func (e *Expression) Prefixes() []string {
	return e.root.required(func(t *test) bool {
		return t.field.kind == httpPath && !t.lower && (t.op == opEqual || t.op == opPrefix)
	})
}

// required gathers the literals of such tests, when one of them must hold for the
// expression to do so.
func (n *node) required(such func(*test) bool) []string {
	switch n.logic {
	case isTest:
		if such(n.test) {
			return []string{n.test.want}
		}
	case isAnd:
		for i := range n.kids {
			if list := n.kids[i].required(such); list != nil {
				return list
			}
		}
	case isOr:
		var all []string
		for i := range n.kids {
			list := n.kids[i].required(such)
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
