package admin_test

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gibbon-gateway/gibbon/controlplane/admin"
	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/internal/telemetry"
)

// newLog is a log that really has levels.
func newLog(t testing.TB, out io.Writer) *telemetry.Log {
	t.Helper()
	log, err := telemetry.NewLog(telemetry.Config{Output: out, Format: "text"})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// TestLogLevel changes the level of a log in use, and waits for the old one to
// come back.
func TestLogLevel(t *testing.T) {
	known := catalogue(t)
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		log := newLog(t, &out)
		s, err := admin.New(admin.Config{Catalogue: known, LogLevel: log, Log: log.Logger})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		set := func(target, body string) {
			t.Helper()
			got := must(t, s, 200, "PUT", "/debug/node/log-level/"+target, "", body)
			if got.Get("message").Text() != "log level changed" {
				t.Errorf("PUT %s: %s", target, got)
			}
		}
		level := func(want string) {
			t.Helper()
			if got := must(t, s, 200, "GET", "/debug/node/log-level", "", "").String(); got != `{"message":"log level: `+want+`"}` {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		log.Debug("unseen")
		set("debug", "")
		level("debug")
		log.Debug("seen")
		if text := out.String(); strings.Contains(text, "unseen") || !strings.Contains(text, "msg=seen") || !strings.Contains(text, "actor=admin") {
			t.Errorf("the log is\n%s", text)
		}
		time.Sleep(60*time.Second - time.Millisecond)
		level("debug")
		time.Sleep(2 * time.Millisecond)
		level("notice")

		// Of two changes the second's time counts, and the first's level from before.
		set("debug?timeout=10", "")
		time.Sleep(5 * time.Second)
		set("error", `{"timeout":"20"}`)
		time.Sleep(15 * time.Second)
		level("error")
		time.Sleep(6 * time.Second)
		level("notice")

		// For good is for good.
		set("debug?timeout=10", "")
		set("info", `{"timeout":0}`)
		time.Sleep(time.Hour)
		level("info")

		// What a reload sets meanwhile is not undone.
		set("debug?timeout=10", "")
		if err := log.SetLevel("crit"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		level("crit")
		set("debug?timeout=10", "") // still running when the server ends
	})
}

// TestLogLevelWhereItStays asks for what cannot be done.
func TestLogLevelWhereItStays(t *testing.T) {
	log := newLog(t, io.Discard)
	s := newServer(t, func(cfg *admin.Config) {
		cfg.LogLevel = log
		cfg.Declarative = declarative.NewLoader(cfg.Store, cfg.Catalogue)
	})
	must(t, s, 200, "GET", "/debug/node/log-level", "", "")
	for _, path := range []string{"/debug/node/log-level/debug", "/debug/cluster/log-level/debug"} {
		if code, _, out := call(t, s, "PUT", path, "", ""); code != 405 || out != `{"message":"cannot change log level when not using a database"}` {
			t.Errorf("PUT %s without a database: %d %s", path, code, out)
		}
	}
	if log.Level() != "notice" {
		t.Errorf("the level is %s", log.Level())
	}
	none := newServer(t, func(cfg *admin.Config) { cfg.Log = slog.New(slog.DiscardHandler) })
	must(t, none, 404, "GET", "/debug/node/log-level", "", "")
	must(t, none, 404, "PUT", "/debug/node/log-level/debug", "", "")
}

// TestTimeoutInForms reads the timeout from both sorts of forms.
func TestTimeoutInForms(t *testing.T) {
	s := newServer(t, func(cfg *admin.Config) { cfg.LogLevel = newLog(t, io.Discard) })
	const multipart = "--b\r\nContent-Disposition: form-data; name=\"timeout\"\r\n\r\n-1\r\n--b--\r\n"
	for contentType, body := range map[string]string{form: "timeout=-1", "multipart/form-data; boundary=b": multipart} {
		code, _, out := call(t, s, "PUT", "/debug/node/log-level/debug", contentType, body)
		if code != 400 || out != `{"message":"timeout must be greater than or equal to 0"}` {
			t.Errorf("%s: %d %s", contentType, code, out)
		}
	}
}
