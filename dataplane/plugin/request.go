package plugin

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/http"
	"time"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
)

// Request is one request in progress. It belongs to the goroutine that serves
// it, and it is used again for another request once the log phase is over: a
// plugin must not keep it, nor the slices and maps it gave out.
type Request struct {
	// ID is the request's id: 32 lower case hex digits.
	ID string
	// Started is when the head of the request had been read.
	Started time.Time

	// What the client sent. Header is the view that plugins share: what one
	// changes, the next one sees, and what is left goes upstream. Hop-by-hop
	// headers and forged identity headers are gone already.
	Method string
	Proto  string // HTTP/1.0, HTTP/1.1 or HTTP/2.0
	Target string // the request target as received
	Path   string // the normalised path that the router matched
	Query  string // the raw query as received, without the question mark
	Host   string // the Host header as received, port included
	Header http.Header
	TLS    *tls.ConnectionState // nil for plain connections

	// Scheme is http or https, and Port the port of the listener. The Forwarded
	// values are the same as the client's first hop saw them when a trusted peer
	// says so.
	Scheme          string
	Port            int
	ForwardedScheme string
	ForwardedHost   string // lower case, without port
	ForwardedPort   int
	// PeerIP is the address of the connection, ClientIP that of the client as
	// far as trusted peers name it.
	PeerIP, ClientIP string

	// The match. Route is nil when no route matched, Service when the route has
	// none. Both are shared: never change them.
	Route    *entitypb.Route
	Service  *entitypb.Service
	Captures []string          // what a regex path and its groups matched, the whole match first
	Named    map[string]string // the same for named groups; nil when there are none
	Matched  string            // the part of Path that the route's path matched

	// Consumer and Credential say who calls; see Authenticate. Credential is nil
	// for anonymous consumers.
	Consumer   *Consumer
	Credential *Credential

	// Upstream is where the request goes; a plugin may change it in the access
	// phase.
	Upstream Upstream
	// Response is the answer; of use from the header phase on.
	Response Response
	// Log takes fields that a plugin adds to the log object: ai.proxy, say.
	Log LogFields
	// Exchange is a slot that the ai-* plugins share: the parsed call to a model.
	// Nobody else touches it.
	Exchange any

	// Record is what the gateway notes for the log object.
	Record Record

	ctx     context.Context
	body    body
	hold    int64
	limits  Limits
	secrets []string

	secretValues []string
}

// Record is what the gateway notes about a request for logs and metrics.
type Record struct {
	// ConfigVersion names the snapshot that serves the request.
	ConfigVersion string
	// RouteJSON and ServiceJSON are the entities as the log object shows them.
	RouteJSON, ServiceJSON []byte
	// Workspace and WorkspaceName are those of the route. May be empty.
	Workspace, WorkspaceName string
	// BytesIn and BytesOut count heads and bodies, to and from the client.
	BytesIn, BytesOut int64
	// UpstreamURI is the path and query that were sent upstream.
	UpstreamURI string
	// Tries are the attempts to reach an upstream.
	Tries []Try
	// The moments of a request; zero when it did not get so far. Dialled is when
	// the upstream's address was settled and the call began, Answered when the
	// first byte of the upstream's answer was there (or the gateway had its own),
	// Ended when the last byte was sent.
	Dialled, Answered, Ended time.Time
	// Aborted says that the answer broke off before its end.
	Aborted bool
	// ModelCalls are the calls to models that the request led to, in their order.
	ModelCalls []ModelCall
	// Incidents are what plugins met that operators want to have counted.
	Incidents []Incident
}

// Incident is something that a plugin met on a request and that its operator wants
// to know the number of. Both names become values of labels: they are words of
// the program's, never of a configuration or a request.
type Incident struct {
	Plugin string // the plugin's name: ai-prompt-guard
	Kind   string // what it met: budget_spent
}

// Try is one attempt to reach an upstream.
type Try struct {
	// IP and Port are the address that was tried; IP is the host name when it was
	// never resolved.
	IP    string
	Port  int
	Start time.Time
	// Balancing is how long it took to choose the address.
	Balancing time.Duration
	// Status is the upstream's status, 0 when it gave none.
	Status int
	// Failed says that no answer came; Err is why. Code is the status that the
	// failure would be answered with.
	Failed bool
	Code   int
	Err    error
}

// Context ends when the client leaves, when the node gives the request up, and
// when the request is over.
func (r *Request) Context() context.Context { return r.ctx }

// SetContext replaces the context. For the proxy and for tests.
func (r *Request) SetContext(ctx context.Context) { r.ctx = ctx }

// HoldResponse asks that the body of the answer be read to its end before the
// header phase, so that a filter can change it with its status and headers. An
// answer larger than limit bytes becomes a 502. A limit of 0 means as many as the
// node allows, which is never exceeded. When several plugins ask, the largest
// limit counts. Call it in the access phase.
func (r *Request) HoldResponse(limit int64) {
	if most := cmp.Or(r.limits.Response, MaxHeldResponse); limit <= 0 || limit > most {
		limit = most
	}
	r.hold = max(r.hold, limit)
}

// ReleaseResponse takes back what HoldResponse asked for: the answer is passed
// on as it comes.
func (r *Request) ReleaseResponse() { r.hold = 0 }

// Held is the largest answer that may be held, in bytes; 0 when no plugin asked
// for the whole answer.
func (r *Request) Held() int64 { return r.hold }

// SetLimits says what the node allows; before it is called the defaults hold. For
// the proxy and for tests.
func (r *Request) SetLimits(l Limits) { r.limits = l }

// MaxHeldResponse is the most that is held of an answer, in bytes, where the
// node's Limits do not say.
const MaxHeldResponse = 32 << 20

// Reset readies the request for another use, keeping the memory of its slices.
func (r *Request) Reset() {
	r.body.release()
	tries := r.Record.Tries
	clear(tries)
	calls, incidents := r.Record.ModelCalls, r.Record.Incidents
	clear(calls)
	fields := r.Log
	fields.reset()
	clear(r.secrets)
	clear(r.secretValues)
	*r = Request{Log: fields, secrets: r.secrets[:0], secretValues: r.secretValues[:0]}
	r.Record.Tries, r.Record.ModelCalls, r.Record.Incidents = tries[:0], calls[:0], incidents[:0]
}

// Authenticate says who calls. It sets the headers that tell the upstream, and
// removes those that are empty, so that a client cannot send them. The
// identifier is what X-Credential-Identifier shows; a nil credential means an
// anonymous consumer.
func (r *Request) Authenticate(consumer *Consumer, credential *Credential, identifier string) {
	r.Consumer, r.Credential = consumer, credential
	set := func(name, value string) {
		if value == "" {
			delete(r.Header, name)
			return
		}
		r.Header[name] = []string{value}
	}
	set("X-Consumer-Id", consumer.ID)
	set("X-Consumer-Custom-Id", consumer.CustomID)
	set("X-Consumer-Username", consumer.Username)
	set("X-Credential-Identifier", identifier)
	if credential == nil {
		set("X-Anonymous-Consumer", "true")
	} else {
		delete(r.Header, "X-Anonymous-Consumer")
	}
}
