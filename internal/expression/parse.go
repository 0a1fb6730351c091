package expression

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parser reads an expression by recursive descent.
type parser struct {
	text    string
	at      int
	depth   int
	context Context
}

// fail is an error about the place that begins at a byte.
func (p *parser) fail(at int, format string, args ...any) *Error {
	return &Error{Position: at + 1, Text: fmt.Sprintf(format, args...)}
}

func (p *parser) parse() (node, error) {
	if len(p.text) > maxLength {
		return node{}, &Error{Text: fmt.Sprintf("the expression has %d bytes, %d are the most", len(p.text), maxLength)}
	}
	if !utf8.ValidString(p.text) {
		return node{}, &Error{Text: "the expression is not valid UTF-8"}
	}
	n, err := p.or()
	if err != nil {
		return node{}, err
	}
	if p.space(); p.at < len(p.text) {
		return node{}, p.fail(p.at, "expected && or || or the end, found %s", p.found())
	}
	return n, nil
}

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// take reads a sign, after white space.
func (p *parser) take(sign string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], sign) {
		return false
	}
	p.at += len(sign)
	return true
}

// found names what stands at the current place, for an error.
func (p *parser) found() string {
	rest := p.text[p.at:]
	if rest == "" {
		return "the end"
	}
	end := strings.IndexAny(rest, " \t\r\n")
	if end < 0 {
		end = len(rest)
	}
	if word := rest[:end]; len(word) <= 40 {
		return strconv.Quote(word)
	}
	_, size := utf8.DecodeRuneInString(rest)
	return strconv.Quote(rest[:size])
}

func (p *parser) or() (node, error)  { return p.joined(isOr, "||", p.and) }
func (p *parser) and() (node, error) { return p.joined(isAnd, "&&", p.term) }

// joined reads one or more parts with a sign between them.
func (p *parser) joined(l logic, sign string, part func() (node, error)) (node, error) {
	first, err := part()
	if err != nil {
		return node{}, err
	}
	kids := []node{first}
	for p.take(sign) {
		kid, err := part()
		if err != nil {
			return node{}, err
		}
		kids = append(kids, kid)
	}
	if len(kids) == 1 {
		return first, nil
	}
	return node{logic: l, kids: kids}, nil
}

// term reads a test, or an expression in parentheses.
func (p *parser) term() (node, error) {
	p.space()
	begin := p.at
	not := p.take("!")
	if !p.take("(") {
		if not {
			return node{}, p.fail(begin, "expected ( after !, found %s", p.found())
		}
		t, err := p.test()
		return node{test: t}, err
	}
	if p.depth++; p.depth > maxDepth {
		return node{}, p.fail(begin, "more than %d parentheses within each other", maxDepth)
	}
	inner, err := p.or()
	if err != nil {
		return node{}, err
	}
	if !p.take(")") {
		return node{}, p.fail(p.at, "expected && or || or ), found %s", p.found())
	}
	p.depth--
	if not {
		return node{logic: isNot, kids: []node{inner}}, nil
	}
	return inner, nil
}

// test reads a field, an operator and a literal.
func (p *parser) test() (*test, error) {
	t := new(test)
	if err := p.left(t); err != nil {
		return nil, err
	}
	if err := p.operator(t); err != nil {
		return nil, err
	}
	return t, p.literal(t)
}

// left reads a field, perhaps within transformations.
func (p *parser) left(t *test) error {
	p.space()
	begin := p.at
	var closing int
	for {
		p.space()
		at := p.at
		name := p.name()
		if name == "" {
			return p.fail(at, "expected a field, found %s", p.found())
		}
		if !p.take("(") {
			var text string
			if t.field, text = fieldOf(name, p.context); text == illformedSegments {
				return &Error{Text: text}
			} else if text != "" {
				return p.fail(at, "%s", text)
			}
			break
		}
		switch name {
		case "lower":
			t.lower = true
		case "any":
			t.any = true
		default:
			return p.fail(at, "unknown transformation '%s': there are lower and any", name)
		}
		if closing++; closing > maxDepth {
			return p.fail(at, "more than %d parentheses within each other", maxDepth)
		}
	}
	for range closing {
		if !p.take(")") {
			return p.fail(p.at, "expected ), found %s", p.found())
		}
	}
	if t.lower && t.field.typ != typeString {
		return p.fail(begin, "lower() is for Strings, and %s is %s", t.field.name, typeNames[t.field.typ])
	}
	return nil
}

// name reads the name of a field or transformation.
func (p *parser) name() string {
	begin := p.at
	for p.at < len(p.text) && isNameByte(p.text[p.at]) {
		p.at++
	}
	return p.text[begin:p.at]
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.'
}

// signs are the operators that are no words, each before those that it begins with.
var signs = []operator{opEqual, opUnequal, opPrefix, opSuffix, opGreaterEqual, opLessEqual, opGreater, opLess, opMatches}

func (p *parser) operator(t *test) error {
	p.space()
	begin := p.at
	found := false
	for _, op := range signs {
		if p.take(operatorNames[op]) {
			t.op, found = op, true
			break
		}
	}
	if !found {
		switch word := p.name(); word {
		case "in":
			t.op, found = opIn, true
		case "contains":
			t.op, found = opContains, true
		case "not":
			p.space()
			t.op, found = opNotIn, p.name() == "in"
		}
	}
	if !found {
		p.at = begin
		if strings.HasPrefix(p.text[begin:], "-") {
			return p.fail(begin, "expected an operator, found %s; names of headers are written with underscores", p.found())
		}
		return p.fail(begin, "expected an operator (== != ~ ^= =^ contains > >= < <= in, not in), found %s", p.found())
	}
	if !operatorFits[t.op][t.field.typ] {
		return p.fail(begin, "operator '%s' is not for %s, which is %s", operatorNames[t.op], t.field.name, typeNames[t.field.typ])
	}
	return nil
}

var (
	forStrings = map[valueType]bool{typeString: true}
	forInts    = map[valueType]bool{typeInt: true}
	forAddrs   = map[valueType]bool{typeAddr: true}
	forAll     = map[valueType]bool{typeString: true, typeInt: true, typeAddr: true}
)

// operatorFits says which types of fields an operator is for.
var operatorFits = [...]map[valueType]bool{
	opEqual: forAll, opUnequal: forAll, opMatches: forStrings, opPrefix: forStrings, opSuffix: forStrings,
	opContains: forStrings, opGreater: forInts, opGreaterEqual: forInts, opLess: forInts, opLessEqual: forInts,
	opIn: forAddrs, opNotIn: forAddrs,
}

// literal reads what a field is compared with.
func (p *parser) literal(t *test) error {
	p.space()
	begin := p.at
	text, isString, err := p.stringLiteral()
	if err != nil {
		return err
	}
	if isString {
		if t.field.typ != typeString {
			return p.fail(begin, "%s is %s and cannot be compared with a String", t.field.name, typeNames[t.field.typ])
		}
		return p.setString(t, begin, text)
	}
	for p.at < len(p.text) && (isNameByte(p.text[p.at]) || strings.IndexByte(":/-", p.text[p.at]) >= 0) {
		p.at++
	}
	word := p.text[begin:p.at]
	if word == "" {
		return p.fail(begin, "expected a literal after '%s', found %s", operatorNames[t.op], p.found())
	}
	switch {
	case t.field.typ == typeString:
		return p.fail(begin, "%s is a String and is compared with a text in quotes, found %s", t.field.name, strconv.Quote(word))
	case t.field.typ == typeInt:
		n, err := strconv.ParseInt(word, 0, 64)
		if err != nil || !integer.MatchString(word) {
			return p.fail(begin, "%s is an Int and cannot be compared with %s", t.field.name, strconv.Quote(word))
		}
		t.number = n
	case t.op == opIn || t.op == opNotIn:
		network, err := netip.ParsePrefix(word)
		if addr, wrong := netip.ParseAddr(word); wrong == nil {
			return p.fail(begin, "'%s' needs a range: %s/%d", operatorNames[t.op], addr, addr.BitLen())
		}
		if err != nil {
			return p.fail(begin, "'%s' needs a range such as 10.0.0.0/8, found %s", operatorNames[t.op], strconv.Quote(word))
		}
		t.network = unmapped(network)
	default:
		addr, err := netip.ParseAddr(word)
		if _, wrong := netip.ParsePrefix(word); wrong == nil {
			return p.fail(begin, "'%s' needs an address; for the range %s there is 'in'", operatorNames[t.op], word)
		}
		if err != nil {
			return p.fail(begin, "%s is an IpAddr and cannot be compared with %s", t.field.name, strconv.Quote(word))
		}
		t.address = addr.Unmap()
	}
	return nil
}

// integer is how the language writes one: decimal, hexadecimal or octal.
var integer = regexp.MustCompile(`^-?(?:0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$`)

// unmapped is a network without bits beyond its length, and of IPv4 when it is one
// in IPv6's clothes, since addresses are compared that way.
func unmapped(network netip.Prefix) netip.Prefix {
	if network.Addr().Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	return network.Masked()
}

func (p *parser) setString(t *test, begin int, text string) error {
	t.text, t.want = text, text
	if t.field.folds {
		t.want = strings.ToLower(text)
	}
	if t.op != opMatches {
		return nil
	}
	if t.field.folds {
		text = "(?i)" + text
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return p.fail(begin, "invalid regex: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	t.re = re
	return nil
}

// stringLiteral reads "…" or r#"…"#; it is no string when neither begins here.
func (p *parser) stringLiteral() (text string, isString bool, err error) {
	begin := p.at
	if p.take(`r#"`) {
		end := strings.Index(p.text[p.at:], `"#`)
		if end < 0 {
			return "", true, p.fail(begin, `the string has no end: expected "#`)
		}
		text = p.text[p.at : p.at+end]
		p.at += end + len(`"#`)
		return text, true, nil
	}
	if !p.take(`"`) {
		return "", false, nil
	}
	var b strings.Builder
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case '"':
			p.at++
			return b.String(), true, nil
		case '\\':
			p.at++
			if p.at == len(p.text) {
				continue
			}
			plain, ok := escapes[p.text[p.at]]
			if !ok {
				return "", true, p.fail(p.at-1, `unknown escape: there are \" \\ \n \r \t, and r#"…"# for text as it is`)
			}
			b.WriteByte(plain)
		default:
			b.WriteByte(c)
		}
	}
	return "", true, p.fail(begin, `the string has no end: expected "`)
}
