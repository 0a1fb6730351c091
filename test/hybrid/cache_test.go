//go:build unix

package hybrid_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// generations are the files of a data plane's cache, oldest first.
func generations(t *testing.T, n *gibbon.Node) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.Prefix, "cluster_cache", "snapshot-*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

func TestNoControlPlaneAndNoCache(t *testing.T) {
	t.Parallel()
	data := gibbon.DataPlane(t, "dataplane", gibbon.ControlPlane(t))
	data.Launch()
	data.WaitStatus("to say why it is not ready", func(status int, body string) bool {
		return status == http.StatusServiceUnavailable && strings.Contains(body, "no configuration available")
	})
	data.Log.Wait(t, 0, `"msg":"control plane is away"`)
	answer := gibbon.Call(t, http.MethodPost, data.ProxyURL("/chat"), gibbon.Chat("Hello!"))
	if answer.Status != http.StatusNotFound || !strings.Contains(answer.Body, "no Route matched with those values") {
		t.Errorf("a request to a data plane without configuration: %s, want 404", answer)
	}
	if code := data.Stop(); code != 0 {
		t.Errorf("it ended with exit code %d", code)
	}
}

// TestDamagedCache starts a data plane alone, with one flipped bit in the newest
// of its snapshots.
func TestDamagedCache(t *testing.T) {
	t.Parallel()
	echo := gibbon.Echo(t)
	control := gibbon.ControlPlane(t)
	data := gibbon.DataPlane(t, "dataplane", control)
	control.Start()
	data.Launch()
	configure(control, echo)
	data.WaitReady()
	inStep(t, control, 1, configured)
	cached := func(atLeast int) (files []string) {
		t.Helper()
		gibbon.Eventually(t, fmt.Sprintf("%d cached generations", atLeast), func() error {
			if files = generations(t, data); len(files) < atLeast {
				return fmt.Errorf("there are %q", files)
			}
			return nil
		})
		return files
	}
	one := cached(1)
	control.Create("/services/ai/routes", gibbon.JSON{"name": "another", "paths": []string{"/another"}})
	inStep(t, control, 1, configured+1)
	gibbon.Eventually(t, "the newest configuration to be cached", func() error {
		if files := cached(2); files[len(files)-1] == one[len(one)-1] {
			return fmt.Errorf("there are %q", files)
		}
		return nil
	})
	data.Stop()
	control.Stop()

	files := generations(t, data)
	damaged := files[len(files)-1]
	b, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(damaged, b, 0o600); err != nil {
		t.Fatal(err)
	}

	from, applied := data.Log.Len(), len(data.Log.Applied(t))
	data.Start()
	line := data.Log.Wait(t, from, `"msg":"cached configuration skipped"`)
	if !strings.Contains(line, filepath.Base(damaged)) || !strings.Contains(line, "sum: the file is damaged or cut") {
		t.Errorf("the log says %s, want the file %s and the check", line, damaged)
	}
	// The node is ready a moment before it says from what.
	data.Log.Wait(t, from, `"msg":"configuration applied from the cache"`)
	if got := data.Log.Applied(t)[applied:]; !slices.Equal(got, []uint64{configured}) {
		t.Errorf("the data plane started with version %d, want %d, the one before the damaged one", got, configured)
	}
	serves(t, data)
	if answer := gibbon.Call(t, http.MethodGet, data.ProxyURL("/another"), nil); answer.Status != http.StatusNotFound {
		t.Errorf("the route of the damaged snapshot: %s, want 404", answer)
	}
	if _, err := os.Stat(damaged); err != nil {
		t.Errorf("the damaged file is evidence and stays: %v", err)
	}

	// With none that is good the node does not serve, and says so.
	data.Stop()
	files = generations(t, data)
	for _, file := range files {
		if err := os.Truncate(file, 100); err != nil {
			t.Fatal(err)
		}
	}
	from = data.Log.Len()
	data.Launch()
	data.WaitStatus("to say why it is not ready", func(status int, body string) bool {
		return status == http.StatusServiceUnavailable && strings.Contains(body, "no configuration available")
	})
	for _, file := range files {
		data.Log.Wait(t, from, `"msg":"cached configuration skipped"`, filepath.Base(file), "sum: the file is damaged or cut")
	}
	// The control plane cures it.
	control.Start()
	data.WaitReady()
	serves(t, data)
}
