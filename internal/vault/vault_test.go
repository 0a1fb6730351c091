package vault

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Reference
		err  string
	}{
		{"{vault://env/my-key}", Reference{Vault: "env", Resource: "my-key", Version: 1}, ""},
		{"{vault://env/creds/password}", Reference{Vault: "env", Resource: "creds", Key: "password", Version: 1}, ""},
		{"{vault://my-vault/a/b/c}", Reference{Vault: "my-vault", Resource: "a/b", Key: "c", Version: 1}, ""},
		{"{vault://my-vault/a/b/}", Reference{Vault: "my-vault", Resource: "a/b", Version: 1}, ""},
		{"{vault://env/a//b}", Reference{Vault: "env", Resource: "a", Key: "b", Version: 1}, ""},
		{"{vault://env/a%2Fb/c%20d}", Reference{Vault: "env", Resource: "a/b", Key: "c d", Version: 1}, ""},
		{"{vault://env/%C3%A4}", Reference{Vault: "env", Resource: "ä", Version: 1}, ""},
		{"{vault://env/a?prefix=x_&ttl=10#2}", Reference{Vault: "env", Resource: "a", Version: 2, Options: map[string]string{"prefix": "x_", "ttl": "10"}}, ""},
		{"{vault://env/a?prefix=}", Reference{Vault: "env", Resource: "a", Version: 1, Options: map[string]string{"prefix": ""}}, ""},
		{"{vault://env/a#1}", Reference{Vault: "env", Resource: "a", Version: 1}, ""},

		{"", Reference{}, "not a reference []"},
		{"secret", Reference{}, "not a reference [secret]"},
		{"{vault://}", Reference{}, "not a reference [{vault://}]"},
		{"{vault:///a}", Reference{}, "not a reference [{vault:///a}]"},
		{"{vault://env/a", Reference{}, "not a reference [{vault://env/a]"},
		{"vault://env/a", Reference{}, "not a reference [vault://env/a]"},
		{"{vault://u:p@env/a}", Reference{}, "not a reference [{vault://u:p@env/a}]"},
		{"{vault://env:80/a}", Reference{}, "not a reference [{vault://env:80/a}]"},
		{"{vault://env/a%zz}", Reference{}, "not a reference [{vault://env/a%zz}]"},
		{"{vault://env/a?x=%zz}", Reference{}, "not a reference [{vault://env/a?x=%zz}]"},
		{"{vault://env}", Reference{}, "reference url is missing path [{vault://env}]"},
		{"{vault://env?prefix=x}", Reference{}, "reference url is missing path [{vault://env?prefix=x}]"},
		{"{vault://env/}", Reference{}, "reference url has empty path [{vault://env/}]"},
		{"{vault://env//}", Reference{}, "reference url has empty path [{vault://env//}]"},
		{"{vault://env/a#x}", Reference{}, "reference url has invalid version [{vault://env/a#x}]"},
		{"{vault://env/a#0}", Reference{}, "reference url has invalid version [{vault://env/a#0}]"},
	} {
		got, err := Parse(tt.text)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("Parse(%q): %v, want %s", tt.text, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(Reference{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", tt.text, diff)
		}
		if got.String() != tt.text {
			t.Errorf("Parse(%q).String() = %q", tt.text, got)
		}
	}
}

func TestFromEnv(t *testing.T) {
	env := map[string]string{
		"MY_KEY": "one", "APP_MY_KEY": "two", "MY_KEY_PREVIOUS": "zero", "EMPTY": "",
		"CREDS": `{"password":"three","port":5432,"big":12345678901234567890,"on":true,"none":null,"deep":{"a":1}}`,
		"LIST":  `["secret"]`, "TEXT": `secret`, "TWO": `{"a":"b"}{"a":"secret"}`, "NULL": "null",
	}
	for _, tt := range []struct{ text, prefix, want, err string }{
		{"{vault://env/my-key}", "", "one", ""},
		{"{vault://env/MY_key}", "", "one", ""},
		{"{vault://env/my-key}", "app-", "two", ""},
		{"{vault://env/my-key?prefix=app_}", "", "two", ""},
		{"{vault://env/my-key?prefix=}", "app_", "one", ""},
		{"{vault://env/my-key#2}", "", "zero", ""},
		{"{vault://env/my-key/}", "", "one", ""},
		{"{vault://env/creds/password}", "", "three", ""},
		{"{vault://env/creds/port}", "", "5432", ""},
		{"{vault://env/creds/big}", "", "12345678901234567890", ""},
		{"{vault://env/creds/on}", "", "true", ""},
		{"{vault://env/creds/none}", "", "", "could not get value from external vault (variable CREDS has no 'none')"},
		{"{vault://env/creds/user}", "", "", "could not get value from external vault (variable CREDS has no 'user')"},
		{"{vault://env/creds/deep}", "", "", "could not get value from external vault ('deep' in variable CREDS is no plain value)"},
		{"{vault://env/list/a}", "", "", "could not get value from external vault (variable LIST is not a JSON object)"},
		{"{vault://env/text/a}", "", "", "could not get value from external vault (variable TEXT is not a JSON object)"},
		{"{vault://env/two/a}", "", "", "could not get value from external vault (variable TWO is not a JSON object)"},
		{"{vault://env/null/a}", "", "", "could not get value from external vault (variable NULL is not a JSON object)"},
		{"{vault://env/empty}", "", "", "could not get value from external vault (variable EMPTY is not set)"},
		{"{vault://env/unset}", "", "", "could not get value from external vault (variable UNSET is not set)"},
		{"{vault://env/my-key#3}", "", "", "reference url has invalid version [{vault://env/my-key#3}]"},
	} {
		ref, err := Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ref.FromEnv(tt.prefix, func(name string) (string, bool) { value, ok := env[name]; return value, ok })
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != tt.want || text != tt.err {
			t.Errorf("%s with prefix %q: %q, %q; want %q, %q", tt.text, tt.prefix, got, text, tt.want, tt.err)
		}
		if strings.Contains(text, "secret") || strings.Contains(text, "three") {
			t.Errorf("%s: the error holds a value: %s", tt.text, text)
		}
	}
}

// FuzzVaultRef holds that what is parsed is complete, that a text which is no
// reference is never taken for one, and that no reference reads more than one
// variable.
func FuzzVaultRef(f *testing.F) {
	for _, text := range []string{
		"{vault://env/my-key}", "{vault://env/creds/password?prefix=x_#2}", "{vault://a-b/c%2Fd/e/}", "{vault://}", "{vault:///}", "{vault://env/%}",
		"{vault://[::1]/a}", "{vault://env/a#%32}", "{vault://env/a?x&y=1;z=2}", "vault", "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := Parse(text)
		if err != nil {
			if utf8.ValidString(text) && !strings.Contains(err.Error(), "["+text+"]") {
				t.Fatalf("Parse(%q): the error does not name it: %v", text, err)
			}
			return
		}
		if !IsReference(text) {
			t.Fatalf("Parse(%q) took a text that IsReference does not", text)
		}
		if ref.Vault == "" || ref.Resource == "" || ref.Version < 1 || ref.String() != text {
			t.Fatalf("Parse(%q) = %+v", text, ref)
		}
		again, err := Parse(ref.String())
		if err != nil || !cmp.Equal(ref, again, cmp.AllowUnexported(Reference{})) {
			t.Fatalf("Parse(%q) gives another thing the second time: %+v, %v", text, again, err)
		}
		reads := 0
		if _, err := ref.FromEnv("", func(string) (string, bool) { reads++; return `{"a":"b"}`, true }); err == nil && reads != 1 {
			t.Fatalf("%q read %d variables", text, reads)
		}
	})
}
