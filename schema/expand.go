package schema

import (
	"fmt"
	"strconv"
	"strings"
)

// Expand replaces the shorthand fields of a body by the fields that they stand
// for, at every depth, and makes the changes that the schema names in
// "rewrites". Current is the stored entity for a PATCH, whose body
// may leave out the field that picks the subschema; absent else. It also
// refuses what a body must not hold because the engine keeps it under that
// name. The error is a *ViolationError, or an *OptionError for a bad ttl.
func (s *Schema) Expand(in, current Document) (Document, error) {
	var fail failures
	for _, f := range s.record.hidden {
		if !in.Get(f.name).IsAbsent() {
			fail.put(String(textUnknown), f.name)
		}
	}
	if ttl := in.Get("ttl"); s.TTL() && !ttl.unset() {
		if n, ok := ttl.Int(); !ok || n < 0 || n > 100000000 {
			return in, &OptionError{"ttl", "must be an integer between 0 and 100000000"}
		}
	}
	out, inner := expandRecord(s.shapeFor(in, current), in)
	fail.fields = append(fail.fields, inner.fields...)
	if err := fail.error(); err != nil {
		return out, err
	}
	return s.rewrite(out)
}

// shapeFor is the shape of a body that may leave the subschema key to the
// stored entity.
func (s *Schema) shapeFor(in, current Document) *record {
	key := s.entity.GetSubschemaKey()
	if key != "" && in.Get(key).IsAbsent() {
		if stored := current.Get(key); !stored.IsAbsent() {
			in = in.With(stored, key)
		}
	}
	rec, _ := s.shape(in)
	return rec
}

func expandRecord(rec *record, in Document) (out Document, fail failures) {
	if rec == nil || in.Kind() != KindObject {
		return in, fail
	}
	out = in
	for _, m := range in.Members() {
		f := rec.byName[m.Name]
		if f == nil || !f.hasRecords() {
			continue
		}
		v, text := expandValue(f, m.Value)
		out = out.With(v, m.Name)
		fail.put(text, m.Name)
	}
	for _, sh := range rec.shorthands {
		v := in.Get(sh.field.name)
		if v.IsAbsent() {
			continue
		}
		out = out.Without(sh.field.name)
		next, text := sh.apply(rec, out, v)
		fail.put(text, sh.field.name)
		out = next
	}
	return out, fail
}

// hasRecords reports that there can be shorthands somewhere inside.
func (f *field) hasRecords() bool {
	return f.record != nil || f.elem != nil && f.elem.hasRecords() || f.values != nil && f.values.hasRecords()
}

func expandValue(f *field, v Document) (out, text Document) {
	switch {
	case f.record != nil:
		out, fail := expandRecord(f.record, v)
		return out, fail.document()
	case f.elem != nil && v.Kind() == KindList:
		elements := make([]Document, len(v.Elements()))
		var broken holes
		for i, e := range v.Elements() {
			elements[i], text = expandValue(f.elem, e)
			broken.put(i, text)
		}
		return List(elements...), broken.document()
	case f.values != nil && v.Kind() == KindObject:
		members := make([]Member, len(v.Members()))
		var first Document
		for i, m := range v.Members() {
			members[i].Name = m.Name
			members[i].Value, text = expandValue(f.values, m.Value)
			if first.IsAbsent() {
				first = text
			}
		}
		return Object(members...), first
	}
	return v, Document{}
}

// apply is the body of a record with the shorthand's value in its places, or the
// text of what is wrong with it.
func (sh *shorthand) apply(rec *record, body, v Document) (out, text Document) {
	if v.IsNull() {
		if sh.expand == nil {
			body = sh.clear(body)
		}
		return body, Document{}
	}
	if text := sh.field.judge(v); !text.IsAbsent() {
		return body, text
	}
	if sh.expand != nil {
		return sh.expanded(rec, body, v)
	}
	for _, path := range sh.paths {
		if now := body.Get(path...); !now.unset() && !Equal(now, v) {
			return body, sh.mismatch(v, path, now)
		}
	}
	for _, path := range sh.paths {
		if roomFor(body, path) {
			body = body.With(v, path...)
		}
	}
	return body, Document{}
}

// roomFor reports that what a path leads through is no value of another type, which
// is refused when the body is judged.
func roomFor(body Document, path []string) bool {
	for i := 1; i < len(path); i++ {
		if v := body.Get(path[:i]...); !v.unset() && v.Kind() != KindObject {
			return false
		}
	}
	return true
}

// clear puts null where nothing is said otherwise. The old name is shown as null
// next to the new one; coming back it must not clear what the new one says.
func (sh *shorthand) clear(body Document) Document {
	for _, path := range sh.paths {
		if body.Get(path...).IsAbsent() && !body.Get(path[0]).IsNull() && roomFor(body, path) {
			body = body.With(Null(), path...)
		}
	}
	return body
}

// expanded puts the fields that stand for the value into the body. A deprecated
// name must not say something else than they do; what is a mere abbreviation wins.
func (sh *shorthand) expanded(rec *record, body, v Document) (out, text Document) {
	members, why := sh.expand(v)
	if why != "" {
		return body, String(why)
	}
	for _, m := range members {
		now, f := body.Get(m.Name), rec.byName[m.Name]
		if sh.rules.GetDeprecation() == nil || now.unset() || f == nil {
			continue
		}
		// Either may leave out what has a default.
		fl := &filler{}
		if !Equal(fl.value(f, now), fl.value(f, m.Value)) {
			return body, sh.mismatch(v, []string{m.Name}, now)
		}
	}
	for _, m := range members {
		body = body.With(m.Value, m.Name)
	}
	return body, Document{}
}

func (sh *shorthand) mismatch(v Document, path []string, now Document) Document {
	return String(fmt.Sprintf("both deprecated and new field are used but their values mismatch: %s = %s vs %s = %s",
		sh.field.name, show(v), strings.Join(path, "."), show(now)))
}

// expandFunc turns a shorthand's value into fields, or says what is wrong.
type expandFunc func(v Document) (fields []Member, text string)

var expansions = map[string]expandFunc{
	"url":                expandURL,
	"sentinel_addresses": nodes("sentinel_nodes", "host"),
	"cluster_addresses":  nodes("cluster_nodes", "ip"),
}

// expandURL takes a URL apart into protocol, host, port and path. User, query
// and fragment are dropped.
func expandURL(v Document) ([]Member, string) {
	scheme, host, port, path, why := splitURL(v.Text())
	if why != "" {
		return nil, why
	}
	if scheme == "" {
		scheme = "http"
		if port == 443 {
			scheme = "https"
		}
	}
	if port < 0 {
		port = 80
		if scheme == "https" {
			port = 443
		}
	}
	return []Member{
		{"protocol", String(scheme)},
		{"host", orNull(host)},
		{"port", Int(port)},
		{"path", orNull(path)},
	}, ""
}

// splitURL reads a URL more leniently than net/url does where Kong does: the
// rules of the single fields judge the parts. A port that is not given is -1.
func splitURL(text string) (scheme, host string, port int64, path, why string) {
	text, _, _ = strings.Cut(text, "#")
	rest := text
	if i := strings.Index(text, "://"); i > 0 && isScheme(text[:i]) {
		scheme, rest = text[:i], text[i+1:]
	}
	if strings.HasPrefix(rest, "//") {
		host = rest[2:]
		rest = ""
		if i := strings.IndexAny(host, "/?"); i >= 0 {
			host, rest = host[:i], host[i:]
		}
	}
	path, _, _ = strings.Cut(rest, "?")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	port = -1
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		n, err := strconv.ParseInt(host[i+1:], 10, 32)
		if err != nil && host[i+1:] != "" {
			return "", "", 0, "", "could not parse url. invalid port '" + host[i+1:] + "'"
		}
		if err == nil {
			port = n
		}
		host = host[:i]
	}
	return strings.ToLower(scheme), strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), port, path, ""
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if ('a' > c || c > 'z') && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(s[i]))) {
			return false
		}
	}
	return s != ""
}

func orNull(text string) Document {
	if text == "" {
		return Null()
	}
	return String(text)
}
