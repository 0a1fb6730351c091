package store

import (
	"fmt"
	"time"
)

// Past is one entry of the list of versions: what a version is as a whole.
type Past struct {
	Version

	// Time is when the version was made, and Actor who made it, as in Change.
	Time  time.Time
	Actor string

	// Created, Updated and Deleted count the entities that the version has and
	// the one before had not, that both have, and that only the one before had,
	// among those that were written. Each entity counts once; one that came and
	// went within the transaction does not count.
	Created, Updated, Deleted int

	// Hash is that of the version's snapshot, as given to Published; "" when
	// none was made: a newer version was there before.
	Hash string
}

// Retention says which versions are kept. The newest one always is. A version
// goes by whichever rule it breaks; the zero value keeps all.
type Retention struct {
	// Age is how long versions are kept; 0 is for ever.
	Age time.Duration

	// Versions is how many are kept; 0 is any number.
	Versions int
}

// VersionError says that a version cannot be read: it has not been made yet, or
// its time is over.
type VersionError struct {
	// Number is the version that was asked for. All from Oldest to Newest can
	// be read.
	Number, Oldest, Newest uint64
}

// Error names the versions that there are.
func (e *VersionError) Error() string {
	if e.Number < e.Oldest {
		return fmt.Sprintf("version %d is no longer kept: the oldest one is %d, the newest one %d", e.Number, e.Oldest, e.Newest)
	}
	return fmt.Sprintf("there is no version %d: the oldest one is %d, the newest one %d", e.Number, e.Oldest, e.Newest)
}
