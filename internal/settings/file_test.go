package settings

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFile(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []fileEntry
		errs       []string
	}{
		{"plain", "a = b\n", []fileEntry{{"a", "b", 1}}, nil},
		{"blanks, comments, empty lines", "\n  # c\n\ta=b   # why\n", []fileEntry{{"a", "b", 3}}, nil},
		{"comment right behind", "a=b#c", []fileEntry{{"a", "b", 1}}, nil},
		{"escaped sign", `a = b\#c # d`, []fileEntry{{"a", "b#c", 1}}, nil},
		{"other backslashes stay", `a = \b\\`, []fileEntry{{"a", `\b\\`, 1}}, nil},
		{"equals sign in the value", "a = b = c", []fileEntry{{"a", "b = c", 1}}, nil},
		{"no value", "a =", []fileEntry{{"a", "", 1}}, nil},
		{"quotes are text", `a = "b"`, []fileEntry{{"a", `"b"`, 1}}, nil},
		{"carriage returns and a mark", "\ufeffa = b\r\nc = d\r\n", []fileEntry{{"a", "b", 1}, {"c", "d", 2}}, nil},
		{"malformed lines", "ok = 1\nhunter2\n= x\na b = c", []fileEntry{{"ok", "1", 1}},
			[]string{"f line 2 is not of the form 'key = value'", "f line 3 is not of the form 'key = value'", "f line 4 is not of the form 'key = value'"}},
		{"not text", "a = \xff", nil, []string{"f is not UTF-8 text"}},
		{"zero byte", "a = \x00", nil, []string{"f is not UTF-8 text"}},
		{"too large", strings.Repeat("#", maxFile+1), nil, []string{"f is larger than 1048576 bytes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, errs := parseFile("f", []byte(tt.text))
			var texts []string
			for _, err := range errs {
				texts = append(texts, err.Error())
			}
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(fileEntry{})); d != "" {
				t.Errorf("parseFile(%q) (-want +got):\n%s", tt.text, d)
			}
			if d := cmp.Diff(tt.errs, texts); d != "" {
				t.Errorf("errors (-want +got):\n%s", d)
			}
		})
	}
}

// FuzzParseFile checks that what was read can be written and read again, and
// that no line is read twice.
func FuzzParseFile(f *testing.F) {
	f.Add([]byte("a = b # c\n\\#d\ne = f\\#g\r\n"))
	f.Add([]byte("=\n#\n[x]\n\ufeffa=\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, errs := parseFile("f", data)
		if len(entries)+len(errs) > strings.Count(string(data), "\n")+1 {
			t.Fatalf("%d entries and %d errors from %q", len(entries), len(errs), data)
		}
		var b strings.Builder
		for _, e := range entries {
			b.WriteString(e.key + " = " + strings.ReplaceAll(e.value, "#", `\#`) + "\n")
		}
		again, errs := parseFile("f", []byte(b.String()))
		if len(errs) > 0 || len(again) != len(entries) {
			t.Fatalf("%q came back as %q: %v", data, b.String(), errs)
		}
		for i := range entries {
			if entries[i].key != again[i].key || entries[i].value != again[i].value {
				t.Fatalf("%v came back as %v", entries[i], again[i])
			}
		}
	})
}

func FuzzParseListeners(f *testing.F) {
	f.Add("0.0.0.0:8000 reuseport backlog=16384, [::1]:8443 ssl http2")
	f.Add("off")
	f.Add("a:1 so_keepalive=1m::3")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseListeners("k", text, false)
		if err != nil {
			return
		}
		again, err := parseListeners("k", strings.Join(list.shown(), ", "), false)
		if err != nil {
			t.Fatalf("%q gives %q, which is refused: %v", text, list.shown(), err)
		}
		if d := cmp.Diff(list, again, cmp.AllowUnexported(Listeners{})); d != "" {
			t.Fatalf("%q (-first +again):\n%s", text, d)
		}
	})
}
