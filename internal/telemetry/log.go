// Package telemetry owns the form of what Gibbon says about itself. Today that
// is its log: one slog.Logger, made here and handed to whoever logs; there is no
// global one.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Levels that slog does not have and Kong does. They keep Kong's order.
const (
	LevelNotice = slog.LevelInfo + 2  // between info and warn
	LevelCrit   = slog.LevelError + 4 // above error, as the two below
	LevelAlert  = slog.LevelError + 8
	LevelEmerg  = slog.LevelError + 12
)

// levels are Kong's words, from the least severe.
var levels = []struct {
	name  string
	level slog.Level
}{
	{"debug", slog.LevelDebug},
	{"info", slog.LevelInfo},
	{"notice", LevelNotice},
	{"warn", slog.LevelWarn},
	{"error", slog.LevelError},
	{"crit", LevelCrit},
	{"alert", LevelAlert},
	{"emerg", LevelEmerg},
}

// ParseLevel returns the level that one of Kong's words stands for.
func ParseLevel(name string) (slog.Level, error) {
	for _, l := range levels {
		if l.name == name {
			return l.level, nil
		}
	}
	return 0, fmt.Errorf("%q is not a log level", name)
}

// LevelName returns Kong's word for a level: that of the most severe one not
// above it.
func LevelName(level slog.Level) string {
	name := levels[0].name
	for _, l := range levels {
		if level >= l.level {
			name = l.name
		}
	}
	return name
}

// Config says how to log. The zero value logs what is notice or worse to
// standard error.
type Config struct {
	// Level is Kong's word for the least severity to log; empty means notice.
	Level string
	// Format is auto, text or json; empty means auto: text when the output is a
	// terminal, else JSON.
	Format string
	// Output is where lines go, one Write each; nil means standard error.
	Output io.Writer
}

// Log is a logger whose level can be changed while it is in use.
type Log struct {
	*slog.Logger
	level *slog.LevelVar

	mu    sync.Mutex
	timer *time.Timer // nil: the level in force is there for good
	until time.Time   // when the timer is due
	back  slog.Level  // the level that comes back then
}

// NewLog makes a log. What it writes is redacted: see [Redact].
func NewLog(cfg Config) (*Log, error) {
	if cfg.Level == "" {
		cfg.Level = "notice"
	}
	level, err := ParseLevel(cfg.Level)
	if err != nil {
		return nil, err
	}
	if cfg.Output == nil {
		cfg.Output = os.Stderr
	}
	l := &Log{level: new(slog.LevelVar)}
	l.level.Set(level)
	opts := &slog.HandlerOptions{Level: l.level, ReplaceAttr: replaceAttr}
	format := cfg.Format
	if format == "" || format == "auto" {
		format = "json"
		if isTerminal(cfg.Output) {
			format = "text"
		}
	}
	var h slog.Handler
	switch format {
	case "json":
		h = slog.NewJSONHandler(cfg.Output, opts)
	case "text":
		h = slog.NewTextHandler(cfg.Output, opts)
	default:
		return nil, fmt.Errorf("%q is not a log format", cfg.Format)
	}
	l.Logger = slog.New(h)
	return l, nil
}

// SetLevel changes the least severity that this log and all made from it write,
// for good.
func (l *Log) SetLevel(name string) error { return l.SetLevelFor(name, 0) }

// SetLevelFor is SetLevel for a while: after the timeout the level comes back
// that was there before the first of several changes, unless SetLevel is called
// before. A timeout of 0 is for good.
func (l *Log) SetLevelFor(name string, timeout time.Duration) error {
	level, err := ParseLevel(name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	back := l.level.Level()
	if l.timer != nil {
		back = l.back
		l.timer.Stop()
		l.timer = nil
	}
	l.level.Set(level)
	if timeout == 0 {
		return nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(timeout, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.timer == timer { // else another change came first
			l.restore()
		}
	})
	l.timer, l.until, l.back = timer, time.Now().Add(timeout), back
	return nil
}

// RestoreLevel has the level come back at once that SetLevelFor has changed.
func (l *Log) RestoreLevel() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.restore()
	}
}

// restore ends a change. l.mu is held.
func (l *Log) restore() {
	l.timer = nil
	l.level.Set(l.back)
	Notice(context.Background(), l.Logger, "log level is back", "level_now", LevelName(l.back))
}

// ChangedLevel tells which level comes back and when; it is the one in force,
// and no time, when none does.
func (l *Log) ChangedLevel() (original string, left time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer == nil {
		return l.Level(), 0
	}
	return LevelName(l.back), max(time.Until(l.until), 0)
}

// Level returns Kong's word for the level in force.
func (l *Log) Level() string { return LevelName(l.level.Level()) }

// Notice logs what an operator should see though nothing is wrong.
func Notice(ctx context.Context, log *slog.Logger, msg string, args ...any) {
	log.Log(ctx, LevelNotice, msg, args...)
}

// isTerminal reports whether w is a character device, which a terminal is.
// /dev/null is one too, where the form does not matter.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// replaceAttr writes levels in Kong's words and takes secrets out of values.
func replaceAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String(a.Key, LevelName(level))
		}
	}
	if IsSecretName(a.Key) || slices.ContainsFunc(groups, IsSecretName) {
		// Whatever the value is: "empty or not" is all that may be told.
		if a.Value.Kind() == slog.KindString && a.Value.String() == "" {
			return a
		}
		return slog.String(a.Key, Mask)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		if clean := Redact(a.Value.String()); clean != a.Value.String() {
			return slog.String(a.Key, clean)
		}
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case error:
			// An error of net/http quotes the URL it was for.
			return slog.String(a.Key, Redact(v.Error()))
		case fmt.Stringer:
			// *url.URL prints its password, among others.
			return slog.String(a.Key, Redact(v.String()))
		}
	}
	return a
}

// canonical makes names comparable: without case, and "_" written as "-".
func canonical(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}
