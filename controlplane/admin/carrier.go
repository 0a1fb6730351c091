package admin

import (
	"context"
	"net/url"

	"google.golang.org/protobuf/types/known/structpb"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/schema"
)

// carrier takes what belongs to a REST call past the protobuf messages: a
// Struct would lose numbers and order, and costs a hundred times more. The edge
// puts one into the context of each call; a call over gRPC has none.
type carrier struct {
	// body is the JSON body; absent for a form.
	body schema.Document

	// form is the body of a form, and contentType says which.
	form        []byte
	contentType string

	// query is what stood behind the question mark.
	query url.Values

	// workspace is the one that the path names; "" is the default one.
	workspace string

	// path is the path as the client wrote it, without a slash at its end. It
	// is where the link to the next page leads.
	path string

	// status and answer are what a method leaves for the edge. Status 0 is 200.
	status int
	answer []byte

	// deprecated asks for the header that says so.
	deprecated bool
}

type carrierKey struct{}

func withCarrier(ctx context.Context, c *carrier) context.Context {
	return context.WithValue(ctx, carrierKey{}, c)
}

// carried returns the carrier of a REST call, or nil.
func carried(ctx context.Context) *carrier {
	c, _ := ctx.Value(carrierKey{}).(*carrier)
	return c
}

// input reads the body of a call as the schema wants it. A form is coerced by
// the schema, for which current is the stored entity of a PATCH, absent else.
type input func(s *schema.Schema, current schema.Document) (schema.Document, error)

// bodyOf returns the reader of a call's body.
func bodyOf(ctx context.Context, message *structpb.Struct) input {
	c := carried(ctx)
	return func(s *schema.Schema, current schema.Document) (schema.Document, error) {
		switch {
		case c == nil:
			return fromStruct(message)
		case !c.body.IsAbsent():
			return c.body, nil
		}
		return s.DecodeForm(c.contentType, c.form, current)
	}
}

// answer hands an object to the caller: to the edge as bytes, to gRPC as a
// Struct.
func answer(ctx context.Context, status int, d schema.Document) (*structpb.Struct, error) {
	if c := carried(ctx); c != nil {
		c.status, c.answer = status, d.AppendJSON(nil)
		return nil, nil
	}
	return toStruct(d)
}

func entityAnswer(ctx context.Context, status int, d schema.Document) (*adminpb.EntityResponse, error) {
	body, err := answer(ctx, status, d)
	return &adminpb.EntityResponse{Body: body}, err
}

// listAnswer hands a page to the caller. The link to the next one repeats some
// arguments of the query.
func listAnswer(c *carrier, data []schema.Document, next string, repeat ...string) (*adminpb.ListResponse, error) {
	if c != nil {
		c.answer = page(data, next, c.path, c.query, repeat...).AppendJSON(nil)
		return &adminpb.ListResponse{}, nil
	}
	out := &adminpb.ListResponse{Offset: next, Data: make([]*structpb.Struct, len(data))}
	for i, d := range data {
		var err error
		if out.Data[i], err = toStruct(d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func documentAnswer(ctx context.Context, d schema.Document) (*adminpb.DocumentResponse, error) {
	body, err := answer(ctx, 0, d)
	return &adminpb.DocumentResponse{Body: body}, err
}
