package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// searchPaths are the files looked for when none is named: Gibbon's own, then
// Kong's, so that a machine that ran Kong keeps its settings.
var searchPaths = []string{"/etc/gibbon/gibbon.conf", "/etc/gibbon.conf", "/etc/kong/kong.conf", "/etc/kong.conf"}

// Source says where settings come from. Later ones win: the default, the file,
// KONG_ variables, GIBBON_ variables, flags.
type Source struct {
	// Command is the subcommand that asks: run, controlplane and dataplane have
	// defaults and checks of their own.
	Command string
	// ConfFile is the file the user named. When it is empty the usual places
	// are searched and no file at all is fine.
	ConfFile string
	// Prefix is the folder the user named, or "".
	Prefix string
	// Environ is the environment in the form of os.Environ.
	Environ []string
	// Flags are keys and values given on the command line.
	Flags map[string]string
	// SearchPaths replaces the usual places for a file; nil means those.
	SearchPaths []string
}

// InvalidError lists everything that is wrong with the settings. Each problem
// is a sentence of its own that names the key; none holds a secret.
type InvalidError struct{ Problems []string }

// Error joins the problems, one a line.
func (e *InvalidError) Error() string { return strings.Join(e.Problems, "\n") }

// setting is the text of one key and where it came from.
type setting struct {
	text  string
	where string
}

// loader collects the texts of all sources, and what is wrong with them.
type loader struct {
	table    map[string]*Descriptor
	order    []Descriptor
	set      map[string]setting
	env      map[string]string
	problems []string
	warnings []string
	ignored  map[string]bool
}

// Load reads all sources, checks them and returns the settings. The warnings
// are sentences for the operator about a start that goes on. Wrong settings are
// an [*InvalidError]; any other error is a file that could not be read.
//
// Load reads files and creates none.
func Load(src Source) (*Settings, []string, error) {
	l := &loader{table: map[string]*Descriptor{}, order: Table(), set: map[string]setting{}, env: map[string]string{}, ignored: map[string]bool{}}
	for i := range l.order {
		l.table[l.order[i].Key] = &l.order[i]
	}
	for _, v := range src.Environ {
		if name, value, ok := strings.Cut(v, "="); ok {
			l.env[name] = value
		}
	}
	if err := l.readFile(src); err != nil {
		return nil, nil, err
	}
	l.readEnv("KONG_")
	l.readEnv("GIBBON_")
	for _, key := range sortedKeys(src.Flags) {
		l.take(key, src.Flags[key], "the command line", false)
	}
	if src.Prefix != "" {
		l.take("prefix", src.Prefix, "the command line", false)
	}
	s, err := l.build(src.Command)
	if err != nil {
		return nil, nil, err
	}
	if len(l.problems) > 0 {
		return nil, l.warnings, &InvalidError{l.problems}
	}
	return s, l.warnings, nil
}

func (l *loader) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

func (l *loader) warn(format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, args...))
}

// readFile takes the named file, or the first of the usual ones that exists.
func (l *loader) readFile(src Source) error {
	paths := src.SearchPaths
	if paths == nil {
		paths = searchPaths
	}
	if src.ConfFile != "" {
		paths = []string{src.ConfFile}
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && src.ConfFile == "" {
			continue
		}
		if err != nil {
			return fmt.Errorf("read settings: %w", err)
		}
		entries, errs := parseFile(path, data)
		for _, err := range errs {
			l.problem("%v", err)
		}
		seen := map[string]int{}
		for _, e := range entries {
			if first := seen[e.key]; first > 0 {
				l.warn("%s sets %s on line %d and again on line %d; the last one counts", path, e.key, first, e.line)
			}
			seen[e.key] = e.line
			l.take(e.key, e.value, fmt.Sprintf("%s line %d", path, e.line), false)
		}
		return nil
	}
	return nil
}

// readEnv takes the variables that start with prefix.
func (l *loader) readEnv(prefix string) {
	for _, name := range sortedKeys(l.env) {
		rest, ok := strings.CutPrefix(name, prefix)
		value := l.env[name]
		key := strings.ToLower(rest)
		switch {
		case !ok || rest == "":
		case l.table[key] != nil:
			l.take(key, value, "the variable "+name, false)
		case isKubernetesLink(rest, value):
		case prefix == "GIBBON_" && notSettings.MatchString(rest):
		default:
			l.take(key, value, "the variable "+name, prefix == "KONG_")
		}
	}
}

// take keeps one text. An empty one counts as not given, so that a variable
// passed on empty by a compose file leaves the default in place.
func (l *loader) take(key, text, where string, lenient bool) {
	switch {
	case l.table[key] != nil:
		if text = strings.TrimSpace(text); text != "" {
			l.set[key] = setting{text, where}
		}
	case ignoredFamilies.MatchString(key):
		l.ignored[key] = true
	default:
		hint := ""
		if near := l.nearest(key); near != "" {
			hint = fmt.Sprintf(" (did you mean '%s'?)", near)
		}
		if lenient {
			l.warn("%s is not a setting and is ignored%s", strings.TrimPrefix(where, "the variable "), hint)
		} else {
			l.problem("unknown setting '%s' in %s%s", key, where, hint)
		}
	}
}

// nearest finds the known key that key most likely means, or "".
func (l *loader) nearest(key string) string {
	best, distance := "", len(key)/5+1
	for i := range l.order {
		if d := editDistance(strings.ToLower(key), l.order[i].Key, distance); d < distance || d == distance && best == "" {
			best, distance = l.order[i].Key, d
		}
	}
	return best
}

// editDistance counts single character edits between a and b; more than limit
// of them come back as limit+1.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return min(row[len(b)], limit+1)
}

// commandDefaults are the defaults that depend on the subcommand, and its role.
func commandDefaults(command string) map[string]string {
	switch command {
	case "run":
		return map[string]string{"database": "sqlite", "role": "traditional"}
	case "controlplane":
		return map[string]string{"database": "postgres", "role": "control_plane"}
	case "dataplane":
		// A data plane has no Admin API and no cluster listener, whatever the
		// defaults of the other roles are.
		return map[string]string{"database": "off", "role": "data_plane", "admin_listen": "off", "admin_gui_listen": "off", "cluster_listen": "off"}
	}
	return nil
}

// build turns the texts into values.
func (l *loader) build(command string) (*Settings, error) {
	s := &Settings{extra: map[string]any{}, texts: map[string]string{}, refs: map[string]bool{}}
	defaults := commandDefaults(command)
	prefix, note := defaultPrefix(l.env, os.Geteuid(), writable)
	for i := range l.order {
		d := &l.order[i]
		given, ok := l.set[d.Key]
		value := d.Default
		if v, has := defaults[d.Key]; has {
			value = v
		}
		switch {
		case ok && given.text == "NONE":
			if !d.optional() {
				l.problem("%s needs a value, NONE is not one", d.Key)
				continue
			}
			value = ""
		case ok:
			text, isRef, err := l.resolve(d, given.text)
			if err != nil {
				l.problem("%s: %v", d.Key, err)
				continue
			}
			value, s.refs[d.Key] = text, isRef
		case d.Key == "prefix":
			value = prefix
			if note != "" {
				l.warn("%s", note)
			}
		}
		if ok && d.Owner == Ignored && given.text != d.Default && given.text != "NONE" {
			l.ignored[d.Key] = true
		}
		if ok && d.Missing != "" && given.text != d.Default && given.text != "NONE" && given.text != "off" {
			l.warn("%s has no effect in this version: %s", d.Key, d.Missing)
		}
		at := d.bind(s)
		if value == "" {
			if d.kind == listKind {
				*at.(*[]string) = []string{}
			}
			continue
		}
		if err := d.parse(value, at); err != nil {
			if s.refs[d.Key] {
				// The text came from a vault and may be a secret in the wrong place.
				err = fmt.Errorf("%s: the value that its reference leads to does not fit", d.Key)
			}
			l.problem("%v", err)
			continue
		}
		switch {
		case s.refs[d.Key]:
			s.texts[d.Key] = given.text
		case d.kind == sizeKind || d.kind == listenKind || d.kind == streamKind:
			s.texts[d.Key] = value
		}
	}
	if names := sortedKeys(l.ignored); len(names) > 0 {
		l.warn("these settings of Kong's change nothing in Gibbon: %s", strings.Join(names, ", "))
	}
	if err := s.absolutePaths(); err != nil {
		return nil, err
	}
	l.warnings = append(l.warnings, s.adminWarnings()...)
	l.problems = append(l.problems, s.check(command)...)
	return s, nil
}

// absolutePaths makes the paths independent of the working folder.
func (s *Settings) absolutePaths() error {
	if s.Prefix == "" {
		return nil // already a problem of its own
	}
	abs, err := filepath.Abs(s.Prefix)
	if err != nil {
		return fmt.Errorf("make prefix absolute: %w", err)
	}
	s.Prefix = abs
	s.SQLitePath = s.Path(s.SQLitePath)
	s.ClusterCachePath = s.Path(s.ClusterCachePath)
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return slices.Clip(keys)
}
