package declarative

import (
	"context"
	"errors"
	"sync"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/schema"
)

var (
	// ErrBusy says that another configuration is being loaded.
	ErrBusy = errors.New("another configuration is being loaded")
	// ErrSame says that the last load had the same text.
	ErrSame = errors.New("the configuration is loaded already")
)

// Loader replaces the configuration of a node without a database, one at a time.
// Its methods are safe for concurrent use.
type Loader struct {
	store     store.Store
	catalogue *schema.Catalogue

	loading sync.Mutex
	// hash is that of the text loaded last; "" when it was no text.
	hash string
}

// NewLoader returns a loader for a store that belongs to it alone.
func NewLoader(st store.Store, catalogue *schema.Catalogue) *Loader {
	return &Loader{store: st, catalogue: catalogue}
}

// Load makes a text the configuration, in the name of an actor. With ifChanged
// the text that was loaded last is ErrSame. The error is ErrBusy while another
// load runs, and an *Error for a text that is refused; then all stays as it was.
func (l *Loader) Load(ctx context.Context, actor string, text []byte, ifChanged bool) (store.Version, error) {
	if !l.loading.TryLock() {
		return store.Version{}, ErrBusy
	}
	defer l.loading.Unlock()
	if ifChanged && l.hash == HashOf(text) {
		return store.Version{}, ErrSame
	}
	c, err := Parse(l.catalogue, text, Options{})
	if err != nil {
		return store.Version{}, err
	}
	return l.apply(ctx, actor, c)
}

// LoadDocument is Load for a configuration that came as JSON in a larger body.
func (l *Loader) LoadDocument(ctx context.Context, actor string, doc schema.Document) (store.Version, error) {
	if !l.loading.TryLock() {
		return store.Version{}, ErrBusy
	}
	defer l.loading.Unlock()
	c, err := ParseDocument(l.catalogue, doc, Options{})
	if err != nil {
		return store.Version{}, err
	}
	return l.apply(ctx, actor, c)
}

func (l *Loader) apply(ctx context.Context, actor string, c *Config) (store.Version, error) {
	v, err := l.store.Update(ctx, actor, func(tx store.Tx) error {
		_, err := c.Apply(tx, true)
		return err
	})
	if err == nil {
		l.hash = c.Hash()
	}
	return v, err
}
