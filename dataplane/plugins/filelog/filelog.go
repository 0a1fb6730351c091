// Package filelog appends the log object of each request to a file, one line of
// JSON each.
package filelog

import (
	"sync"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// Plugin is file-log's entry in the list of plugins.
var Plugin = plugin.Of("file-log", New)

// Handler is one configured instance.
type Handler struct {
	file   *file
	custom []customField
	lines  sync.Pool
}

var _ plugin.Logger = (*Handler)(nil) // runs in the log phase, and in no other

// New readies a handler for one configured instance. The file need not exist, nor
// be writable: that is found out, and logged, when there is something to write.
func New(cfg *pluginpb.FileLog, env plugin.Env) (*Handler, error) {
	h := &Handler{custom: readCustom(cfg.GetCustomFieldsByLua(), env.Log)}
	h.lines.New = func() any { return new([]byte) }
	// Instances with the same file share a writer, so that their lines do not
	// mix. The writer outlives a change of the configuration.
	name := "file " + cfg.GetPath()
	if cfg.GetReopen() {
		name = "reopened " + name
	}
	var err error
	h.file, err = plugin.Keep(env, name, func() (*file, error) {
		return newFile(cfg.GetPath(), cfg.GetReopen(), env.Log), nil
	})
	return h, err
}

// maxPooledLine is the largest line whose memory is used again, in bytes.
const maxPooledLine = 64 << 10

// Log writes the request's line.
func (h *Handler) Log(r *plugin.Request) {
	space := h.lines.Get().(*[]byte)
	line := r.AppendLog((*space)[:0])
	if len(h.custom) > 0 {
		line = applyCustom(h.custom, line)
	}
	line = append(line, '\n')
	h.file.append(line)
	if cap(line) <= maxPooledLine {
		*space = line
		h.lines.Put(space)
	}
}
