package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/history"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

// versions implements the History service. It is about all workspaces, whichever
// the call names.
type versions struct {
	adminpb.UnimplementedHistoryServer
	server *Server
}

// Versions implements adminpb.HistoryServer.
func (v *versions) Versions(ctx context.Context, in *adminpb.VersionsRequest) (*adminpb.ListResponse, error) {
	c := carried(ctx)
	size, err := pageSize(c, in.GetSize())
	if err != nil {
		return nil, err
	}
	offset := text(c, "offset", in.GetOffset())
	after, err := parseToken(offset, 1)
	if err != nil {
		return nil, err
	}
	before := uint64(0)
	if after[0] != "" {
		if before, err = strconv.ParseUint(after[0], 10, 64); err != nil || before == 0 {
			return nil, errOffset(offset, "bad json encoding")
		}
	}
	var rows []store.Past
	more := false
	if err := v.server.cfg.Store.View(ctx, func(r store.Reader) error {
		rows, more, err = r.Versions(before, size)
		return err
	}); err != nil {
		return nil, err
	}
	data := make([]schema.Document, len(rows))
	next := ""
	for i, p := range rows {
		data[i] = schema.Object(
			schema.Member{Name: "version", Value: number(p.Number)},
			schema.Member{Name: "epoch", Value: schema.String(p.Epoch)},
			schema.Member{Name: "hash", Value: orNothing(p.Hash)},
			schema.Member{Name: "created_at", Value: schema.Int(p.Time.Unix())},
			schema.Member{Name: "actor", Value: schema.String(p.Actor)},
			schema.Member{Name: "created", Value: schema.Int(int64(p.Created))},
			schema.Member{Name: "updated", Value: schema.Int(int64(p.Updated))},
			schema.Member{Name: "deleted", Value: schema.Int(int64(p.Deleted))},
		)
		if more {
			next = token(strconv.FormatUint(p.Number, 10))
		}
	}
	return listAnswer(c, data, next, "tags", "size")
}

func number(n uint64) schema.Document { return schema.Number(strconv.FormatUint(n, 10)) }

// orNothing is a text, or null for "".
func orNothing(text string) schema.Document {
	if text == "" {
		return schema.Null()
	}
	return schema.String(text)
}

// Version implements adminpb.HistoryServer.
func (v *versions) Version(ctx context.Context, in *adminpb.VersionRequest) (*adminpb.DocumentResponse, error) {
	number, err := versionNumber("version", in.GetVersion())
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	now := time.Now()
	if err := v.server.cfg.Store.View(ctx, func(r store.Reader) error {
		living := history.Living(v.server.cfg.Catalogue, r.At(number), now)
		return declarative.Export(&out, v.server.cfg.Catalogue, living, declarative.JSON, now)
	}); err != nil {
		return nil, err
	}
	if c := carried(ctx); c != nil {
		c.answer = out.Bytes()
		return &adminpb.DocumentResponse{}, nil
	}
	doc, err := schema.Parse(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("read a version: %w", unparsable{err})
	}
	return documentAnswer(ctx, doc)
}

// versionNumber reads the number of a version.
func versionNumber(what, text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badRequest(what + " must be the number of a version, not '" + text + "'")
	}
	return n, nil
}

// Diff implements adminpb.HistoryServer.
func (v *versions) Diff(ctx context.Context, in *adminpb.DiffRequest) (*adminpb.DocumentResponse, error) {
	c := carried(ctx)
	from, err := versionArgument(c, "from", in.From)
	if err != nil {
		return nil, err
	}
	to, err := versionArgument(c, "to", in.To)
	if err != nil {
		return nil, err
	}
	var data []schema.Document
	counts := map[store.Op]int64{}
	now := time.Now()
	if err := v.server.cfg.Store.View(ctx, func(r store.Reader) error {
		newest, err := r.Version()
		if err != nil {
			return err
		}
		if to == nil {
			to = &newest.Number
		}
		if from == nil {
			before := *to - min(*to, 1)
			from = &before
		}
		catalogue := v.server.cfg.Catalogue
		for d, err := range history.Diff(catalogue,
			history.Living(catalogue, r.At(*from), now), history.Living(catalogue, r.At(*to), now)) {
			if err != nil {
				return err
			}
			counts[d.Op]++
			data = append(data, difference(d))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return documentAnswer(ctx, schema.Object(
		schema.Member{Name: "from", Value: number(*from)},
		schema.Member{Name: "to", Value: number(*to)},
		schema.Member{Name: "created", Value: schema.Int(counts[store.Inserted])},
		schema.Member{Name: "updated", Value: schema.Int(counts[store.Updated])},
		schema.Member{Name: "deleted", Value: schema.Int(counts[store.Deleted])},
		schema.Member{Name: "data", Value: schema.List(data...)},
	))
}

// versionArgument is the number of a version that a call may name; nil when it
// does not.
func versionArgument(c *carrier, name string, message *uint64) (*uint64, error) {
	if c == nil {
		return message, nil
	}
	text, given := last(c.query, name)
	if !given || text == "" {
		return nil, nil
	}
	n, err := versionNumber(name, text)
	return &n, err
}

// opNames are the operations as the difference of two versions has them.
var opNames = map[store.Op]string{store.Inserted: "created", store.Updated: "updated", store.Deleted: "deleted"}

func difference(d history.Difference) schema.Document {
	changes := make([]schema.Document, len(d.Changes))
	for i, c := range d.Changes {
		changes[i] = schema.Object(
			schema.Member{Name: "field", Value: schema.String(strings.Join(c.Path, "."))},
			schema.Member{Name: "from", Value: c.From},
			schema.Member{Name: "to", Value: c.To},
		)
	}
	return schema.Object(append(named(d.Workspace, d.Kind, d.ID, d.Name),
		schema.Member{Name: "op", Value: schema.String(opNames[d.Op])},
		schema.Member{Name: "changes", Value: schema.List(changes...)},
	)...)
}

// named says which entity a row is about.
func named(workspace, kind, id, name string) []schema.Member {
	return []schema.Member{
		{Name: "kind", Value: schema.String(kind)},
		{Name: "id", Value: schema.String(id)},
		{Name: "name", Value: orNothing(name)},
		{Name: "workspace", Value: orNothing(workspace)},
	}
}

// Rollback implements adminpb.HistoryServer.
func (v *versions) Rollback(ctx context.Context, in *adminpb.RollbackRequest) (*adminpb.DocumentResponse, error) {
	if v.server.withoutDatabase() {
		return nil, errFileDecides()
	}
	target, err := rollbackTarget(carried(ctx), in)
	if err != nil {
		return nil, err
	}
	var counts history.Counts
	made, err := v.server.commit(ctx, func(tx store.Tx) error {
		counts, err = history.Restore(tx, v.server.cfg.Catalogue, target, time.Now())
		return err
	})
	if broken := new(history.BrokenError); errors.As(err, &broken) {
		return nil, errBroken(broken)
	}
	if err != nil {
		return nil, err
	}
	return documentAnswer(ctx, schema.Object(
		schema.Member{Name: "version", Value: number(made.Number)},
		schema.Member{Name: "restored_from", Value: number(target)},
		schema.Member{Name: "created", Value: schema.Int(int64(counts.Created))},
		schema.Member{Name: "updated", Value: schema.Int(int64(counts.Updated))},
		schema.Member{Name: "deleted", Value: schema.Int(int64(counts.Deleted))},
	))
}

// rollbackTarget reads which version a call wants back.
func rollbackTarget(c *carrier, in *adminpb.RollbackRequest) (uint64, error) {
	if c == nil && in.Version != nil {
		return in.GetVersion(), nil
	}
	text, given := "", false
	if c != nil {
		text, given = argumentOf(c, "version")
	}
	if !given || text == "" {
		return 0, violation("required field missing", "version")
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, violation("expected the number of a version", "version")
	}
	return n, nil
}

// errFileDecides refuses what the next reading of the file would undo.
func errFileDecides() *Error {
	return &Error{
		Status: http.StatusMethodNotAllowed, Code: codeUnsupported, Name: "operation unsupported",
		Message: "cannot roll the configuration back when not using a database: load the version's configuration instead",
	}
}

// maxBroken bounds how many entities are named that stand in the way of a
// version.
const maxBroken = 100

// errBroken says why a version cannot be restored. It has the form of Kong's
// answer to a declarative file that is not valid.
func errBroken(e *history.BrokenError) *Error {
	rows := []schema.Document{}
	for _, b := range e.Entities[:min(len(e.Entities), maxBroken)] {
		var violated *schema.ViolationError
		errs := schema.String(b.Err.Error())
		if errors.As(b.Err, &violated) {
			errs = violated.Document()
		}
		rows = append(rows, schema.Object(append(named(b.Workspace, b.Kind, b.ID, b.Name), schema.Member{Name: "errors", Value: errs})...))
	}
	return &Error{
		Status: http.StatusBadRequest, Code: codeDeclarative, Name: "invalid declarative configuration",
		Message: e.Error(), Fields: key("entities", schema.List(rows...)),
	}
}
