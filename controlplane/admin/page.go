package admin

import (
	"encoding/base64"
	"math"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gibbon-gateway/gibbon/schema"
)

const (
	defaultSize = 100
	maxSize     = 1000
	maxTags     = 5
)

// pageSize reads the size of a page: the text that came with a REST call, else
// the number of a gRPC call.
func pageSize(c *carrier, number int32) (int, error) {
	text, given := "", false
	if c != nil {
		text, given = last(c.query, "size")
	}
	size := float64(number)
	if given {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, errSize("size must be a number")
		}
		size = n
	} else if number == 0 {
		return defaultSize, nil
	}
	if !(size >= 1 && size <= maxSize) || size != math.Trunc(size) {
		return 0, errSize("size must be an integer between 1 and 1000")
	}
	return int(size), nil
}

// last is the value of an argument; of one that is given twice the last.
func last(query url.Values, name string) (string, bool) {
	values := query[name]
	if len(values) == 0 {
		return "", false
	}
	return values[len(values)-1], true
}

// flag tells whether an argument is given and says yes.
func flag(query url.Values, name string) bool {
	value, given := last(query, name)
	switch strings.ToLower(value) {
	case "", "1", "true", "on", "yes":
		return given
	}
	return false
}

// text is an argument of a call: from the query of a REST call, else from the
// message.
func text(c *carrier, name, message string) string {
	if c == nil {
		return message
	}
	value, _ := last(c.query, name)
	return value
}

// tagFilter is what a list is filtered by.
type tagFilter struct {
	tags []string
	any  bool
}

// parseTags reads "a,b" (all of them) and "a/b" (one of them).
func parseTags(text string) (tagFilter, error) {
	if text == "" {
		return tagFilter{}, errTagFilter("cannot be null")
	}
	all, some := strings.Contains(text, ","), strings.Contains(text, "/")
	if all && some || !utf8.ValidString(text) {
		return tagFilter{}, errTagFilter("invalid filter syntax")
	}
	separator := ","
	if some {
		separator = "/"
	}
	tags := strings.Split(text, separator)
	for _, tag := range tags {
		if tag == "" || strings.ContainsFunc(tag, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return tagFilter{}, errTagFilter("invalid filter syntax")
		}
	}
	if len(tags) > maxTags {
		return tagFilter{}, errTagFilter("cannot query more than 5 tags")
	}
	return tagFilter{tags, some}, nil
}

// token is where a page ended, as an opaque text: Kong's form, a JSON array in
// base64.
func token(parts ...string) string {
	elements := make([]schema.Document, len(parts))
	for i, p := range parts {
		elements[i] = schema.String(p)
	}
	return base64.StdEncoding.EncodeToString(schema.List(elements...).AppendJSON(nil))
}

// parseToken takes a token apart into n parts; "" is the start, of which all
// parts are empty.
func parseToken(text string, n int) ([]string, error) {
	parts := make([]string, n)
	if text == "" {
		return parts, nil
	}
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errOffset(text, "bad base64 encoding")
	}
	d, err := schema.Parse(bytes)
	if err != nil || len(d.Elements()) != n {
		return nil, errOffset(text, "bad json encoding")
	}
	for i, e := range d.Elements() {
		parts[i] = e.Text()
		if e.Kind() != schema.KindString || parts[i] == "" || strings.IndexByte(parts[i], 0) >= 0 {
			return nil, errOffset(text, "bad json encoding")
		}
	}
	return parts, nil
}

// page is the body of a list. Next is the token of the following page; "" says
// that there is none. The path and the arguments of the query that are repeated
// make the link to it.
func page(data []schema.Document, next, path string, query url.Values, repeat ...string) schema.Document {
	members := []schema.Member{{Name: "data", Value: schema.List(data...)}}
	if next == "" {
		return schema.Object(append(members, schema.Member{Name: "next", Value: schema.Null()})...)
	}
	link := path + "?offset=" + escape(next)
	for _, name := range repeat {
		if v, ok := last(query, name); ok {
			link += "&" + name + "=" + escape(v)
		}
	}
	return schema.Object(append(members,
		schema.Member{Name: "next", Value: schema.String(link)},
		schema.Member{Name: "offset", Value: schema.String(next)})...)
}

// escape writes an argument as Kong does, which has no plus sign for a blank.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
