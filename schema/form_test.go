package schema

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"
)

const urlencoded = "application/x-www-form-urlencoded"

func TestDecodeForm(t *testing.T) {
	for _, tt := range []struct{ name, kind, body, current, want string }{
		{"empty", "services", "", "", `{}`},
		{"text", "services", "name=a+b%20c d", "", `{"name":"a b c d"}`},
		{"everything after the first equals sign", "services", "name=a=b%3D", "", `{"name":"a=b="}`},
		{"raw UTF-8 and a broken triplet", "services", "name=é%zz%4", "", `{"name":"é%zz%4"}`},
		{"number", "services", "port=80&retries=x", "", `{"port":80,"retries":"x"}`},
		{"odd numbers", "services", "port=080&retries=+5&write_timeout=5.&read_timeout=0x10", "", `{"port":80,"retries":5,"write_timeout":5,"read_timeout":"0x10"}`},
		{"boolean", "services", "enabled=true&tls_verify=True", "", `{"enabled":true,"tls_verify":"True"}`},
		{"empty is null", "services", "name=&port=&tags=", "", `{"name":null,"port":null,"tags":null}`},
		{"flag", "services", "enabled", "", `{"enabled":true}`},
		{"no key", "services", "=x&&host=h", "", `{"host":"h"}`},
		{"shorthand", "services", "url=http://h:1/p", "", `{"url":"http://h:1/p"}`},
		{"lone value of a set", "services", "tags=a,b", "", `{"tags":["a,b"]}`},
		{"repeated", "services", "tags=a&tags=b", "", `{"tags":["a","b"]}`},
		{"brackets", "services", "tags[]=a&tags[]=b", "", `{"tags":["a","b"]}`},
		{"encoded brackets", "services", "tags%5B%5D=a", "", `{"tags":["a"]}`},
		{"positions", "services", "tags[2]=b&tags[1]=a", "", `{"tags":["a","b"]}`},
		{"positions with a gap", "services", "tags[1]=a&tags[3]=b", "", `{"tags":{"1":"a","3":"b"}}`},
		{"a huge position", "services", "tags[999999999]=a", "", `{"tags":{"999999999":"a"}}`},
		{"foreign", "routes", "service.id=x", "", `{"service":{"id":"x"}}`},
		{"foreign field of its type", "routes", "service.port=80&service.name=1", "", `{"service":{"port":80,"name":"1"}}`},
		{"map of arrays", "routes", "headers.a[]=x&headers.a[]=y&headers.b=z", "", `{"headers":{"a":["x","y"],"b":["z"]}}`},
		{"map entry in brackets keeps its dot", "routes", "headers[a.b]=x", "", `{"headers":{"a.b":["x"]}}`},
		{"map keys that are numbers", "routes", "headers[1]=x", "", `{"headers":{"1":["x"]}}`},
		{"records in an array", "routes", "sources[1].ip=10.0.0.1&sources[1].port=80&sources[2].port=90", "", `{"sources":[{"ip":"10.0.0.1","port":80},{"port":90}]}`},
		{"a position and the same name", "routes", "headers[1]=x&headers.1=y", "", `{"headers":{"1":[["y"],["x"]]}}`},
		{"leading dot", "services", ".name=x", "", `{".name":"x"}`},
		{"trailing dot", "services", "name.=x", "", `{"name.":"x"}`},
		{"two dots", "services", "name..x=x", "", `{"name..x":"x"}`},
		{"open bracket", "services", "tags[=x", "", `{"tags[":"x"}`},
		{"after a bracket", "services", "tags[]x=x", "", `{"tags[]x":"x"}`},
		{"unknown", "services", "a.b=1&a.c[]=&d=", "", `{"a":{"b":"1","c":[null]},"d":null}`},
		{"text and members contradict", "services", "client_certificate=x&client_certificate.id=y", "", `{"client_certificate":["x",{"id":"y"}]}`},
		{"configuration by a name that comes later", "plugins", "config.key_names=a&config.hide_credentials=true&name=key-auth", "", `{"config":{"key_names":["a"],"hide_credentials":true},"name":"key-auth"}`},
		{"configuration by the stored name", "plugins", "config.hide_credentials=true", `{"name":"key-auth"}`, `{"config":{"hide_credentials":true}}`},
		{"configuration of no plugin", "plugins", "config.hide_credentials=true", "", `{"config":{"hide_credentials":"true"}}`},
		{"map in a configuration", "plugins", "name=file-log&config.custom_fields_by_lua[a.b]=return+nil", "", `{"name":"file-log","config":{"custom_fields_by_lua":{"a.b":"return nil"}}}`},
		{"ttl", "keyauth_credentials", "ttl=30", "", `{"ttl":30}`},
		{"no ttl here", "services", "ttl=30", "", `{"ttl":"30"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var current Document
			if tt.current != "" {
				current = mustParse(t, tt.current)
			}
			got, err := entity(t, tt.kind).DecodeForm(urlencoded+"; charset=utf-8", []byte(tt.body), current)
			if err != nil || got.String() != tt.want {
				t.Errorf("%s\n got %s, %v\nwant %s", tt.body, got, err, tt.want)
			}
		})
	}
}

func TestDecodeMultipart(t *testing.T) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, part := range [][2]string{{"tags[]", "a"}, {"tags[]", "b"}, {"key", "pem\r\ntext "}} {
		if err := w.WriteField(part[0], part[1]); err != nil {
			t.Fatal(err)
		}
	}
	file, err := w.CreateFormFile("cert", "cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("-----BEGIN")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s := entity(t, "certificates")
	got, err := s.DecodeForm(w.FormDataContentType(), body.Bytes(), Document{})
	if want := `{"tags":["a","b"],"key":"pem\r\ntext ","cert":"-----BEGIN"}`; err != nil || got.String() != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	for _, tt := range []struct{ name, kind, body string }{
		{"no boundary", "multipart/form-data", body.String()},
		{"breaks off", w.FormDataContentType(), body.String()[:body.Len()-20]},
	} {
		if d, err := s.DecodeForm(tt.kind, []byte(tt.body), Document{}); !errors.Is(err, ErrBadForm) {
			t.Errorf("%s: got %s, %v, want ErrBadForm", tt.name, d, err)
		}
	}
	if d, err := s.DecodeForm(w.FormDataContentType(), nil, Document{}); err != nil || d.String() != "{}" {
		t.Errorf("empty body: got %s, %v", d, err)
	}
}

// TestMultipartAgrees: the two kinds of form say the same.
func TestMultipartAgrees(t *testing.T) {
	c := load(t)
	for seed := range uint64(40) {
		g := newGenerator(seed, `x é "q" a&b=c+d %41`)
		s := c.Entities()[int(seed)%len(c.Entities())]
		want := g.body(s)
		var parts []string
		g.asForm(want, "", &parts)
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for _, part := range parts {
			key, value, _ := strings.Cut(part, "=")
			if err := w.WriteField(unescape(key), unescape(value)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := s.DecodeForm(w.FormDataContentType(), body.Bytes(), Document{})
		if err != nil || !Equal(got, want) {
			t.Errorf("%s\n got %s, %v\nwant %s", s.Kind(), got, err, want)
		}
	}
}

// TestDeepForm: the walkers recurse, so a key must not nest without limit.
func TestDeepForm(t *testing.T) {
	s := entity(t, "services")
	for _, step := range []string{".a", "[]", "[1]", "[a]"} {
		key := "a" + strings.Repeat(step, 199)
		d, err := s.DecodeForm(urlencoded, []byte(key+"=x"), Document{})
		if err != nil || !d.Get(key).IsAbsent() {
			t.Errorf("%s 199 times: %v, %.80s", step, err, d)
		}
		if _, err := Parse(d.AppendJSON(nil)); err != nil {
			t.Errorf("%s 199 times cannot be stored: %v", step, err)
		}
		key = "a" + strings.Repeat(step, 100000)
		d, err = s.DecodeForm(urlencoded, []byte(key+"=x"), Document{})
		if err != nil || d.Get(key).Text() != "x" {
			t.Errorf("%s 100000 times: %v, %.80s", step, err, d)
		}
	}
}

func TestTooManyArguments(t *testing.T) {
	s := entity(t, "services")
	body := strings.Repeat("tags[]=a&", 1000)
	if _, err := s.DecodeForm(urlencoded, []byte(body), Document{}); err != nil {
		t.Errorf("1000 arguments: %v", err)
	}
	if _, err := s.DecodeForm(urlencoded, []byte(body+"name=x"), Document{}); !errors.Is(err, ErrTooManyArguments) {
		t.Errorf("1001 arguments: %v, want ErrTooManyArguments", err)
	}
	var parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	for range 1001 {
		if err := w.WriteField("tags[]", "a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DecodeForm(w.FormDataContentType(), parts.Bytes(), Document{}); !errors.Is(err, ErrTooManyArguments) {
		t.Errorf("1001 parts: %v, want ErrTooManyArguments", err)
	}
}

// generator makes random bodies that a form can say too: no empty texts and
// containers, which a form cannot tell from null.
type generator struct {
	random *rand.Rand
	words  []string
}

func newGenerator(seed uint64, text string) *generator {
	g := &generator{random: rand.New(rand.NewPCG(seed, 1))}
	for _, word := range strings.Fields(text + " a /b 5fd1c5d1-60b2-4d1b-9a4e-9f2b7a0c3e11 true 12 http https") {
		g.words = append(g.words, strings.ToValidUTF8(word, "x"))
	}
	return g
}

func (g *generator) body(s *Schema) Document {
	var head Document
	if s.config != nil && len(s.variants) > 0 {
		names := sortedKeys(s.variants)
		head = head.With(String(names[g.random.IntN(len(names))]), s.entity.GetSubschemaKey())
	}
	rec, _ := s.shape(head)
	body := g.record(rec, 0)
	for _, m := range head.Members() {
		body = body.With(m.Value, m.Name)
	}
	return body
}

func (g *generator) record(rec *record, depth int) Document {
	var members []Member
	for _, f := range rec.fields {
		if f.required() || g.random.IntN(4) == 0 || len(members) == 0 && f == rec.fields[len(rec.fields)-1] {
			members = append(members, Member{f.name, g.value(f, depth+1)})
		}
	}
	return Object(members...)
}

func (g *generator) value(f *field, depth int) Document {
	switch f.typ {
	case typeBoolean:
		return Bool(g.random.IntN(2) == 0)
	case typeInteger:
		if len(f.oneOf) > 0 {
			return Number(f.oneOf[g.random.IntN(len(f.oneOf))])
		}
		if b := f.rules.GetBetween(); b != nil {
			return Int(int64(b.GetMin()) + g.random.Int64N(int64(b.GetMax()-b.GetMin())+1))
		}
		return Int(1 + g.random.Int64N(1000))
	case typeNumber:
		return Float(float64(g.random.IntN(1000)) / 8)
	case typeArray, typeSet:
		elements := make([]Document, 1+g.random.IntN(3))
		for i := range elements {
			elements[i] = g.value(f.elem, depth+1)
		}
		return List(elements...)
	case typeMap:
		d := Object()
		for range 1 + g.random.IntN(3) {
			d = d.With(g.value(f.values, depth+1), g.key())
		}
		return d
	case typeForeign:
		if g.random.IntN(5) > 0 {
			return Object(Member{"id", String(uuids[g.random.IntN(len(uuids))])})
		}
		return Object(Member{"id", String(g.word())})
	case typeRecord, typeConfig:
		if f.record != nil {
			return g.record(f.record, depth)
		}
	}
	samples := fitting[f.rules.GetFormat()]
	if len(f.oneOf) > 0 {
		samples = f.oneOf
	}
	if f.rules.GetUuid() {
		samples = uuids
	}
	if len(samples) > 0 && g.random.IntN(20) > 0 {
		return String(samples[g.random.IntN(len(samples))])
	}
	return String(g.word())
}

var uuids = []string{"5fd1c5d1-60b2-4d1b-9a4e-9f2b7a0c3e11", "5FD1C5D1-60B2-4D1B-9A4E-9F2B7A0C3E12"}

// fitting has texts that pass the formats, so that some bodies are right.
var fitting = map[string][]string{
	"utf8_name":          {"n", "naïve", "a.b-c_d~e"},
	"host":               {"h", "10.0.0.1", "::1", "a.example.com"},
	"path":               {"/", "/a/b", "/%20"},
	"route_header_value": {"v1", "~*^v[0-9]+$"},
	"route_host":         {"h:80", "*.example.com", "example.*"},
	"wildcard_host":      {"*.example.com", "a.b"},
	"router_path":        {"/", "/a", "~/a/(?<x>b)$", "/é"},
	"http_method":        {"GET", "PURGE"},
	"header_name":        {"X-Key", "a_b"},
	"route_header_name":  {"X-Key"},
	"ip_or_cidr":         {"10.0.0.0/8", "::/0"},
	"tag":                {"t", "a b", "é"},
	"sni":                {"a.b"},
	"upstream_name":      {"up.internal", "a_b"},
	"cookie_name":        {"session"},
	"target":             {"h", "10.0.0.1:80", "[::1]", "a.example.com:0"},
}

func (g *generator) word() string { return g.words[g.random.IntN(len(g.words))] }

// key is a map key that a form can say: no brackets, no number.
func (g *generator) key() string {
	return "k" + strings.NewReplacer("[", "", "]", "").Replace(g.word())
}

// asForm is a document as a form says it; every spelling is used now and then.
func (g *generator) asForm(d Document, key string, out *[]string) {
	switch d.Kind() {
	case KindObject:
		for _, m := range d.Members() {
			switch {
			case key == "":
				g.asForm(m.Value, m.Name, out)
			case strings.Contains(m.Name, ".") || g.random.IntN(2) == 0:
				g.asForm(m.Value, key+"["+m.Name+"]", out)
			default:
				g.asForm(m.Value, key+"."+m.Name, out)
			}
		}
	case KindList:
		style := g.random.IntN(3)
		for i, e := range d.Elements() {
			scalar := e.Kind() != KindObject && e.Kind() != KindList
			switch {
			case style == 0 && scalar:
				g.asForm(e, key, out)
			case style == 1 && scalar:
				g.asForm(e, key+"[]", out)
			default:
				g.asForm(e, fmt.Sprintf("%s[%d]", key, i+1), out)
			}
		}
	default:
		text := d.Text()
		if d.Kind() == KindBool {
			text = d.String()
		}
		*out = append(*out, url.QueryEscape(key)+"="+url.QueryEscape(text))
	}
}

// FuzzAdminForm: a form and a JSON body of the same data are the same entity,
// and whatever comes of it, judging, showing and converting it holds together.
func FuzzAdminForm(f *testing.F) {
	c := load(f)
	f.Add(uint64(1), "x y.z", []byte("a.b[]=1&name=x"))
	f.Add(uint64(7), "{vault://a/b} ~/(x *.a", []byte("config.x[1].y=2&tags[=&%5b=1"))
	f.Fuzz(func(t *testing.T, seed uint64, words string, raw []byte) {
		g := newGenerator(seed, words)
		s := c.Entities()[g.random.IntN(len(c.Entities()))]
		want := g.body(s)
		var parts []string
		g.asForm(want, "", &parts)
		if len(parts) > maxArguments {
			t.Skip()
		}
		body := strings.Join(parts, "&")
		got, err := s.DecodeForm(urlencoded, []byte(body), Document{})
		if err != nil || !Equal(got, want) {
			t.Fatalf("%s as a form: %s\n got %s, %v\nwant %s", s.Kind(), body, got, err, want)
		}
		checkRoad(t, s, want)

		if d, err := s.DecodeForm(urlencoded, raw, Document{}); err == nil {
			checkRoad(t, s, d)
		}
		if d, err := ParseObject(raw); err == nil {
			checkRoad(t, s, d)
		}
	})
}

// checkRoad takes a body all the way. What is judged to be right must convert
// to its message, and showing it and taking it in again must change nothing.
func checkRoad(t *testing.T, s *Schema, body Document) (valid bool) {
	t.Helper()
	expanded, err := s.Expand(body, Document{})
	if err != nil {
		return false
	}
	doc := s.Complete(expanded, noon)
	if again := s.Complete(doc, noon); !Equal(again, doc) {
		t.Fatalf("%s: completing twice\n got %s\nwant %s", s.Kind(), again, doc)
	}
	shown := s.Render(doc, noon)
	if err := s.Validate(doc, Insert); err != nil {
		return false
	}
	if _, err := s.Message(doc); err != nil {
		t.Fatalf("%s is right but does not convert: %v\n%s", s.Kind(), err, doc)
	}
	s.Index(doc)
	read := reread(t, s, shown)
	if len(s.rewrites) > 0 {
		// A rewrite may depend on what a body leaves out, and what is shown
		// leaves out nothing: it comes to rest the second time.
		doc = s.Complete(read, noon)
		shown = s.Render(doc, noon)
		read = reread(t, s, shown)
	}
	if again := s.Complete(read, noon); again.String() != doc.String() {
		t.Fatalf("%s: decode(render(d))\n got %s\nwant %s", s.Kind(), again, doc)
	}
	if merged := s.Merge(doc, read, noon); merged.String() != doc.String() {
		t.Fatalf("%s: merged with itself\n got %s\nwant %s", s.Kind(), merged, doc)
	}
	return true
}

// reread is what is shown as the body of another write.
func reread(t *testing.T, s *Schema, shown Document) Document {
	t.Helper()
	read, err := ParseObject(shown.AppendJSON(nil))
	if err != nil {
		t.Fatalf("%s shows what it cannot read: %v\n%s", s.Kind(), err, shown)
	}
	if read, err = s.Expand(read, Document{}); err != nil {
		t.Fatalf("%s shows what it cannot expand: %v\n%s", s.Kind(), err, shown)
	}
	return read
}

// TestRoad takes many generated bodies along checkRoad in the ordinary run.
func TestRoad(t *testing.T) {
	c := load(t)
	valid := map[string]int{}
	for seed := range uint64(600) {
		g := newGenerator(seed, "xyz xyz xyz 10.0.0.0/8")
		for _, s := range c.Entities() {
			if checkRoad(t, s, g.body(s)) {
				valid[s.Kind()]++
			}
		}
	}
	t.Logf("valid: %v", valid)
	for _, kind := range []string{"services", "routes", "plugins", "consumers", "upstreams", "targets", "snis", "vaults", "partials"} {
		if valid[kind] == 0 {
			t.Errorf("no generated body of %s was valid: the generator is of no use there", kind)
		}
	}
}
