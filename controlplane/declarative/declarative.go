// Package declarative reads and writes a whole configuration as one text, in
// the format of Kong's declarative files: Parse judges it, Apply makes a store
// hold it, Export writes what a store holds.
//
// It follows the catalogue and knows no entity by name but the workspaces,
// whose names the store keeps beside the entities. Files, HTTP and the command
// line are the work of others.
package declarative

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/gibbon-gateway/gibbon/schema"
)

const (
	workspaceKind    = "workspaces"
	defaultWorkspace = "default"
	workspaceField   = "ws_id" // of an entity: the id of its workspace
	formatField      = "_format_version"
	transformField   = "_transform"
	commentField     = "_comment"
	ignoreField      = "_ignore"
)

// formats are the versions of the format that can be read; the newest is
// written.
var formats = []string{"1.1", "2.1", "3.0"}

const newestFormat = "3.0"

// Options say how a configuration is read.
type Options struct {
	// Workspace is the one that entities belong to which name none. "": the
	// default one.
	Workspace string
	// At is the time that entities get which have none. Zero: now.
	At time.Time
}

// Config is a valid configuration. It never changes.
type Config struct {
	schemas   *schema.Catalogue
	workspace string // of the entities that name none
	entities  []*entity
	// hash is the hex digest of the text; "" when there was none.
	hash string
}

// entity is one entity of a file.
type entity struct {
	schema *schema.Schema
	place  place
	parent *entity
	// through is the field that refers to the parent.
	through string

	// input is what the file says of the entity alone.
	input schema.Document
	// body is input with its shorthands expanded, its id and its references.
	body schema.Document
	// doc is what is stored.
	doc schema.Document

	workspace string
	// workspaceID is what the file says of the workspace; "" when nothing.
	workspaceID string
	id          string
	uniques     []schema.Unique
	// missing are the texts about references that lead nowhere.
	missing []schema.Document
	// broken says what is wrong with the entity; absent when nothing is.
	broken schema.Document
}

// Len counts the entities.
func (c *Config) Len() int { return len(c.entities) }

// Hash is the hex digest of the text that was parsed, as HashOf has it; "" for
// a configuration that came as a document.
func (c *Config) Hash() string { return c.hash }

// HashOf is what tells texts apart.
func HashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Parse reads a configuration in YAML or JSON. The error is an *Error when the
// text is no such thing or breaks a rule; then all of it is refused.
func Parse(catalogue *schema.Catalogue, text []byte, options Options) (*Config, error) {
	doc, err := decode(text)
	if err != nil {
		return nil, syntaxError(err)
	}
	c, err := ParseDocument(catalogue, doc, options)
	if err != nil {
		return nil, err
	}
	c.hash = HashOf(text)
	return c, nil
}

// ParseDocument is Parse for a configuration that came as JSON in a larger
// body.
func ParseDocument(catalogue *schema.Catalogue, doc schema.Document, options Options) (*Config, error) {
	if doc.Kind() != schema.KindObject {
		return nil, syntaxError(fmt.Errorf("expected an object"))
	}
	if options.Workspace == "" {
		options.Workspace = defaultWorkspace
	}
	if options.At.IsZero() {
		options.At = time.Now()
	}
	p := newParser(catalogue, options)
	p.file(doc)
	// Each step trusts the one before it.
	for _, step := range []func(*entity){p.judge, p.distinguish, p.connect, p.transform} {
		for _, e := range p.entities {
			step(e)
		}
		if err := p.error(); err != nil {
			return nil, err
		}
	}
	return &Config{schemas: catalogue, workspace: options.Workspace, entities: p.entities}, nil
}
