package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

const (
	certificateKind = "certificates"
	sniKind         = "snis"
	// sniField is the field of an SNI that names its certificate.
	sniField = "certificate"
)

// certificateOf is the id of the certificate that is shown for a server name.
func certificateOf(r view, name string) (string, error) {
	snis, ok := r.kind(sniKind)
	if !ok {
		return "", store.ErrNotFound
	}
	sni, err := find(r, snis, name)
	return sni.doc.Get(sniField, "id").Text(), err
}

// withSNI is a certificate with one more server name, if it has not got it.
func withSNI(body schema.Document, name string) schema.Document {
	names := body.Get("snis")
	if names.Kind() != schema.KindList && !names.IsAbsent() && !names.IsNull() {
		return body // what is no list is refused as it is
	}
	if slices.ContainsFunc(names.Elements(), func(e schema.Document) bool { return e.Text() == name }) {
		return body
	}
	return body.With(schema.List(append(slices.Clone(names.Elements()), schema.String(name))...), "snis")
}

// setSNIs judges the server names in the body of a certificate. The names
// are SNIs, which refer to the certificate; what it returns adds the new ones and
// deletes those that the body has no more.
func setSNIs(w *work, id string, body schema.Document, op schema.Op) (func(string) error, error) {
	list := body.Get("snis")
	nothing := func(string) error { return nil }
	snis, ok := w.kind(sniKind)
	if !ok || op == schema.Update && list.IsAbsent() {
		return nothing, nil
	}
	wanted := map[string]bool{}
	for _, e := range list.Elements() {
		name := e.Text()
		if wanted[name] {
			return nil, violation(name+" is duplicated", "snis")
		}
		wanted[name] = true
		if e.Kind() != schema.KindString || snis.ValidKey(name) != nil {
			continue // the schema has the text for that
		}
		// A name is unique over all workspaces.
		held, err := w.Find("", sniKind, "name", name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sni, err := open(snis, held)
		if err != nil {
			return nil, err
		}
		if of := sni.doc.Get(sniField, "id").Text(); of != id {
			return nil, violation(fmt.Sprintf("%s already associated with existing certificate '%s'", name, of), "snis")
		}
	}
	return func(id string) error {
		missing := wanted
		if op != schema.Insert {
			old, err := w.Children(sniKind, sniField, certificateKind, id)
			if err != nil {
				return err
			}
			for _, e := range old {
				sni, err := open(snis, e)
				if err != nil {
					return err
				}
				if name := sni.doc.Get("name").Text(); missing[name] {
					delete(missing, name)
				} else if err := w.tx.Delete(sniKind, e.ID); err != nil {
					return err
				}
			}
		}
		for _, e := range list.Elements() {
			if name := e.Text(); missing[name] {
				if _, err := w.insert(snis, key("name", e).With(schema.String(id), sniField, "id")); err != nil {
					return err
				}
			}
		}
		return nil
	}, nil
}

// showSNIs puts the names of their SNIs into certificates, with one read for all
// of them.
func showSNIs(_ context.Context, r view, _ *schema.Schema, data []schema.Document) error {
	snis, ok := r.kind(sniKind)
	if !ok {
		return nil
	}
	ids := make([]string, len(data))
	for i, d := range data {
		ids[i] = d.Get("id").Text()
	}
	found, err := r.Children(sniKind, sniField, certificateKind, ids...)
	if err != nil {
		return err
	}
	names := map[string][]schema.Document{}
	for _, e := range found {
		sni, err := open(snis, e)
		if err != nil {
			return err
		}
		of := sni.doc.Get(sniField, "id").Text()
		names[of] = append(names[of], sni.doc.Get("name"))
	}
	for i, id := range ids {
		slices.SortFunc(names[id], func(a, b schema.Document) int { return strings.Compare(a.Text(), b.Text()) })
		data[i] = data[i].With(schema.List(names[id]...), "snis")
	}
	return nil
}

// unreferencedCA keeps a CA certificate from being deleted while an entity of any
// workspace names it in a list, which is no reference to the store: a service
// among its own fields, a plugin in its configuration.
func unreferencedCA(w *work, found stored, _ bool) error {
	workspaces, err := workspaceNames(w.Reader, w.catalogue)
	if err != nil {
		return err
	}
	id := []byte(found.id)
	for _, user := range []struct {
		kind string
		path []string
	}{{"services", []string{"ca_certificates"}}, {pluginKind, []string{"config", "ca_certificates"}}} {
		s, ok := w.kind(user.kind)
		if !ok {
			continue
		}
		for _, name := range workspaces {
			err := walk(view{w.Reader, name, w.catalogue}, s, nil, func(e store.Entity) (bool, error) {
				if !bytes.Contains(e.Document, id) {
					return true, nil
				}
				one, err := open(s, e)
				if err != nil {
					return false, err
				}
				for _, ca := range one.doc.Get(user.path...).Elements() {
					if ca.Text() == found.id {
						return false, errStillReferenced("ca certificate", found.id, user.kind, e.ID)
					}
				}
				return true, nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
