package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/proxy/upstream"
	"github.com/gibbon-gateway/gibbon/internal/listener"
)

// tunnel joins the client's and the upstream's connection after the upstream has
// agreed to switch protocols. No plugin sees what passes.
func (x *exchange) tunnel(in *upstream.Response) *answer {
	r := &x.req
	remote, ok := in.Body.(io.ReadWriteCloser)
	if !ok || !x.websocket || !strings.EqualFold(in.Header.Get("Upgrade"), "websocket") {
		in.Body.Close()
		x.p.o.Log.Warn("an upstream switched protocols unasked", "request_id", r.ID)
		return page(http.StatusBadGateway)
	}
	defer remote.Close()
	takeHopAnswer(in.Header)
	r.Response = plugin.Response{Status: in.Status, Header: in.Header, FromUpstream: true}
	x.header()
	if !r.Response.FromUpstream {
		// A filter gave another answer.
		return &answer{keep: true}
	}
	x.addOwn()
	if conn := listener.FromContext(x.in.Context()); conn != nil {
		conn.Tunnel()
	}
	local, buffered, err := x.rc.Hijack()
	if err != nil {
		x.p.o.Log.Error("take over a client's connection", "request_id", r.ID, "error", err)
		return page(http.StatusBadGateway)
	}
	defer local.Close()
	r.Response.Sent = true
	x.p.active.becomesStream(x)
	err = x.join(local, buffered, remote)
	x.p.o.Log.Debug("a tunnel ended", "request_id", r.ID, "error", err)
	return &answer{tunnelled: true}
}

// join writes the head of the answer and copies in both directions until one of
// them ends or both have been silent for the read timeout.
func (x *exchange) join(local net.Conn, buffered *bufio.ReadWriter, remote io.ReadWriteCloser) error {
	r := &x.req
	if err := local.SetDeadline(time.Time{}); err != nil {
		return err
	}
	r.Response.Header["Connection"] = []string{"Upgrade"}
	r.Response.Header["Upgrade"] = []string{"websocket"}
	if _, err := fmt.Fprintf(buffered, "HTTP/1.1 101 %s\r\n", http.StatusText(http.StatusSwitchingProtocols)); err != nil {
		return err
	}
	if err := r.Response.Header.Write(buffered); err != nil {
		return err
	}
	if _, err := buffered.WriteString("\r\n"); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	// Whatever ends the tunnel closes both sides, which ends both copies.
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		_ = local.Close()
		_ = remote.Close()
	})
	defer stop()
	x.idle.onAlarm(func() { cancel(errReadTimeout) })
	x.idle.start(x.service.Read)
	var copies sync.WaitGroup
	var toClient, toUpstream int64
	copies.Go(func() {
		var err error
		toUpstream, err = copyTouching(remote, buffered, x.idle, x.service.Read)
		cancel(errors.Join(errTunnelEnd, err))
	})
	copies.Go(func() {
		var err error
		toClient, err = copyTouching(local, remote, x.idle, x.service.Read)
		cancel(errors.Join(errTunnelEnd, err))
	})
	copies.Wait()
	r.Record.BytesIn += toUpstream
	r.Record.BytesOut += toClient
	return context.Cause(ctx)
}

var errTunnelEnd = errors.New("one side closed")

// copyTouching copies and keeps the alarm from ringing while bytes pass.
func copyTouching(to io.Writer, from io.Reader, idle *idleTimer, read time.Duration) (int64, error) {
	buf := make([]byte, 4<<10)
	var total int64
	for {
		n, err := from.Read(buf)
		if n > 0 {
			idle.start(read)
			m, werr := to.Write(buf[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if err != nil {
			return total, err
		}
	}
}
