package admin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// Kong's numbers for what can be wrong with an entity.
const (
	codePrimaryKey         = 1
	codeSchemaViolation    = 2
	codePrimaryKeyTaken    = 3
	codeForeignKey         = 4
	codeUnique             = 5
	codeNotFound           = 6
	codeOffset             = 7
	codeSize               = 9
	codeUniqueKey          = 10
	codeOptions            = 11
	codeUnsupported        = 12
	codeForeignKeyUnsolved = 13
	codeDeclarative        = 14
	codeReferenced         = 19
)

// errorDomain says in a google.rpc.ErrorInfo whose errors these are.
const errorDomain = "gibbon.admin.v1"

// Error is what the Admin API answers instead of what was asked for: a status
// and a body in Kong's form. Over gRPC it is a status with the same body among
// its details.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is Kong's number, or 0 for an error that is only a message.
	Code int
	// Name is Kong's name for the code.
	Name string
	// Message is a sentence for people. An error with status 415 has none, and
	// no body.
	Message string
	// Fields names what is wrong by field; absent where Kong has none.
	Fields schema.Document
	// Flattened lists what is wrong with a whole configuration, a row for each
	// entity; absent unless it was asked for.
	Flattened schema.Document
	// Options stands in the place of Fields for bad options of a request.
	Options schema.Document
	// Plain says that over REST the message is the whole body, as text.
	Plain bool
	// RetryAfter is a number of seconds for the header of that name; 0: none.
	RetryAfter int

	// RequestID is shown in the body where Kong does so; "" else.
	RequestID string

	// cause is what is logged, and never shown.
	cause error
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Unwrap is the cause, which clients do not see.
func (e *Error) Unwrap() error { return e.cause }

// body is the answer's body; absent when it has none.
func (e *Error) body() schema.Document {
	if e.Status == http.StatusUnsupportedMediaType {
		return schema.Document{}
	}
	if e.Code == 0 {
		body := key("message", schema.String(e.Message))
		if e.RequestID != "" {
			body = body.With(schema.String(e.RequestID), "request_id")
		}
		return body
	}
	members := []schema.Member{
		{Name: "code", Value: schema.Int(int64(e.Code))},
		{Name: "name", Value: schema.String(e.Name)},
		{Name: "message", Value: schema.String(e.Message)},
	}
	if !e.Fields.IsAbsent() {
		members = append(members, schema.Member{Name: "fields", Value: e.Fields})
	}
	if !e.Flattened.IsAbsent() {
		members = append(members, schema.Member{Name: "flattened_errors", Value: e.Flattened})
	}
	if !e.Options.IsAbsent() {
		members = append(members, schema.Member{Name: "options", Value: e.Options})
	}
	return schema.Object(members...)
}

// GRPCStatus makes the error a gRPC status for callers of that side.
func (e *Error) GRPCStatus() *status.Status {
	code, ok := grpcCodes[e.Status]
	switch {
	case !ok:
		code = codes.Unknown
	case e.Code == codePrimaryKeyTaken || e.Code == codeUnique:
		code = codes.AlreadyExists
	case e.Code == codeForeignKey:
		code = codes.FailedPrecondition
	}
	s := status.New(code, e.Message)
	info := &errdetails.ErrorInfo{
		Reason:   reason(e),
		Domain:   errorDomain,
		Metadata: map[string]string{"http_status": strconv.Itoa(e.Status)},
	}
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(info)}
	if e.Code != 0 {
		info.Metadata["code"] = strconv.Itoa(e.Code)
	}
	if body, err := toStruct(e.body()); err == nil {
		details = append(details, protoadapt.MessageV1Of(body))
	}
	// Details that cannot be packed are a bug; the status without them is still
	// the right one.
	if with, err := s.WithDetails(details...); err == nil {
		return with
	}
	return s
}

var grpcCodes = map[int]codes.Code{
	http.StatusBadRequest:            codes.InvalidArgument,
	http.StatusUnauthorized:          codes.Unauthenticated,
	http.StatusForbidden:             codes.PermissionDenied,
	http.StatusNotFound:              codes.NotFound,
	http.StatusMethodNotAllowed:      codes.Unimplemented,
	http.StatusConflict:              codes.AlreadyExists,
	http.StatusRequestEntityTooLarge: codes.ResourceExhausted,
	http.StatusTooManyRequests:       codes.ResourceExhausted,
	http.StatusInternalServerError:   codes.Internal,
	http.StatusNotImplemented:        codes.Unimplemented,
	http.StatusServiceUnavailable:    codes.Unavailable,
	http.StatusGatewayTimeout:        codes.DeadlineExceeded,
}

// reason is the error's name as a google.rpc.ErrorInfo wants it.
func reason(e *Error) string {
	name := e.Name
	if name == "" {
		name = http.StatusText(e.Status)
	}
	return strings.ToUpper(strings.NewReplacer(" ", "_", "-", "_", "@", "").Replace(name))
}

func plain(status int, message string) *Error { return &Error{Status: status, Message: message} }

func badRequest(message string) *Error { return plain(http.StatusBadRequest, message) }

// The answers that are only a message.
func errNotFound() *Error { return plain(http.StatusNotFound, "Not found") }
func errMethod() *Error   { return plain(http.StatusMethodNotAllowed, "Method not allowed") }
func errBadJSON() *Error  { return badRequest("Cannot parse JSON body") }
func errTooManyArguments() *Error {
	return badRequest("Too many arguments")
}
func errContentType() *Error { return &Error{Status: http.StatusUnsupportedMediaType} }
func errContentTypes() *Error {
	return &Error{Status: http.StatusBadRequest, Message: "Multiple Content-Type headers not allowed", Plain: true}
}
func errTooLarge() *Error {
	return plain(http.StatusRequestEntityTooLarge, "Request body too large: the limit is 10 MiB")
}
func errNoEntity(name string) *Error {
	return plain(http.StatusNotFound, fmt.Sprintf("No entity named '%s'", name))
}
func errNoPlugin(name string) *Error {
	return plain(http.StatusNotFound, fmt.Sprintf("No plugin named '%s'", name))
}
func errNoSNI() *Error { return plain(http.StatusNotFound, "SNI not found") }

// errNoGroup is the answer to an ACL that is looked for by a group in which the
// consumer is not. Kong makes it in a place of its own, with an id of the request.
func errNoGroup() *Error {
	e := errNotFound()
	id := make([]byte, 16)
	rand.Read(id) // never fails: it ends the program instead
	e.RequestID = hex.EncodeToString(id)
	return e
}
func errNoVault(name string) *Error {
	return plain(http.StatusNotFound, fmt.Sprintf("No vault named '%s'", name))
}
func errNoPartial(name string) *Error {
	return plain(http.StatusNotFound, fmt.Sprintf("No partial of type '%s'", name))
}
func errNoFilter(name string) *Error {
	return plain(http.StatusNotFound, fmt.Sprintf("Filter '%s' not found", name))
}
func errNoWasm() *Error {
	return badRequest("this endpoint is only available when wasm is enabled")
}
func errNoBalancer(name string) *Error {
	return badRequest(fmt.Sprintf("Upstream %s has no balancer", name))
}

// errNoSuch says that a body names an entity that is not there.
func errNoSuch(what, ref string) *Error {
	return plain(http.StatusNotFound, fmt.Sprintf("No %s with the id or name '%s'", strings.ReplaceAll(what, "_", " "), ref))
}
func errNoControlPlane() *Error {
	return badRequest("this endpoint is only available when Kong is configured to run as Control Plane for the cluster")
}

// The two texts are those of Kong's paid edition.
func errNoCredentials() *Error {
	return plain(http.StatusUnauthorized, "Invalid credentials. Token or User credentials required")
}
func errBadCredentials() *Error {
	return plain(http.StatusUnauthorized, "Invalid RBAC credentials")
}

func errTooManyLogins(wait time.Duration) *Error {
	seconds := int(math.Ceil(wait.Seconds()))
	return &Error{
		Status: http.StatusTooManyRequests, RetryAfter: seconds,
		Message: fmt.Sprintf("Too many bad logins, try again in %d seconds", seconds),
	}
}

// errForbidden says that a caller's role is too little for a method.
func errForbidden(who caller) *Error {
	switch who.role {
	case Monitor:
		return plain(http.StatusForbidden, fmt.Sprintf("Forbidden: '%s' has the role %s, which sees no entities and changes nothing", who.name, who.role))
	case ReadOnly:
		return plain(http.StatusForbidden, fmt.Sprintf("Forbidden: '%s' has the role %s, which changes nothing", who.name, who.role))
	}
	return plain(http.StatusForbidden, fmt.Sprintf("Forbidden: '%s' has no role, see admin_client_roles", who.name))
}

// unexpected hides a cause that clients are not told. The caller logs it.
func unexpected(cause error) *Error {
	return &Error{Status: http.StatusInternalServerError, Message: "An unexpected error occurred", cause: cause}
}

func errUnavailable(cause error) *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Message: "Service unavailable: the database cannot be reached",
		RetryAfter: 5, cause: cause,
	}
}

func errExiting() *Error {
	return &Error{Status: http.StatusServiceUnavailable, Message: "Kong currently exiting", RetryAfter: 5}
}

func errDraining() *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Message: "Service unavailable: this control plane is shutting down",
		RetryAfter: 5,
	}
}

// errPrimaryKey says that a text from the URL is no id, of an entity that has
// nothing else to be found by.
func errPrimaryKey() *Error {
	fields := key("id", schema.String("expected a valid UUID"))
	return &Error{
		Status: http.StatusBadRequest, Code: codePrimaryKey, Name: "invalid primary key",
		Message: "invalid primary key: '" + schema.LuaLiteral(fields) + "'", Fields: fields,
	}
}

func errViolation(e *schema.ViolationError) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: codeSchemaViolation, Name: "schema violation",
		Message: e.Error(), Fields: e.Document(),
	}
}

// violation is a schema violation with one text on one field.
func violation(text string, field ...string) *Error {
	var fields schema.Document
	return errViolation(&schema.ViolationError{Fields: fields.With(schema.String(text), field...)})
}

func errOptions(e *schema.OptionError) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: codeOptions, Name: "invalid options",
		Message: e.Error(), Options: e.Document(),
	}
}

// errMissing is Kong's answer to a PATCH of an entity that is not there. The
// key is what it was looked up by.
func errMissing(by schema.Document) *Error {
	what := "'"
	if !by.Get("id").IsAbsent() {
		what = "primary key '"
	}
	return &Error{
		Status: http.StatusNotFound, Code: codeNotFound, Name: "not found",
		Message: "could not find the entity with " + what + schema.LuaLiteral(by) + "'", Fields: by,
	}
}

func errIDTaken(id string) *Error {
	fields := key("id", schema.String(id))
	return &Error{
		Status: http.StatusBadRequest, Code: codePrimaryKeyTaken, Name: "primary key violation",
		Message: "primary key violation on key '" + schema.LuaLiteral(fields) + "'", Fields: fields,
	}
}

func errTaken(fields schema.Document) *Error {
	return &Error{
		Status: http.StatusConflict, Code: codeUnique, Name: "unique constraint violation",
		Message: "UNIQUE violation detected on '" + schema.LuaLiteral(fields) + "'", Fields: fields,
	}
}

func errNoParent(e *store.ReferenceError) *Error {
	id := key("id", schema.String(e.ID))
	return &Error{
		Status: http.StatusBadRequest, Code: codeForeignKey, Name: "foreign key violation",
		Message: fmt.Sprintf("the foreign key '%s' does not reference an existing '%s' entity.",
			schema.LuaLiteral(id), e.ReferencedKind),
		Fields: key(e.Field, id),
	}
}

func errReferenced(e *store.ReferencedError) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: codeForeignKey, Name: "foreign key violation",
		Message: fmt.Sprintf("an existing '%s' entity references this '%s' entity", e.By, e.Kind),
		Fields:  key("@referenced_by", schema.String(e.By)),
	}
}

// errStillReferenced says that an entity cannot be deleted because another one
// names it in a list, of which the store knows nothing.
func errStillReferenced(what, id, by, byID string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: codeReferenced, Name: "referenced by others",
		Message: fmt.Sprintf("%s %s is still referenced by %s (id = %s)", what, id, by, byID),
	}
}

func errUnresolved(lookups []schema.Lookup) *Error {
	lookups = slices.SortedFunc(slices.Values(lookups), func(a, b schema.Lookup) int { return strings.Compare(a.Field, b.Field) })
	var fields schema.Document
	items := make([]string, len(lookups))
	for i, l := range lookups {
		text := fmt.Sprintf("the foreign key cannot be resolved with '%s' for an existing '%s' entity",
			schema.LuaLiteral(key(l.Unique, l.Value)), l.Kind)
		fields = fields.With(schema.String(text), l.Field, l.Unique)
		items[i] = l.Field + "." + l.Unique + ": " + text
	}
	message := "foreign key unresolved (" + items[0] + ")"
	if len(items) > 1 {
		message = fmt.Sprintf("%d foreign keys unresolved (%s)", len(items), strings.Join(items, "; "))
	}
	return &Error{
		Status: http.StatusBadRequest, Code: codeForeignKeyUnsolved, Name: "foreign keys unresolved",
		Message: message, Fields: fields,
	}
}

// errKey says that a text from the URL cannot be a value of the endpoint key.
func errKey(field, text string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: codeUniqueKey, Name: "invalid unique " + field, Message: text}
}

// errAmbiguous says that a plugin's name means several of them. Kong looks no
// plugin up by its name, so this answer is Gibbon's own.
func errAmbiguous(endpointKey, field, text string, ids []string) *Error {
	return errKey(endpointKey, fmt.Sprintf("several entities have the %s '%s', use one of their ids: %s",
		field, text, strings.Join(ids, ", ")))
}

func errOffset(token, why string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: codeOffset, Name: "invalid offset",
		Message: fmt.Sprintf("'%s' is not a valid offset: %s", token, why),
	}
}

func errSize(text string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: codeSize, Name: "invalid size", Message: text}
}

func errTagFilter(text string) *Error {
	return errOptions(&schema.OptionError{Option: "tags", Text: text})
}

// asError is the answer to an error that a handler came to. What clients are
// not told is the Error's cause.
func asError(err error) *Error {
	var (
		answer    *Error
		broken    *schema.ViolationError
		option    *schema.OptionError
		badKey    *schema.KeyError
		syntax    *schema.SyntaxError
		missing   *store.ReferenceError
		inUse     *store.ReferencedError
		taken     *store.UniqueError
		oversized *http.MaxBytesError
		version   *store.VersionError
	)
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.As(err, &broken):
		return errViolation(broken)
	case errors.As(err, &option):
		return errOptions(option)
	case errors.As(err, &badKey):
		return errKey(badKey.Field, badKey.Text)
	case errors.As(err, &syntax):
		return errBadJSON()
	case errors.Is(err, schema.ErrTooManyArguments):
		return errTooManyArguments()
	case errors.Is(err, schema.ErrBadForm):
		return badRequest("Cannot parse form body")
	case errors.As(err, &missing):
		return errNoParent(missing)
	case errors.As(err, &inUse):
		return errReferenced(inUse)
	case errors.As(err, &taken) && taken.Field == "id":
		return errIDTaken(taken.Value)
	case errors.As(err, &taken):
		return errTaken(key(taken.Field, schema.String(taken.Value)))
	case errors.As(err, &oversized):
		return errTooLarge()
	case errors.As(err, &version):
		return plain(http.StatusNotFound, version.Error())
	case errors.Is(err, store.ErrNotFound):
		return errNotFound()
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrConflict),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// After a cancellation the client is gone, or the process ends: nobody
		// reads this.
		return errUnavailable(err)
	}
	return fromStatus(err)
}

// fromStatus is the answer to an error that came as a gRPC status: the
// interceptors and grpc-gateway make such ones.
func fromStatus(err error) *Error {
	s, ok := status.FromError(err)
	if !ok {
		return unexpected(err)
	}
	switch s.Code() {
	case codes.PermissionDenied:
		return plain(http.StatusForbidden, "Forbidden")
	case codes.Unimplemented:
		return errMethod()
	}
	return unexpected(err)
}

// key is an object of one member.
func key(name string, value schema.Document) schema.Document {
	return schema.Object(schema.Member{Name: name, Value: value})
}

// fromJSON turns any value that encoding/json can write into a Document.
func fromJSON(v any) (schema.Document, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return schema.Document{}, fmt.Errorf("write as JSON: %w", err)
	}
	return schema.Parse(text)
}
