package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxLines bounds the number of header lines of an answer.
const maxLines = 1000

// Reasons to refuse the head of an answer. The texts do not show what came: it
// may be anything, keys included.
var (
	errStatusLine  = errors.New("malformed status line")
	errVersion     = errors.New("the answer is neither HTTP/1.0 nor HTTP/1.1")
	errHeaderLine  = errors.New("malformed header line")
	errFolded      = errors.New("folded header line")
	errControlByte = errors.New("control byte in the head")
	errBothLengths = errors.New("both Content-Length and Transfer-Encoding")
	errLength      = errors.New("malformed or contradictory Content-Length")
	errEncoding    = errors.New("transfer encoding other than one chunked")
	errSwitch      = errors.New("unasked change of protocol")
	errTrailerName = errors.New("forbidden name in Trailer")
)

// HeaderRoom is for how many more names the header of an answer has room, since a
// map that is full costs more to grow than it cost to make.
const HeaderRoom = 6

// head is the head of an answer.
type head struct {
	status int
	old    bool // HTTP/1.0
	header http.Header
}

// headEnd finds the end of a head, behind its empty line; -1 when that is not
// there yet. from is where to look: 0, and when there is more to look at, what
// came back as next.
func headEnd(b []byte, from int) (end, next int) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return -1, from
		}
		rest := b[from+i+1:]
		switch {
		case len(rest) > 0 && rest[0] == '\n':
			return from + i + 2, 0
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return from + i + 3, 0
		case len(rest) == 0 || len(rest) == 1 && rest[0] == '\r':
			// This line end may be the one before the last.
			return -1, from + i
		}
		from += i + 1
	}
}

// parseHead reads a head up to and with its empty line. It keeps nothing of
// block. A line may end in LF alone, as Kong lets it.
func parseHead(block []byte) (head, error) {
	// Names and values are parts of one string.
	text := string(block)
	line, text, err := cutLine(text)
	if err != nil {
		return head{}, err
	}
	var h head
	if err := h.statusLine(line); err != nil {
		return head{}, err
	}
	lines := strings.Count(text, "\n") - 1
	if lines > maxLines {
		return head{}, errHeadTooLarge
	}
	h.header = make(http.Header, lines+HeaderRoom)
	values := make([]string, lines)
	for {
		if line, text, err = cutLine(text); err != nil {
			return head{}, err
		}
		if line == "" {
			return h, nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			return head{}, errFolded
		}
		name, value, err := cutField(line)
		if err != nil {
			return head{}, err
		}
		if before := h.header[name]; before != nil {
			h.header[name] = append(before, value)
			continue
		}
		values[0] = value
		// Without room to grow, since what follows belongs to other headers.
		h.header[name], values = values[:1:1], values[1:]
	}
}

// cutLine takes the first line off a text.
func cutLine(text string) (line, rest string, err error) {
	i := strings.IndexByte(text, '\n')
	if i < 0 {
		return "", "", errHeaderLine
	}
	line, rest = text[:i], text[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	if !isFieldValue(line) {
		return "", "", errControlByte
	}
	return line, rest, nil
}

// cutField takes a header line apart.
func cutField(line string) (name, value string, err error) {
	colon := strings.IndexByte(line, ':')
	if colon < 0 {
		return "", "", errHeaderLine
	}
	name, ok := canonical(line[:colon])
	if !ok {
		return "", "", errHeaderLine
	}
	return name, trimSpace(line[colon+1:]), nil
}

// statusLine reads version and status.
func (h *head) statusLine(line string) error {
	const start, form = "HTTP/1.", "HTTP/1.1 200"
	if len(line) < len(form) || line[:len("HTTP/")] != "HTTP/" {
		return errStatusLine
	}
	if line[:len(start)] != start || line[len(start)] != '0' && line[len(start)] != '1' {
		return errVersion
	}
	h.old = line[len(start)] == '0'
	if line[len(start)+1] != ' ' {
		return errStatusLine
	}
	for _, c := range []byte(line[len(start)+2 : len(form)]) {
		if c < '0' || c > '9' {
			return errStatusLine
		}
		h.status = 10*h.status + int(c-'0')
	}
	if h.status < 100 || len(line) > len(form) && line[len(form)] != ' ' {
		return errStatusLine
	}
	return nil
}

// framing says where the body of an answer ends and what becomes of the
// connection.
type framing struct {
	kind framingKind
	// length is the length of the body, or for an answer to HEAD what it would
	// be; -1 when it is not known.
	length int64
	keep   bool // the connection can serve again
}

type framingKind uint8

const (
	noBody framingKind = iota
	counted
	chunked
	untilClose
)

// empty says that there is nothing to read.
func (f *framing) empty() bool { return f.kind == noBody }

// frame finds the framing of the answer to a request with the given method, and
// removes from the header what concerned only that.
func frame(h *head, method string) (framing, error) {
	if h.status == http.StatusSwitchingProtocols {
		return framing{}, errSwitch
	}
	encoding, encoded := h.header["Transfer-Encoding"]
	lengths := h.header["Content-Length"]
	f := framing{length: -1}
	switch {
	case encoded && len(lengths) > 0:
		return framing{}, errBothLengths
	case encoded && (h.old || len(encoding) != 1 || !strings.EqualFold(encoding[0], "chunked")):
		return framing{}, errEncoding
	case len(lengths) > 0:
		length, err := parseLength(lengths)
		if err != nil {
			return framing{}, err
		}
		h.header["Content-Length"] = lengths[:1]
		f.length = length
	}
	if encoded {
		delete(h.header, "Transfer-Encoding")
		if err := checkTrailer(h.header["Trailer"]); err != nil {
			return framing{}, err
		}
		// Trailers are dropped, so nothing may announce them.
		delete(h.header, "Trailer")
	}
	f.keep = !hasToken(h.header["Connection"], "close")
	if h.old {
		f.keep = f.keep && hasToken(h.header["Connection"], "keep-alive")
	}
	switch {
	case method == http.MethodHead:
	case h.status/100 == 1, h.status == http.StatusNoContent, h.status == http.StatusNotModified:
		f.length = 0
	case encoded:
		f.kind = chunked
	case f.length > 0:
		f.kind = counted
	case f.length < 0:
		f.kind, f.keep = untilClose, false
	}
	return f, nil
}

// parseLength reads Content-Length lines, which must all say the same.
func parseLength(lines []string) (int64, error) {
	first := lines[0]
	for _, line := range lines[1:] {
		if line != first {
			return 0, errLength
		}
	}
	var n int64
	for _, c := range []byte(first) {
		if c < '0' || c > '9' || n > (1<<63-1-int64(c-'0'))/10 {
			return 0, errLength
		}
		n = 10*n + int64(c-'0')
	}
	if first == "" {
		return 0, errLength
	}
	return n, nil
}

// checkTrailer refuses to take what frames a message from its trailer.
func checkTrailer(lines []string) error {
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			switch http.CanonicalHeaderKey(trimSpace(name)) {
			case "Transfer-Encoding", "Trailer", "Content-Length":
				return fmt.Errorf("%w: %q", errTrailerName, name)
			}
		}
	}
	return nil
}
