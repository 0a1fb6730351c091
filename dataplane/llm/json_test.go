package llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testNames = NewNames("model", "stream", "messages", "top_k")

func TestObjectFindsTopLevelMembersOnly(t *testing.T) {
	text := []byte(` { "metadata" : {"model":"inner","a":[{"model":1}]}, "model" :"m-1","messages":[ {"x":1}, [], 2 ] , "stream":true } `)
	var o Object
	if err := o.Read(text, testNames); err != nil {
		t.Fatal(err)
	}
	if got, ok := o.Text(0); !ok || got != "m-1" {
		t.Errorf("model = %q, %v", got, ok)
	}
	if got := o.Kind(1); got != 't' {
		t.Errorf("kind of stream = %q", got)
	}
	if got := o.Count(2); got != 3 {
		t.Errorf("messages = %d, want 3", got)
	}
	if o.Has(3) || o.Value(3) != nil {
		t.Error("top_k was found")
	}
	if got := o.Members(); got != 4 {
		t.Errorf("members = %d, want 4", got)
	}
}

func TestObjectRefusesAmbiguousMembers(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"twice", `{"model":"a","model":"b"}`, "model"},
		{"another case", `{"Model":"a"}`, "model"},
		{"both cases", `{"model":"a","MODEL":"b"}`, "model"},
		{"twice, once escaped", `{"model":"a","mod\u0065l":"b"}`, "model"},
		{"another case, escaped", `{"\u004dodel":"a"}`, "model"},
		{"a letter that folds", `{"top_` + "\u212a" + `":1}`, "top_k"},
		{"a letter that folds, escaped", `{"\u017ftream":true}`, "stream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var o Object
			err := o.Read([]byte(tt.text), testNames)
			ambiguous, ok := errors.AsType[*AmbiguousError](err)
			if !ok || ambiguous.Name != tt.want {
				t.Errorf("Read(%s) = %v, want an *AmbiguousError for %s", tt.text, err, tt.want)
			}
		})
	}
	var o Object
	if err := o.Read([]byte(`{"mod\u0065l":"a"}`), testNames); err != nil {
		t.Fatal(err)
	}
	if got, _ := o.Text(0); got != "a" {
		t.Errorf("escaped name: model = %q, want a", got)
	}
	if err := o.Read([]byte(`{"metadata":{"model":1,"model":2},"x":1,"x":2}`), testNames); err != nil {
		t.Errorf("members that nobody looks at: %v", err)
	}
	lenient := NewLenientNames("model")
	if err := o.Read([]byte(`{"model":"a","Model":"c","model":"b"}`), lenient); err != nil {
		t.Fatal(err)
	}
	if got, _ := o.Text(0); got != "b" {
		t.Errorf("lenient: model = %q, want the last", got)
	}
}

func TestObjectLimits(t *testing.T) {
	var o Object
	deep := func(n int) []byte {
		return []byte(`{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}")
	}
	if err := o.Read(deep(MaxDepth-1), testNames); err != nil {
		t.Errorf("depth %d: %v", MaxDepth, err)
	}
	if err := o.Read(deep(MaxDepth), testNames); err == nil {
		t.Errorf("depth %d was read", MaxDepth+1)
	}
	many := []byte(`{"a":[0` + strings.Repeat(",0", MaxValues) + "]}")
	if err := o.Read(many, testNames); err == nil {
		t.Error("too many values were read")
	}
	if err := o.Read([]byte("[1]"), testNames); err != ErrNotObject {
		t.Errorf("array: %v, want ErrNotObject", err)
	}
}

func TestEdits(t *testing.T) {
	names := NewNames("a", "b", "c", "d")
	// Every object of up to four members out of six names, with white space in
	// places, and every choice of edits of the named ones.
	objects := []string{
		`{}`, ` { } `, `{"a":1}`, `{"x":0}`, `{"a":1,"b":2}`, `{ "b" : 2 , "a" : 1 }`, `{"a":1,"x":0,"b":2}`,
		`{"x":0,"a":1,"b":[2,{"a":3}],"c":"s"}`, `{"c":3,"b":2,"a":1,"x":{"d":4}}`, `{"a":1,"b":2,"c":3,"d":4}`,
		"{\n  \"d\": 1.50,\n  \"y\": 1e400\n}",
	}
	for _, text := range objects {
		for choice := range 256 {
			var o Object
			if err := o.Read([]byte(text), names); err != nil {
				t.Fatal(err)
			}
			want := members(t, []byte(text))
			var edits Edits
			for at := range 4 {
				name := string(rune('a' + at))
				switch choice >> (2 * at) & 3 {
				case 1:
					edits.Set(at, `"new"`)
					want = set(want, name, `"new"`)
				case 2:
					edits.Remove(at)
					want = remove(want, name)
				case 3:
					edits.Rename(at, "renamed_"+name)
					for i := range want {
						if want[i].name == name {
							want[i].name = "renamed_" + name
						}
					}
				}
			}
			got := edits.AppendTo(nil, &o)
			if len(got) > len(text)+edits.Size(&o)+len("renamed_")*4 {
				t.Errorf("edits %d of %s: %d bytes, more than promised", choice, text, len(got))
			}
			if !json.Valid(got) {
				t.Fatalf("edits %d of %s: %s is no JSON", choice, text, got)
			}
			if diff := cmp.Diff(want, members(t, got), cmp.AllowUnexported(member{})); diff != "" {
				t.Fatalf("edits %d of %s gave %s (-want +got):\n%s", choice, text, got, diff)
			}
			if edits.Empty() && string(got) != text {
				t.Fatalf("no edits of %s gave %s", text, got)
			}
		}
	}
}

type member struct{ name, value string }

// members reads an object with encoding/json, in order.
func members(t testing.TB, text []byte) []member {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	out := []member{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
		out = append(out, member{name.(string), string(value)})
	}
	return out
}

func set(in []member, name, value string) []member {
	for i := range in {
		if in[i].name == name {
			in[i].value = value
			return in
		}
	}
	return append(in, member{name, value})
}

func remove(in []member, name string) []member {
	out := []member{}
	for _, m := range in {
		if m.name != name {
			out = append(out, m)
		}
	}
	return out
}

func TestElements(t *testing.T) {
	var got []string
	Elements([]byte(` [ 1, "a,]" ,{"b":[2]}, [] ] `), func(element []byte) bool {
		got = append(got, string(element))
		return true
	})
	if diff := cmp.Diff([]string{"1", `"a,]"`, `{"b":[2]}`, "[]"}, got); diff != "" {
		t.Errorf("elements (-want +got):\n%s", diff)
	}
	Elements([]byte(`{"a":1}`), func([]byte) bool {
		t.Error("an object has elements")
		return false
	})
}

func TestWords(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "  ": 0, "one": 1, " one  two ": 2, "tab\tline\nend": 3, "1 + 1 = ?": 5,
		"你是一名数学家。": 1, "\"quoted words\"": 2, "nul\u0000in": 1, "a\u00a0b": 1,
	} {
		quoted := Quote(text)
		if got := Words([]byte(quoted)); got != want {
			t.Errorf("Words(%s) = %d, want %d", quoted, got, want)
		}
	}
	if got := Words([]byte(`"a\u0020b\u000ac\u4f60"`)); got != 3 {
		t.Errorf("escaped blanks: %d words, want 3", got)
	}
}

func TestObjectReadAllocatesNothing(t *testing.T) {
	text := []byte(`{"model":"m","messages":[{"role":"user","content":"hello"}],"temperature":0.5}`)
	if n := testing.AllocsPerRun(100, func() {
		var o Object
		if err := o.Read(text, testNames); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzInspectJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"model":"m","messages":[]}`, `{"mod\u0065l":"a"}`, `{"Model":1}`, `[]`, `"x"`, `{"a":01}`, `{"a":1e+}`,
		`{"a":"\ud83d\ude00\ud83d"}`, "{\"a\":\"\x00\"}", "{\"\xff\":1}", `{"model":null,}`, `{"a":tru}`, `{"a":-}`, ` {"a" : [ 1 , {} ] } x`,
		`{"stream":"12345678\"90","top_k":"\\\\\\\\"}`, `{"a":1.5E-3,"top_k":-0}`,
	} {
		f.Add([]byte(seed))
	}
	names := testNames
	f.Fuzz(func(t *testing.T, text []byte) {
		var o Object
		err := o.Read(text, names)
		if limits := errors.As(err, new(*SyntaxError)) && (strings.Contains(err.Error(), "deeply") || strings.Contains(err.Error(), "many")); limits {
			return
		}
		valid := json.Valid(text)
		object := valid && bytes.TrimLeft(text, " \t\r\n")[0] == '{'
		ambiguous := errors.As(err, new(*AmbiguousError))
		switch {
		case !valid && (err == nil || ambiguous || err == ErrNotObject):
			t.Fatalf("%q is no JSON, Read says %v", text, err)
		case valid && !object && err != ErrNotObject:
			t.Fatalf("%q is no object, Read says %v", text, err)
		case object && err != nil && !ambiguous:
			t.Fatalf("%q is an object, Read says %v", text, err)
		}
		if !object {
			return
		}
		count := map[string]int{}
		values := map[string]string{}
		for _, m := range members(t, text) {
			for _, name := range names.list {
				if strings.EqualFold(m.name, name) {
					count[name]++
					if m.name != name {
						count[name] = 2
					}
					values[name] = m.value
				}
			}
		}
		wantAmbiguous := false
		for _, n := range count {
			wantAmbiguous = wantAmbiguous || n > 1
		}
		if ambiguous != wantAmbiguous {
			t.Fatalf("%q: ambiguous = %v, want %v", text, ambiguous, wantAmbiguous)
		}
		if ambiguous {
			return
		}
		for at, name := range names.list {
			if got, want := string(o.Value(at)), values[name]; got != want {
				t.Fatalf("%q: %s = %q, want %q", text, name, got, want)
			}
			if o.Kind(at) == '"' {
				var want string
				if err := json.Unmarshal(o.Value(at), &want); err != nil {
					t.Fatal(err)
				}
				if got, _ := o.Text(at); got != want {
					t.Fatalf("%q: text of %s = %q, want %q", text, name, got, want)
				}
				if got, want := Words(o.Value(at)), len(strings.FieldsFunc(want, func(r rune) bool { return r < 0x80 && blank(byte(r)) })); got != want {
					t.Fatalf("%q: %d words, want %d", text, got, want)
				}
			}
		}
		var edits Edits
		edits.Set(0, `"x"`)
		edits.Remove(1)
		edits.Rename(3, "k")
		if out := edits.AppendTo(nil, &o); !json.Valid(out) {
			t.Fatalf("%q edited is %q", text, out)
		}
	})
}

func FuzzQuote(f *testing.F) {
	f.Add("a\"\\\n\x01\u2028\xff")
	f.Fuzz(func(t *testing.T, text string) {
		var want string
		quoted := Quote(text)
		if err := json.Unmarshal([]byte(quoted), &want); err != nil {
			t.Fatalf("Quote(%q) = %s: %v", text, quoted, err)
		}
		if want != strings.ToValidUTF8(text, "\ufffd") && want != fmt.Sprint(string([]rune(text))) {
			t.Fatalf("Quote(%q) reads back as %q", text, want)
		}
		if got := Unquote([]byte(quoted)); got != want {
			t.Fatalf("Unquote(%s) = %q, want %q", quoted, got, want)
		}
	})
}

func BenchmarkInspectAndEdit(b *testing.B) {
	for _, size := range []int{2 << 10, 100 << 10} {
		var text strings.Builder
		text.WriteString(`{"model":"m","messages":[{"role":"system","content":"Be short."}`)
		for text.Len() < size {
			text.WriteString(`,{"role":"user","content":"` + strings.Repeat("some words of a prompt, ", 8) + `\"quoted\"\n"}`)
		}
		text.WriteString(`],"top_k":5,"stream":true}`)
		body := []byte(text.String())
		out := make([]byte, 0, len(body)+100)
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var o Object
				if err := o.Read(body, testNames); err != nil {
					b.Fatal(err)
				}
				var edits Edits
				edits.Set(0, `"other"`)
				edits.Set(1, "false")
				edits.Remove(3)
				out = edits.AppendTo(out[:0], &o)
			}
		})
	}
}
