package plugin

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gibbon-gateway/gibbon/dataplane/llm/price"
)

// Env is what an instance of a plugin gets from the node that runs it.
type Env struct {
	// ID is the instance's id and Name the plugin's name.
	ID, Name string
	// Consumers finds consumers and their credentials, those of the same
	// snapshot as the instance.
	Consumers *Consumers
	// Log carries the plugin's name and id.
	Log *slog.Logger
	// HTTP is for calls that the plugin makes on its own account. Its
	// connections are shared by all plugins and outlive a change of the
	// configuration.
	HTTP http.RoundTripper
	// Keeper holds what outlives a change of the configuration; use Keep.
	Keeper Keeper
	// Limits are the node's bounds on what is held in memory and read at a time.
	Limits Limits
	// Models is what the node settles for all plugins that call models.
	Models Models
}

// Models is what a node settles for the plugins that call models. The zero value
// has the current layout and no prices.
type Models struct {
	// Layout says how the log object shows calls to models.
	Layout LogLayout
	// Prices has the prices of models whose configuration names none. May be nil.
	Prices *price.Book
}

// LogLayout is a way to show calls to models in the log object.
type LogLayout uint8

const (
	// LayoutCurrent has the call of ai-proxy as ai.proxy, with all keys that are
	// known.
	LayoutCurrent LogLayout = iota
	// Layout38 is that of Kong 3.8: ai["ai-proxy"], and its keys only.
	Layout38
)

// Limits bound what a request may hold in memory, and what is read of strangers'
// data at a time. Sizes are in bytes; a zero bound is the default.
type Limits struct {
	// Body is the largest request body that is held, whatever a plugin asks for;
	// Response the largest answer. Default: MaxBufferedBody, MaxHeldResponse.
	Body, Response int64
	// Event is the largest event of an upstream's stream. Default: 1 MiB.
	Event int
	// Depth is how deeply inspected JSON may nest, Values how many values it may
	// have. Default: 200, 1,000,000.
	Depth, Values int
	// Streams bound the silence of models in the middle of an answer.
	Streams StreamTimes
}

// StreamTimes say what to do while a model is silent. In each, 0 means nothing.
type StreamTimes struct {
	// KeepAlive is after how long a caller is sent something that means nothing, so
	// that nobody on the way takes the connection for dead.
	KeepAlive time.Duration
	// FirstToken is how long to wait for the beginning of an answer, and Idle for
	// any later piece of it, before the answer is given up.
	FirstToken, Idle time.Duration
}

// Keeper holds resources that outlive a change of the configuration, such as
// counters, caches and open files. A resource lives as long as one runtime that
// asked for it still serves requests.
type Keeper interface {
	// Hold gives the resource that is kept under the key, opening it when there
	// is none.
	Hold(key Key, open func() (io.Closer, error)) (io.Closer, error)
}

// Key says what makes a kept resource the same thing: what it is, and which.
type Key struct {
	Kind, Name string
}

// Keep gives the resource of type T that is kept for this plugin under the
// name, opening it when there is none. The caller does not close it: that
// happens when the last runtime that asked for it is gone.
//
// Choose the name so that it says all that makes the resource the same thing;
// a counter that must survive an edit of the configuration is named by the
// instance's id, a file by its path.
func Keep[T io.Closer](env Env, name string, open func() (T, error)) (T, error) {
	kept, err := env.Keeper.Hold(Key{Kind: env.Name, Name: name}, func() (io.Closer, error) { return open() })
	if err != nil {
		var none T
		return none, err
	}
	resource, ok := kept.(T)
	if !ok {
		var none T
		return none, fmt.Errorf("plugin %s: %q is kept as a %T, asked for as a %T", env.Name, name, kept, none)
	}
	return resource, nil
}
