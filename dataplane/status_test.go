package dataplane

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/internal/settings"
)

// TestUnready wants a reason to keep traffic away where nothing was configured
// yet, and none where one begins with nothing.
func TestUnready(t *testing.T) {
	inProcess := func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }
	for _, tt := range []struct {
		name, database string
		dial           func(context.Context) (net.Conn, error)
		held           *held
		draining       bool
		want           string
	}{
		{name: "nothing came", database: "sqlite", dial: inProcess, want: "no configuration available (configuration hash is not initialized)"},
		{name: "a data plane, empty", database: "postgres", held: &held{empty: true}, want: "no configuration available (empty configuration present)"},
		{name: "one machine, empty", database: "sqlite", dial: inProcess, held: &held{empty: true}},
		{name: "no database, empty", database: "off", dial: inProcess, held: &held{empty: true}, want: "no configuration available (empty configuration present)"},
		{name: "no database, configured", database: "off", dial: inProcess, held: &held{hash: strings.Repeat("a", 32)}},
		{name: "draining", database: "sqlite", dial: inProcess, held: &held{}, draining: true, want: "draining"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &DataPlane{cfg: Config{Settings: &settings.Settings{Database: tt.database}, Dial: tt.dial}}
			d.draining.Store(tt.draining)
			if tt.held != nil {
				d.held.Store(tt.held)
			}
			if got := d.unready(); got != tt.want {
				t.Errorf("unready() = %q, want %q", got, tt.want)
			}
		})
	}
}
