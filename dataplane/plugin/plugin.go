// Package plugin is the contract between the gateway and its plugins: how a
// plugin enters the list, the phases it may take part in, and the Request that
// it works on. The package knows no plugin by name, and it writes nothing to
// a client: a plugin that wants to answer returns a Reject.
package plugin

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

// Accessor runs before the upstream is asked. It may change the request, send
// it elsewhere, or end it by returning a *Reject; any other error ends it with
// status 500. When one accessor ends the request, those behind it do not run;
// the header, body and log phases run all the same.
type Accessor interface {
	Access(*Request) error
}

// HeaderFilter runs when the status and the headers of the answer are known and
// nothing of it was sent. It may change Response.Status and Response.Header,
// and the body when the response is held whole (HoldResponse). A *Reject
// replaces the answer; any other error makes it a 500.
//
// Answers of the gateway itself and of other plugins pass through here too:
// Response.FromUpstream tells them apart.
type HeaderFilter interface {
	Header(*Request) error
}

// BodyFilter sees the body of the answer as it passes, piece by piece as it was
// read, and gives back what goes on to the next filter and in the end to the
// client. The last call has last set, with a chunk that may be empty; HEAD, 204
// and 304 answers have no calls at all.
//
// The chunk belongs to the caller and is overwritten after the call; the filter
// may change it in place and return it, or return memory of its own that stays
// valid until its next call. A filter that may change the length of a response
// that is not held whole must delete Content-Length in its header phase.
//
// After an error the bytes that came with it are still sent, then the answer is
// broken off so that the client can see that it is not whole.
type BodyFilter interface {
	Body(r *Request, chunk []byte, last bool) ([]byte, error)
}

// CutFilter is asked for last words when an answer must break off in the middle:
// the upstream failed, or the node shuts down. What it returns (an error event,
// for example) is sent, then the connection ends uncleanly. It is not called
// when the client is the one that left.
type CutFilter interface {
	Cut(r *Request, cause error) []byte
}

// IdleFilter is asked, while a streamed answer is silent, what to do about it: the
// head has been sent, and nothing comes from the upstream. It runs between calls
// of the body filters, never beside one.
type IdleFilter interface {
	// Idle gives words to send (a comment that keeps the connection alive, say),
	// valid until the filter is called again, and after how long to ask again; 0:
	// not any more in this answer. An error breaks the answer off as if the upstream
	// had failed.
	Idle(r *Request, now time.Time) (words []byte, again time.Duration, err error)
}

// Logger runs after the answer has been sent, however the request ended.
type Logger interface {
	Log(*Request)
}

// Closer is closed when the last request of the last runtime that holds the
// handler has ended.
type Closer interface {
	Close() error
}

// Handler is one configured instance of a plugin, its phases found once. A nil
// phase is one that the plugin takes no part in.
type Handler struct {
	Access Accessor
	Header HeaderFilter
	Body   BodyFilter
	Cut    CutFilter
	Idle   IdleFilter
	Log    Logger
	Close  Closer
}

// Plugin is an entry in the list of plugins: a name, a configuration message
// and a way to build handlers. Make one with Of.
type Plugin struct {
	name   string
	config protoreflect.MessageType
	build  func(proto.Message, Env) (any, error)
}

// Of makes a plugin of a constructor. The type of its first argument is the
// message in gibbon.plugin.v1 that holds the configuration, whose options give
// the priority; H takes part in the phases whose interfaces it implements.
//
// build gets a configuration that is valid and complete, so it checks only what
// a schema cannot say. It must not keep env.Log's caller waiting on the
// network: it runs while a new configuration is being taken up.
func Of[C proto.Message, H any](name string, build func(cfg C, env Env) (H, error)) Plugin {
	var zero C
	return Plugin{
		name:   name,
		config: zero.ProtoReflect().Type(),
		build: func(cfg proto.Message, env Env) (any, error) {
			return build(cfg.(C), env)
		},
	}
}

// Name is the plugin's name: ai-proxy.
func (p Plugin) Name() string { return p.name }

// Config describes the message that holds the plugin's configuration.
func (p Plugin) Config() protoreflect.MessageDescriptor { return p.config.Descriptor() }

// NewConfig is an empty configuration to decode into.
func (p Plugin) NewConfig() proto.Message { return p.config.New().Interface() }

// Info is what the configuration's message says of the plugin, or nil when it
// says nothing.
func (p Plugin) Info() *schemapb.Plugin {
	options := p.config.Descriptor().Options()
	if !proto.HasExtension(options, schemapb.E_Plugin) {
		return nil
	}
	info, _ := proto.GetExtension(options, schemapb.E_Plugin).(*schemapb.Plugin)
	return info
}

// Build readies a handler for one instance. cfg must be a message that
// NewConfig made.
func (p Plugin) Build(cfg proto.Message, env Env) (Handler, error) {
	if got, want := cfg.ProtoReflect().Descriptor().FullName(), p.config.Descriptor().FullName(); got != want {
		return Handler{}, fmt.Errorf("plugin %s: configuration is a %s, want %s", p.name, got, want)
	}
	built, err := p.build(cfg, env)
	if err != nil {
		return Handler{}, err
	}
	return phases(built), nil
}

// phases finds out, once, which phases a handler takes part in.
func phases(built any) Handler {
	var h Handler
	h.Access, _ = built.(Accessor)
	h.Header, _ = built.(HeaderFilter)
	h.Body, _ = built.(BodyFilter)
	h.Cut, _ = built.(CutFilter)
	h.Idle, _ = built.(IdleFilter)
	h.Log, _ = built.(Logger)
	h.Close, _ = built.(Closer)
	return h
}
