package runtime

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Keeper owns the resources that outlive a change of the configuration:
// connection pools, counters, open files. Each lives as long as one runtime that
// asked for it. It is safe for use by many goroutines; the zero value is ready.
type Keeper struct {
	mu   sync.Mutex
	kept map[plugin.Key]*kept
}

type kept struct {
	resource io.Closer
	users    int
}

// holder is a keeper as one runtime sees it: what it holds is released together.
type holder struct {
	keeper *Keeper
	held   map[plugin.Key]io.Closer
}

func (k *Keeper) holder() *holder {
	return &holder{keeper: k, held: make(map[plugin.Key]io.Closer)}
}

// Hold implements plugin.Keeper. A runtime counts as one user of a resource,
// however often it asks.
func (h *holder) Hold(key plugin.Key, open func() (io.Closer, error)) (io.Closer, error) {
	if resource, ok := h.held[key]; ok {
		return resource, nil
	}
	k := h.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	entry := k.kept[key]
	if entry == nil {
		resource, err := open()
		if err != nil {
			return nil, err
		}
		entry = &kept{resource: resource}
		if k.kept == nil {
			k.kept = make(map[plugin.Key]*kept)
		}
		k.kept[key] = entry
	}
	entry.users++
	h.held[key] = entry.resource
	return entry.resource, nil
}

// release lets go of all that the runtime holds and closes what nobody else
// uses.
func (h *holder) release() error {
	var idle []io.Closer
	k := h.keeper
	k.mu.Lock()
	for key := range h.held {
		entry := k.kept[key]
		if entry.users--; entry.users == 0 {
			delete(k.kept, key)
			idle = append(idle, entry.resource)
		}
	}
	k.mu.Unlock()
	clear(h.held)
	var errs []error
	for _, resource := range idle {
		if err := resource.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close a kept %T: %w", resource, err))
		}
	}
	return errors.Join(errs...)
}

// Kept is the number of resources that are held now.
func (k *Keeper) Kept() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.kept)
}

// Reloader is a kept resource that has something to do when the node is told to
// reload: a file to be opened anew, for example.
type Reloader interface {
	Reload()
}

// Reload tells every kept resource that wants to know that the node reloads.
func (k *Keeper) Reload() {
	k.mu.Lock()
	var all []Reloader
	for _, entry := range k.kept {
		if r, ok := entry.resource.(Reloader); ok {
			all = append(all, r)
		}
	}
	k.mu.Unlock()
	for _, r := range all {
		r.Reload()
	}
}
