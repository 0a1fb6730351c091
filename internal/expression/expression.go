// Package expression owns the language in which routes say what they match when
// the router's flavour is expressions, such as
//
//	http.path ^= "/v1" && any(http.headers.x_tier) == "gold"
//
// The control plane compiles an expression to judge it and the data plane to
// route by it, so both agree on what is one. Which routes exist and in what order
// they are asked is the router's business.
//
// A test compares a field of the request, on its left, with a literal, on its
// right. A field without a value makes its test false, whatever the operator. A
// field with several values passes when all of them do, or one of them inside
// any(). Names of hosts (http.host, tls.sni) are compared without regard to case,
// as everywhere in the router; all else is compared as it is, or in lower case
// inside lower().
package expression

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Bounds on what is read: an operator's mistake must not cost a node its memory or
// its stack.
const (
	maxLength = 64 << 10 // bytes of an expression
	maxDepth  = 100      // parentheses within parentheses
)

// Context says which fields there are.
type Context uint8

const (
	// HTTP is the context of requests over HTTP or gRPC.
	HTTP Context = iota
	// Stream is the context of connections over TCP, TLS or UDP, which have no
	// http fields.
	Stream
)

// Expression is a compiled expression. It never changes and is safe for use by
// many goroutines.
type Expression struct {
	root   node
	fields fieldSet
}

// Compile reads an expression. The error is an *Error.
func Compile(text string, context Context) (*Expression, error) {
	p := &parser{text: text, context: context}
	root, err := p.parse()
	if err != nil {
		return nil, err
	}
	e := &Expression{root: root}
	e.root.mark(&e.fields)
	return e, nil
}

// Error says what is wrong with an expression.
type Error struct {
	// Position is where, in bytes from 1; 0 when the text says it.
	Position int
	Text     string
}

func (e *Error) Error() string {
	if e.Position == 0 {
		return e.Text
	}
	return fmt.Sprintf("%s at position %d", e.Text, e.Position)
}

// node is a part of the tree: a test, or others joined by logic.
type node struct {
	logic logic
	kids  []node // of and, or: two at least; of not: one
	test  *test  // of a test
}

type logic uint8

const (
	isTest logic = iota
	isAnd
	isOr
	isNot
)

// operator stands between a field and a literal.
type operator uint8

const (
	opEqual operator = iota
	opUnequal
	opMatches
	opPrefix
	opSuffix
	opContains
	opGreater
	opGreaterEqual
	opLess
	opLessEqual
	opIn
	opNotIn
)

var operatorNames = [...]string{
	opEqual: "==", opUnequal: "!=", opMatches: "~", opPrefix: "^=", opSuffix: "=^", opContains: "contains",
	opGreater: ">", opGreaterEqual: ">=", opLess: "<", opLessEqual: "<=", opIn: "in", opNotIn: "not in",
}

// test is a comparison. Which of the literals counts follows from the type of the
// field and the operator.
type test struct {
	field      field
	lower, any bool
	op         operator
	text       string // as it was written
	want       string // what is compared with: text, in lower case for the names of hosts
	re         *regexp.Regexp
	number     int64
	address    netip.Addr
	network    netip.Prefix
}

// String writes the expression in one way; compiled again it is the same.
func (e *Expression) String() string {
	var b strings.Builder
	e.root.write(&b)
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	switch n.logic {
	case isTest:
		n.test.write(b)
	case isNot:
		b.WriteString("!(")
		n.kids[0].write(b)
		b.WriteByte(')')
	case isAnd, isOr:
		sign := " && "
		if n.logic == isOr {
			sign = " || "
		}
		for i := range n.kids {
			if i > 0 {
				b.WriteString(sign)
			}
			kid := &n.kids[i]
			// Only an && within an || binds by itself.
			nested := kid.logic == isOr || kid.logic == isAnd && n.logic == isAnd
			if nested {
				b.WriteByte('(')
			}
			kid.write(b)
			if nested {
				b.WriteByte(')')
			}
		}
	}
}

func (t *test) write(b *strings.Builder) {
	name := t.field.name
	if t.lower {
		name = "lower(" + name + ")"
	}
	if t.any {
		name = "any(" + name + ")"
	}
	b.WriteString(name + " " + operatorNames[t.op] + " ")
	switch {
	case t.field.typ == typeString:
		writeString(b, t.text)
	case t.field.typ == typeInt:
		fmt.Fprint(b, t.number)
	case t.op == opIn || t.op == opNotIn:
		b.WriteString(t.network.String())
	default:
		b.WriteString(t.address.String())
	}
}

// escapes are the characters that stand behind a backslash, and what for.
var escapes = map[byte]byte{'"': '"', '\\': '\\', 'n': '\n', 'r': '\r', 't': '\t'}

func writeString(b *strings.Builder, text string) {
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}
