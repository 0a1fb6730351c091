//go:build unix

package cli_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

func (d database) config(t *testing.T, words ...string) gibbon.Result {
	t.Helper()
	return gibbon.Command(t, d.settings, append(append([]string{"config"}, words...), d.args...)...)
}

// file writes a file for one test and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const shop = `_format_version: "3.0"
services:
- name: shop
  url: http://shop.test
  routes:
  - name: cart
    paths: [/cart]
consumers:
- username: anna
  keyauth_credentials:
  - {id: 7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c1, key: secret}
`

// collection is a line that begins a list of entities.
var collection = regexp.MustCompile(`^[a-z_]+:$`)

func TestConfigInit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kong.yml")
	expect(t, "init", gibbon.Command(t, nil, "config", "init", path), 0, "", "")
	expect(t, "parse the sample", gibbon.Command(t, nil, "config", "parse", path), 0, "parse successful\n", "")
	sample := contents(t, path)
	expect(t, "init again", gibbon.Command(t, nil, "config", "init", path), 1, "",
		"Error: "+path+" already exists.\nWill not overwrite it."+hint)
	if got := contents(t, path); got != sample {
		t.Errorf("the file that existed is now\n%s", got)
	}
	// What the sample has in comments is right too, with the signs taken away.
	var lines []string
	within := false
	for line := range strings.SplitSeq(sample, "\n") {
		text, _ := strings.CutPrefix(line, "#")
		text = strings.TrimPrefix(text, " ")
		within = collection.MatchString(text) || within && line != ""
		if within || !strings.HasPrefix(line, "#") {
			lines = append(lines, text)
		}
	}
	whole := file(t, "whole.yml", strings.Join(lines, "\n"))
	expect(t, "parse the examples of the sample", gibbon.Command(t, nil, "config", "parse", whole), 0, "parse successful\n", "")
	if text := contents(t, whole); !strings.Contains(text, "\n- name: example-service\n") || !strings.Contains(text, "\nplugins:\n") {
		t.Errorf("the examples are not in\n%s", text)
	}
}

func TestConfigParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, problem string }{
		{"a missing field", "_format_version: \"3.0\"\nservices:\n- name: shop\n",
			"in 'services':\n  - in entry 1 of 'services':\n    in 'host': required field missing"},
		{"no YAML", "_format_version: [", "failed parsing declarative configuration: line 1: did not find expected node content"},
		{"another version", `{"_format_version": "4.0"}`, "in '_format_version': expected one of: 1.1, 2.1, 3.0"},
	} {
		path := file(t, "kong.yml", tt.text)
		expect(t, tt.name, gibbon.Command(t, nil, "config", "parse", path), 1, "", "Error: Failed parsing:\n"+tt.problem+hint)
		expect(t, tt.name+", imported", gibbon.Command(t, map[string]string{"KONG_DATABASE": "sqlite"}, "config", "db_import", path, "--prefix", t.TempDir()),
			1, "", "Error: Failed parsing:\n"+tt.problem+hint)
	}
	path := file(t, "kong.yml", "_format_version: \"3.0\"\nplugins:\n- name: key-auth\n")
	expect(t, "a plugin that is switched off", gibbon.Command(t, map[string]string{"KONG_PLUGINS": "file-log"}, "config", "parse", path), 1, "",
		"Error: Failed parsing:\nin 'plugins':\n  - in entry 1 of 'plugins':\n    in 'name': plugin 'key-auth' not enabled; add it to the 'plugins' configuration property"+hint)
	expect(t, "no file named", gibbon.Command(t, nil, "config", "parse"), 1, "",
		"Error: expected a declarative configuration file; see 'gibbon config --help'"+hint)
	if r := gibbon.Command(t, nil, "config", "parse", path+".none"); r.Code != 1 || !strings.Contains(r.ErrOut, path+".none") {
		t.Errorf("a file that is not there: %+v", r)
	}
}

// TestConfigOfDatabase loads a file, saves what is there, and loads that.
func TestConfigOfDatabase(t *testing.T) {
	t.Parallel()
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			source := file(t, "kong.yml", shop)
			if name == "postgres" {
				expect(t, "db_import into nothing", d.config(t, "db_import", source), 1,
					"parse successful, beginning import\n", "Error: "+needsBootstrap+hint)
				if r := d.migrations(t, "bootstrap"); r.Code != 0 {
					t.Fatalf("bootstrap: %+v", r)
				}
			}
			const imported = "parse successful, beginning import\nimport successful\n"
			expect(t, "db_import", d.config(t, "db_import", source), 0, imported, "")
			expect(t, "db_import again, with more words", d.config(t, "db_import", source, "--v"), 0,
				"parse successful, beginning import\n0 added, 0 changed, 4 as they were\nimport successful\n", "")
			export := filepath.Join(t.TempDir(), "export.yml")
			expect(t, "db_export", d.config(t, "db_export", export), 0, "", "")
			expect(t, "db_export again", d.config(t, "db_export", export), 1, "",
				"Error: "+export+" already exists. Will not overwrite it."+hint)
			if info, err := os.Stat(export); err != nil || info.Mode() != 0o600 {
				t.Errorf("the export, which has secrets, has mode %v (%v)", info.Mode(), err)
			}
			for _, want := range []string{"_transform: false\n", "  name: shop\n", "  name: cart\n", "  key: secret\n"} {
				if !strings.Contains(contents(t, export), want) {
					t.Errorf("the export lacks %q:\n%s", want, contents(t, export))
				}
			}
			other := database{map[string]string{"KONG_DATABASE": "sqlite"}, []string{"--prefix", t.TempDir()}}
			expect(t, "db_import of the export", other.config(t, "db_import", export), 0, imported, "")
			second := filepath.Join(t.TempDir(), "second.yml")
			expect(t, "db_export of the other", other.config(t, "db_export", second), 0, "", "")
			if diff := cmp.Diff(contents(t, export), contents(t, second)); diff != "" {
				t.Errorf("the second export (-first +second):\n%s", diff)
			}
			// JSON says the same.
			json := filepath.Join(t.TempDir(), "export.json")
			expect(t, "db_export as JSON", d.config(t, "db_export", json), 0, "", "")
			expect(t, "db_import of the JSON", d.config(t, "db_import", json, "--v"), 0,
				"parse successful, beginning import\n0 added, 0 changed, 5 as they were\nimport successful\n", "")

			workspaces := file(t, "w.yml", "_format_version: \"3.0\"\nworkspaces:\n- name: other\n")
			expect(t, "a workspace", d.config(t, "db_import", workspaces), 0, imported, "")
			expect(t, "db_import into a workspace", d.config(t, "db_import", "--workspace", "other", file(t, "kong.yml",
				"_format_version: \"3.0\"\nservices:\n- {name: shop, host: h}\n")), 0, imported, "")
			expect(t, "db_import into no workspace", d.config(t, "db_import", "--workspace", "none", source), 1,
				"parse successful, beginning import\n", "Error: import "+source+": there is no workspace \"none\""+hint)
			taken := file(t, "taken.yml", "_format_version: \"3.0\"\nservices:\n- {name: shop, host: h, id: 7f1c0a6e-8f0a-4a53-a1a5-51b1a3d0f5c9}\n")
			expect(t, "db_import of a name that is taken", d.config(t, "db_import", taken), 1, "parse successful, beginning import\n",
				"Error: import "+taken+": services: the value of name is taken\n"+
					"The database has another entity with that value: give its id in the file, or delete it first."+hint)
		})
	}
}

func TestConfigWithoutDatabase(t *testing.T) {
	t.Parallel()
	source := file(t, "kong.yml", shop)
	off := map[string]string{"KONG_DATABASE": "off"}
	r := gibbon.Command(t, off, "config", "db_import", source)
	if r.Code != 1 || !strings.HasPrefix(r.ErrOut, "Error: 'gibbon config db_import' only works with a database.\n") {
		t.Errorf("db_import: %+v", r)
	}
	r = gibbon.Command(t, off, "config", "db_export", source+".new")
	if r.Code != 1 || !strings.HasPrefix(r.ErrOut, "Error: 'gibbon config db_export' only works with a database.\n") {
		t.Errorf("db_export: %+v", r)
	}
}

// TestConfigOfRunningNode: the file of a running node is not to be touched.
func TestConfigOfRunningNode(t *testing.T) {
	t.Parallel()
	n := gibbon.Run(t)
	n.Start()
	source := file(t, "kong.yml", shop)
	settings := map[string]string{"KONG_DATABASE": "sqlite"}
	for _, words := range [][]string{{"db_import", source}, {"db_export", source + ".new"}} {
		r := gibbon.Command(t, settings, append(append([]string{"config"}, words...), "--prefix", n.Prefix)...)
		if r.Code != 1 || !strings.Contains(r.ErrOut, "is locked by another process (its lock is "+n.Prefix) || !strings.Contains(r.ErrOut, "stop that process") {
			t.Errorf("%s while the node runs: %+v", words[0], r)
		}
	}
	if _, err := os.Stat(source + ".new"); err == nil {
		t.Error("an export that failed left a file")
	}
	n.Stop()
	r := gibbon.Command(t, settings, "config", "db_import", source, "--prefix", n.Prefix)
	expect(t, "db_import after the end", r, 0, "parse successful, beginning import\nimport successful\n", "")
	n.Start()
	if got := gibbon.Call(t, http.MethodGet, n.AdminURL("/services/shop"), nil); got.Status != http.StatusOK {
		t.Errorf("the imported service: %v", got)
	}
}
