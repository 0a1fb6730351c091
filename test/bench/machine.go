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

// describeSubject says which gibbon is measured: the version that it tells,
// and what the Go linker has left in it.
func describeSubject(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, path, "version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("gibbon version: %w: %s", err, out)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("gibbon's build: %w", err)
	}
	return subject(string(out), info), nil
}

func subject(version string, info *buildinfo.BuildInfo) string {
	var revision, changed string
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			revision = " at " + setting.Value[:min(len(setting.Value), 12)]
		case "vcs.modified":
			if setting.Value == "true" {
				changed = ", changed"
			}
		}
	}
	return "gibbon " + strings.TrimSpace(version) + revision + changed + ", built with " + info.GoVersion
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
