package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// A machine is what a reader has to know to judge absolute figures.
type machine struct {
	CPU, Kernel, Nginx, Wrk string
	Cores                   int
}

// describeMachine asks the system. What it cannot find out it calls unknown.
func describeMachine(ctx context.Context, nginx, wrk string) machine {
	m := machine{Cores: runtime.NumCPU(), CPU: "unknown", Kernel: "unknown"}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = cpuModel(string(b))
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(b)) + " " + runtime.GOARCH
	}
	// wrk has no way to be asked that ends with 0, hence the output alone counts.
	m.Nginx = firstVersion(said(ctx, nginx, "-v"))
	m.Wrk = firstVersion(said(ctx, wrk, "-v"))
	return m
}

// describeSubject says which gibbon was measured, from what the Go linker has
// left in it.
func describeSubject(path string) (string, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("gibbon's build: %w", err)
	}
	revision, changed := "", false
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			revision = setting.Value
		case "vcs.modified":
			changed = setting.Value == "true"
		}
	}
	text := "gibbon"
	if revision != "" {
		text += " " + revision[:min(len(revision), 12)]
	}
	if changed {
		text += " with changes"
	}
	return text + ", built with " + info.GoVersion, nil
}

func said(ctx context.Context, path string, args ...string) string {
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil && len(out) == 0 {
		return err.Error()
	}
	return string(out)
}

// cpuModel finds the processor's name in the content of /proc/cpuinfo, which
// not every architecture puts there.
func cpuModel(info string) string {
	for line := range strings.Lines(info) {
		name, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+`)

func firstVersion(text string) string {
	if v := versionNumber.FindString(text); v != "" {
		return v
	}
	return "unknown"
}
