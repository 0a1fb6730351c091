package proxy

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
)

// respond sends the answer: the gateway's when there is one, else the
// upstream's. It tells whether the answer broke off.
func (x *exchange) respond(a *answer) (broken bool) {
	r := &x.req
	if a != nil {
		if a.tunnelled {
			return false
		}
		if a.keep {
			return x.send()
		}
		x.setAnswer(a)
		if a.silent {
			r.Record.Aborted = true
			return true
		}
	} else if r.Held() > 0 {
		if a := x.hold(r.Held()); a != nil {
			x.setAnswer(a)
		}
	}
	x.header()
	return x.send()
}

// hold reads the whole of the upstream's answer. What it returns takes its place.
func (x *exchange) hold(limit int64) *answer {
	if x.noBody() {
		return nil
	}
	if x.length > limit {
		return x.tooLarge(limit)
	}
	data := make([]byte, 0, max(x.length+1, 512))
	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := x.readPiece(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if int64(len(data)) > limit {
			return x.tooLarge(limit)
		}
		if err == io.EOF {
			x.closeBody()
			x.req.Response.SetBody(data)
			return nil
		}
		if err != nil {
			if a := x.interrupted(err); a != nil {
				return a
			}
			x.p.o.Log.Warn("an upstream broke off its answer", "request_id", x.req.ID, "error", err)
			if errors.Is(err, errReadTimeout) {
				return page(http.StatusGatewayTimeout)
			}
			return page(http.StatusBadGateway)
		}
	}
}

func (x *exchange) tooLarge(limit int64) *answer {
	x.p.o.Log.Warn("an upstream's answer is too large to be held", "request_id", x.req.ID, "limit", limit)
	return page(http.StatusBadGateway)
}

// readPiece reads what is there of the upstream's body, waiting no longer than
// the service's read timeout.
func (x *exchange) readPiece(p []byte) (int, error) {
	x.idle.start(x.service.Read)
	n, err := x.body.Read(p)
	x.idle.stop()
	if err != nil && err != io.EOF && x.tryContext != nil {
		if cause := context.Cause(x.tryContext); cause != nil {
			err = cause
		}
	}
	return n, err
}

// send writes the answer that is in the response now.
func (x *exchange) send() (broken bool) {
	r := &x.req
	body, held := r.Response.Body()
	if !held {
		if x.body == nil {
			// A filter broke what it replaced; there is nothing to send.
			body, held = nil, true
		} else {
			return x.sendStream()
		}
	}
	x.closeBody()
	var failed error
	if x.noBody() {
		if body != nil && !r.Response.FromUpstream && r.Method == http.MethodHead {
			r.Response.Header["Content-Length"] = []string{strconv.Itoa(len(body))}
		}
		body = nil
	} else {
		body, failed = x.filter(body, true)
		if failed == nil {
			r.Response.Header["Content-Length"] = []string{strconv.Itoa(len(body))}
		} else {
			delete(r.Response.Header, "Content-Length")
		}
	}
	x.sendHead()
	if err := x.write(body); err != nil {
		return x.lost(err)
	}
	if failed != nil {
		r.Record.Aborted = true
		return true
	}
	return false
}

// sendStream passes the upstream's body on as it comes.
func (x *exchange) sendStream() (broken bool) {
	r := &x.req
	if x.noBody() {
		x.sendHead()
		return false
	}
	// A body of known length that nobody waits for piece by piece leaves when the
	// server's buffer is full; all else leaves as soon as it is there.
	flush := x.length < 0 || !x.route.Route.GetResponseBuffering()
	if flush {
		x.p.active.becomesStream(x)
		r.ReleaseBody()
	}
	if x.buf == nil {
		x.buf = make([]byte, pieceSize)
	}
	x.sendHead()
	p := x.startPulse()
	if p != nil {
		defer p.stop()
	}
	for first := true; ; first = false {
		if first && flush && x.length < 0 {
			// The head of a stream must not wait for its first event.
			if err := x.flush(); err != nil {
				return x.lost(err)
			}
		}
		n, err := x.await(p, x.buf)
		if p != nil && p.lost != nil {
			return x.lost(p.lost)
		}
		last := err == io.EOF
		if err != nil && !last {
			return x.breakOff(x.buf[:n], err)
		}
		piece, failed := x.filter(x.buf[:n], last)
		if err := x.write(piece); err != nil {
			return x.lost(err)
		}
		if failed != nil {
			return x.abort()
		}
		if last {
			return false
		}
		if flush && len(piece) > 0 {
			if err := x.flush(); err != nil {
				return x.lost(err)
			}
		}
	}
}

// breakOff ends an answer that the upstream did not finish. The client must see
// that it is not whole.
func (x *exchange) breakOff(rest []byte, cause error) (broken bool) {
	if x.in.Context().Err() != nil {
		return x.lost(cause)
	}
	x.p.o.Log.Warn("an answer broke off", "request_id", x.req.ID, "error", cause)
	if len(rest) > 0 {
		piece, err := x.filter(rest, false)
		if werr := x.write(piece); werr != nil {
			return x.lost(werr)
		}
		if err != nil {
			return x.abort()
		}
	}
	if words := x.lastWords(cause); len(words) > 0 {
		if err := x.write(words); err != nil {
			return x.lost(err)
		}
	}
	return x.abort()
}

// abort sends what is written so far and ends the answer uncleanly.
func (x *exchange) abort() (broken bool) {
	x.req.Record.Aborted = true
	if err := x.flush(); err != nil {
		return x.lost(err)
	}
	return true
}

// lost notes that the client is gone.
func (x *exchange) lost(err error) (broken bool) {
	x.req.Record.Aborted = true
	x.p.o.Log.Debug("a client left", "request_id", x.req.ID, "error", err)
	return true
}

// sendHead writes status and headers.
func (x *exchange) sendHead() {
	r := &x.req
	x.addOwn()
	h := x.w.Header()
	if conn := x.amendable(); conn != nil {
		x.headLines = appendHead(x.headLines[:0], r.Response.Header, h)
		conn.Amend(x.headLines)
	} else {
		maps.Copy(h, r.Response.Header)
	}
	if _, has := h["Content-Type"]; !has {
		h["Content-Type"] = nil // or net/http would guess one from the body
	}
	if x.p.draining.Load() && x.in.ProtoMajor == 1 {
		h["Connection"] = []string{"close"}
	}
	if err := x.deadline(); err != nil {
		// The write that follows says so too.
		x.p.o.Log.Debug("set a write deadline", "request_id", r.ID, "error", err)
	}
	x.w.WriteHeader(r.Response.Status)
	r.Response.Sent = true
	r.Record.BytesOut += int64(len("HTTP/1.1 200 \r\n\r\n")+len(http.StatusText(r.Response.Status))) + headSize(r.Response.Header)
}

// addOwn adds the gateway's own headers to the answer.
func (x *exchange) addOwn() {
	r := &x.req
	h := r.Response.Header
	values := make([]string, 0, upstream.HeaderRoom) // one block of memory for all of them
	put := func(name, value string) {
		values = append(values, value)
		n := len(values)
		h[name] = values[n-1 : n : n]
	}
	set := x.p.o.Headers
	proxied := r.Response.FromUpstream
	if proxied {
		if set&HeaderVia != 0 {
			via := x.p.via
			if list := h["Via"]; len(list) > 0 {
				via = joined(list) + ", " + via
			}
			put("Via", via)
		}
		if set&HeaderUpstreamLatency != 0 {
			put("X-Kong-Upstream-Latency", ms(r.Record.Dialled, r.Record.Answered))
		}
		if set&HeaderProxyLatency != 0 {
			put("X-Kong-Proxy-Latency", ms(r.Started, r.Record.Dialled))
		}
		if n := len(r.Record.Tries); set&HeaderUpstreamStatus != 0 && n > 0 {
			put("X-Kong-Upstream-Status", strconv.Itoa(r.Record.Tries[n-1].Status))
		}
	} else if set&HeaderResponseLatency != 0 {
		put("X-Kong-Response-Latency", ms(r.Started, now()))
	}
	if _, has := h["Server"]; !has && set&HeaderServer != 0 {
		put("Server", x.p.token)
	}
	if set&HeaderRequestID != 0 {
		put("X-Kong-Request-Id", r.ID)
	}
	if x.p.o.DebugHeader && x.debug {
		x.addDebug(h)
	}
}

// addDebug says which configuration and which entities served the request.
func (x *exchange) addDebug(h http.Header) {
	add := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	add("X-Gibbon-Config-Version", x.req.Record.ConfigVersion)
	if route := x.req.Route; route != nil {
		add("Kong-Route-Id", route.GetId())
		add("Kong-Route-Name", route.GetName())
	}
	if service := x.req.Service; service != nil {
		add("Kong-Service-Id", service.GetId())
		add("Kong-Service-Name", service.GetName())
	}
}

// writeSize is how much the client must take in the time that it has for one
// write, in bytes.
const writeSize = 64 << 10

func ms(from, to time.Time) string {
	return strconv.FormatInt(max(0, to.Sub(from).Milliseconds()), 10)
}

// deadline gives the client time to take what is written next. It stays when the
// answer is complete, since the server still has the last of it in a buffer; the
// server takes it off when that is written.
func (x *exchange) deadline() error {
	at := now()
	if at.Sub(x.renewed) < x.p.o.WriteStall/8 {
		return nil // there is time enough, and setting a deadline costs some
	}
	x.renewed = at
	err := x.rc.SetWriteDeadline(at.Add(x.p.o.WriteStall))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

func (x *exchange) write(piece []byte) error {
	for len(piece) > 0 {
		// A client that takes a large answer slowly makes progress all the same.
		if err := x.deadline(); err != nil {
			return err
		}
		n, err := x.w.Write(piece[:min(len(piece), writeSize)])
		x.req.Record.BytesOut += int64(n)
		if err != nil {
			return err
		}
		piece = piece[n:]
	}
	return nil
}

// flush sends what is written and gives the client new time.
func (x *exchange) flush() error {
	if err := x.deadline(); err != nil {
		return err
	}
	if err := x.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
