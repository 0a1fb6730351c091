// Package migrations holds the SQL files that make and change the store's
// tables, for each dialect in a folder of its own, and nothing else; sqlstore
// runs them.
//
// A file's name is a number, an underscore and what it does. Numbers rise by
// one, both dialects have the same files, and a released file never changes.
// Files go forward only: there is no way back but a backup.
//
// A release that needs to remove something takes two steps, so that control
// planes of the release before can run on the new tables: the removal stands
// in a file whose name ends in "_finish.sql". "migrations up" stops before
// such a file, and "migrations finish" runs it.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Postgres returns the files for PostgreSQL.
func Postgres() fs.FS { return folder("postgres") }

// SQLite returns the files for SQLite.
func SQLite() fs.FS { return folder("sqlite") }

func folder(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // Sub refuses invalid paths only, and the names are constant.
	}
	return sub
}
