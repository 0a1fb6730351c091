package schema

import (
	"fmt"
	"strings"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/internal/vault"
)

// check is a compiled check on a record as a whole.
type check struct {
	rules *schemapb.Check
	// paths are the fields that it looks at.
	paths [][]string
	// strict checks are skipped when one of their fields has failed.
	strict bool
	// needs are the fields that must be there, as null at least.
	needs [][]string
	// when and then are the tests of a check that has conditions.
	when conditions
	then *field
	run  func(c *checking)
}

// checking is one run of one check.
type checking struct {
	op   Op
	doc  Document
	fail *failures
	own  string // the schema's own text, or ""
	said []string
}

func (c *checking) get(path []string) Document { return c.doc.Get(path...) }

// say puts a text into @entity.
func (c *checking) say(standard string) {
	c.said = append(c.said, orText(c.own, standard))
}

// sayUpdating is say for the checks whose standard text differs on PATCH.
func (c *checking) sayUpdating(standard string) {
	if c.op == Update {
		standard = "when updating, " + standard
	}
	c.say(standard)
}

func (j *judge) checks(list []*check, doc Document, fail *failures) {
	if j.partial {
		return
	}
	for _, ch := range list {
		if ch.skip(doc, fail) || j.lacks(ch, doc, fail) {
			continue
		}
		c := checking{op: j.op, doc: doc, fail: fail, own: ch.rules.GetErr()}
		ch.run(&c)
		if ch.rules.GetWhole() && len(c.said) > 0 {
			fail.whole = c.said[0]
			continue
		}
		fail.entity = append(fail.entity, c.said...)
	}
}

// lacks reports that a field is not there which the check needs. That is so for
// a required field without a value, which has its text already, and for an
// entity that went through neither Complete nor Merge.
func (j *judge) lacks(ch *check, doc Document, fail *failures) (lacks bool) {
	text := "field required for entity check"
	if j.op == Update {
		text += " when updating"
	}
	for _, path := range ch.needs {
		// Below a null there is nothing, and nothing is missed.
		if !doc.Get(path[0]).IsAbsent() {
			continue
		}
		lacks = true
		if !fail.has(path[:1]) {
			fail.put(String(text), path[0])
		}
	}
	return lacks
}

// skip reports that a check cannot say anything: a secret in a vault stands
// for a value that is not known yet, and some checks ask nothing of fields
// that are wrong by themselves.
func (ch *check) skip(doc Document, fail *failures) bool {
	for _, path := range ch.paths {
		if vault.IsReference(doc.Get(path...).Text()) {
			return true
		}
		if ch.strict && fail.has(path) {
			return true
		}
	}
	return false
}

// empty is what the checks mean by it: missing, null, "", [] or {}.
func empty(d Document) bool {
	switch d.Kind() {
	case Absent, KindNull:
		return true
	case KindString:
		return d.Text() == ""
	case KindList:
		return len(d.Elements()) == 0
	case KindObject:
		return len(d.Members()) == 0
	}
	return false
}

func paths(names ...string) [][]string {
	out := make([][]string, len(names))
	for i, name := range names {
		out[i] = strings.Split(name, ".")
	}
	return out
}

func (c *checking) nonEmpty(names []string) (set []string) {
	for _, name := range names {
		if !empty(c.get(strings.Split(name, "."))) {
			set = append(set, name)
		}
	}
	return set
}

// compileChecks compiles those of the checks that are made in the flavour.
func (fl flavor) compileChecks(list []*schemapb.Check) ([]*check, error) {
	var out []*check
	for i, rules := range list {
		made, err := fl.among(rules.GetFlavors())
		if err != nil {
			return nil, fmt.Errorf("check %d: %w", i+1, err)
		}
		if !made {
			continue
		}
		ch, err := compileCheck(rules)
		if err != nil {
			return nil, fmt.Errorf("check %d: %w", i+1, err)
		}
		ch.rules = rules
		out = append(out, ch)
	}
	return out, nil
}

func compileCheck(rules *schemapb.Check) (*check, error) {
	switch r := rules.GetCheck().(type) {
	case *schemapb.Check_AtLeastOneOf:
		return atLeastOneOf(r.AtLeastOneOf.GetValues()), nil
	case *schemapb.Check_OnlyOneOf:
		return onlyOneOf(r.OnlyOneOf.GetValues()), nil
	case *schemapb.Check_Distinct:
		return distinct(r.Distinct.GetValues()), nil
	case *schemapb.Check_MutuallyRequired:
		return mutuallyRequired(r.MutuallyRequired.GetValues()), nil
	case *schemapb.Check_MutuallyExclusive:
		return mutuallyExclusive(r.MutuallyExclusive.GetValues()), nil
	case *schemapb.Check_MutuallyExclusiveSets:
		return mutuallyExclusiveSets(r.MutuallyExclusiveSets), nil
	case *schemapb.Check_Conditional:
		return conditional(r.Conditional)
	case *schemapb.Check_ConditionalAtLeastOneOf:
		return conditionalAtLeastOneOf(r.ConditionalAtLeastOneOf)
	case *schemapb.Check_RequireWhen:
		return requireWhen(r.RequireWhen)
	case *schemapb.Check_DenyWhen:
		return denyWhen(r.DenyWhen)
	case *schemapb.Check_Custom:
		custom, ok := customs[r.Custom]
		if !ok {
			return nil, fmt.Errorf("no custom check %q", r.Custom)
		}
		return &check{paths: paths(custom.fields...), strict: true, needs: paths(custom.fields...), run: func(c *checking) {
			if text := custom.run(c.doc); text != "" {
				c.say(text)
			}
		}}, nil
	}
	return nil, fmt.Errorf("no rule in it")
}

func atLeastOneOf(names []string) *check {
	text := "at least one of these fields must be non-empty: " + quotedList(names)
	return &check{paths: paths(names...), run: func(c *checking) {
		if len(c.nonEmpty(names)) == 0 {
			c.sayUpdating(text)
		}
	}}
}

func onlyOneOf(names []string) *check {
	return &check{paths: paths(names...), run: func(c *checking) {
		if len(c.nonEmpty(names)) != 1 {
			c.say("exactly one of these fields must be non-empty: " + quotedList(names))
		}
	}}
}

func distinct(names []string) *check {
	return &check{paths: paths(names...), run: func(c *checking) {
		var seen []Document
		for _, path := range paths(names...) {
			v := c.get(path)
			if v.unset() {
				continue
			}
			if contains(List(seen...), v) {
				c.say("values of these fields must be distinct: " + quotedList(names))
				return
			}
			seen = append(seen, v)
		}
	}}
}

func mutuallyRequired(names []string) *check {
	return &check{paths: paths(names...), strict: true, run: func(c *checking) {
		if n := len(c.nonEmpty(names)); n != 0 && n != len(names) {
			c.say("all or none of these fields must be set: " + quotedList(names))
		}
	}}
}

func mutuallyExclusive(names []string) *check {
	return &check{paths: paths(names...), strict: true, run: func(c *checking) {
		if len(c.nonEmpty(names)) > 1 {
			c.say("only one or none of these fields must be set: " + quotedList(names))
		}
	}}
}

func mutuallyExclusiveSets(sets *schemapb.ExclusiveSets) *check {
	names := append(append([]string(nil), sets.GetSet1()...), sets.GetSet2()...)
	return &check{paths: paths(names...), strict: true, run: func(c *checking) {
		one, two := c.nonEmpty(sets.GetSet1()), c.nonEmpty(sets.GetSet2())
		if len(one) > 0 && len(two) > 0 {
			c.say("these sets are mutually exclusive: (" + quotedList(one) + "), (" + quotedList(two) + ")")
		}
	}}
}

func conditional(r *schemapb.Conditional) (*check, error) {
	when, err := compileCondition(&schemapb.Condition{Field: r.GetIfField(), Match: r.GetIfMatch()})
	if err != nil {
		return nil, err
	}
	then, err := compileMatch(r.GetThenMatch())
	if err != nil {
		return nil, err
	}
	if then.elem != nil {
		return nil, fmt.Errorf("then_match tests no elements")
	}
	path := strings.Split(r.GetThenField(), ".")
	text := orText(r.GetThenErr(), "failed conditional validation given value of field '"+r.GetIfField()+"'")
	return &check{paths: [][]string{when.path, path}, needs: [][]string{when.path}, when: conditions{when}, then: then, run: func(c *checking) {
		if !when.holds(c.doc) {
			return
		}
		// The field's text is that of the rule, even when the field had failed
		// in another way before.
		if broken := then.judge(c.get(path)); !broken.IsAbsent() {
			c.fail.put(broken, path...)
			c.say(text)
		}
	}}, nil
}

func conditionalAtLeastOneOf(r *schemapb.ConditionalAtLeastOneOf) (*check, error) {
	when, err := compileCondition(&schemapb.Condition{Field: r.GetIfField(), Match: r.GetIfMatch()})
	if err != nil {
		return nil, err
	}
	all := append(paths(r.GetThenAtLeastOneOf()...), paths(r.GetElseThenAtLeastOneOf()...)...)
	return &check{paths: append(all, when.path), when: conditions{when}, run: func(c *checking) {
		names, own := r.GetThenAtLeastOneOf(), r.GetThenErr()
		if !when.holds(c.doc) {
			names, own = r.GetElseThenAtLeastOneOf(), r.GetElseThenErr()
		}
		if len(names) == 0 || len(c.nonEmpty(names)) > 0 {
			return
		}
		if own != "" {
			c.say(strings.ReplaceAll(own, "%s", quotedList(names)))
			return
		}
		c.sayUpdating("at least one of these fields must be non-empty: " + quotedList(names))
	}}, nil
}

func requireWhen(r *schemapb.RequireWhen) (*check, error) {
	when, err := compileConditions(r.GetWhen())
	if err != nil {
		return nil, err
	}
	return &check{paths: append(when.paths(), paths(r.GetFields()...)...), when: when, run: func(c *checking) {
		if !when.hold(c.doc) {
			return
		}
		for _, name := range r.GetFields() {
			if len(c.nonEmpty([]string{name})) > 0 {
				continue
			}
			if c.own != "" {
				c.said = append(c.said, strings.ReplaceAll(c.own, "%s", quotedList([]string{name})))
				continue
			}
			c.sayUpdating("at least one of these fields must be non-empty: " + quotedList([]string{name}))
		}
	}}, nil
}

func denyWhen(r *schemapb.DenyWhen) (*check, error) {
	when, err := compileConditions(r.GetWhen())
	if err != nil {
		return nil, err
	}
	return &check{paths: when.paths(), when: when, run: func(c *checking) {
		if when.hold(c.doc) {
			c.say("invalid combination of values")
		}
	}}, nil
}

// condition is a test of one field.
type condition struct {
	path  []string
	match *field
}

type conditions []condition

func compileConditions(list []*schemapb.Condition) (conditions, error) {
	var out conditions
	for _, r := range list {
		c, err := compileCondition(r)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func compileCondition(r *schemapb.Condition) (condition, error) {
	m, err := compileMatch(r.GetMatch())
	if err != nil {
		return condition{}, fmt.Errorf("%s: %w", r.GetField(), err)
	}
	return condition{strings.Split(r.GetField(), "."), m}, nil
}

// match compiles a test into a field without a type of its own.
func compileMatch(m *schemapb.Match) (*field, error) {
	rules := &schemapb.Field{
		OneOf: m.GetOneOf(), NotOneOf: m.GetNotOneOf(), Required: m.GetRequired(), Between: m.GetBetween(), Format: m.GetFormat(),
	}
	if m != nil {
		rules.Eq, rules.Ne, rules.Gt, rules.Match, rules.LenEq, rules.LenMin = m.Eq, m.Ne, m.Gt, m.Match, m.LenEq, m.LenMin
	}
	if m != nil && m.Contains != nil {
		text := String(m.GetContains()).String()
		rules.Contains = &text
	}
	f := &field{typ: typeJSON, rules: rules}
	if m.GetElements() != nil {
		var err error
		if f.elem, err = compileMatch(m.GetElements()); err != nil {
			return nil, err
		}
	}
	return f, f.finish()
}

func (cs conditions) paths() [][]string {
	var out [][]string
	for _, c := range cs {
		out = append(out, c.path)
	}
	return out
}

func (cs conditions) hold(doc Document) bool {
	for _, c := range cs {
		if !c.holds(doc) {
			return false
		}
	}
	return true
}

// holds tests the field. A null has none of the properties that a test asks
// for, except being null and not being something else.
func (c condition) holds(doc Document) bool {
	v := doc.Get(c.path...)
	m := c.match
	if v.unset() {
		asks := len(m.oneOf) > 0 || m.elem != nil || !m.contains.IsAbsent() || m.match != nil || m.check != nil ||
			m.rules.Gt != nil || m.rules.Between != nil || m.rules.LenEq != nil || m.rules.LenMin != nil
		return m.null().IsAbsent() && (!asks || m.eq.IsNull())
	}
	if m.eq.IsNull() || m.rule(v) != "" {
		return false
	}
	if m.elem == nil {
		return true
	}
	for _, e := range v.Elements() {
		if m.elem.rule(e) != "" {
			return false
		}
	}
	return v.Kind() == KindList
}
