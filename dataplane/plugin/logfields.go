package plugin

import (
	"strconv"
	"unicode/utf8"
)

// LogFields are the fields that plugins add to the log object of a request: a
// small tree that keeps the order in which names came. The zero value is empty.
type LogFields struct {
	members []logField
}

type logField struct {
	name  string
	value []byte // JSON; nil for an object
	inner LogFields
}

// Set puts a value, which must be JSON text, under a path of names: Set(v, "ai",
// "proxy", "usage"). It replaces what was there. The slice is kept.
func (f *LogFields) Set(value []byte, path ...string) {
	if len(path) == 0 {
		return
	}
	field := f.member(path[0])
	if len(path) == 1 {
		field.value, field.inner = value, LogFields{}
		return
	}
	field.value = nil
	field.inner.Set(value, path[1:]...)
}

// SetString puts a text under a path.
func (f *LogFields) SetString(value string, path ...string) {
	f.Set(AppendString(nil, value), path...)
}

// SetInt puts a whole number under a path.
func (f *LogFields) SetInt(value int64, path ...string) {
	f.Set(strconv.AppendInt(nil, value, 10), path...)
}

// SetFloat puts a finite number under a path.
func (f *LogFields) SetFloat(value float64, path ...string) {
	f.Set(strconv.AppendFloat(nil, value, 'f', -1, 64), path...)
}

// AppendJSON appends the members of the tree to the members of an object that is
// being written: each one with a comma in front.
func (f *LogFields) AppendJSON(dst []byte) []byte {
	for i := range f.members {
		dst = append(dst, ',')
		dst = f.members[i].appendJSON(dst)
	}
	return dst
}

func (f *logField) appendJSON(dst []byte) []byte {
	dst = AppendString(dst, f.name)
	dst = append(dst, ':')
	if f.value != nil {
		return append(dst, f.value...)
	}
	dst = append(dst, '{')
	for i := range f.inner.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = f.inner.members[i].appendJSON(dst)
	}
	return append(dst, '}')
}

func (f *LogFields) member(name string) *logField {
	for i := range f.members {
		if f.members[i].name == name {
			return &f.members[i]
		}
	}
	f.members = append(f.members, logField{name: name})
	return &f.members[len(f.members)-1]
}

func (f *LogFields) reset() {
	clear(f.members)
	f.members = f.members[:0]
}

const hexDigits = "0123456789abcdef"

// AppendString appends a text as JSON. Bytes that are no UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
