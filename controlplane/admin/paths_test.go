package admin

import (
	"testing"

	"github.com/gibbon-gateway/gibbon/schema"
)

// TestWorkspaceNames wants no workspace to be hidden by a path of the API, or
// to hide one: a workspace's name stands where the first segment of a path does.
func TestWorkspaceNames(t *testing.T) {
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	workspaces, ok := catalogue.Entity(workspaceKind)
	if !ok {
		t.Fatal("no workspaces")
	}
	for _, template := range newPaths(catalogue).templates() {
		segments := split(template)
		if len(segments) == 0 {
			continue
		}
		if workspaces.ValidKey(segments[0]) == nil {
			t.Errorf("a workspace may be called %s, which begins %s: add it to not_one_of in workspace.proto", segments[0], template)
		}
	}
	if err := workspaces.ValidKey(defaultWorkspace); err != nil {
		t.Errorf("%s: %v", defaultWorkspace, err)
	}
}
