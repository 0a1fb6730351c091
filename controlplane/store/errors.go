package store

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound says that there is no such entity, or that it has expired.
	ErrNotFound = errors.New("not found")

	// ErrUnavailable is wrapped by errors that say that the database cannot be
	// reached, takes no writes or did not answer in time.
	ErrUnavailable = errors.New("the database is unavailable")

	// ErrConflict is wrapped when a transaction collided with others each time
	// it ran. Trying later can help.
	ErrConflict = errors.New("the transaction collided with others")
)

// UniqueError says that another entity of the same workspace and kind already
// holds a unique value.
type UniqueError struct {
	// Kind is the kind of both entities.
	Kind string

	// Field is the unique field, or "id" when an entity with this id exists.
	Field string

	// Value is the value as given in Unique.Value. It may be secret (a
	// consumer's key), so Error leaves it out.
	Value string
}

// Error names kind and field.
func (e *UniqueError) Error() string {
	return fmt.Sprintf("%s: the value of %s is taken", e.Kind, e.Field)
}

// ReferenceError says that an entity refers to one that does not exist.
type ReferenceError struct {
	// Kind and Field say who refers.
	Kind, Field string

	// ReferencedKind and ID name the entity that is missing.
	ReferencedKind, ID string
}

// Error names both ends of the reference.
func (e *ReferenceError) Error() string {
	return fmt.Sprintf("%s: %s refers to a missing entity %s %q", e.Kind, e.Field, e.ReferencedKind, e.ID)
}

// ReferencedError says that an entity cannot be deleted because another one
// refers to it.
type ReferencedError struct {
	// Kind and ID name the entity that cannot be deleted. It is the one that
	// Delete was asked for, or one that would have fallen with it.
	Kind, ID string

	// By and ByID name an entity that refers to it.
	By, ByID string
}

// Error names both entities.
func (e *ReferencedError) Error() string {
	return fmt.Sprintf("%s %q is referenced by %s %q", e.Kind, e.ID, e.By, e.ByID)
}
