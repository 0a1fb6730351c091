package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The lines between which a page's tables are. What is around them belongs to
// whoever writes the page.
const (
	beginMark = "<!-- bench: begin; go run ./test/bench -out docs/benchmarks.md writes what follows -->"
	endMark   = "<!-- bench: end -->"
)

// replace puts a text between the marks of a page.
func replace(page, text string) (string, error) {
	before, rest, ok := strings.Cut(page, beginMark)
	if !ok {
		return "", fmt.Errorf("no line %q", beginMark)
	}
	_, after, ok := strings.Cut(rest, endMark)
	if !ok {
		return "", fmt.Errorf("no line %q after the beginning", endMark)
	}
	return before + beginMark + "\n\n" + strings.TrimSpace(text) + "\n\n" + endMark + after, nil
}

// page is the content that a file is going to have. A file that is not there
// becomes a page of nothing but the tables.
func page(path, text string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = []byte(beginMark+"\n"+endMark+"\n"), nil
	}
	if err != nil {
		return "", err
	}
	content, err := replace(string(b), text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}

// writePage writes the tables into a page, which is never seen half written.
func writePage(path, text string) (err error) {
	content, err := page(path, text)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".bench-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
