package uri

// Escape writes a normalised path the way it goes upstream: every byte outside
// A–Z a–z 0–9 - . _ ~ ! # $ & ' ( ) * + , / : ; = ? @ [ ] % becomes a triplet
// with upper-case digits. The percent sign stays, since in normal form it begins
// the triplet of a reserved character.
func Escape(path string) string {
	n := 0
	for i := range len(path) {
		if !passes(path[i]) {
			n++
		}
	}
	if n == 0 {
		return path
	}
	out := make([]byte, 0, len(path)+2*n)
	for i := range len(path) {
		if c := path[i]; passes(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(out)
}

func passes(c byte) bool {
	switch {
	case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '.', '_', '~', '!', '$', '&', '\'', '(', ')', '*', '+', ',', '/', ':', ';', '=', '@', '[', ']', '%', '#', '?':
		return true
	}
	return false
}
