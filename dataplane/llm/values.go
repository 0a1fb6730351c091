package llm

import "cmp"

// ValueReader cuts a stream of JSON values into single ones, whatever the pieces
// it comes in: one value per line, values back to back, or the elements of one
// array. It finds their ends only; whoever reads a value checks it. The zero
// value is ready, and must not be copied once used.
type ValueReader struct {
	// Max is the largest value in bytes; 0: MaxEvent.
	Max int

	value  []byte // the value that has begun
	depth  int
	quoted bool // inside a string
	escape bool // behind a backslash
	array  bool // inside the array around the values
}

// Read takes the next piece of the stream and calls f for each value that is
// complete now; the slice is valid until the reader is used again. It stops at
// f's error and gives it back; ErrEventTooLarge says that a value grew beyond
// Max.
func (v *ValueReader) Read(piece []byte, f func(value []byte) error) error {
	limit := cmp.Or(v.Max, MaxEvent)
	for _, c := range piece {
		if len(v.value) == 0 {
			// Between values: only an object starts one. The brackets and commas of
			// an array around them are passed over, as is anything else.
			switch c {
			case '{':
				v.value = append(v.value, c)
				v.depth = 1
			case '[', ']':
				v.array = c == '['
			}
			continue
		}
		if len(v.value) >= limit {
			return ErrEventTooLarge
		}
		v.value = append(v.value, c)
		switch {
		case v.escape:
			v.escape = false
		case v.quoted && c == '\\':
			v.escape = true
		case c == '"':
			v.quoted = !v.quoted
		case v.quoted:
		case c == '{' || c == '[':
			v.depth++
		case c == '}' || c == ']':
			if v.depth--; v.depth == 0 {
				err := f(v.value)
				v.value = v.value[:0]
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Partial says that a value has begun and not ended.
func (v *ValueReader) Partial() bool { return len(v.value) > 0 }

// Open says that the array around the values has begun and not ended.
func (v *ValueReader) Open() bool { return v.array }
