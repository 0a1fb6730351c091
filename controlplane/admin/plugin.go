package admin

import (
	"errors"
	"slices"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// The rules of this file need more than one entity, so no schema can say them.
const (
	pluginKind  = "plugins"
	routeKind   = "routes"
	serviceKind = "services"
)

// checkProtocols asks that a plugin can run at all: it must share a protocol
// with its route, or with one route of its service if that has any.
func (w *work) checkProtocols(s *schema.Schema, doc schema.Document) error {
	protocols := doc.Get("protocols").Elements()
	if s.Kind() != pluginKind || len(protocols) == 0 {
		return nil
	}
	routes, ok := w.server.paths.catalogue.Entity(routeKind)
	if !ok {
		return nil
	}
	if id := doc.Get("route", "id").Text(); isID(id) {
		route, err := find(w.tx, routes, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil // the store will say that the reference leads nowhere
		}
		if err != nil {
			return err
		}
		if !shares(protocols, route.doc) {
			return violation("must match the associated route's protocols", "protocols")
		}
		return nil
	}
	id := doc.Get("service", "id").Text()
	if !isID(id) {
		return nil
	}
	services, ok := w.server.paths.catalogue.Entity(serviceKind)
	if !ok {
		return nil
	}
	exist, shared := false, false
	err := walk(w.tx, routes, &relation{stored{schema: services, id: id}, "service"}, func(e store.Entity) (bool, error) {
		route, err := open(routes, e)
		if err != nil {
			return false, err
		}
		exist = true
		shared = shares(protocols, route.doc)
		return !shared, nil
	})
	if err != nil {
		return err
	}
	if exist && !shared {
		return violation("must match the protocols of at least one route pointing to this Plugin's service", "protocols")
	}
	return nil
}

func shares(protocols []schema.Document, route schema.Document) bool {
	return slices.ContainsFunc(route.Get("protocols").Elements(), func(p schema.Document) bool {
		return slices.ContainsFunc(protocols, func(q schema.Document) bool { return q.Text() == p.Text() })
	})
}
