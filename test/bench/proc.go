package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc: every Linux shows programs 100 a second.
const tick = 10 * time.Millisecond

// A procStat is what is needed of /proc/PID/stat.
type procStat struct {
	parent int
	ticks  uint64 // user and system time together
}

// parseStat reads the content of /proc/PID/stat. The command's name in it may
// hold spaces and brackets, so fields count from the last closing bracket.
func parseStat(b []byte) (procStat, error) {
	bracket := bytes.LastIndexByte(b, ')')
	if bracket < 0 {
		return procStat{}, fmt.Errorf("stat without a command name: %q", b)
	}
	const third = 3 // number of the first field after the name, as proc(5) counts
	fields := strings.Fields(string(b[bracket+1:]))
	if len(fields) <= 15-third {
		return procStat{}, fmt.Errorf("stat ends after %d fields", len(fields)+third-1)
	}
	parent, err := strconv.Atoi(fields[4-third])
	if err != nil {
		return procStat{}, fmt.Errorf("stat, parent: %w", err)
	}
	s := procStat{parent: parent}
	for _, number := range []int{14, 15} {
		ticks, err := strconv.ParseUint(fields[number-third], 10, 64)
		if err != nil {
			return procStat{}, fmt.Errorf("stat, field %d: %w", number, err)
		}
		s.ticks += ticks
	}
	return s, nil
}

// What resident memory is called in /proc/PID/status: what there is of it, and
// the most that there ever was.
const residentNow, residentPeak = "VmRSS", "VmHWM"

// parseMemory reads one of these, in bytes, from the content of
// /proc/PID/status.
func parseMemory(b []byte, name string) (int64, error) {
	for line := range strings.Lines(string(b)) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		number, ok := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		if !ok {
			return 0, fmt.Errorf("memory in an unknown unit: %q", line)
		}
		kilobytes, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("resident memory: %w", err)
		}
		return kilobytes << 10, nil
	}
	return 0, fmt.Errorf("status has no line %s", name)
}

// family finds a process and all that descends from it. Processes that end
// meanwhile are left out.
func family(pid int) (map[int]procStat, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	all := map[int]procStat{}
	for _, folder := range folders {
		id, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join(folder, "stat"))
		if err != nil {
			continue // it has ended
		}
		if all[id], err = parseStat(b); err != nil {
			return nil, fmt.Errorf("process %d: %w", id, err)
		}
	}
	found := map[int]procStat{}
	for id, stat := range all {
		for at, ok := id, true; ok && at > 0; at = all[at].parent {
			if at == pid {
				found[id] = stat
				break
			}
			_, ok = all[at]
		}
	}
	if _, ok := found[pid]; !ok {
		return nil, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return found, nil
}

// cpuTime is the CPU time that a process and its children have used so far.
func cpuTime(pid int) (time.Duration, error) {
	members, err := family(pid)
	if err != nil {
		return 0, err
	}
	var ticks uint64
	for _, stat := range members {
		ticks += stat.ticks
	}
	return time.Duration(ticks) * tick, nil
}

// resident is the resident memory of a process and its children in bytes, now.
// Pages that they share count once for each.
func resident(pid int) (int64, error) { return memory(pid, residentNow) }

func memory(pid int, name string) (int64, error) {
	members, err := family(pid)
	if err != nil {
		return 0, err
	}
	var sum int64
	for id := range members {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
		if errors.Is(err, fs.ErrNotExist) && id != pid {
			continue
		}
		if err != nil {
			return 0, err
		}
		bytes, err := parseMemory(b, name)
		if err != nil {
			return 0, fmt.Errorf("process %d: %w", id, err)
		}
		sum += bytes
	}
	return sum, nil
}
