package echomodel

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

// The headers by which one request overrides what Config says. The value
// "off" turns a behaviour off; an unreadable value is answered with 400.
const (
	// HeaderLatency holds a Go duration, such as 250ms.
	HeaderLatency = "X-Echo-Latency"
	// HeaderTokensPerSecond holds a number above zero.
	HeaderTokensPerSecond = "X-Echo-Tokens-Per-Second"
	// HeaderStatus holds a status from 400 to 599.
	HeaderStatus = "X-Echo-Status"
	// HeaderResetAfter holds a number of body bytes.
	HeaderResetAfter = "X-Echo-Reset-After"
	// HeaderStallAfter holds a number of body bytes.
	HeaderStallAfter = "X-Echo-Stall-After"
)

// behaviour is how one request is to be treated; the fields are Config's.
type behaviour struct {
	latency         time.Duration
	tokensPerSecond float64
	status          int
	resetAfter      *int64
	stallAfter      *int64
}

// check says what is wrong with values from outside, nil when nothing is.
func (b behaviour) check() error {
	switch {
	case b.latency < 0:
		return fmt.Errorf("latency %s is below zero", b.latency)
	case !(b.tokensPerSecond >= 0) || math.IsInf(b.tokensPerSecond, 0): // the negation catches NaN
		return fmt.Errorf("tokens per second %v is not a number from zero up", b.tokensPerSecond)
	case b.status != 0 && (b.status < 400 || b.status > 599):
		return fmt.Errorf("status %d is not from 400 to 599", b.status)
	case b.resetAfter != nil && *b.resetAfter < 0:
		return fmt.Errorf("reset after %d bytes is below zero", *b.resetAfter)
	case b.stallAfter != nil && *b.stallAfter < 0:
		return fmt.Errorf("stall after %d bytes is below zero", *b.stallAfter)
	}
	return nil
}

// override returns b with what the headers of one request change about it.
func (b behaviour) override(h http.Header) (behaviour, error) {
	bytesOf := func(text string) (*int64, error) {
		n, err := strconv.ParseInt(text, 10, 64)
		return &n, err
	}
	for _, setting := range []struct {
		header string
		off    func()
		set    func(string) error
	}{
		{HeaderLatency, func() { b.latency = 0 }, func(text string) (err error) {
			b.latency, err = time.ParseDuration(text)
			return err
		}},
		{HeaderTokensPerSecond, func() { b.tokensPerSecond = 0 }, func(text string) (err error) {
			b.tokensPerSecond, err = strconv.ParseFloat(text, 64)
			return err
		}},
		{HeaderStatus, func() { b.status = 0 }, func(text string) (err error) {
			b.status, err = strconv.Atoi(text)
			return err
		}},
		{HeaderResetAfter, func() { b.resetAfter = nil }, func(text string) (err error) {
			b.resetAfter, err = bytesOf(text)
			return err
		}},
		{HeaderStallAfter, func() { b.stallAfter = nil }, func(text string) (err error) {
			b.stallAfter, err = bytesOf(text)
			return err
		}},
	} {
		text := h.Get(setting.header)
		switch text {
		case "":
			continue
		case "off":
			setting.off()
			continue
		}
		if err := setting.set(text); err != nil {
			return behaviour{}, fmt.Errorf("header %s: cannot read %q", setting.header, text)
		}
		// Each header is judged by itself so that the message can name it.
		if err := b.check(); err != nil {
			return behaviour{}, fmt.Errorf("header %s: %w", setting.header, err)
		}
	}
	return b, nil
}

var (
	// errReset says that the connection is gone and nobody may touch the
	// response again.
	errReset = errors.New("connection reset on request")
	// errStalled says that the answer stopped on request, before its end.
	errStalled = errors.New("answer stalled on request")
)

// faultWriter passes a response on until the byte at which it has to fail.
// It is an http.ResponseWriter whose Write returns errReset or errStalled
// there; a handler that meets an error returns it and writes nothing more.
type faultWriter struct {
	http.ResponseWriter
	request  *http.Request
	stopping <-chan struct{}
	fault    error // what to do at byte left: errReset, errStalled, or nil for nothing
	left     int64
}

func newFaultWriter(w http.ResponseWriter, r *http.Request, stopping <-chan struct{}, b behaviour) *faultWriter {
	fw := &faultWriter{ResponseWriter: w, request: r, stopping: stopping}
	if b.stallAfter != nil {
		fw.fault, fw.left = errStalled, *b.stallAfter
	}
	if b.resetAfter != nil && (fw.fault == nil || *b.resetAfter <= fw.left) {
		fw.fault, fw.left = errReset, *b.resetAfter
	}
	return fw
}

// Unwrap lets http.ResponseController find the real writer.
func (w *faultWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// begin must run before anything is written: faults at byte zero come before
// the head.
func (w *faultWriter) begin() error {
	if w.fault == nil || w.left > 0 {
		return nil
	}
	return w.fail()
}

func (w *faultWriter) Write(p []byte) (int, error) {
	if w.fault == nil || int64(len(p)) < w.left {
		n, err := w.ResponseWriter.Write(p)
		w.left -= int64(n)
		return n, err
	}
	n, err := w.ResponseWriter.Write(p[:w.left])
	w.left -= int64(n)
	if err != nil {
		return n, err
	}
	if err := w.flush(); err != nil {
		return n, err
	}
	return n, w.fail()
}

// flush sends what has been written so far.
func (w *faultWriter) flush() error {
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// fail carries the fault out and returns it.
func (w *faultWriter) fail() error {
	if w.fault == errStalled {
		select {
		case <-w.request.Context().Done():
		case <-w.stopping:
		}
		return errStalled
	}
	conn, _, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return fmt.Errorf("take connection to reset it: %w", err)
	}
	// With a linger time of zero, closing sends RST instead of FIN.
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetLinger(0)
	}
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("%w: %w", errReset, err)
	}
	return errReset
}
