package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// NodeID returns the identity of this node: chosen when the operator set one,
// else the one kept in <prefix>/node.id, made at the first call. The prefix must
// exist. Processes that share a prefix and start at once agree on one id.
func NodeID(prefix, chosen string) (string, error) {
	if chosen != "" {
		return chosen, nil
	}
	path := filepath.Join(prefix, "node.id")
	id, err := readNodeID(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	// A link either appears whole or not at all, and does not replace one that
	// another process was quicker to make.
	tmp, err := os.CreateTemp(prefix, "node.id-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("make node id: %w", err)
	}
	defer os.Remove(tmp.Name()) // a leftover holds nothing of worth
	_, err = tmp.WriteString(uuid.NewString() + "\n")
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return "", fmt.Errorf("make node id: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make node id: %w", err)
	}
	return readNodeID(path)
}

func readNodeID(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read node id: %w", err)
	}
	id := strings.TrimSpace(string(data))
	if !isUUID(id) {
		return "", fmt.Errorf("read node id: %s does not hold a UUID; remove it to get a new one", path)
	}
	return id, nil
}

// isUUID takes the one spelling with 36 characters.
func isUUID(text string) bool {
	_, err := uuid.Parse(text)
	return err == nil && len(text) == 36
}
