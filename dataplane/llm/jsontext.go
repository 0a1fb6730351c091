package llm

import (
	"bytes"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Unquote is the text of a valid JSON string, given with its quotes.
func Unquote(quoted []byte) string {
	raw := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw)
	}
	return string(AppendUnquoted(make([]byte, 0, len(raw)), raw))
}

// AppendUnquoted appends the text of a valid JSON string that is given without
// its quotes. Lone halves of surrogate pairs and bytes that are no UTF-8 become
// U+FFFD, as for encoding/json.
func AppendUnquoted(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case c == '\\':
			i++
			if raw[i] != 'u' {
				dst = append(dst, unescaped(raw[i]))
				i++
				continue
			}
			r := hex4(raw[i+1:])
			i += 5
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(raw[i+2:]))
				}
				if pair != utf8.RuneError {
					i += 6
				}
				r = pair
			}
			dst = utf8.AppendRune(dst, r)
		case c < utf8.RuneSelf:
			end := max(plain(raw, i), i+1)
			dst = append(dst, raw[i:end]...)
			i = end
		default:
			r, size := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
		}
	}
	return dst
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		r <<= 4
		switch {
		case c <= '9':
			r |= rune(c - '0')
		default:
			r |= rune(c|0x20-'a') + 10
		}
	}
	return r
}

const hexDigits = "0123456789abcdef"

// AppendQuoted appends a text as a JSON string. Bytes that are no UTF-8 become
// U+FFFD.
func AppendQuoted[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := plain(text, 0); i < len(text); i = plain(text, i) {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(text[i:min(len(text), i+utf8.UTFMax)]))
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, text[start:i]...)
				dst = utf8.AppendRune(dst, utf8.RuneError)
				start = i + 1
			}
			i += size
			continue
		}
		dst = append(dst, text[start:i]...)
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
	dst = append(dst, text[start:]...)
	return append(dst, '"')
}

// plain is where, from i on, the first byte stands that is no ASCII or not written
// as it is in a JSON string; the length of the text when there is none.
func plain[T string | []byte](text T, i int) int {
	for i+8 <= len(text) {
		t := text[i : i+8]
		w := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
			uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		// As in the scanner, where a byte beyond ASCII is no hit.
		quote := w ^ '"'*everyByte
		slash := w ^ '\\'*everyByte
		hit := (w | (w - 0x20*everyByte) | (quote-everyByte)&^quote | (slash-everyByte)&^slash) & highBits
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
		i += 8
	}
	for i < len(text) && text[i] >= 0x20 && text[i] < utf8.RuneSelf && text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}

// Quote is a text as a JSON string.
func Quote(text string) string { return string(AppendQuoted(nil, text)) }

// Words counts the runs of characters that are not blank in a valid JSON
// string, given with its quotes.
func Words(quoted []byte) int {
	words, inside := 0, false
	raw := quoted[1 : len(quoted)-1]
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '\\' {
			i++
			switch c = raw[i]; c {
			case 'u':
				r := hex4(raw[i+1:])
				i += 4
				c = 'u'
				if r < utf8.RuneSelf {
					c = byte(r)
				}
			default:
				c = unescaped(c)
			}
		}
		if blank(c) {
			inside = false
		} else if !inside {
			inside = true
			words++
		}
	}
	return words
}

// blank says whether a byte is white space of ASCII.
func blank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
