package filelog

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// flushEvery is how long a line waits at most before it is written.
	flushEvery = 100 * time.Millisecond
	// flushAt is how many bytes are written without waiting.
	flushAt = 64 << 10
	// maxWaiting bounds the bytes that wait while the disk is busy; lines beyond
	// it are dropped and counted.
	maxWaiting = 8 << 20
	// complainEvery is how often a file that cannot be written is mentioned.
	complainEvery = 10 * time.Second
	fileMode      = 0o644
)

// file appends whole lines to a file. Lines gather in memory and are written
// together by a goroutine that ends with close, so that a slow disk holds up no
// request.
type file struct {
	path   string
	reopen bool
	log    *slog.Logger

	mu      sync.Mutex
	waiting []byte
	dropped uint64
	renewed bool // open the file anew before the next write
	closed  bool
	wake    chan struct{} // one value: there are lines
	full    chan struct{} // one value: there are many
	stop    chan struct{} // closed by Close
	done    chan struct{} // closed when the goroutine has ended

	// Only the goroutine uses the rest.
	out        *os.File
	torn       bool // the file ends in the middle of a line
	complained time.Time
}

func newFile(path string, reopen bool, log *slog.Logger) *file {
	f := &file{
		path: path, reopen: reopen, log: log,
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go f.run()
	return f
}

// append takes a line, which ends with its newline.
func (f *file) append(line []byte) {
	f.mu.Lock()
	if f.closed || len(f.waiting) > 0 && len(f.waiting)+len(line) > maxWaiting {
		f.dropped++
		f.mu.Unlock()
		return
	}
	f.waiting = append(f.waiting, line...)
	many := len(f.waiting) >= flushAt
	f.mu.Unlock()
	signal(f.wake)
	if many {
		signal(f.full)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Close writes what is left and closes the file.
func (f *file) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	close(f.stop)
	<-f.done
	if f.out == nil {
		return nil
	}
	return f.out.Close()
}

// Reload has the file opened anew, so that one that was moved away is left alone.
func (f *file) Reload() {
	f.mu.Lock()
	f.renewed = true
	f.mu.Unlock()
}

// run writes until the file is closed.
func (f *file) run() {
	defer close(f.done)
	timer := time.NewTimer(flushEvery)
	defer timer.Stop()
	var writing []byte
	for {
		select {
		case <-f.wake:
		case <-f.stop:
			f.flush(writing)
			return
		}
		timer.Reset(flushEvery)
		select {
		case <-timer.C:
		case <-f.full:
		case <-f.stop:
			f.flush(writing)
			return
		}
		writing = f.flush(writing)
	}
}

// flush writes the lines that wait. The memory of the last flush gathers the next
// lines.
func (f *file) flush(spare []byte) []byte {
	f.mu.Lock()
	lines, dropped, renewed := f.waiting, f.dropped, f.renewed
	f.waiting, f.dropped, f.renewed = spare[:0], 0, false
	f.mu.Unlock()
	if dropped > 0 {
		f.log.Error("log lines were dropped since the file takes too few", "path", f.path, "lines", dropped)
	}
	if len(lines) == 0 {
		f.mu.Lock()
		f.renewed = f.renewed || renewed
		f.mu.Unlock()
		return lines
	}
	if err := f.write(lines, f.reopen || renewed); err != nil && time.Since(f.complained) >= complainEvery {
		f.complained = time.Now()
		f.log.Error("write log lines", "path", f.path, "error", err)
	}
	if cap(lines) > maxWaiting/8 {
		return nil
	}
	return lines
}

// write appends the lines in one call, which keeps them whole also when other
// processes append to the same file.
func (f *file) write(lines []byte, anew bool) error {
	if anew && f.out != nil {
		err := f.out.Close()
		f.out = nil
		if err != nil {
			return err
		}
	}
	if f.out == nil {
		out, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
		if err != nil {
			return err
		}
		f.out = out
	}
	if f.torn {
		// A full disk has cut a line off: the next one must not continue it.
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := f.out.Write(lines)
	if n > 0 {
		f.torn = lines[n-1] != '\n'
	}
	if err != nil {
		return fmt.Errorf("%d of %d bytes: %w", n, len(lines), err)
	}
	return nil
}
