package admin

import (
	"bytes"
	"context"
	"errors"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

const (
	vaultKind   = "vaults"
	partialKind = "partials"
)

// parts implements the Parts service.
type parts struct {
	adminpb.UnimplementedPartsServer
	server *Server
}

// VaultSchema implements adminpb.PartsServer.
func (p *parts) VaultSchema(ctx context.Context, in *adminpb.PartRequest) (*adminpb.DocumentResponse, error) {
	return p.describe(ctx, vaultKind, in.GetName(), errNoVault)
}

// PartialSchema implements adminpb.PartsServer.
func (p *parts) PartialSchema(ctx context.Context, in *adminpb.PartRequest) (*adminpb.DocumentResponse, error) {
	return p.describe(ctx, partialKind, in.GetName(), errNoPartial)
}

func (p *parts) describe(ctx context.Context, kind, name string, none func(string) *Error) (*adminpb.DocumentResponse, error) {
	s, ok := p.server.cfg.Catalogue.Variant(kind, name)
	if !ok {
		return nil, none(name)
	}
	return documentAnswer(ctx, s.Describe())
}

// ValidateVault implements adminpb.PartsServer.
func (p *parts) ValidateVault(ctx context.Context, in *adminpb.ValidatePartRequest) (*adminpb.ValidateResponse, error) {
	return p.validate(ctx, vaultKind, in)
}

// ValidatePartial implements adminpb.PartsServer.
func (p *parts) ValidatePartial(ctx context.Context, in *adminpb.ValidatePartRequest) (*adminpb.ValidateResponse, error) {
	return p.validate(ctx, partialKind, in)
}

func (p *parts) validate(ctx context.Context, kind string, in *adminpb.ValidatePartRequest) (*adminpb.ValidateResponse, error) {
	s, ok := p.server.cfg.Catalogue.Entity(kind)
	if !ok {
		return nil, errNoEntity(kind)
	}
	return validate(s, bodyOf(ctx, in.GetBody()))
}

// PartialLinks implements adminpb.PartsServer. A plugin names its partials in a
// list, which is no reference to the store, so all plugins are read; the text of
// the id is looked for first, which costs less than to parse each.
func (p *parts) PartialLinks(ctx context.Context, in *adminpb.LinksRequest) (*adminpb.DocumentResponse, error) {
	c := carried(ctx)
	var data []schema.Document
	count := 0
	next := ""
	err := p.server.view(ctx, func(r view) error {
		s, err := r.kindOf(partialKind)
		if err != nil {
			return err
		}
		plugins, err := r.kindOf(pluginKind)
		if err != nil {
			return err
		}
		partial, err := find(r, s, in.GetPartials())
		if errors.Is(err, store.ErrNotFound) {
			return errNotFound()
		}
		if err != nil {
			return err
		}
		size, err := pageSize(c, in.GetSize())
		if err != nil {
			return err
		}
		after, err := parseToken(text(c, "offset", in.GetOffset()), 1)
		if err != nil {
			return err
		}
		last := ""
		return walk(r, plugins, nil, func(e store.Entity) (bool, error) {
			if !bytes.Contains(e.Document, []byte(partial.id)) {
				return true, nil
			}
			plugin, err := open(plugins, e)
			if err != nil {
				return false, err
			}
			if !links(plugin, partial.id) {
				return true, nil
			}
			count++
			switch {
			case e.ID <= after[0]:
			case len(data) < size:
				last = e.ID
				data = append(data, schema.Object(
					schema.Member{Name: "id", Value: schema.String(e.ID)},
					schema.Member{Name: "name", Value: plugin.doc.Get("name")},
					schema.Member{Name: "instance_name", Value: orNull(plugin.doc.Get("instance_name"))},
				))
			default:
				next = token(last)
			}
			return true, nil
		})
	})
	if err != nil {
		return nil, err
	}
	path := ""
	if c != nil {
		path = c.path
	}
	return documentAnswer(ctx, page(data, next, path, nil).With(schema.Int(int64(count)), "count"))
}

// links reports that a plugin uses a partial.
func links(plugin stored, partial string) bool {
	for _, p := range plugin.doc.Get("partials").Elements() {
		if p.Get("id").Text() == partial {
			return true
		}
	}
	return false
}

func orNull(d schema.Document) schema.Document {
	if d.IsAbsent() {
		return schema.Null()
	}
	return d
}

// FilterSchema implements adminpb.PartsServer.
func (p *parts) FilterSchema(_ context.Context, in *adminpb.PartRequest) (*adminpb.DocumentResponse, error) {
	return nil, errNoFilter(in.GetName())
}

// RouteFilters implements adminpb.PartsServer.
func (p *parts) RouteFilters(context.Context, *adminpb.RouteFiltersRequest) (*adminpb.ListResponse, error) {
	return nil, errNoWasm()
}
