// Bench measures the gateway beside a raw nginx and prints Markdown tables:
//
//	make bench                                       # builds, checks for nginx and wrk, runs this
//	go run ./test/bench -quick                       # does it work? the figures mean nothing
//	go run ./test/bench -out docs/benchmarks.md      # also rewrites that page's tables
//
// It starts all it measures on free ports of the loopback interface (a mock
// upstream, nginx as a plain proxy, gibbon in a temporary prefix), loads them
// with wrk and with clients of its own, and stops and removes all of it at the
// end, after an interrupt too. Each figure is a ratio to nginx wherever there
// is one: the CPU time per request and the ratios between targets of one round
// hold on a busy machine, requests per second alone do not.
//
// It ends with 1 when something failed or a cell saw an error and is void, and
// with 130 when it was interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gibbon-gateway/gibbon/internal/testenv"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// options are what the command line says.
type options struct {
	gibbon string // path of the program
	out    string // page to rewrite; empty for none
	only   []string
	quick  bool

	rounds  int
	cell    time.Duration // length of one load
	warm    time.Duration // length of the load that comes before the rounds
	settle  time.Duration // rest before memory is read
	many    bool          // 256 connections too
	starts  int           // process starts that are timed, each kind
	writes  int           // configuration writes that are timed
	streams int           // open at once, events flowing
	silent  int           // open at once, nothing flowing
}

// parts are the words that -only takes.
var parts = []string{"unary", "formats", "streams", "config", "entities"}

func (o options) wants(part string) bool { return len(o.only) == 0 || slices.Contains(o.only, part) }

func parseOptions(args []string, log io.Writer) (options, error) {
	o := options{streams: 64, settle: 3 * time.Second}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.StringVar(&o.gibbon, "gibbon", "bin/gibbon", "`path` of the program to measure")
	flags.StringVar(&o.out, "out", "", "`page` to write the tables to, between its markers; made when absent")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; every target is loaded once in each")
	flags.DurationVar(&o.cell, "cell", 3*time.Second, "length of one load; CPU time comes in steps of 10 ms, so not under 2s")
	flags.DurationVar(&o.warm, "warm", time.Second, "length of the load that warms each target before the first round")
	flags.BoolVar(&o.many, "many", false, "load with 256 connections as well")
	flags.IntVar(&o.starts, "starts", 5, "how many starts of each kind are timed")
	flags.IntVar(&o.writes, "writes", 200, "how many configuration writes are timed")
	flags.IntVar(&o.silent, "silent", 1000, "silent streams that are open at once")
	quick := flags.Bool("quick", false, "one round of one second each: a smoke run whose figures mean nothing")
	flags.Func("only", "comma-separated `parts` to measure: "+strings.Join(parts, ", "), func(list string) error {
		for part := range strings.SplitSeq(list, ",") {
			if !slices.Contains(parts, part) {
				return fmt.Errorf("no part is called %q", part)
			}
			o.only = append(o.only, part)
		}
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *quick {
		o.quick = true
		o.rounds, o.starts, o.writes = 1, 1, 20
		o.cell, o.warm, o.settle = time.Second, time.Second, time.Second
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("what is %q for?", flags.Arg(0))
	case o.rounds < 1 || o.starts < 1 || o.writes < 1 || o.silent < 1:
		return o, errors.New("counts start at 1")
	case o.cell < time.Second || o.warm < time.Second:
		return o, errors.New("wrk counts whole seconds: a load lasts at least 1s")
	}
	return o, nil
}

func run(args []string, out, log io.Writer) int {
	o, err := parseOptions(args, log)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(log, "bench: %v\n", err)
		}
		return exitUsage
	}
	// A page that cannot take the tables is told of before the minutes of work.
	if o.out != "" {
		if _, err := page(o.out, ""); err != nil {
			fmt.Fprintf(log, "bench: %v\n", err)
			return exitUsage
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	r, err := measure(ctx, o, log)
	if err != nil {
		fmt.Fprintf(log, "bench: %v\n", err)
	}
	if ctx.Err() != nil {
		fmt.Fprintln(log, "bench: interrupted")
		return exitInterrupted
	}
	if r == nil {
		return exitFailed
	}
	text := r.markdown()
	fmt.Fprint(out, text)
	if o.out != "" {
		if err := writePage(o.out, text); err != nil {
			fmt.Fprintf(log, "bench: %v\n", err)
			return exitFailed
		}
	}
	if len(r.voids) > 0 {
		fmt.Fprintf(log, "bench: %d measurements are void:\n  %s\n", len(r.voids), strings.Join(r.voids, "\n  "))
	}
	if err != nil || len(r.voids) > 0 {
		return exitFailed
	}
	return 0
}

// measure sets everything up, measures the parts that are wanted, and takes
// everything down again. A report that comes with an error is whole; only the
// taking down went wrong.
func measure(ctx context.Context, o options, log io.Writer) (r *report, err error) {
	l, err := openLab(o, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()

	l.report.Machine = describeMachine(ctx, l.nginx, l.wrk)
	if l.report.Subject, err = describeSubject(ctx, l.gibbon); err != nil {
		return nil, err
	}
	switch {
	case o.quick:
		l.report.note("A smoke run: it shows that the bench works, and its figures mean nothing.")
	case o.cell < 2*time.Second:
		l.report.note("Loads under 2 s: a clock tick is 10 ms, so these CPU figures are rough.")
	}
	if err := l.binarySize(); err != nil {
		return nil, err
	}
	up, err := l.startUpstreams(ctx)
	if err != nil {
		return nil, err
	}
	gw, err := l.firstGateway(ctx, up)
	if err != nil {
		return nil, err
	}
	// A part that fails is void; what the others measure is kept.
	part := func(name string, wanted bool, f func() error) {
		if !wanted || ctx.Err() != nil {
			return
		}
		if err := f(); err != nil && ctx.Err() == nil {
			l.void("%s: %v", name, err)
		}
	}
	part("requests", o.wants("unary"), func() error { return l.measureUnary(ctx, up, gw) })
	part("formats", o.wants("formats"), func() error { return l.measureFormats(ctx, up, gw) })
	part("streams", o.wants("streams"), func() error { return l.measureStreams(ctx, up, gw) })
	part("writes", o.wants("config"), func() error { return l.measureWrites(ctx, "`gibbon run`", gw, gw) })
	// What follows restarts the gateway and needs the cores for itself.
	part("restarts", o.wants("config") || o.wants("streams"), func() error { return l.measureRestarts(ctx, up, gw) })
	part("stop", true, func() error { return l.stop(gw.process) })
	part("two planes", o.wants("config"), func() error { return l.measureHybrid(ctx, up) })
	part("entities", o.wants("entities"), func() error { return l.measureEntities(ctx) })
	return l.report, nil
}

// lab is where one run of the bench happens: its folder, its processes, and
// the report that fills up.
type lab struct {
	options
	log           io.Writer
	folder        string // removed at the end
	nginx, wrk    string // paths of the programs
	wrkScript     string
	processes     []*process
	closers       []func() error
	report        *report
	started       time.Time
	requestBodies map[int]string // by size in bytes: path of the file
}

func openLab(o options, log io.Writer) (*lab, error) {
	l := &lab{options: o, log: log, started: time.Now(), report: &report{Options: o, Day: time.Now().UTC()}, requestBodies: map[int]string{}}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return nil, fmt.Errorf("CPU time and memory are read from Linux's /proc: %w", err)
	}
	if _, err := os.Stat(o.gibbon); err != nil {
		return nil, fmt.Errorf("no gibbon to measure, run make build first: %w", err)
	}
	for name, program := range map[string]*string{"nginx": &l.nginx, "wrk": &l.wrk} {
		var err error
		if *program, err = testenv.Find(name); err != nil {
			return nil, fmt.Errorf("%w: make bench installs it where it can", err)
		}
	}
	var err error
	if l.folder, err = os.MkdirTemp("", "gibbon-bench-"); err != nil {
		return nil, err
	}
	// nginx's workers give root up and still have to reach their folders.
	err = os.Chmod(l.folder, 0o755)
	if err == nil {
		l.wrkScript = filepath.Join(l.folder, "chat.lua")
		err = os.WriteFile(l.wrkScript, []byte(wrkScript), 0o644)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// say tells whoever waits how far things are.
func (l *lab) say(format string, args ...any) {
	fmt.Fprintf(l.log, "bench: %4.0fs %s\n", time.Since(l.started).Seconds(), fmt.Sprintf(format, args...))
}

// close stops what still runs, the latest first, and removes the folder.
func (l *lab) close() error {
	var errs []error
	for _, p := range slices.Backward(l.processes) {
		errs = append(errs, p.stop())
	}
	for _, c := range slices.Backward(l.closers) {
		errs = append(errs, c())
	}
	return errors.Join(append(errs, os.RemoveAll(l.folder))...)
}
