//go:build unix

package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/test/gibbon"
)

// scripts are the clients in other languages: the file that pins their versions,
// the script that uses them, and how it is run in the folder where they are
// installed. The script comes by standard input, so that it finds the packages of
// that folder.
var scripts = map[string]struct {
	pins, script string
	command      []string
}{
	"python": {"requirements.txt", "suite.py", []string{"bin/python", "-"}},
	"node":   {"package.json", "suite.mjs", []string{"node", "--input-type=module", "-"}},
}

// script runs a client in another language and returns what it saw.
func script(t *testing.T, n *gibbon.Node, name string) []seen {
	t.Helper()
	s := scripts[name]
	home := filepath.Join(gibbon.Root(t), ".cache", "clients", name)
	pins, err := os.ReadFile(filepath.Join(name, s.pins))
	if err != nil {
		t.Fatal(err)
	}
	installed, err := os.ReadFile(filepath.Join(home, "pins"))
	if err != nil || !bytes.Equal(pins, installed) {
		t.Fatalf("the client is not installed in the version that %s/%s pins (%v): run make clients", name, s.pins, err)
	}
	program := s.command[0]
	if strings.Contains(program, "/") {
		program = filepath.Join(home, program)
	}
	source, err := os.Open(filepath.Join(name, s.script))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	told, err := json.Marshal(map[string]any{"proxy": n.ProxyURL(""), "routes": works(), "question": asked})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience) // for some two hundred calls
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(s.command[1:], string(told))...)
	cmd.Dir = home
	cmd.Stdin = source
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v (run make clients if it is missing)\n%s", program, err, &stderr)
	}
	var all []seen
	for line := range strings.Lines(stdout.String()) {
		var one seen
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("the client tells %q: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}
