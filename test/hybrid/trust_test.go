//go:build unix

package hybrid_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// TestStrangersGetNothing has data planes with another certificate, and with none,
// ask a control plane that serves a third one well.
func TestStrangersGetNothing(t *testing.T) {
	t.Parallel()
	echo := gibbon.Echo(t)
	pair := certificate(t)
	control := gibbon.ControlPlane(t)
	give(control, pair)
	control.Start()
	configure(control, echo)

	friend := gibbon.DataPlane(t, "friend", control)
	give(friend, pair)
	other := gibbon.DataPlane(t, "other-certificate", control)
	give(other, certificate(t))
	bare := gibbon.DataPlane(t, "no-certificate", control)
	friend.Start()
	inStep(t, control, 1, configured)
	serves(t, friend)

	for _, stranger := range []*gibbon.Node{other, bare} {
		stranger.Launch()
		line := stranger.Log.Wait(t, 0, `"msg":"control plane is away"`)
		if stranger == other && !strings.Contains(line, "certificate") {
			t.Errorf("the log of the data plane with another certificate says %s, which names no certificate", line)
		}
		stranger.WaitStatus("to be without configuration", func(status int, body string) bool {
			return status == http.StatusServiceUnavailable && strings.Contains(body, "no configuration available")
		})
		if applied := stranger.Log.Applied(t); len(applied) > 0 {
			t.Errorf("%s applied the versions %d", stranger.Name, applied)
		}
		if files := generations(t, stranger); len(files) > 0 {
			t.Errorf("%s has cached %q", stranger.Name, files)
		}
		if answer := gibbon.Call(t, http.MethodPost, stranger.ProxyURL("/chat"), gibbon.Chat("Hello!"), "apikey: "+apiKey); answer.Status != http.StatusNotFound {
			t.Errorf("chat through %s: %s, want 404", stranger.Name, answer)
		}
	}
	if list := fleet(t, control); len(list) != 1 || !list[0].Connected {
		t.Errorf("the control plane knows the data planes %+v, want the friend alone", list)
	}
}

// TestPlaintextStaysOnLoopback wants both commands to refuse to start.
func TestPlaintextStaysOnLoopback(t *testing.T) {
	t.Parallel()
	ports := gibbon.FreePorts(t, 3)
	for _, tt := range []struct {
		name     string
		command  string
		settings map[string]string
	}{
		{"a control plane that listens to the world", "controlplane", map[string]string{
			"KONG_DATABASE": "sqlite", "KONG_ADMIN_LISTEN": ports[0], "KONG_STATUS_LISTEN": ports[1],
			"KONG_CLUSTER_LISTEN": "0.0.0.0:8005",
		}},
		{"a data plane whose control plane is elsewhere", "dataplane", map[string]string{
			"KONG_PROXY_LISTEN": ports[2], "KONG_STATUS_LISTEN": ports[1],
			"KONG_CLUSTER_CONTROL_PLANE": "192.0.2.1:8005",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := gibbon.Command(t, tt.settings, tt.command, "--prefix", t.TempDir())
			if want := "Error: cluster certificate and key must be provided to use Hybrid mode"; r.Code != 1 || !strings.HasPrefix(r.ErrOut, want) {
				t.Errorf("exit code %d, and it says %q; want 1 and %q", r.Code, r.ErrOut, want)
			}
		})
	}
}
