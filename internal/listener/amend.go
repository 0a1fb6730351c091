package listener

import (
	"bytes"
	"sync"
)

// frontRoom is what goes before an amendment at most, in bytes: a status line and
// two short header lines.
const frontRoom = 128

// amendment is header lines for an answer, with room for the front of a head
// before them and for the rest of net/http's first write behind.
type amendment struct{ mem []byte }

// pooledAmendment is the largest memory that is used again, in bytes.
const pooledAmendment = 16 << 10

var amendments = sync.Pool{New: func() any { return &amendment{mem: make([]byte, frontRoom, 8<<10)} }}

// Amend puts header lines into the head of the answer that is about to be
// written, near its start. Each line is complete and ends in CR LF; the
// bytes are copied. Lines that frame the message (Content-Length, Connection and
// their like) are net/http's and have no place here.
//
// Passing twenty headers through http.ResponseWriter costs a map that grows, a
// copy of it, a sort and a write for each part of each line: about a tenth of
// what it costs to carry a small request. So the proxy writes its lines itself.
// It calls this in a handler, before WriteHeader, once for an answer, and not
// for HTTP/2.
func (c *Conn) Amend(lines []byte) {
	a := amendments.Get().(*amendment)
	a.mem = append(a.mem[:frontRoom], lines...)
	c.amend = a
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	if c.amend == nil {
		return c.Conn.Write(p)
	}
	return c.writeAmended(p)
}

// writeAmended writes the beginning of an answer together with the lines that it
// lacks, in one write as without them.
func (c *Conn) writeAmended(p []byte) (int, error) {
	a, front := c.amend, headFront(p)
	if front == 0 {
		return c.Conn.Write(p)
	}
	c.amend = nil
	start := frontRoom - front
	added := len(a.mem) - frontRoom
	copy(a.mem[start:], p[:front])
	a.mem = append(a.mem, p[front:]...)
	n, err := c.Conn.Write(a.mem[start:])
	if cap(a.mem) <= pooledAmendment {
		amendments.Put(a)
	}
	// After an error the connection is of no more use, so that it does not matter
	// which part of the head was written.
	return min(max(n-added, 0), len(p)), err
}

// headFront finds where lines go into a head: behind the status line and those
// of the handler's that come first in the order of names. 0: p is an interim
// answer, which has a head of its own.
func headFront(p []byte) int {
	front := bytes.IndexByte(p, '\n') + 1
	if front < len("HTTP/1.1 200\r\n") || front > frontRoom || p[len("HTTP/1.1 ")] == '1' {
		return 0
	}
	for bytes.HasPrefix(p[front:], []byte("Connection: ")) || bytes.HasPrefix(p[front:], []byte("Content-Length: ")) {
		next := front + bytes.IndexByte(p[front:], '\n') + 1
		if next == front || next > frontRoom {
			break
		}
		front = next
	}
	return front
}
