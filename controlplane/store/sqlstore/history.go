package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// pruneSize is how many rows Prune deletes in one transaction. Writers on
// SQLite wait for it.
const pruneSize = 500

// summary is what the table history says of a version's changes, from its
// column time on.
func summary(changes []store.Change) []any {
	type fate struct{ before, after bool }
	fates := make(map[key]*fate, len(changes))
	for _, c := range changes {
		k := key{c.Kind, c.ID}
		f := fates[k]
		if f == nil {
			f = &fate{before: c.Op != store.Inserted}
			fates[k] = f
		}
		f.after = c.Op != store.Deleted
	}
	var created, updated, deleted int
	for _, f := range fates {
		switch *f {
		case fate{false, true}:
			created++
		case fate{true, true}:
			updated++
		case fate{true, false}:
			deleted++
		}
	}
	return []any{changes[0].Time.UnixMicro(), changes[0].Actor, created, updated, deleted}
}

// Versions implements store.Reader.
func (r *reader) Versions(before uint64, limit int) ([]store.Past, bool, error) {
	if limit < 1 {
		return nil, false, errLimit
	}
	if before == 0 || before > math.MaxInt64 {
		before = math.MaxInt64
	}
	var found []store.Past
	err := r.ses.query(`select number, epoch, time, actor, created, updated, deleted, hash from history
		where number < $1 order by number desc limit $2`, []any{int64(before), limit + 1}, func(rows *sql.Rows) error {
		var p store.Past
		var number, at int64
		var hash sql.NullString
		err := rows.Scan(&number, &p.Epoch, &at, &p.Actor, &p.Created, &p.Updated, &p.Deleted, &hash)
		p.Number, p.Time, p.Hash = uint64(number), time.UnixMicro(at).UTC(), hash.String
		found = append(found, p)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	page, more := cut(found, limit)
	return page, more, nil
}

// oldest returns the number of the oldest version that can be read, of which
// newest is the newest.
func (r *reader) oldest(newest uint64) (uint64, error) {
	var first sql.NullInt64
	err := r.ses.query(`select min(number) from history`, nil, func(rows *sql.Rows) error { return rows.Scan(&first) })
	switch {
	case err != nil:
		return 0, err
	case !first.Valid:
		return newest, nil
	case first.Int64 == 1:
		return 0, nil // Nothing is missing, so the way leads back to the beginning.
	}
	return uint64(first.Int64), nil
}

// At implements store.Reader. It walks back: an entity that has changed since
// was what the first change found, and all others are what they were.
func (r *reader) At(number uint64) iter.Seq2[store.Entity, error] {
	return func(yield func(store.Entity, error) bool) {
		if err := r.readable(number); err != nil {
			yield(store.Entity{}, err)
			return
		}
		now, stop := iter.Pull2(r.pages(func(last key) ([]store.Entity, error) {
			return r.entities(`select e.kind, e.id, e.workspace, e.document, null from entity e where (e.kind, e.id) > ($1, $2)
				order by e.kind, e.id limit $3`, last.kind, last.id, pageSize)
		}))
		defer stop()
		before, stop := iter.Pull2(r.pages(func(last key) ([]store.Entity, error) {
			return r.firstChanges(number, last)
		}))
		defer stop()
		a, aErr, aOK := now()
		b, bErr, bOK := before()
		for aOK || bOK {
			if err := cmp.Or(aErr, bErr); err != nil {
				yield(store.Entity{}, err)
				return
			}
			order := 1
			switch {
			case !bOK:
				order = -1
			case aOK:
				order = cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
			}
			e := a
			if order >= 0 {
				e = b
			}
			if len(e.Document) > 0 && !yield(e, nil) {
				return
			}
			if order <= 0 {
				a, aErr, aOK = now()
			}
			if order >= 0 {
				b, bErr, bOK = before()
			}
		}
	}
}

// readable returns the error for a version that cannot be read.
func (r *reader) readable(number uint64) error {
	newest, err := r.Version()
	if err != nil {
		return err
	}
	oldest, err := r.oldest(newest.Number)
	if err != nil {
		return err
	}
	if number < oldest || number > newest.Number {
		return &store.VersionError{Number: number, Oldest: oldest, Newest: newest.Number}
	}
	return nil
}

// firstChanges returns a page of the entities that have changed after a
// version, as the first of these changes found them; without a document where
// there was none. The sign before the version keeps SQLite from going by the
// versions, which would read and sort all changes for each page.
func (r *reader) firstChanges(number uint64, last key) ([]store.Entity, error) {
	return r.entities(`select c.kind, c.id, c.workspace, coalesce(c.document_before, ''), null
		from (select kind, id, version, (select min(d.ordinal) from change d
				where d.kind = f.kind and d.id = f.id and d.version = f.version) as ordinal
			from (select kind, id, min(version) as version from change
				where +version > $1 and (kind, id) > ($2, $3) group by kind, id order by kind, id limit $4) f) g
		join change c on c.version = g.version and c.ordinal = g.ordinal
		order by g.kind, g.id`, int64(number), last.kind, last.id, pageSize)
}

// Published implements store.Store.
func (s *Store) Published(ctx context.Context, v store.Version, hash string) error {
	_, err := s.alone(ctx, `update history set hash = $1 where number = $2 and epoch = $3 and hash is null`,
		hash, int64(v.Number), v.Epoch)
	return err
}

// Prune implements store.Store.
func (s *Store) Prune(ctx context.Context, keep store.Retention) (int, error) {
	// The look outside comes first, so that a pass without work, which is the
	// usual one, keeps no writer waiting.
	log, err := s.extent(ctx, keep)
	if err != nil {
		return 0, err
	}
	// The versions go first, so that none can be read whose changes are not
	// complete. What a pass leaves behind the next one takes.
	total := 0
	for more := log.oldest < log.keep; more; {
		n, err := s.alone(ctx, `delete from history where number in
			(select number from history where number < $1 order by number limit $2)`, log.keep, pruneSize)
		total += n
		if err != nil {
			return total, err
		}
		more = n == pruneSize
	}
	for more := log.change < log.keep; more; {
		n, err := s.alone(ctx, `delete from change where (version, ordinal) in
			(select version, ordinal from change where version < $1 order by version, ordinal limit $2)`, log.keep, pruneSize)
		if err != nil {
			return total, err
		}
		more = n == pruneSize
	}
	return total, nil
}

// extent is how far the history reaches back.
type extent struct {
	// oldest is the oldest version, and change that of the oldest change.
	oldest, change int64

	// keep is the oldest version that has to stay.
	keep int64
}

func (s *Store) extent(ctx context.Context, keep store.Retention) (extent, error) {
	ses, err := s.newSession(ctx, s.readers)
	if err != nil {
		return extent{}, err
	}
	defer ses.release()
	since := int64(math.MinInt64)
	if keep.Age > 0 {
		since = time.Now().Add(-keep.Age).UnixMicro()
	}
	var oldest, change, newest, aged sql.NullInt64
	err = ses.query(`select (select min(number) from history), (select min(version) from change),
		(select max(number) from history), (select max(number) from history where time < $1)`,
		[]any{since}, func(rows *sql.Rows) error { return rows.Scan(&oldest, &change, &newest, &aged) })
	first := max(oldest.Int64, aged.Int64+1)
	if keep.Versions > 0 {
		first = max(first, newest.Int64-int64(keep.Versions)+1)
	}
	return extent{oldest.Int64, change.Int64, min(first, newest.Int64)}, err
}

// alone runs one statement in a transaction of its own and returns how many
// rows it was about.
func (s *Store) alone(ctx context.Context, statement string, args ...any) (int, error) {
	ses, err := s.newSession(ctx, s.writers)
	if err != nil {
		return 0, err
	}
	defer ses.release()
	var n int64
	err = ses.bounded(func(ctx context.Context) error {
		result, err := ses.conn.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return int(n), err
}
