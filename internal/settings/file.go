package settings

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxFile bounds a settings file. Kong's own, full of comments, has 80 KiB.
const maxFile = 1 << 20

// fileEntry is one "key = value" of a file.
type fileEntry struct {
	key, value string
	line       int
}

var keyName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parseFile reads the grammar of kong.conf: one "key = value" on a line, "#"
// starts a comment wherever it stands, "\#" is a literal "#", and there are no
// quotes, sections or continued lines. All malformed lines are reported.
func parseFile(name string, data []byte) ([]fileEntry, []error) {
	if len(data) > maxFile {
		return nil, []error{fmt.Errorf("%s is larger than %d bytes", name, maxFile)}
	}
	if !utf8.Valid(data) || strings.ContainsRune(string(data), 0) {
		return nil, []error{fmt.Errorf("%s is not UTF-8 text", name)}
	}
	var entries []fileEntry
	var errs []error
	text := strings.TrimPrefix(string(data), "\ufeff")
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(stripComment(line))
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		if !ok || !keyName.MatchString(key) {
			// The line may be a secret that lost its key, so it is not repeated.
			errs = append(errs, fmt.Errorf("%s line %d is not of the form 'key = value'", name, number))
			continue
		}
		entries = append(entries, fileEntry{key, strings.TrimSpace(value), number})
	}
	return entries, errs
}

// stripComment cuts line at its first unescaped "#" and unescapes the rest.
func stripComment(line string) string {
	if !strings.Contains(line, "#") {
		return line
	}
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' && i+1 < len(line) && line[i+1] == '#' {
			b.WriteByte('#')
			i++
			continue
		}
		if line[i] == '#' {
			break
		}
		b.WriteByte(line[i])
	}
	return b.String()
}
