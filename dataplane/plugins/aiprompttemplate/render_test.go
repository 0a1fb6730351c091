package aiprompttemplate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/client"
)

func TestRender(t *testing.T) {
	for _, tt := range []struct {
		name, template string
		values         map[string]string
		want, err      string
	}{
		{name: "plain", template: `{"prompt":"a"}`, want: `{"prompt":"a"}`},
		{name: "two", template: `{{a}}-{{b_2}}-{{a}}`, values: map[string]string{"a": "x", "b_2": "y", "more": "z"}, want: `x-y-x`},
		{name: "escapes", template: `"{{a}}"`, values: map[string]string{"a": "\"\\/\b\f\n\r\t\x01\x7f\u00e9"}, want: `"\"\\\/\b\f\n\r\t\u0001\u007f` + "\u00e9\""},
		{name: "empty value", template: `<{{a}}>`, values: map[string]string{"a": ""}, want: `<>`},
		{name: "no word", template: `{{ a }} {{}} {{a-b}} {{a} {a}}`, want: `{{ a }} {{}} {{a-b}} {{a} {a}}`},
		{name: "braces around", template: `{{{a}}}`, values: map[string]string{"a": "x"}, want: `{x}`},
		{name: "missing", template: `{{b}} {{a}} {{b}} {{c}}`, values: map[string]string{"a": "x"}, err: "missing template parameters: [b], [c]"},
		{name: "missing in a value", template: `{{a}}`, values: map[string]string{"a": "{{b}}", "b": "x"}, err: "missing template parameters: [b]"},
		{name: "made of two values", template: `{{{a}}{{b}}`, values: map[string]string{"a": "{x", "b": "}}"}, err: "missing template parameters: [x]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := render(tt.template, tt.values)
			if tt.err != "" {
				if told, ok := errors.AsType[*client.Error](err); !ok || told.Message != tt.err {
					t.Errorf("%s, error %v; want %s", got, err, tt.err)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Errorf("%s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestReference(t *testing.T) {
	for text, want := range map[string]string{
		"{template://a}": "a", "{template://a b}": "a b", "{template://}": "",
		"{template://a} ": "-", " {template://a}": "-", "{template:/a}": "-", "{template://a": "-", "": "-",
	} {
		name, ok := reference(text)
		if !ok {
			name = "-"
		}
		if name != want {
			t.Errorf("reference(%q) = %q, want %q", text, name, want)
		}
	}
}

// A value cannot leave the string it stands in, and comes back as it was.
func FuzzRender(f *testing.F) {
	f.Add(`"],"x":["`)
	f.Add("\\\x00\u2028/\x7f")
	f.Fuzz(func(t *testing.T, value string) {
		got, err := render(`{"a":"{{v}}"}`, map[string]string{"v": value})
		if err != nil {
			if placeholders(value) == nil {
				t.Errorf("%q: %v", value, err)
			}
			return
		}
		var back struct{ A string }
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%q becomes %s: %v", value, got, err)
		}
		if want := strings.ToValidUTF8(value, "\ufffd"); llm.Quote(back.A) != llm.Quote(value) && back.A != want {
			t.Errorf("%q comes back as %q", value, back.A)
		}
	})
}
