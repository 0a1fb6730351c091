package llm

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type seen struct{ Name, Data string }

// events cuts a stream that comes in the given pieces.
func events(t testing.TB, pieces ...string) []seen {
	t.Helper()
	out, err := readEvents(pieces...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readEvents(pieces ...string) ([]seen, error) {
	out := []seen{}
	f := func(e ServerEvent) error {
		out = append(out, seen{string(e.Name), string(e.Data)})
		return nil
	}
	var reader EventReader
	for _, piece := range pieces {
		if err := reader.Read([]byte(piece), f); err != nil {
			return out, err
		}
	}
	return out, reader.Close(f)
}

var streamCases = []struct {
	name, text string
	want       []seen
}{
	{"one", "data: a\n\n", []seen{{"", "a"}}},
	{"no space behind the colon", "data:a\n\n", []seen{{"", "a"}}},
	{"one space is taken off", "data:  a\n\n", []seen{{"", " a"}}},
	{"cr lf", "data: a\r\n\r\ndata: b\r\n\r\n", []seen{{"", "a"}, {"", "b"}}},
	{"cr", "data: a\r\rdata: b\r\r", []seen{{"", "a"}, {"", "b"}}},
	{"mixed ends", "data: a\r\n\ndata: b\r\r\n", []seen{{"", "a"}, {"", "b"}}},
	{"data lines are joined", "data: a\ndata: b\n\n", []seen{{"", "a\nb"}}},
	{"names", "event: x\ndata: a\n\ndata: b\n\n", []seen{{"x", "a"}, {"", "b"}}},
	{"comments, ids, retry", ": hello\nid: 1\nretry: 5\ndata: a\n: more\n\n: end\n\n", []seen{{"", "a"}}},
	{"no data, no event", "event: x\n\ndata\n\ndata:\n\n", []seen{}},
	{"byte order mark", "\xef\xbb\xbfdata: a\n\n", []seen{{"", "a"}}},
	{"last event left open", "data: a\n\ndata: [DONE]", []seen{{"", "a"}, {"", "[DONE]"}}},
	{"colon in the data", "data: {\"a\": 1}\n\n", []seen{{"", `{"a": 1}`}}},
	{"empty", "", []seen{}},
}

func TestEventReaderAnySplit(t *testing.T) {
	for _, tt := range streamCases {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, events(t, tt.text)); diff != "" {
				t.Fatalf("whole (-want +got):\n%s", diff)
			}
			for i := range tt.text {
				for j := i; j <= len(tt.text); j++ {
					if diff := cmp.Diff(tt.want, events(t, tt.text[:i], tt.text[i:j], tt.text[j:])); diff != "" {
						t.Fatalf("split at %d and %d (-want +got):\n%s", i, j, diff)
					}
				}
			}
			if diff := cmp.Diff(tt.want, events(t, strings.Split(tt.text, "")...)); diff != "" {
				t.Fatalf("byte by byte (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventReaderLimits(t *testing.T) {
	long := strings.Repeat("x", MaxEvent-8)
	if got := events(t, "data: "+long+"\n\n"); len(got) != 1 || got[0].Data != long {
		t.Error("an event of the largest size was not read")
	}
	half := strings.Repeat("y", MaxEvent/2)
	for name, pieces := range map[string][]string{
		"a line":             {"data: ", half, half, "\n\n"},
		"a line in one":      {"data: " + half + half + "\n\n"},
		"an event of lines":  {"data: " + half + "\n", "data: " + half + "\n", "\n"},
		"a line without end": {half, half, "z"},
	} {
		if _, err := readEvents(pieces...); !errors.Is(err, ErrEventTooLarge) {
			t.Errorf("%s: %v, want ErrEventTooLarge", name, err)
		}
	}
}

func TestEventReaderStopsAtAnError(t *testing.T) {
	stop := errors.New("stop")
	var reader EventReader
	calls := 0
	err := reader.Read([]byte("data: a\n\ndata: b\n\n"), func(ServerEvent) error {
		calls++
		return stop
	})
	if err != stop || calls != 1 {
		t.Errorf("%d calls, error %v", calls, err)
	}
}

func TestAppendServerEvent(t *testing.T) {
	got := string(AppendServerEvent(AppendServerEvent(nil, "", []byte("a\nb")), "x", []byte("c")))
	if want := "data: a\ndata: b\n\nevent: x\ndata: c\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	got = string(AppendServerEvent(nil, "", []byte("{\r\n\r1\n}\n")))
	if want := "data: {\ndata: \ndata: 1\ndata: }\ndata: \n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestValueReaderAnySplit(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
		partial    bool
	}{
		{"lines", "{\"a\":1}\n{\"b\":\"}\"}\r\n", []string{`{"a":1}`, `{"b":"}"}`}, false},
		{"array", `[{"a":[{}]} , {"b":"\"}]"}]`, []string{`{"a":[{}]}`, `{"b":"\"}]"}`}, false},
		{"cut off", `{"a":1}{"b":`, []string{`{"a":1}`}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.text {
				var got []string
				var reader ValueReader
				for _, piece := range []string{tt.text[:i], tt.text[i:]} {
					if err := reader.Read([]byte(piece), func(value []byte) error {
						got = append(got, string(value))
						return nil
					}); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("split at %d (-want +got):\n%s", i, diff)
				}
				if reader.Partial() != tt.partial {
					t.Errorf("split at %d: partial = %v", i, reader.Partial())
				}
			}
		})
	}
	var reader ValueReader
	if err := reader.Read([]byte(`{"a":"`+strings.Repeat("x", MaxEvent)), func([]byte) error { return nil }); err != ErrEventTooLarge {
		t.Errorf("endless value: %v", err)
	}
}

func TestTextLength(t *testing.T) {
	pieces := []string{" \n", " a", "", " ", "b ", "\t", "c", " \n "}
	var length TextLength
	for _, piece := range pieces {
		length.Add([]byte(piece))
	}
	if want := len(strings.TrimSpace(strings.Join(pieces, ""))); length.Len() != want {
		t.Errorf("length %d, want %d", length.Len(), want)
	}
}

func TestEstimates(t *testing.T) {
	for words, want := range map[int]int64{0: 0, 1: 2, 2: 4, 3: 5, 5: 9, 10: 18} {
		if got := EstimatePrompt(words, true); got != want {
			t.Errorf("%d words streamed: %d tokens, want %d", words, got, want)
		}
	}
	if got := EstimatePrompt(7, false); got != 7 {
		t.Errorf("7 words: %d tokens", got)
	}
	for length, want := range map[int]int64{0: 0, 1: 1, 4: 1, 5: 2} {
		if got := EstimateCompletion(length); got != want {
			t.Errorf("%d bytes: %d tokens, want %d", length, got, want)
		}
	}
}

// FuzzSSEParse checks that how a stream is cut into pieces means nothing.
func FuzzSSEParse(f *testing.F) {
	for _, tt := range streamCases {
		f.Add(tt.text, uint16(3), uint16(7))
	}
	f.Fuzz(func(t *testing.T, text string, a, b uint16) {
		i := int(a) % (len(text) + 1)
		j := i + int(b)%(len(text)-i+1)
		whole, wholeErr := readEvents(text)
		cut, cutErr := readEvents(text[:i], text[i:j], text[j:])
		if (wholeErr == nil) != (cutErr == nil) {
			t.Fatalf("errors %v and %v", wholeErr, cutErr)
		}
		if wholeErr != nil {
			return
		}
		if diff := cmp.Diff(whole, cut); diff != "" {
			t.Fatalf("split at %d and %d of %q (-whole +cut):\n%s", i, j, text, diff)
		}
		var again []byte
		for _, e := range whole {
			again = AppendServerEvent(again, e.Name, []byte(e.Data))
		}
		if diff := cmp.Diff(whole, events(t, string(again))); diff != "" {
			t.Fatalf("written and read again (-want +got):\n%s", diff)
		}
	})
}
