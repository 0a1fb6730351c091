package schema

import (
	"slices"

	"github.com/gibbon-gateway/gibbon/internal/expression"
)

// Kong's words before all that is wrong with an expression.
const expressionFailed = "Router Expression failed validation: "

// classicMatchers are the fields that an expression stands for.
var classicMatchers = []string{"methods", "hosts", "paths", "headers", "snis", "sources", "destinations"}

// routerExpression judges an expression and what stands beside it: it replaces the
// classic matchers, and has a priority of its own in the place of theirs.
func routerExpression(doc Document) string {
	classic := slices.ContainsFunc(classicMatchers, func(name string) bool { return !empty(doc.Get(name)) })
	const with = " with 'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations' simultaneously"
	text := doc.Get("expression")
	switch {
	case text.unset() && classic && nonzero(doc.Get("priority")):
		return expressionFailed + "cannot set 'priority'" + with
	case text.unset():
		return ""
	case classic:
		return expressionFailed + "cannot set 'expression'" + with
	case nonzero(doc.Get("regex_priority")):
		return expressionFailed + "cannot set 'regex_priority' with 'expression' simultaneously"
	}
	context := expression.HTTP
	for _, protocol := range doc.Get("protocols").Elements() {
		switch protocol.Text() {
		case "tcp", "tls", "udp", "tls_passthrough":
			context = expression.Stream
		}
	}
	if _, err := expression.Compile(text.Text(), context); err != nil {
		return expressionFailed + err.Error()
	}
	return ""
}

// nonzero reports a number that was set; 0 is what a field has that was not.
func nonzero(d Document) bool {
	n, ok := d.Float()
	return ok && n != 0
}
