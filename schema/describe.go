package schema

import (
	"math"
	"strings"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

// Describe is what GET /schemas/{entity} answers, or for a configuration
// GET /schemas/plugins/{name}, /schemas/vaults/{name} and the like. Clients take defaults from it, so it and Complete must agree.
// Checks that are code are left out, as Kong leaves out its functions.
func (s *Schema) Describe() Document {
	if s.entity == nil {
		return s.describeVariant()
	}
	return Object(
		Member{"fields", describeFields(s.record)},
		Member{"entity_checks", describeChecks(s.record.checks)},
	)
}

// DescribeConfig is the configuration alone: what
// GET /plugins/schema/{name} answers.
func (s *Schema) DescribeConfig() Document {
	return Object(
		Member{"fields", describeFields(s.record)},
		Member{"entity_checks", describeChecks(s.record.checks)},
	)
}

// describeVariant shows the fields in which one plugin differs from the others:
// the scopes that it forbids, its protocols and its configuration. Of other
// variants it is the configuration.
func (s *Schema) describeVariant() Document {
	var fields []Document
	for _, e := range s.catalogue.entities {
		v := e.variants[s.Kind()]
		if v == nil || v.config != s {
			continue
		}
		for _, f := range v.record.fields {
			switch {
			case f.typ == typeForeign && f.eq.IsNull():
				fields = append(fields, Object(Member{f.name, Object(
					Member{"type", String("foreign")},
					Member{"reference", String(f.rules.GetReference())},
					Member{"eq", Null()},
					Member{"description", String("Must be null: the plugin cannot be bound to one of the " + f.rules.GetReference() + ".")},
				)}))
			case f.name == "protocols":
				fields = append(fields, Object(Member{f.name, f.describe()}))
			}
		}
		fields = append(fields, Object(Member{e.config.name, v.record.byName[e.config.name].describe()}))
	}
	return Object(Member{"fields", List(fields...)}, Member{"entity_checks", describeChecks(s.checks)})
}

func describeFields(r *record) Document {
	fields := make([]Document, len(r.fields))
	for i, f := range r.fields {
		fields[i] = Object(Member{f.name, f.describe()})
	}
	return List(fields...)
}

// attributes collects what there is to say of a field.
type attributes []Member

func (a *attributes) add(name string, value Document) {
	if !value.IsAbsent() {
		*a = append(*a, Member{name, value})
	}
}

func (a *attributes) flag(name string, set bool) {
	if set {
		a.add(name, Bool(true))
	}
}

func (a *attributes) text(name, text string) {
	if text != "" {
		a.add(name, String(text))
	}
}

func (f *field) describe() Document {
	var a attributes
	r := f.rules
	a.add("type", String(typeNames[f.typ]))
	a.flag("required", r.GetRequired())
	a.flag("uuid", r.GetUuid())
	a.flag("auto", r.GetAuto())
	a.flag("timestamp", r.GetTimestamp())
	a.flag("unique", r.GetUnique() || r.GetUniqueAcrossWs())
	a.flag("unique_across_ws", r.GetUniqueAcrossWs())
	a.add("default", f.describeDefault())
	f.describeRules(&a)
	a.text("reference", r.GetReference())
	switch r.GetOnDelete() {
	case schemapb.OnDelete_ON_DELETE_CASCADE:
		a.text("on_delete", "cascade")
	case schemapb.OnDelete_ON_DELETE_NULL:
		a.text("on_delete", "null")
	}
	if f.elem != nil {
		a.add("elements", f.elem.describe())
	}
	if f.values != nil {
		a.add("keys", f.keys.describe())
		a.add("values", f.values.describe())
	}
	f.describeRecord(&a)
	a.flag("abstract", f.typ == typeConfig && f.record == nil)
	a.flag("referenceable", r.GetReferenceable())
	a.flag("encrypted", r.GetEncrypted())
	a.flag("immutable", r.GetImmutable())
	a.flag("transient", r.GetTransient())
	a.text("err", r.GetErr())
	a.add("deprecation", describeDeprecation(r.GetDeprecation()))
	a.text("description", r.GetDescription())
	return Object(a...)
}

// describeDefault shows a record's default with those of the fields inside.
func (f *field) describeDefault() Document {
	if f.record == nil || f.def.IsAbsent() {
		return f.def
	}
	return withoutNulls((&filler{}).value(f, f.def))
}

// withoutNulls takes out members that are null, at every depth.
func withoutNulls(d Document) Document {
	if d.Kind() != KindObject {
		return d
	}
	var members []Member
	for _, m := range d.Members() {
		if !m.Value.IsNull() {
			members = append(members, Member{m.Name, withoutNulls(m.Value)})
		}
	}
	return Object(members...)
}

func (f *field) describeRules(a *attributes) {
	r := f.rules
	a.add("eq", f.eq)
	a.add("ne", f.ne)
	a.add("one_of", f.listed(f.oneOf))
	a.add("not_one_of", f.listed(f.notOneOf))
	if r.Gt != nil {
		a.add("gt", describeLimit(r.GetGt()))
	}
	if b := r.Between; b != nil {
		a.add("between", List(describeLimit(b.GetMin()), describeLimit(b.GetMax())))
	}
	a.flag("is_regex", r.GetIsRegex())
	for _, l := range []struct {
		name  string
		value *int64
	}{{"len_eq", r.LenEq}, {"len_min", r.LenMin}, {"len_max", r.LenMax}} {
		if l.value != nil {
			a.add(l.name, Int(*l.value))
		}
	}
	a.text("starts_with", r.GetStartsWith())
	a.text("not_match", r.GetNotMatch())
	a.add("match_none", describePatterns(r.GetMatchNone()))
	a.text("match", r.GetMatch())
	a.add("match_all", describePatterns(r.GetMatchAll()))
	if m := r.GetMatchAny(); m != nil {
		any := attributes{{"patterns", texts(m.GetPatterns())}}
		any.text("err", m.GetErr())
		a.add("match_any", Object(any...))
	}
	a.add("contains", f.contains)
	if len(f.exclusive) > 0 {
		groups := make([]Document, len(f.exclusive))
		for i, g := range f.exclusive {
			groups[i] = texts(g.names)
		}
		a.add("mutually_exclusive_subsets", List(groups...))
	}
}

// describeLimit shows a number, or the text by which Kong shows what JSON has no
// number for.
func describeLimit(n float64) Document {
	switch {
	case math.IsInf(n, 1):
		return String("inf")
	case math.IsInf(n, -1):
		return String("-inf")
	}
	return Float(n)
}

func (f *field) describeRecord(a *attributes) {
	if f.record == nil {
		return
	}
	a.add("fields", describeFields(f.record))
	if len(f.record.checks) > 0 {
		a.add("entity_checks", describeChecks(f.record.checks))
	}
	var old []Document
	for _, sh := range f.record.shorthands {
		old = append(old, Object(Member{sh.field.name, sh.describe()}))
	}
	if old != nil {
		a.add("shorthand_fields", List(old...))
	}
}

func (sh *shorthand) describe() Document {
	a := attributes{{"type", String(sh.rules.GetType())}}
	if sh.field.elem != nil {
		a.add("elements", sh.field.elem.describe())
	}
	a.add("deprecation", describeDeprecation(sh.rules.GetDeprecation(), sh.paths...))
	if sh.rules.GetTranslateBackwards() {
		a.add("translate_backwards", texts(sh.paths[0]))
	}
	return Object(a...)
}

func describeDeprecation(d *schemapb.Deprecation, replacements ...[]string) Document {
	if d == nil {
		return Document{}
	}
	var a attributes
	a.text("message", d.GetMessage())
	a.text("removal_in_version", d.GetRemovalInVersion())
	var places []Document
	for _, path := range replacements {
		places = append(places, Object(Member{"path", texts(path)}))
	}
	if places != nil {
		a.add("replaced_with", List(places...))
	}
	return Object(a...)
}

// listed shows the values of a one_of as what they are.
func (f *field) listed(values []string) Document {
	if len(values) == 0 {
		return Document{}
	}
	if f.typ != typeInteger && f.typ != typeNumber {
		return texts(values)
	}
	elements := make([]Document, len(values))
	for i, v := range values {
		elements[i] = Number(v)
	}
	return List(elements...)
}

func describePatterns(list []*schemapb.Pattern) Document {
	if len(list) == 0 {
		return Document{}
	}
	elements := make([]Document, len(list))
	for i, p := range list {
		a := attributes{{"pattern", String(p.GetPattern())}}
		a.text("err", p.GetErr())
		elements[i] = Object(a...)
	}
	return List(elements...)
}

func describeChecks(list []*check) Document {
	out := make([]Document, 0, len(list))
	for _, ch := range list {
		out = append(out, ch.describe()...)
	}
	return List(out...)
}

// describe shows a check in Kong's words. A require_when with one condition is
// Kong's conditional_at_least_one_of, once per field; what has no words there
// shows the fields that it looks at.
func (ch *check) describe() []Document {
	named := func(name string, value Document) []Document {
		a := attributes{{name, value}}
		a.text("err", ch.rules.GetErr())
		return []Document{Object(a...)}
	}
	switch r := ch.rules.GetCheck().(type) {
	case *schemapb.Check_AtLeastOneOf:
		return named("at_least_one_of", texts(r.AtLeastOneOf.GetValues()))
	case *schemapb.Check_OnlyOneOf:
		return named("only_one_of", texts(r.OnlyOneOf.GetValues()))
	case *schemapb.Check_Distinct:
		return named("distinct", texts(r.Distinct.GetValues()))
	case *schemapb.Check_MutuallyRequired:
		return named("mutually_required", texts(r.MutuallyRequired.GetValues()))
	case *schemapb.Check_MutuallyExclusive:
		return named("mutually_exclusive", texts(r.MutuallyExclusive.GetValues()))
	case *schemapb.Check_MutuallyExclusiveSets:
		return named("mutually_exclusive_sets", Object(
			Member{"set1", texts(r.MutuallyExclusiveSets.GetSet1())},
			Member{"set2", texts(r.MutuallyExclusiveSets.GetSet2())},
		))
	case *schemapb.Check_Conditional:
		c := r.Conditional
		a := attributes{
			{"if_field", String(c.GetIfField())}, {"if_match", ch.when[0].match.describeMatch()},
			{"then_field", String(c.GetThenField())}, {"then_match", ch.then.describeMatch()},
		}
		a.text("then_err", c.GetThenErr())
		return named("conditional", Object(a...))
	case *schemapb.Check_ConditionalAtLeastOneOf:
		c := r.ConditionalAtLeastOneOf
		a := attributes{
			{"if_field", String(c.GetIfField())}, {"if_match", ch.when[0].match.describeMatch()},
			{"then_at_least_one_of", texts(c.GetThenAtLeastOneOf())},
		}
		a.text("then_err", c.GetThenErr())
		if len(c.GetElseThenAtLeastOneOf()) > 0 {
			a.add("else_then_at_least_one_of", texts(c.GetElseThenAtLeastOneOf()))
			a.text("else_then_err", c.GetElseThenErr())
		}
		return named("conditional_at_least_one_of", Object(a...))
	case *schemapb.Check_RequireWhen:
		if len(r.RequireWhen.GetWhen()) == 1 {
			return ch.describeRequire(r.RequireWhen)
		}
	}
	names := make([]string, len(ch.paths))
	for i, path := range ch.paths {
		names[i] = strings.Join(path, ".")
	}
	return []Document{Object(Member{"custom_entity_check", Object(Member{"field_sources", texts(names)})})}
}

func (ch *check) describeRequire(r *schemapb.RequireWhen) []Document {
	var out []Document
	for _, name := range r.GetFields() {
		a := attributes{
			{"if_field", String(r.GetWhen()[0].GetField())}, {"if_match", ch.when[0].match.describeMatch()},
			{"then_at_least_one_of", texts([]string{name})},
		}
		a.text("then_err", ch.rules.GetErr())
		out = append(out, Object(Member{"conditional_at_least_one_of", Object(a...)}))
	}
	return out
}

// describeMatch shows the rules of a compiled test.
func (f *field) describeMatch() Document {
	var a attributes
	a.flag("required", f.required())
	f.describeRules(&a)
	if f.elem != nil {
		inner := append([]Member{{"type", String("string")}}, f.elem.describeMatch().Members()...)
		a.add("elements", Object(inner...))
	}
	return Object(a...)
}
