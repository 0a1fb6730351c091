package proxy

import (
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
)

// pick settles which instance runs for the entry of the chain whose turn it is in
// the access phase. What is settled stays, also for the later phases.
func (x *exchange) pick() *runtime.Instance {
	if x.picked == 0 {
		x.chosen = append(x.chosen, make([]*runtime.Instance, len(x.chain.Entries))...)
	}
	at := x.chain.Access(x.picked)
	x.chosen[at] = x.chain.Entries[at].Pick(x.req.Consumer)
	x.picked++
	return x.chosen[at]
}

// pickRest settles what is left of the chain, without running it: a request that
// has its answer still passes through the later phases.
func (x *exchange) pickRest() {
	if x.chain == nil {
		return
	}
	for x.picked < len(x.chain.Entries) {
		x.pick()
	}
}

// access runs the access phase to its end or to the first answer.
func (x *exchange) access() *answer {
	for x.picked < len(x.chain.Entries) {
		instance := x.pick()
		if instance == nil || instance.Handler.Access == nil {
			continue
		}
		if err := instance.Handler.Access.Access(&x.req); err != nil {
			x.pickRest()
			return x.answerTo(err, instance)
		}
	}
	return nil
}

// header runs the header filters. An answer that a filter gives takes the place
// of the one it saw, and the filters behind it see that one.
func (x *exchange) header() {
	for _, instance := range x.chosen {
		if instance == nil || instance.Handler.Header == nil {
			continue
		}
		if err := instance.Handler.Header.Header(&x.req); err != nil {
			x.setAnswer(x.answerTo(err, instance))
		}
	}
}

// filter passes a piece of the body through the body filters.
func (x *exchange) filter(piece []byte, last bool) ([]byte, error) {
	if x.unfiltered {
		return piece, nil
	}
	for _, instance := range x.chosen {
		if instance == nil || instance.Handler.Body == nil {
			continue
		}
		var err error
		piece, err = instance.Handler.Body.Body(&x.req, piece, last)
		if err != nil {
			x.p.o.Log.Warn("a plugin broke off an answer",
				"request_id", x.req.ID, "plugin", instance.Name, "plugin_id", instance.ID, "error", err)
			return piece, err
		}
	}
	return piece, nil
}

// lastWords asks the plugins what to send before an answer breaks off.
func (x *exchange) lastWords(cause error) (words []byte) {
	defer func() {
		if failed := recover(); failed != nil {
			x.p.o.Log.Error("a plugin panicked", "request_id", x.req.ID, "panic", failed, "stack", string(debug.Stack()))
		}
	}()
	for _, instance := range x.chosen {
		if instance != nil && instance.Handler.Cut != nil {
			words = append(words, instance.Handler.Cut.Cut(&x.req, cause)...)
		}
	}
	return words
}

// log runs the log phase. A plugin that panics there costs its own line only.
func (x *exchange) log() {
	x.req.Record.Ended = time.Now()
	if x.source != nil {
		x.req.Record.BytesIn += x.source.read.Load()
	}
	x.pickRest()
	for _, instance := range x.chosen {
		if instance != nil && instance.Handler.Log != nil {
			x.logOne(instance)
		}
	}
	for _, recorder := range x.p.o.Recorders {
		x.record(recorder)
	}
}

// record tells a recorder that the request is over. A panic there costs what it
// would have recorded.
func (x *exchange) record(recorder Recorder) {
	defer func() {
		if cause := recover(); cause != nil {
			x.p.panics.Add(1)
			x.p.o.Log.Error("a recorder panicked", "request_id", x.req.ID, "panic", cause, "stack", string(debug.Stack()))
		}
	}()
	recorder.End(&x.req)
}

func (x *exchange) logOne(instance *runtime.Instance) {
	defer func() {
		if cause := recover(); cause != nil {
			x.p.panics.Add(1)
			x.p.o.Log.Error("a plugin panicked in the log phase", "request_id", x.req.ID,
				"plugin", instance.Name, "plugin_id", instance.ID, "panic", cause, "stack", string(debug.Stack()))
		}
	}()
	instance.Handler.Log.Log(&x.req)
}

// answerTo makes an answer of the error that ended a phase.
func (x *exchange) answerTo(err error, by *runtime.Instance) *answer {
	var reject *plugin.Reject
	if errors.As(err, &reject) {
		if reject.Cause != nil {
			x.p.o.Log.Info("a plugin refused a request", "request_id", x.req.ID,
				"plugin", by.Name, "plugin_id", by.ID, "status", reject.Status, "error", reject.Cause)
		}
		return &answer{Reject: *reject}
	}
	if a := x.clientFault(err); a != nil {
		return a
	}
	x.p.o.Log.Error("a plugin failed", "request_id", x.req.ID, "plugin", by.Name, "plugin_id", by.ID, "error", err)
	return fail(http.StatusInternalServerError, "")
}

// clientFault is the answer to an error that the client made; nil when it is
// not the client's.
func (x *exchange) clientFault(err error) *answer {
	if errors.Is(err, plugin.ErrBodyTooLarge) {
		return page(http.StatusRequestEntityTooLarge)
	}
	var fault *plugin.ClientError
	if errors.As(err, &fault) {
		a := page(fault.Status)
		a.close = true
		return a
	}
	return nil
}
