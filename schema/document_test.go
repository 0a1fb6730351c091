package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/schema"
)

func parse(t testing.TB, text string) schema.Document {
	t.Helper()
	d, err := schema.Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return d
}

func TestParse(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tt := range []struct{ name, in, want string }{
		{"null", "null", "null"},
		{"object keeps its order", ` { "b" : 1 , "a" : [ true , false , null ] } `, `{"b":1,"a":[true,false,null]}`},
		{"empty list and object", `{"a":[],"b":{}}`, `{"a":[],"b":{}}`},
		{"numbers keep their text", `[1.0,1e999,9007199254740993,-0]`, `[1.0,1e999,9007199254740993,-0]`},
		{"escapes", `"\u00e9\ud83d\ude00\n\u0001\/"`, `"é😀\n\u0001/"`},
		{"depth of 200", deep(200), deep(200)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parse(t, tt.in).String(); got != tt.want {
				t.Errorf("Parse(%s) = %s, want %s", tt.in, got, tt.want)
			}
		})
	}
	for _, tt := range []struct{ name, in string }{
		{"nothing", ""},
		{"blank", " "},
		{"duplicate name", `{"a":1,"a":2}`},
		{"duplicate name, spelt otherwise", `{"a":1,"\u0061":2}`},
		{"bad UTF-8", "\"\xff\""},
		{"lone surrogate", `"\ud800"`},
		{"trailing bytes", `{} x`},
		{"two values", `{}{}`},
		{"trailing comma", `[1,]`},
		{"open", `{"a":[1`},
		{"too deep", deep(201)},
		{"no number", `01`},
		{"name without value", `{"a"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := schema.Parse([]byte(tt.in))
			var syntax *schema.SyntaxError
			if !errors.As(err, &syntax) {
				t.Errorf("Parse(%q) = %s, %v, want a SyntaxError", tt.in, d, err)
			}
		})
	}
}

// FuzzParse compares with the standard parser: what that refuses is refused,
// what is accepted means the same, and what only Parse refuses breaks one of
// its stricter rules.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,"x",null,true]}`, `"\ud83d\ude00"`, `[1e5,-0.0]`, `{"a":{"b":{}}}`, "\"\xff\"", `{"a":1,"a":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := schema.Parse(b)
		if err != nil {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("Parse(%q) accepted what is no JSON", b)
		}
		again, err := schema.Parse(d.AppendJSON(nil))
		if err != nil || !schema.Equal(d, again) {
			t.Fatalf("Parse(%q) = %s, and of that %s, %v", b, d, again, err)
		}
		var want, got any
		if json.Unmarshal(b, &want) == nil {
			if err := json.Unmarshal(d.AppendJSON(nil), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("Parse(%q) = %s, which means %v, want %v (%v)", b, d, got, want, err)
			}
		}
	})
}

func TestDocumentAccess(t *testing.T) {
	d := parse(t, `{"a":{"b":{"c":1}},"n":null,"s":"x","f":1.5,"l":[1],"t":true}`)
	if got := d.Get("a", "b", "c"); got.String() != "1" {
		t.Errorf("Get(a, b, c) = %s, want 1", got)
	}
	for _, path := range [][]string{{"x"}, {"a", "x"}, {"s", "x"}, {"n", "x"}, {"l", "0"}} {
		if got := d.Get(path...); !got.IsAbsent() || got.IsNull() {
			t.Errorf("Get(%q) = %s, want absent", path, got)
		}
	}
	if n := d.Get("n"); !n.IsNull() || n.IsAbsent() {
		t.Errorf("Get(n) is not null")
	}
	if v, ok := d.Get("t").Truth(); !v || !ok {
		t.Errorf("Truth() = %v, %v", v, ok)
	}
	if v, ok := d.Get("s").Truth(); v || ok {
		t.Errorf("a text has a truth value: %v, %v", v, ok)
	}
	if d.Get("s").Text() != "x" || d.Get("f").Text() != "1.5" || d.Get("t").Text() != "" {
		t.Errorf("Text() of text, number, truth = %q, %q, %q", d.Get("s").Text(), d.Get("f").Text(), d.Get("t").Text())
	}
}

func TestDocumentNumbers(t *testing.T) {
	for _, tt := range []struct {
		text    string
		integer int64
		isInt   bool
		isFloat bool
	}{
		{"0", 0, true, true},
		{"-7", -7, true, true},
		{"80.0", 80, true, true},
		{"8e1", 80, true, true},
		{"1.5", 0, false, true},
		{"9007199254740993", 9007199254740993, true, true},
		{"9223372036854775808", 0, false, true},
		{"1e300", 0, false, true},
		{"1e999", 0, false, false},
	} {
		d := schema.Number(tt.text)
		if n, ok := d.Int(); n != tt.integer || ok != tt.isInt {
			t.Errorf("Int() of %s = %d, %v, want %d, %v", tt.text, n, ok, tt.integer, tt.isInt)
		}
		if _, ok := d.Float(); ok != tt.isFloat {
			t.Errorf("Float() of %s is %v, want %v", tt.text, ok, tt.isFloat)
		}
	}
	for f, want := range map[float64]string{80: "80", 1.5: "1.5", 1 << 53: "9007199254740992", math.Inf(1): "null", -0.25: "-0.25"} {
		if got := schema.Float(f).String(); got != want {
			t.Errorf("Float(%v) = %s, want %s", f, got, want)
		}
	}
}

func TestDocumentChange(t *testing.T) {
	const text = `{"a":{"b":1,"c":2},"s":"x"}`
	d := parse(t, text)
	for _, tt := range []struct {
		name string
		got  schema.Document
		want string
	}{
		{"replace", d.With(schema.Int(3), "a", "b"), `{"a":{"b":3,"c":2},"s":"x"}`},
		{"add", d.With(schema.Null(), "a", "d"), `{"a":{"b":1,"c":2,"d":null},"s":"x"}`},
		{"make the way", d.With(schema.Bool(true), "x", "y"), `{"a":{"b":1,"c":2},"s":"x","x":{"y":true}}`},
		{"through a text", d.With(schema.Int(1), "s", "y"), `{"a":{"b":1,"c":2},"s":{"y":1}}`},
		{"absent removes", d.With(schema.Document{}, "a", "b"), `{"a":{"c":2},"s":"x"}`},
		{"nothing in the way", schema.Document{}.With(schema.Int(1), "a"), `{"a":1}`},
		{"the root", d.With(schema.Int(1)), `1`},
		{"remove", d.Without("a", "c"), `{"a":{"b":1},"s":"x"}`},
		{"remove what is not there", d.Without("a", "x"), text},
		{"remove behind a text", d.Without("s", "x"), text},
		{"remove a tree", d.Without("a"), `{"s":"x"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.got.String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if d.String() != text {
				t.Fatalf("the original became %s", d)
			}
		})
	}
}

func TestEqual(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, true},
		{`{"a":1}`, `{"a":1,"b":null}`, false},
		{`{"a":1}`, `{"b":1}`, false},
		{`80`, `80.0`, true},
		{`0.1`, `1e-1`, true},
		{`9007199254740993`, `9007199254740992`, false},
		{`1e999`, `2e999`, false},
		{`[1,2]`, `[2,1]`, false},
		{`[]`, `{}`, false},
		{`"1"`, `1`, false},
		{`null`, `null`, true},
	} {
		if got := schema.Equal(parse(t, tt.a), parse(t, tt.b)); got != tt.want {
			t.Errorf("Equal(%s, %s) = %v", tt.a, tt.b, got)
		}
	}
	if schema.Equal(schema.Null(), schema.Document{}) {
		t.Error("null equals absent")
	}
}

func TestLuaLiteral(t *testing.T) {
	d := parse(t, `{"service":{"id":"x"},"name":"a\"b","route":null,"a-b":[1,true],"1a":"","_x1":2.5}`)
	const want = `{["1a"]="",_x1=2.5,["a-b"]={1,true},name="a\"b",route=null,service={id="x"}}`
	if got := schema.LuaLiteral(d); got != want {
		t.Errorf("LuaLiteral(%s)\n got %s\nwant %s", d, got, want)
	}
}

func TestAppendJSONBadBytes(t *testing.T) {
	d := schema.Object(schema.Member{Name: "a\xff", Value: schema.String("b\xc3(\x1f\\\"")}, schema.Member{Name: "gone"})
	const want = `{"a` + "\uFFFD" + `":"b` + "\uFFFD" + `(\u001f\\\""}`
	if got := d.String(); got != want || !json.Valid([]byte(got)) {
		t.Errorf("got %s, want %s", got, want)
	}
}
