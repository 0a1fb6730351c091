package admin

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

const (
	// configPath is the one path that takes YAML.
	configPath = "/config"
	// loadTime is how long a configuration may take to be loaded, and busyTime
	// after how many seconds to come again while one is.
	loadTime = 60 * time.Second
	busyTime = 5
)

// yamlTypes are the types of bodies that are YAML.
var yamlTypes = []string{"text/yaml", "application/yaml"}

func isYAML(contentType string) bool {
	return slices.ContainsFunc(yamlTypes, func(known string) bool { return strings.HasPrefix(contentType, known) })
}

// config implements the Declarative service.
type config struct {
	adminpb.UnimplementedDeclarativeServer
	server *Server
}

// GetConfig implements adminpb.DeclarativeServer.
func (d *config) GetConfig(ctx context.Context, _ *adminpb.GetConfigRequest) (*adminpb.DocumentResponse, error) {
	s := d.server
	if s.cfg.Declarative == nil {
		return nil, errHasDatabase()
	}
	var text bytes.Buffer
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		text.Reset()
		return declarative.Export(&text, s.cfg.Catalogue, r.All(), declarative.YAML, time.Now())
	})
	if err != nil {
		return nil, err
	}
	return documentAnswer(ctx, key("config", schema.String(text.String())))
}

// LoadConfig implements adminpb.DeclarativeServer.
func (d *config) LoadConfig(ctx context.Context, in *adminpb.LoadConfigRequest) (*adminpb.DocumentResponse, error) {
	s := d.server
	if s.cfg.Declarative == nil {
		return nil, errHasDatabase()
	}
	c := carried(ctx)
	loading, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	version, err := d.load(loading, c, in)
	var invalid *declarative.Error
	switch {
	case errors.Is(err, declarative.ErrSame):
		if c != nil {
			c.status, c.answer = http.StatusNotModified, []byte{}
		}
		return &adminpb.DocumentResponse{}, nil
	case errors.Is(err, declarative.ErrBusy):
		return nil, errLoading()
	case errors.As(err, &invalid):
		flat := in.GetFlattenErrors()
		if text, ok := argument(c, "flatten_errors"); ok {
			flat = slices.Contains([]string{"true", "1", "on", "yes"}, text)
		}
		return nil, errDeclarative(invalid, flat)
	case err != nil && errors.Is(loading.Err(), context.DeadlineExceeded):
		return nil, errLoadTime(err)
	case err != nil:
		return nil, err
	}
	s.live(ctx, version)
	all, err := d.entities(ctx)
	if err != nil {
		return nil, err
	}
	if c != nil {
		c.status, c.answer = http.StatusCreated, all.AppendJSON(nil)
		return &adminpb.DocumentResponse{}, nil
	}
	return documentAnswer(ctx, all)
}

// load finds the configuration in a call and loads it. In a body it is the field
// "config", or a body that says which format it has; YAML is the whole body.
func (d *config) load(ctx context.Context, c *carrier, in *adminpb.LoadConfigRequest) (store.Version, error) {
	loader := d.server.cfg.Declarative
	text, given := in.GetConfig(), in.GetConfig() != ""
	ifChanged := in.GetCheckHash()
	if c != nil {
		if isYAML(c.contentType) {
			text, given = string(c.form), len(c.form) > 0
		} else if text, given = argumentOf(c, "config"); !given && !c.body.Get("_format_version").IsAbsent() {
			return loader.LoadDocument(ctx, actorOf(ctx), c.body.Without("check_hash").Without("flatten_errors"))
		}
		hash, _ := argument(c, "check_hash")
		ifChanged = hash == "1"
	}
	if !given || text == "" {
		return store.Version{}, badRequest("expected a declarative configuration")
	}
	return loader.Load(ctx, actorOf(ctx), []byte(text), ifChanged)
}

// entities are all entities by kind and id.
func (d *config) entities(ctx context.Context) (schema.Document, error) {
	s := d.server
	var kinds []schema.Member
	now := time.Now()
	err := s.cfg.Store.View(ctx, func(r store.Reader) error {
		kinds = nil
		var ofKind []schema.Member
		kind := ""
		flush := func() {
			if len(ofKind) > 0 {
				kinds = append(kinds, schema.Member{Name: kind, Value: schema.Object(ofKind...)})
			}
			ofKind = nil
		}
		for e, err := range r.All() {
			if err != nil {
				return err
			}
			found, ok := s.cfg.Catalogue.Entity(e.Kind)
			if !ok {
				continue // of another version of this program
			}
			one, err := open(found, e)
			if err != nil {
				return err
			}
			if e.Kind != kind {
				flush()
				kind = e.Kind
			}
			ofKind = append(ofKind, schema.Member{Name: e.ID, Value: found.Render(one.doc, now)})
		}
		flush()
		return nil
	})
	return schema.Object(kinds...), err
}

func errHasDatabase() *Error {
	return badRequest("this endpoint is only available when Kong is configured to not use a database")
}

func errLoading() *Error {
	e := plain(http.StatusTooManyRequests, "Currently loading previous configuration")
	e.RetryAfter = busyTime
	return e
}

func errLoadTime(cause error) *Error {
	return &Error{Status: http.StatusGatewayTimeout, Message: "Timed out while loading configuration", cause: cause}
}

func errDeclarative(e *declarative.Error, flat bool) *Error {
	out := &Error{
		Status: http.StatusBadRequest, Code: codeDeclarative, Name: "invalid declarative configuration",
		Message: e.Error(), Fields: e.Fields(),
	}
	if flat {
		out.Flattened, out.Fields = e.Flatten()
	}
	return out
}

// frozen is a transaction on a node without a database: it reads, and refuses to
// write in Kong's words.
type frozen struct {
	store.Tx
	refusal refusal
}

// refusal is what a call was about to do: a verb, the kind of the entity, and the
// key that names it when that is not the id.
type refusal struct{ verb, kind, key string }

type refusalKey struct{}

// about notes what a call is about to do, for the case that it must not.
func about(ctx context.Context, verb string, t target) context.Context {
	r := refusal{verb: verb, kind: t.schema.Kind()}
	if t.ref != "" && t.ref != fieldRef && !isID(t.ref) {
		r.key = t.schema.EndpointKey()
	}
	return context.WithValue(ctx, refusalKey{}, r)
}

func (t *frozen) refuse(verb, kind string) error {
	r := t.refusal
	if r.verb == "" {
		r.verb, r.kind = verb, kind
	}
	by := ""
	if r.key != "" {
		by = " by '" + r.key + "'"
	}
	return &Error{
		Status: http.StatusMethodNotAllowed, Code: codeUnsupported, Name: "operation unsupported",
		Message: "cannot " + r.verb + " '" + r.kind + "' entities" + by + " when not using a database",
	}
}

// Insert implements store.Tx.
func (t *frozen) Insert(e store.Entity) error { return t.refuse("create", e.Kind) }

// Put implements store.Tx.
func (t *frozen) Put(e store.Entity) error { return t.refuse("create or update", e.Kind) }

// Delete implements store.Tx.
func (t *frozen) Delete(kind, _ string) error { return t.refuse("remove", kind) }

// Remove implements store.Tx.
func (t *frozen) Remove(kind, _ string) error { return t.refuse("remove", kind) }
