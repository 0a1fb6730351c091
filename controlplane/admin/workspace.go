package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"google.golang.org/grpc"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

const (
	// workspaceKind is the kind of the workspaces themselves. They belong to no
	// workspace.
	workspaceKind = "workspaces"
	// defaultWorkspace is there from the start and cannot be deleted.
	defaultWorkspace = "default"
)

// view is the configuration as one workspace sees it.
type view struct {
	store.Reader
	workspace string
	catalogue *schema.Catalogue
}

// kind finds the schema of a kind of entities.
func (v view) kind(name string) (*schema.Schema, bool) { return v.catalogue.Entity(name) }

// of is the workspace that entities of a kind have in this view.
func (v view) of(s *schema.Schema) string {
	if s.Global() {
		return ""
	}
	return v.workspace
}

type workspaceKey struct{}

// workspaceIn is the workspace that a call is about.
func workspaceIn(ctx context.Context) string {
	if name, ok := ctx.Value(workspaceKey{}).(string); ok {
		return name
	}
	return defaultWorkspace
}

// enter notes the workspace of a call: that of the path of a REST call, else
// that of the message.
func (s *Server) enter(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	name := ""
	if c := carried(ctx); c != nil {
		name = c.workspace
	} else if m, ok := in.(interface{ GetWorkspace() string }); ok {
		name = m.GetWorkspace()
	}
	if name != "" && name != defaultWorkspace {
		ctx = context.WithValue(ctx, workspaceKey{}, name)
	}
	return next(ctx, in)
}

// view runs f on one consistent view of the call's workspace.
func (s *Server) view(ctx context.Context, f func(view) error) error {
	return s.cfg.Store.View(ctx, func(r store.Reader) error {
		v := view{r, workspaceIn(ctx), s.cfg.Catalogue}
		if v.workspace != defaultWorkspace {
			if _, err := findWorkspace(r, v.workspace); err != nil {
				return err
			}
		}
		return f(v)
	})
}

// findWorkspace finds a workspace by its name; that there is none is the
// client's mistake.
func findWorkspace(r store.Reader, name string) (store.Entity, error) {
	e, err := r.Find("", workspaceKind, "name", name)
	if errors.Is(err, store.ErrNotFound) {
		return e, errNoWorkspace(name)
	}
	return e, err
}

// hold keeps the workspace of a transaction from being deleted before the
// transaction ends.
func (w *work) hold() error {
	if w.workspace == defaultWorkspace {
		return nil
	}
	e, err := findWorkspace(w.Reader, w.workspace)
	if err != nil {
		return err
	}
	if _, err = w.tx.Lock(e.Kind, e.ID); errors.Is(err, store.ErrNotFound) {
		return errNoWorkspace(w.workspace)
	}
	return err
}

func errNoWorkspace(name string) *Error {
	return plain(http.StatusNotFound, fmt.Sprintf("Workspace '%s' not found", name))
}

// known refuses a path below a workspace that does not exist, whatever its
// method.
func (s *Server) known(ctx context.Context, name string) error {
	if name == "" || name == defaultWorkspace {
		return nil
	}
	return s.cfg.Store.View(ctx, func(r store.Reader) error {
		_, err := findWorkspace(r, name)
		return err
	})
}

// workspaceNames are all workspaces, the default one first.
func workspaceNames(r store.Reader, catalogue *schema.Catalogue) ([]string, error) {
	names := []string{defaultWorkspace}
	s, ok := catalogue.Entity(workspaceKind)
	if !ok {
		return names, nil
	}
	err := walk(view{r, defaultWorkspace, catalogue}, s, nil, func(e store.Entity) (bool, error) {
		one, err := open(s, e)
		if name := one.doc.Get("name").Text(); err == nil && name != defaultWorkspace {
			names = append(names, name)
		}
		return true, err
	})
	return names, err
}

// workspaces implements the Workspaces service.
type workspaces struct {
	adminpb.UnimplementedWorkspacesServer
	server *Server
}

// Meta implements adminpb.WorkspacesServer.
func (m *workspaces) Meta(ctx context.Context, in *adminpb.MetaRequest) (*adminpb.DocumentResponse, error) {
	s, ok := m.server.cfg.Catalogue.Entity(workspaceKind)
	if !ok {
		return nil, errNotFound()
	}
	var counts []schema.Member
	err := m.server.view(ctx, func(r view) error {
		found, err := find(r, s, in.GetRef())
		if err != nil {
			return err
		}
		n, err := r.Count(found.doc.Get("name").Text())
		for _, kind := range slices.Sorted(maps.Keys(n)) {
			counts = append(counts, schema.Member{Name: kind, Value: schema.Int(int64(n[kind]))})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return documentAnswer(ctx, key("counts", schema.Object(counts...)))
}

// removeWorkspace refuses to delete the default workspace and one that is not
// empty, unless what it holds is to be deleted too.
func removeWorkspace(w *work, found stored, cascade bool) error {
	name := found.doc.Get("name").Text()
	if name == defaultWorkspace {
		return badRequest("Cannot delete the workspace 'default'")
	}
	counts, err := w.Count(name)
	if err != nil || len(counts) == 0 {
		return err
	}
	if !cascade {
		return badRequest(fmt.Sprintf("Workspace '%s' is not empty: delete what it holds first, or use ?cascade=true", name))
	}
	return w.empty(name)
}

// empty deletes everything in a workspace. What others still refer to is left
// for another round, after they have gone.
func (w *work) empty(workspace string) error {
	for {
		counts, err := w.Count(workspace)
		if err != nil || len(counts) == 0 {
			return err
		}
		var kept error
		deleted := 0
		for _, kind := range slices.Sorted(maps.Keys(counts)) {
			page, _, err := w.List(store.Query{Workspace: workspace, Kind: kind, Limit: maxSize})
			if err != nil {
				return err
			}
			for _, e := range page {
				var referenced *store.ReferencedError
				err := w.tx.Delete(e.Kind, e.ID)
				switch {
				case errors.As(err, &referenced):
					kept = err
				case errors.Is(err, store.ErrNotFound): // it fell with another
				case err != nil:
					return err
				default:
					deleted++
				}
			}
		}
		if deleted == 0 {
			return kept
		}
	}
}
