package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// dialect is all that differs between the two databases once they are open.
// Statements are otherwise the same: both take $1, $2, … as placeholders.
type dialect struct {
	// beginView begins a transaction that sees one state and cannot write;
	// beginUpdate one that can.
	beginView, beginUpdate string

	// beginEarly tells that every update begins its transaction at once. If
	// not, BEGIN waits for the first exchange.
	beginEarly bool

	// hasTable finds the table $1.
	hasTable string

	// lockRow and lockDoomed end queries that lock what they find.
	lockRow, lockDoomed string

	// lockParent finds and locks the entity $1 $2 as the parent of one of the
	// workspace $3.
	lockParent string

	// gathers tells that statements can be gathered.
	gathers bool

	// classify says what an error of the driver means.
	classify func(error) class

	// closed tells whether a driver's connection is beyond use.
	closed func(any) bool

	// send runs statements inside the transaction that the session has begun.
	send func(*session, []statement) error

	// finish runs statements, takes the next version, logs changes and commits.
	finish func(*session, []statement, []store.Change) (store.Version, error)
}

// class is what an error means to the store.
type class uint8

const (
	other             class = iota
	duplicate               // a primary key exists
	danglingReference       // a foreign key leads nowhere
	foreignParent           // lockParent found an entity of another workspace
	collision               // the transaction has to run again
	unavailable             // the database is away, or cannot write
)

// channel is where PostgreSQL says that there is a new version.
const channel = "gibbon_config"

var postgres = &dialect{
	beginView:   "begin isolation level repeatable read read only",
	beginUpdate: "begin isolation level read committed",
	hasTable:    "select 1 where to_regclass($1) is not null",
	// An update leaves the key alone, so it may go on while others make
	// children of the row; only a deletion may not.
	lockRow:    " for no key update",
	lockDoomed: " for update of e",
	// One of a wrong workspace has to stop the batch here, or it would go on to
	// its commit: the division by zero does.
	lockParent: `select 1 / (workspace in ('', $3))::integer from entity where kind = $1 and id = $2 for key share`,
	gathers:    true,
	classify:   classifyPostgres,
	closed:     func(c any) bool { return c.(*stdlib.Conn).Conn().IsClosed() },
	send: func(ses *session, statements []statement) error {
		for len(statements) > 0 {
			n := batchLength(statements)
			if _, err := sendBatch(ses, statements[:n]); err != nil {
				return err
			}
			statements = statements[n:]
		}
		return nil
	},
	finish: finishPostgres,
}

var sqliteDialect = &dialect{
	beginView:   "begin deferred",
	beginUpdate: "begin immediate",
	beginEarly:  true,
	hasTable:    "select 1 from sqlite_master where type = 'table' and name = $1",
	lockParent:  `select 1 from entity where kind = $1 and id = $2 and workspace in ('', $3)`,
	classify:    classifySQLite,
	closed:      func(any) bool { return false },
	send: func(ses *session, statements []statement) error {
		_, err := execEach(ses, statements) // Only finish looks for parents.
		return err
	},
	finish: finishSQLite,
}

func classifyPostgres(err error) class {
	refused := new(pgconn.PgError)
	if errors.As(err, &refused) {
		switch refused.Code {
		case "23505":
			return duplicate
		case "23503", "23001":
			return danglingReference
		case "40001", "40P01":
			return collision
		case "22012":
			return foreignParent
		case "25006", // read-only, as a standby is
			"55P03", // lock_timeout
			"58030": // input or output failed
			return unavailable
		}
		switch refused.Code[:min(2, len(refused.Code))] {
		case "08", // the connection broke
			"53", // out of disk, memory or connections
			"57": // shutting down, starting up, statement_timeout
			return unavailable
		}
		if failed := new(pgconn.ConnectError); errors.As(err, &failed) {
			return unavailable
		}
		return other
	}
	var broken net.Error
	failed := new(pgconn.ConnectError)
	if errors.As(err, &failed) || errors.As(err, &broken) || pgconn.SafeToRetry(err) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) {
		return unavailable
	}
	return other
}

func classifySQLite(err error) class {
	refused := new(sqlite.Error)
	if !errors.As(err, &refused) {
		return other
	}
	switch refused.Code() {
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE:
		return duplicate
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return danglingReference
	}
	switch refused.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT:
		return unavailable
	}
	return other
}

const (
	// batchStatements, batchBytes and batchChanges bound what goes to
	// PostgreSQL in one exchange, and so what is held in memory for it.
	batchStatements = 1000
	batchBytes      = 4 << 20
	batchChanges    = 1000
)

// batchLength returns how many of the statements go into one batch.
func batchLength(statements []statement) int {
	count, size := 0, 0
	for i, s := range statements {
		count++
		if s.gathered {
			count += batchStatements - 1 // nearly as much work as a batch
		}
		for _, arg := range s.args {
			if text, ok := arg.(string); ok {
				size += len(text)
			}
		}
		if i > 0 && (size > batchBytes || count > batchStatements) {
			return i
		}
	}
	return len(statements)
}

// sendBatch sends statements in one exchange and notes the parents that were
// missing.
func sendBatch(ses *session, statements []statement) (noted []*store.ReferenceError, err error) {
	err = ses.bounded(func(ctx context.Context) error {
		return ses.conn.Raw(func(c any) error {
			var batch pgx.Batch
			for _, s := range statements {
				batch.Queue(s.sql, s.args...)
			}
			results := c.(*stdlib.Conn).Conn().SendBatch(ctx, &batch)
			return errors.Join(readResults(results, statements, &noted), results.Close())
		})
	})
	return noted, err
}

// readResults reads the result of each statement up to the first that failed.
func readResults(results pgx.BatchResults, statements []statement, noted *[]*store.ReferenceError) error {
	for _, s := range statements {
		if s.version != nil {
			var number int64
			if err := results.QueryRow().Scan(&s.version.Epoch, &number, nil); err != nil {
				return err
			}
			s.version.Number = uint64(number)
			continue
		}
		if s.found != nil {
			rows, err := results.Query()
			if err != nil {
				return err
			}
			if err := s.scan(rows); err != nil {
				rows.Close()
				return err
			}
			rows.Close()
			if err := rows.Err(); err != nil {
				return err
			}
			continue
		}
		tag, err := results.Exec()
		if err != nil {
			return s.explain(err, classifyPostgres)
		}
		if s.missing != nil && tag.RowsAffected() == 0 {
			*noted = append(*noted, s.missing)
		}
	}
	return nil
}

// scan keeps the entity that the statement found, if there is one.
func (s *statement) scan(rows interface {
	scanner
	Next() bool
}) error {
	for rows.Next() {
		e, err := scanEntity(rows)
		if err != nil {
			return err
		}
		*s.found = &e
	}
	return nil
}

// explain says what a statement's error means, if it is about a duplicate or
// about a parent of another workspace.
func (s *statement) explain(err error, classify func(error) class) error {
	switch what := classify(err); {
	case s.gathered && what == duplicate:
		return &collisionError{cause: err}
	case s.taken != nil && what == duplicate:
		return s.taken
	case s.missing != nil && what == foreignParent:
		return s.missing
	}
	return err
}

// takeVersion takes the version, notes it, logs the first changes and tells the
// others. It is one statement because the row of config_version is what all
// writers wait for.
const takeVersion = takeVersionHead + `select t.number, c.* from taken t, unnest($1::integer[], $2::bigint[], $3::text[], $4::text[],
		$5::text[], $6::text[], $7::text[], $8::text[], $9::text[]) c` + takeVersionTail

// takeVersionOf is takeVersion for a single change. PostgreSQL plans it once:
// with arrays, whose length it cannot know, it finds a new plan for each write.
const takeVersionOf = takeVersionHead + `select number, $1::integer, $2::bigint, $3::text, $4::text, $5::text, $6::text, $7::text,
		$8::text, $9::text from taken` + takeVersionTail

const takeVersionHead = `with taken as (
	update config_version set number = number + 1 returning epoch, number
), logged as (
	insert into change (version, ordinal, time, actor, workspace, kind, id, op, document_before, document_after)
	`

const takeVersionTail = `
), noted as (
	insert into history (number, epoch, time, actor, created, updated, deleted)
	select number, epoch, $10::bigint, $11::text, $12::integer, $13::integer, $14::integer from taken
)
select epoch, number, pg_notify('` + channel + `', number::text) from taken`

// logMore logs the changes for which takeVersion had no room.
const logMore = `insert into change (version, ordinal, time, actor, workspace, kind, id, op, document_before, document_after)
	select t.number, c.* from config_version t, unnest($1::integer[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
		$7::text[], $8::text[], $9::text[]) c`

// changeColumns turns changes into the arrays that these two take.
func changeColumns(changes []store.Change) []any {
	n := len(changes)
	var (
		ordinals                           = make([]int32, n)
		times                              = make([]int64, n)
		actors, workspaces, kinds, ids, op = make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		before, after                      = make([]*string, n), make([]*string, n)
	)
	for i, c := range changes {
		ordinals[i], times[i] = int32(c.Ordinal), c.Time.UnixMicro()
		actors[i], workspaces[i], kinds[i], ids[i], op[i] = c.Actor, c.Workspace, c.Kind, c.ID, string(c.Op)
		before[i], after[i] = nullable(c.Before), nullable(c.After)
	}
	return []any{ordinals, times, actors, workspaces, kinds, ids, op, before, after}
}

// changeRow is a change as the table has it, without its version.
func changeRow(c store.Change) []any {
	return []any{
		c.Ordinal, c.Time.UnixMicro(), c.Actor, c.Workspace, c.Kind, c.ID, string(c.Op),
		nullable(c.Before), nullable(c.After),
	}
}

func nullable(document []byte) *string {
	if document == nil {
		return nil
	}
	s := string(document)
	return &s
}

// finishPostgres sends all that is left in as few exchanges as can be: one for
// a transaction that has read nothing, BEGIN and COMMIT included.
func finishPostgres(ses *session, statements []statement, changes []store.Change) (store.Version, error) {
	if !ses.open {
		statements = append([]statement{{sql: ses.store.d.beginUpdate}}, statements...)
		ses.open = true // From now on there may be a transaction.
	}
	// The foreign keys are checked before the version is taken and not at COMMIT:
	// the check may wait for another transaction, which must not wait for the
	// version. It also keeps the version from being taken where a parent is
	// missing.
	statements = append(statements, statement{sql: "set constraints all immediate"})
	for n := batchLength(statements); n < len(statements) || len(changes) > batchChanges && n > 0; n = batchLength(statements) {
		noted, err := sendBatch(ses, statements[:n])
		if err != nil || len(noted) > 0 {
			return store.Version{}, missingParent(noted, err)
		}
		statements = statements[n:]
	}
	var version store.Version
	first := changes[:min(len(changes), batchChanges)]
	take := statement{sql: takeVersion, version: &version}
	if len(changes) == 1 {
		take.sql, take.args = takeVersionOf, changeRow(changes[0])
	} else {
		take.args = changeColumns(first)
	}
	take.args = append(take.args, summary(changes)...)
	statements = append(statements, take)
	for rest := changes[len(first):]; len(rest) > 0; rest = rest[min(len(rest), batchChanges):] {
		noted, err := sendBatch(ses, statements)
		if err != nil || len(noted) > 0 {
			return store.Version{}, missingParent(noted, err)
		}
		statements = []statement{{sql: logMore, args: changeColumns(rest[:min(len(rest), batchChanges)])}}
	}
	noted, err := sendBatch(ses, append(statements, statement{sql: "commit"}))
	if err != nil {
		return store.Version{}, missingParent(noted, err)
	}
	ses.open = false
	return version, nil
}

// execEach runs statements one by one and notes the parents that were missing.
// There are few different ones, and compiling costs more than running.
func execEach(ses *session, statements []statement) (noted []*store.ReferenceError, err error) {
	for _, s := range statements {
		err := ses.bounded(func(ctx context.Context) error {
			prepared, err := ses.prepare(ctx, s.sql)
			if err != nil {
				return err
			}
			if s.missing == nil && s.found == nil {
				_, err := prepared.ExecContext(ctx, s.args...)
				return s.explain(err, classifySQLite)
			}
			rows, err := prepared.QueryContext(ctx, s.args...)
			if err != nil {
				return err
			}
			if s.found != nil {
				err = s.scan(rows)
			} else if !rows.Next() {
				noted = append(noted, s.missing)
			}
			return errors.Join(err, rows.Err(), rows.Close())
		})
		if err != nil {
			return nil, err
		}
	}
	return noted, nil
}

func finishSQLite(ses *session, statements []statement, changes []store.Change) (store.Version, error) {
	noted, err := execEach(ses, statements)
	if err != nil {
		return store.Version{}, err
	}
	if len(noted) > 0 {
		return store.Version{}, noted[0]
	}
	if err := ses.exec(`update config_version set number = number + 1`); err != nil {
		return store.Version{}, err
	}
	version, err := ses.version()
	if err != nil {
		return store.Version{}, err
	}
	if err := ses.exec(`insert into history (number, epoch, time, actor, created, updated, deleted)
		values ($1, $2, $3, $4, $5, $6, $7)`, append([]any{int64(version.Number), version.Epoch}, summary(changes)...)...); err != nil {
		return store.Version{}, err
	}
	log := make([]statement, len(changes))
	for i, c := range changes {
		log[i] = statement{
			sql: `insert into change
				(version, ordinal, time, actor, workspace, kind, id, op, document_before, document_after)
				values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			args: append([]any{int64(version.Number)}, changeRow(c)...),
		}
	}
	if _, err := execEach(ses, log); err != nil {
		return store.Version{}, err
	}
	if err := ses.commit(); err != nil {
		return store.Version{}, err
	}
	return version, nil
}
