package echomodel

import (
	"iter"
	"unicode"
	"unicode/utf8"
)

const (
	wordRunes    = 8  // letters of a word that make one token
	clusterRunes = 32 // runes that one visible character may have before it is split
)

// tokens yields the tokens of text in order; together they are text again,
// and none ends inside a rune. What a token is, is a rule of thumb that needs
// no vocabulary: up to eight letters or digits of a word, or one character of
// a script without spaces, or one mark or emoji; white space belongs to the
// token that follows it, unless it is longer than eight runes or comes last.
func tokens(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for text != "" {
			n := tokenLen(text)
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// countTokens is the number of tokens in text.
func countTokens(text string) int {
	n := 0
	for range tokens(text) {
		n++
	}
	return n
}

// firstTokens is the start of text that holds at most limit tokens, the
// number it holds, and whether something was left out.
func firstTokens(text string, limit int) (head string, count int, cut bool) {
	end := 0
	for token := range tokens(text) {
		if count == limit {
			return text[:end], count, true
		}
		end += len(token)
		count++
	}
	return text, count, false
}

// tokenLen is the number of bytes in the first token of text, which is not
// empty.
func tokenLen(text string) int {
	end, spaces := 0, 0
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if !unicode.IsSpace(r) {
			break
		}
		if spaces == wordRunes {
			return end
		}
		end += size
		spaces++
	}
	if end == len(text) {
		return end
	}

	r, size := utf8.DecodeRuneInString(text[end:])
	end += size
	if !inWord(r) {
		return end + clusterLen(r, text[end:])
	}
	for letters := 1; end < len(text); {
		r, size := utf8.DecodeRuneInString(text[end:])
		switch {
		case unicode.IsMark(r) && letters < clusterRunes:
			// A mark never starts a token of its own, also past the limit.
		case inWord(r) && letters < wordRunes:
		default:
			return end
		}
		end += size
		letters++
	}
	return end
}

// inWord reports whether r is a letter or digit of a script that puts spaces
// between its words.
func inWord(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsDigit(r)) &&
		!unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// clusterLen is the number of bytes of rest that show as one character with
// the rune before it: accents, skin tones, joined emoji, the second half of a
// flag.
func clusterLen(before rune, rest string) int {
	const joiner = '\u200d'
	regional := func(r rune) bool { return r >= 0x1F1E6 && r <= 0x1F1FF }
	end := 0
	for runes := 1; runes < clusterRunes && end < len(rest); runes++ {
		r, size := utf8.DecodeRuneInString(rest[end:])
		joins := unicode.IsMark(r) || r == joiner || before == joiner ||
			r >= 0x1F3FB && r <= 0x1F3FF || // skin tones
			r >= 0xE0020 && r <= 0xE007F // tags, which spell the flags of regions
		if !joins {
			if runes == 1 && regional(before) && regional(r) {
				return end + size
			}
			return end
		}
		end += size
		before = r
	}
	return end
}
