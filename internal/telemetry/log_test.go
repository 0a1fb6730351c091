package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLevels(t *testing.T) {
	last := slog.Level(-100)
	for _, name := range strings.Fields("debug info notice warn error crit alert emerg") {
		level, err := ParseLevel(name)
		if err != nil {
			t.Fatal(err)
		}
		if level <= last || LevelName(level) != name {
			t.Errorf("%s is %v, named %q, after %v", name, level, LevelName(level), last)
		}
		last = level
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("a level that is none was accepted")
	}
	if got := LevelName(slog.LevelDebug - 4); got != "debug" {
		t.Errorf("below debug is %q", got)
	}
}

func TestLevelChangesWhileInUse(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLog(Config{Output: &out, Level: "warn"})
	if err != nil {
		t.Fatal(err)
	}
	child := log.With("part", "x")
	Notice(context.Background(), child, "one")
	if err := log.SetLevel("notice"); err != nil {
		t.Fatal(err)
	}
	Notice(context.Background(), child, "two")
	child.Info("three")
	if err := log.SetLevel("loud"); err == nil || log.Level() != "notice" {
		t.Errorf("a wrong level gave %v and set %q", err, log.Level())
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("want one JSON line, got %q: %v", out.String(), err)
	}
	delete(line, "time")
	if d := cmp.Diff(map[string]any{"level": "notice", "msg": "two", "part": "x"}, line); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestFormat(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if isTerminal(w) || isTerminal(&bytes.Buffer{}) {
		t.Error("a pipe or a buffer passes for a terminal")
	}
	for format, want := range map[string]string{"": `"level":"error"`, "auto": `"level":"error"`, "json": `"level":"error"`, "text": "level=error"} {
		var out bytes.Buffer
		log, err := NewLog(Config{Output: &out, Format: format})
		if err != nil {
			t.Fatal(err)
		}
		log.Error("x")
		if !strings.Contains(out.String(), want) {
			t.Errorf("format %q wrote %q", format, out.String())
		}
	}
	for _, cfg := range []Config{{Format: "xml"}, {Level: "loud"}} {
		if _, err := NewLog(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// TestNoSecretIsLogged logs a marked secret in every way that happens.
func TestNoSecretIsLogged(t *testing.T) {
	const mark = "hunter2hunter2"
	u, err := url.Parse("redis://default:" + mark + "@cache:6379/0")
	if err != nil {
		t.Fatal(err)
	}
	urlErr := &url.Error{Op: "Post", URL: "https://api.example/v1?key=" + mark + "&x=1", Err: errors.New("refused")}
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := NewLog(Config{Output: &out, Format: format})
		if err != nil {
			t.Fatal(err)
		}
		log.Error("m", "Authorization", "Bearer "+mark, "x_api_key", mark, "kept", "visible")
		log.Error("m", "url", u, "err", fmt.Errorf("call: %w", urlErr))
		log.Error("m", slog.Group("headers", "cookie", mark, "set-cookie", []string{mark}), slog.Group("token", "a", mark))
		log.With("password", mark).Error("m", "header", "authorization: Basic "+mark)
		log.Error("m", "count", 3, "password", "")
		got := out.String()
		if strings.Contains(got, mark) {
			t.Errorf("%s shows a secret:\n%s", format, got)
		}
		for _, want := range []string{"visible", "redis://" + Mask + "@cache:6379/0", "refused", "x=1", Mask} {
			if !strings.Contains(got, want) && !strings.Contains(got, strings.ReplaceAll(want, "&", `\u0026`)) {
				t.Errorf("%s lost %q:\n%s", format, want, got)
			}
		}
		if n := strings.Count(got, "\n"); n != 5 {
			t.Errorf("%s wrote %d lines, want 5", format, n)
		}
	}
}

func TestRedact(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"nothing to hide", "nothing to hide"},
		{"mail me@example.com about https://example.com/a@b", "mail me@example.com about https://example.com/a@b"},
		{"postgres://u:p@db/x and redis://:p@r", "postgres://******@db/x and redis://******@r"},
		{"http://u:p@ss@host/", "http://******@host/"},
		{`Get "https://h/p?api-key=abc&model=m&sig=z": EOF`, `Get "https://h/p?api-key=******&model=m&sig=******": EOF`},
		{"/v1?X-Amz-Signature=f00&X-Amz-Date=d", "/v1?X-Amz-Signature=******&X-Amz-Date=d"},
		{"/v1?api%5Fkey=f00", "/v1?api%5Fkey=******"},
		{"/v1?monkey=f00&keys=1", "/v1?monkey=f00&keys=1"},
		{"sent Bearer sk-0123456789 twice", "sent Bearer ****** twice"},
		{"the bearer of news", "the bearer of news"},
	} {
		if got := Redact(tt.text); got != tt.want {
			t.Errorf("Redact(%q) = %q, want %q", tt.text, got, tt.want)
		}
		if again := Redact(tt.want); again != tt.want {
			t.Errorf("Redact(%q) = %q, want no change", tt.want, again)
		}
	}
}

func TestRedactHeader(t *testing.T) {
	h := http.Header{"Authorization": {"a"}, "X-Mine": {"b", "c"}, "X-Kept": {"d"}, "Referer": {"http://u:p@h/"}}
	want := http.Header{"Authorization": {Mask}, "X-Mine": {Mask, Mask}, "X-Kept": {"d"}, "Referer": {"http://" + Mask + "@h/"}}
	if d := cmp.Diff(want, RedactHeader(h, "x_mine")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if h.Get("Authorization") != "a" {
		t.Error("the original was changed")
	}
}

// FuzzRedact checks that a second pass finds nothing more, and that a password
// in a URL never survives.
func FuzzRedact(f *testing.F) {
	f.Add("see ", "pass", "/x?key=1")
	f.Add("https://a@", "b@c", "")
	f.Fuzz(func(t *testing.T, before, password, after string) {
		password = url.UserPassword("u", "Q"+password+"Q").String()
		text := before + " amqp://" + password + "@host/" + after
		got := Redact(text)
		if strings.Contains(got, " amqp://"+password+"@host/") {
			t.Fatalf("Redact(%q) = %q keeps %q", text, got, password)
		}
		if again := Redact(got); again != got {
			t.Fatalf("Redact(%q) = %q, then %q", text, got, again)
		}
	})
}

// TestLevelForAWhile changes a level again before its time is over, and takes a
// change back.
func TestLevelForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := NewLog(Config{Output: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		set := func(name string, timeout time.Duration) {
			t.Helper()
			if err := log.SetLevelFor(name, timeout); err != nil {
				t.Fatal(err)
			}
		}
		check := func(level, original string, left time.Duration) {
			t.Helper()
			if o, l := log.ChangedLevel(); log.Level() != level || o != original || l != left {
				t.Errorf("level %s, original %s, left %s; want %s, %s, %s", log.Level(), o, l, level, original, left)
			}
		}
		check("notice", "notice", 0)
		set("debug", 10*time.Second)
		time.Sleep(6 * time.Second)
		check("debug", "notice", 4*time.Second)
		set("error", 10*time.Second)
		time.Sleep(9 * time.Second)
		check("error", "notice", time.Second)
		time.Sleep(time.Second + time.Millisecond)
		check("notice", "notice", 0)

		set("debug", time.Minute)
		log.RestoreLevel()
		check("notice", "notice", 0)
		set("debug", time.Minute)
		if err := log.SetLevel("warn"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		check("warn", "warn", 0)
		log.RestoreLevel()
		check("warn", "warn", 0)
		if err := log.SetLevelFor("loud", time.Second); err == nil {
			t.Error("a level that is none was taken")
		}
	})
}
