package pcre_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dlclark/regexp2/v2"
	"go.uber.org/goleak"

	"github.com/gibbon-gateway/gibbon/internal/pcre"
)

func TestMain(m *testing.M) {
	code := m.Run()
	regexp2.StopTimeoutClock()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

type verdict struct {
	engine, flags, pattern, text string
	match                        string
	matches                      bool
}

// verdicts reads the table.
func verdicts(t testing.TB) (all []verdict) {
	t.Helper()
	file, err := os.ReadFile("testdata/verdicts.txt")
	if err != nil {
		t.Fatal(err)
	}
	unquote := func(text string) string {
		out, err := strconv.Unquote(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return out
	}
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		v := verdict{engine: columns[0], flags: columns[1], pattern: unquote(columns[2])}
		if v.engine != "refused" {
			v.text = unquote(columns[3])
			if v.matches = columns[4] != "no"; v.matches {
				v.match = unquote(columns[4])
			}
		}
		all = append(all, v)
	}
	return all
}

// find runs a program.
func find(p *pcre.Program, text string) (match string, ok bool, err error) {
	wide := pcre.Widen(text)
	if p.Linear != nil {
		at := p.Linear.FindStringSubmatchIndex(wide)
		if at == nil {
			return "", false, nil
		}
		end := at[1]
		for i := 2; i < len(at); i += 2 {
			if at[i] < at[i+1] {
				end--
			}
		}
		return pcre.Narrow(wide[at[0]:end]), true, nil
	}
	m, err := p.Backtracking.FindStringMatch(wide)
	if m == nil || err != nil {
		return "", false, err
	}
	return pcre.Narrow(m.String()), true, nil
}

func TestVerdicts(t *testing.T) {
	for _, v := range verdicts(t) {
		t.Run(v.pattern, func(t *testing.T) {
			p, err := pcre.Compile(v.pattern, pcre.Options{IgnoreCase: strings.Contains(v.flags, "i"), MultiLine: strings.Contains(v.flags, "m")})
			if v.engine == "refused" {
				if _, ok := errors.AsType[*pcre.Error](err); !ok {
					t.Fatalf("error %v, want a refusal", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			engine := "backtracking"
			if p.Linear != nil {
				engine = "linear"
			}
			if engine != v.engine {
				t.Errorf("the %s engine runs it, want the %s one", engine, v.engine)
			}
			match, ok, err := find(p, v.text)
			if err != nil || ok != v.matches || match != v.match {
				t.Errorf("in %q: %q, %t, %v; want %q, %t", v.text, match, ok, err, v.match, v.matches)
			}
		})
	}
}

// Perl's engine knows bytes too, and what it says of most of the table is the same.
func TestVerdictsOfPerl(t *testing.T) {
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skip("there is no perl to ask")
	}
	// These mean something else to Perl, or have done so at some time.
	differ := regexp.MustCompile(`\\C|\\o\{|\{,2\}|\\p|\\P|\\v|\\V|\\h|\\H|\\R|\{1500\}|1500|\\x\{|\\Q|\\x00-\\xff|\[:upper:\]`)
	asked := 0
	var script, want strings.Builder
	for i, v := range verdicts(t) {
		if v.engine == "refused" || differ.MatchString(v.pattern) {
			continue
		}
		asked++
		flags := "a"
		if v.flags != "-" {
			flags += v.flags
		}
		fmt.Fprintf(&script, "{ my $p = pack('H*', '%x'); my $s = pack('H*', '%x'); print %d, ' ', ($s =~ /(?%s:$p)/ ? 'yes '.unpack('H*', $&) : 'no'), qq{\\n}; }\n", v.pattern, v.text, i, flags)
		if v.matches {
			fmt.Fprintf(&want, "%d yes %x\n", i, v.match)
		} else {
			fmt.Fprintf(&want, "%d no\n", i)
		}
	}
	command := exec.CommandContext(t.Context(), perl, "-")
	command.Stdin = strings.NewReader(script.String())
	got, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	if asked < 60 {
		t.Errorf("only %d patterns were asked about", asked)
	}
	all := verdicts(t)
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(want.String(), "\n")
	if len(gotLines) != len(wantLines) {
		t.Fatalf("perl says\n%s", got)
	}
	for i := range wantLines {
		if gotLines[i] != wantLines[i] {
			n, _, _ := strings.Cut(wantLines[i], " ")
			at, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			t.Errorf("%q in %q: perl says %q, want %q", all[at].pattern, all[at].text, gotLines[i], wantLines[i])
		}
	}
}

// Both engines say the same of a pattern that both can run.
func FuzzEngines(f *testing.F) {
	for _, v := range verdicts(f) {
		f.Add(v.pattern, v.text, v.flags)
	}
	f.Fuzz(func(t *testing.T, pattern, text, flags string) {
		if len(pattern) > 60 || len(text) > 100 {
			return
		}
		o := pcre.Options{IgnoreCase: strings.Contains(flags, "i"), MultiLine: strings.Contains(flags, "m")}
		p, err := pcre.Compile(pattern, o)
		if err != nil {
			if _, ok := errors.AsType[*pcre.Error](err); !ok {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		match, ok, err := find(p, text)
		if err != nil || p.Linear == nil {
			return
		}
		if !ok && match != "" || ok && !strings.Contains(text, match) {
			t.Errorf("%q in %q: match %q, %t", pattern, text, match, ok)
		}
		// A group that looks ahead at nothing leaves only the other engine.
		if strings.Contains(pattern, "|") {
			return // it would look ahead in one alternative only
		}
		other, err := pcre.Compile("(?=)"+pattern, o)
		if err != nil {
			t.Fatalf("%q with (?=) in front: %v", pattern, err)
		}
		again, matches, err := find(other, text)
		if err == nil && (matches != ok || again != match) {
			t.Errorf("%q in %q: linear %q, %t; backtracking %q, %t", pattern, text, match, ok, again, matches)
		}
	})
}

func TestWiden(t *testing.T) {
	for _, text := range []string{"", "plain", "\u00e9", "\xff\x00\x80", "\u4f60"} {
		wide := pcre.Widen(text)
		if n := len([]rune(wide)); n != len(text) {
			t.Errorf("%q has %d characters, want %d", wide, n, len(text))
		}
		if got := pcre.Narrow(wide); got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
}
