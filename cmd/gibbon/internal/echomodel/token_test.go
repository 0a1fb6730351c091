package echomodel

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestTokens(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"words", "one two", []string{"one", " two"}},
		{"long word", "mathematicians", []string{"mathemat", "icians"}},
		{"sum", "1 + 1 = ?", []string{"1", " +", " 1", " =", " ?"}},
		{"no spaces", "你是一名数学家。", []string{"你", "是", "一", "名", "数", "学", "家", "。"}},
		{"mixed", "Go语言", []string{"Go", "语", "言"}},
		{"kana and hangul", "かな한글", []string{"か", "な", "한", "글"}},
		{"accent of its own", "e\u0301te\u0301", []string{"e\u0301te\u0301"}},
		{"accent at the limit", "aaaaaaae\u0301b", []string{"aaaaaaae\u0301", "b"}},
		{"family", "👩‍👩‍👧!", []string{"👩‍👩‍👧", "!"}},
		{"skin tone", "👍🏽👍", []string{"👍🏽", "👍"}},
		{"flags", "🇫🇷🇩🇪🇫", []string{"🇫🇷", "🇩🇪", "🇫"}},
		{"heart", "❤️‍🔥❤️", []string{"❤️‍🔥", "❤️"}},
		{"white space last", "a \n", []string{"a", " \n"}},
		{"much white space", strings.Repeat(" ", 18) + "a", []string{strings.Repeat(" ", 8), strings.Repeat(" ", 8), "  a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, slices.Collect(tokens(tt.text))); diff != "" {
				t.Errorf("tokens(%q) (-want +got):\n%s", tt.text, diff)
			}
			if got := countTokens(tt.text); got != len(tt.want) {
				t.Errorf("countTokens(%q) = %d, want %d", tt.text, got, len(tt.want))
			}
		})
	}
}

func TestGenerate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		stops []string
		limit int
		want  generated
	}{
		{"all", nil, noLimit, generated{text: "a b c d", tokens: 4, finish: finishStop}},
		{"just enough", nil, 4, generated{text: "a b c d", tokens: 4, finish: finishStop}},
		{"too long", nil, 3, generated{text: "a b c", tokens: 3, finish: finishLength}},
		{"none", nil, 0, generated{text: "", tokens: 0, finish: finishLength}},
		{"earliest stop", []string{" d", " c"}, noLimit, generated{text: "a b", tokens: 2, finish: finishStop, stop: " c"}},
		{"stop before limit", []string{" c"}, 2, generated{text: "a b", tokens: 2, finish: finishStop, stop: " c"}},
		{"limit before stop", []string{" d"}, 2, generated{text: "a b", tokens: 2, finish: finishLength}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := generate("a b c d", tt.stops, tt.limit); got != tt.want {
				t.Errorf("generate(%q, %d) = %+v, want %+v", tt.stops, tt.limit, got, tt.want)
			}
		})
	}
}

// FuzzTokens: tokens put together are the text, none is empty, and none cuts
// a rune.
func FuzzTokens(f *testing.F) {
	f.Add("1 + 1 = ?")
	f.Add("你好 👩‍👩‍👧 🇫🇷 e\u0301 \xff\xfe")
	f.Add(strings.Repeat("\u0301", 100) + strings.Repeat("\u200d", 100))
	f.Fuzz(func(t *testing.T, text string) {
		var all strings.Builder
		n := 0
		for token := range tokens(text) {
			if token == "" {
				t.Fatalf("tokens(%q) yields nothing at byte %d", text, all.Len())
			}
			if utf8.ValidString(text) && !utf8.ValidString(token) {
				t.Fatalf("tokens(%q) cuts a rune: %q", text, token)
			}
			if runes := utf8.RuneCountInString(token); runes > wordRunes+clusterRunes {
				t.Fatalf("tokens(%q) yields %d runes at once", text, runes)
			}
			all.WriteString(token)
			n++
		}
		if all.String() != text {
			t.Fatalf("tokens(%q) = %q", text, all.String())
		}
		if head, count, cut := firstTokens(text, n); head != text || count != n || cut {
			t.Fatalf("firstTokens(%q, %d) = %q, %d, %v", text, n, head, count, cut)
		}
	})
}
