package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// membershipKind is the kind of the entities that put a consumer into a group.
const membershipKind = "consumer_group_consumers"

// side is one end of a membership.
type side struct {
	kind  string // of the entity
	field string // of the membership that refers to it, and of answers that hold one
	named string // the member of a body that names such entities
}

var (
	groupSide  = side{"consumer_groups", "consumer_group", "group"}
	memberSide = side{"consumers", "consumer", "consumer"}
)

// consumerGroups implements the ConsumerGroups service.
type consumerGroups struct {
	adminpb.UnimplementedConsumerGroupsServer
	server *Server
}

// kindOf is the schema of a kind that these methods cannot do without.
func (v view) kindOf(name string) (*schema.Schema, error) {
	s, ok := v.kind(name)
	if !ok {
		return nil, errNotFound()
	}
	return s, nil
}

// end finds one end of memberships by its id or name; Kong's plain 404 for none.
func (v view) end(of side, ref string) (stored, error) {
	s, err := v.kindOf(of.kind)
	if err != nil {
		return stored{}, err
	}
	found, err := find(v, s, ref)
	if errors.Is(err, store.ErrNotFound) {
		return stored{}, errNotFound()
	}
	return found, err
}

// others are the entities at the other ends of memberships, ordered by id.
func (v view) others(of side, memberships []stored) ([]stored, error) {
	s, err := v.kindOf(of.kind)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(memberships))
	for i, m := range memberships {
		ids[i] = m.doc.Get(of.field, "id").Text()
	}
	entities, err := v.Several(of.kind, ids...)
	if err != nil {
		return nil, err
	}
	return openAll(s, entities)
}

// memberships are all of one end's.
func (v view) memberships(of side, id string) ([]stored, error) {
	s, err := v.kindOf(membershipKind)
	if err != nil {
		return nil, err
	}
	entities, err := v.Children(membershipKind, of.field, of.kind, id)
	if err != nil {
		return nil, err
	}
	return openAll(s, entities)
}

// membership finds the one of a consumer in a group; Kong's plain 404 for none.
func (v view) membership(in *adminpb.MembershipRequest) (group, member, membership stored, err error) {
	s, err := v.kindOf(membershipKind)
	if err != nil {
		return
	}
	if group, err = v.end(groupSide, in.GetConsumerGroups()); err != nil {
		return
	}
	if member, err = v.end(memberSide, in.GetConsumers()); err != nil {
		return
	}
	for _, u := range s.Index(pair(group.id, member.id)).Uniques {
		var e store.Entity
		if e, err = findUnique(v, s, u.Field, u.Text); err == nil {
			membership, err = open(s, e)
			return
		}
		if !errors.Is(err, store.ErrNotFound) {
			return
		}
	}
	err = errNotFound()
	return
}

// pair is what a membership consists of.
func pair(group, member string) schema.Document {
	return key(groupSide.field, key("id", schema.String(group))).With(key("id", schema.String(member)), memberSide.field)
}

// ListMembers implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) ListMembers(ctx context.Context, in *adminpb.MembershipsRequest) (*adminpb.ListResponse, error) {
	return g.list(ctx, in, groupSide, in.GetConsumerGroups(), memberSide)
}

// ListGroups implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) ListGroups(ctx context.Context, in *adminpb.MembershipsRequest) (*adminpb.ListResponse, error) {
	return g.list(ctx, in, memberSide, in.GetConsumers(), groupSide)
}

// list answers with a page of the entities at the other ends of one's memberships.
func (g *consumerGroups) list(ctx context.Context, in *adminpb.MembershipsRequest, of side, ref string, others side) (*adminpb.ListResponse, error) {
	c := carried(ctx)
	var data []schema.Document
	next := ""
	err := g.server.view(ctx, func(r view) error {
		s, err := r.kindOf(membershipKind)
		if err != nil {
			return err
		}
		owner, err := r.end(of, ref)
		if err != nil {
			return err
		}
		// The order is that of the other ends' ids, as of every list.
		l := listing{schema: s, sortBy: others.field, query: store.Query{
			Workspace: r.of(s), Kind: membershipKind, Parent: (&relation{owner, of.field}).reference(),
		}}
		if l.query.Limit, err = pageSize(c, in.GetSize()); err != nil {
			return err
		}
		if err := l.from(text(c, "offset", in.GetOffset())); err != nil {
			return err
		}
		found, token, err := l.page(r)
		if err != nil {
			return err
		}
		next = token
		ends, err := r.others(others, found)
		if err != nil {
			return err
		}
		data, err = r.shown(ctx, others, ends)
		return err
	})
	if err != nil {
		return nil, err
	}
	return listAnswer(c, data, next)
}

// shown is show for entities at one end.
func (v view) shown(ctx context.Context, of side, found []stored) ([]schema.Document, error) {
	s, err := v.kindOf(of.kind)
	if err != nil {
		return nil, err
	}
	return show(ctx, v, s, found, time.Now())
}

// AddMembers implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) AddMembers(ctx context.Context, in *adminpb.JoinRequest) (*adminpb.DocumentResponse, error) {
	return g.join(ctx, in, groupSide, in.GetConsumerGroups(), memberSide)
}

// JoinGroups implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) JoinGroups(ctx context.Context, in *adminpb.JoinRequest) (*adminpb.DocumentResponse, error) {
	return g.join(ctx, in, memberSide, in.GetConsumers(), groupSide)
}

// join adds memberships of one entity, and answers with it and those that it is
// now joined with.
func (g *consumerGroups) join(ctx context.Context, in *adminpb.JoinRequest, of side, ref string, others side) (*adminpb.DocumentResponse, error) {
	read := bodyOf(ctx, in.GetBody())
	var out schema.Document
	err := g.server.update(ctx, func(w *work) error {
		s, err := w.kindOf(membershipKind)
		if err != nil {
			return err
		}
		owner, err := w.end(of, ref)
		if err != nil {
			return err
		}
		body, err := read(s, schema.Document{})
		if err != nil {
			return err
		}
		refs, err := namedIn(body, others.named)
		if err != nil {
			return err
		}
		joined := make([]stored, len(refs))
		for i, ref := range refs {
			if joined[i], err = w.end(others, ref); err != nil {
				var failed *Error
				if errors.As(err, &failed) && failed.Status == http.StatusNotFound {
					return errNoSuch(others.field, ref)
				}
				return err
			}
			new := key(of.field, key("id", schema.String(owner.id))).With(key("id", schema.String(joined[i].id)), others.field)
			if _, err := w.insert(s, new); err != nil {
				return err
			}
		}
		one, err := w.shown(ctx, of, []stored{owner})
		if err != nil {
			return err
		}
		all, err := w.shown(ctx, others, joined)
		if err != nil {
			return err
		}
		out = key(of.field, one[0]).With(schema.List(all...), others.kind)
		return nil
	})
	if err != nil {
		return nil, err
	}
	answered, err := answer(ctx, http.StatusCreated, out)
	return &adminpb.DocumentResponse{Body: answered}, err
}

// namedIn are the ids and names in a member of a body: a text, or an array of
// them.
func namedIn(body schema.Document, member string) ([]string, error) {
	value := body.Get(member)
	list := []schema.Document{value}
	switch value.Kind() {
	case schema.Absent, schema.KindNull:
		return nil, violation("required field missing", member)
	case schema.KindList:
		list = value.Elements()
	}
	if len(list) == 0 {
		return nil, violation("required field missing", member)
	}
	refs := make([]string, len(list))
	for i, e := range list {
		if refs[i] = e.Text(); e.Kind() != schema.KindString || refs[i] == "" {
			return nil, violation("expected a string, or an array of strings", member)
		}
	}
	return refs, nil
}

// RemoveMembers implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) RemoveMembers(ctx context.Context, in *adminpb.MembershipRequest) (*adminpb.DeleteResponse, error) {
	return g.leave(ctx, groupSide, in.GetConsumerGroups())
}

// LeaveGroups implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) LeaveGroups(ctx context.Context, in *adminpb.MembershipRequest) (*adminpb.DeleteResponse, error) {
	return g.leave(ctx, memberSide, in.GetConsumers())
}

// leave deletes all memberships of one end.
func (g *consumerGroups) leave(ctx context.Context, of side, ref string) (*adminpb.DeleteResponse, error) {
	return g.delete(ctx, func(w *work) error {
		owner, err := w.end(of, ref)
		if err != nil {
			return err
		}
		all, err := w.memberships(of, owner.id)
		if err != nil {
			return err
		}
		for _, m := range all {
			if err := w.tx.Delete(membershipKind, m.id); err != nil {
				return err
			}
		}
		return nil
	})
}

// RemoveMember implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) RemoveMember(ctx context.Context, in *adminpb.MembershipRequest) (*adminpb.DeleteResponse, error) {
	return g.delete(ctx, func(w *work) error {
		_, _, membership, err := w.membership(in)
		if err != nil {
			return err
		}
		return w.tx.Delete(membershipKind, membership.id)
	})
}

func (g *consumerGroups) delete(ctx context.Context, f func(*work) error) (*adminpb.DeleteResponse, error) {
	if err := g.server.update(ctx, f); err != nil {
		return nil, err
	}
	if c := carried(ctx); c != nil {
		c.status = http.StatusNoContent
	}
	return &adminpb.DeleteResponse{}, nil
}

// GetMember implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) GetMember(ctx context.Context, in *adminpb.MembershipRequest) (*adminpb.DocumentResponse, error) {
	return g.get(ctx, in, memberSide)
}

// GetGroup implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) GetGroup(ctx context.Context, in *adminpb.MembershipRequest) (*adminpb.DocumentResponse, error) {
	return g.get(ctx, in, groupSide)
}

// get answers with one end of a membership, if there is one.
func (g *consumerGroups) get(ctx context.Context, in *adminpb.MembershipRequest, of side) (*adminpb.DocumentResponse, error) {
	var out schema.Document
	err := g.server.view(ctx, func(r view) error {
		group, member, _, err := r.membership(in)
		if err != nil {
			return err
		}
		one := group
		if of == memberSide {
			one = member
		}
		data, err := r.shown(ctx, of, []stored{one})
		if err != nil {
			return err
		}
		out = data[0]
		return nil
	})
	if err != nil {
		return nil, err
	}
	return documentAnswer(ctx, out)
}

// wrapGroup is the answer to a GET of a group: it comes with its consumers, all
// of them, unless the caller does without.
func wrapGroup(ctx context.Context, r view, found stored, body schema.Document) (schema.Document, error) {
	out := key(groupSide.field, body)
	if c := carried(ctx); c != nil && c.query.Has("list_consumers") && !flag(c.query, "list_consumers") {
		return out, nil
	}
	all, err := r.memberships(groupSide, found.id)
	if err != nil {
		return out, err
	}
	members, err := r.others(memberSide, all)
	if err != nil {
		return out, err
	}
	data, err := r.shown(ctx, memberSide, members)
	return out.With(schema.List(data...), memberSide.kind), err
}

// countMembers shows with groups how many consumers they have, where the caller
// asks for it.
func countMembers(ctx context.Context, r view, _ *schema.Schema, data []schema.Document) error {
	c := carried(ctx)
	if c == nil || !flag(c.query, "counter") {
		return nil
	}
	ids := make([]string, len(data))
	for i, d := range data {
		ids[i] = d.Get("id").Text()
	}
	counts, err := r.CountChildren(membershipKind, groupSide.field, groupSide.kind, ids...)
	for i, id := range ids {
		data[i] = data[i].With(schema.Int(int64(counts[id])), "consumers_count")
	}
	return err
}

// overridden is the plugin that groups can configure in the way of old.
const overridden = "rate-limiting-advanced"

// PutOverride implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) PutOverride(ctx context.Context, in *adminpb.OverrideRequest) (*adminpb.DocumentResponse, error) {
	return g.override(ctx, in.GetConsumerGroups(), overridden, in.GetBody())
}

// override configures a plugin for a group: it is a plugin of the group like any
// other, for which the older path is kept. Where there is no such plugin, nothing
// could honour it.
func (g *consumerGroups) override(ctx context.Context, ref, name string, message *structpb.Struct) (*adminpb.DocumentResponse, error) {
	read := bodyOf(ctx, message)
	var out schema.Document
	err := g.server.update(ctx, func(w *work) error {
		group, err := w.end(groupSide, ref)
		if err != nil {
			return err
		}
		plugins, plugin, err := w.overriding(group, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		body, err := read(plugins, key("name", schema.String(name)))
		if err != nil {
			return err
		}
		// Only the configuration is the caller's to replace: what else a plugin of
		// the group has (tags, whether it is enabled) stays.
		var left stored
		if plugin.id != "" {
			left, err = w.put(plugins, nil, plugin.id, plugin.doc.With(body.Get("config"), "config"))
		} else {
			left, err = w.insert(plugins, scopedPlugin(group.id, name).With(body.Get("config"), "config"))
		}
		if err != nil {
			return err
		}
		out = schema.Object(
			schema.Member{Name: "config", Value: plugins.Render(left.doc, w.now).Get("config")},
			schema.Member{Name: "group", Value: group.doc.Get("name")},
			schema.Member{Name: "plugin", Value: schema.String(name)},
		)
		return nil
	})
	if err != nil {
		return nil, err
	}
	body, err := answer(ctx, http.StatusCreated, out)
	return &adminpb.DocumentResponse{Body: body}, err
}

// DeleteOverride implements adminpb.ConsumerGroupsServer.
func (g *consumerGroups) DeleteOverride(ctx context.Context, in *adminpb.MembershipRequest) (*adminpb.DeleteResponse, error) {
	return g.deleteOverride(ctx, in.GetConsumerGroups(), overridden)
}

func (g *consumerGroups) deleteOverride(ctx context.Context, ref, name string) (*adminpb.DeleteResponse, error) {
	return g.delete(ctx, func(w *work) error {
		group, err := w.end(groupSide, ref)
		if err != nil {
			return err
		}
		_, plugin, err := w.overriding(group, name)
		if errors.Is(err, store.ErrNotFound) {
			return errNotFound()
		}
		if err != nil {
			return err
		}
		return w.tx.Delete(pluginKind, plugin.id)
	})
}

// scopedPlugin is what names a plugin of a group.
func scopedPlugin(group, name string) schema.Document {
	return schema.Object(
		schema.Member{Name: "name", Value: schema.String(name)},
		schema.Member{Name: groupSide.field, Value: key("id", schema.String(group))},
	)
}

// overriding finds the plugin of a group by its name; store.ErrNotFound for none.
func (v view) overriding(group stored, name string) (*schema.Schema, stored, error) {
	if _, ok := v.catalogue.Plugin(name); !ok {
		return nil, stored{}, errNoPlugin(name)
	}
	plugins, err := v.kindOf(pluginKind)
	if err != nil {
		return nil, stored{}, err
	}
	for _, u := range plugins.Index(scopedPlugin(group.id, name)).Uniques {
		e, err := findUnique(v, plugins, u.Field, u.Text)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, stored{}, err
		}
		found, err := open(plugins, e)
		return plugins, found, err
	}
	return plugins, stored{}, store.ErrNotFound
}
