// Command bench measures the figures of docs/performance.md: on the real
// server, on a lab of its own with real hosts and traffic, and with the pure
// benchmarks of the tree. A figure that is missed is a line in the table; the
// exit code tells only whether everything could be measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bench is one run of the command.
type bench struct {
	binary string
	name   string // of the lab
	keep   bool   // leave the lab running at the end, for a look
	ports  int    // in the store of the part scale
	cloud  *cloud // nil until a figure needs it
}

// part measures one or more figures.
type part struct {
	name string
	what string
	run  func(*bench, context.Context) ([]figure, error)
}

// parts are in the order in which they run: those that load the lab's hosts
// come after those that want them quiet.
func parts() []part {
	return []part{
		{"plan", "plan and diff of a host with 500 ports", (*bench).plan},
		{"create", "ports created over HTTP", (*bench).create},
		{"scale", "a store with a million ports", (*bench).scale},
		{"load", "another tenant's requests while somebody attacks the API", (*bench).load},
		{"rule", "a security group rule comes into force on 3 hosts", (*bench).rule},
		{"wire", "a plugged interface becomes ACTIVE", (*bench).wire},
		{"restart", "an agent is killed and restarted under traffic", (*bench).restart},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	b := &bench{}
	flag.StringVar(&b.binary, "binary", "bin/neutrino", "the program to measure")
	flag.StringVar(&b.name, "name", "bench", "name of the lab that is made, and removed at the end")
	flag.BoolVar(&b.keep, "keep", false, "leave the lab running, for a look at what went wrong")
	flag.IntVar(&b.ports, "ports", 1_000_000, "how many ports the part scale has in store; its figures hold for a million")
	attacks := flag.String("attack", "", "attack the API at -url so, until killed; the part load starts it")
	address := flag.String("url", "", "for -attack")
	markdown := flag.Bool("markdown", false, "print the table as Markdown")
	flag.Usage = usage
	flag.Parse()
	if *attacks != "" {
		if err := attack(ctx, *attacks, *address); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	slog.SetLogLoggerLevel(slog.LevelWarn)
	// It shares the processors with what it measures: it has memory enough.
	debug.SetGCPercent(800)
	before := loadAverage(ctx)
	figures, err := b.measure(ctx, flag.Args())
	if len(figures) > 0 {
		fmt.Println(render(figures, *markdown))
		fmt.Printf("%d processors, load average before: %s\n", runtime.NumCPU(), before)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: bench [flags] [part...]\n\nparts, all of them by default:")
	for _, p := range parts() {
		fmt.Fprintf(os.Stderr, "  %-8s %s\n", p.name, p.what)
	}
	fmt.Fprintln(os.Stderr, "\nflags:")
	flag.PrintDefaults()
}

// measure runs the named parts, or all, and takes the lab away again. A part
// that fails does not stop the others.
func (b *bench) measure(ctx context.Context, names []string) (figures []figure, err error) {
	for _, n := range names {
		if !slices.ContainsFunc(parts(), func(p part) bool { return p.name == n }) {
			return nil, fmt.Errorf("there is no part %q", n)
		}
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab needs root: run it with sudo")
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	for _, p := range parts() {
		if len(names) > 0 && !slices.Contains(names, p.name) {
			continue
		}
		if ctx.Err() != nil {
			return figures, errors.Join(err, errors.New("interrupted"))
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, p.what)
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, partTime)
		got, perr := p.run(b, limited)
		cancel()
		if perr != nil {
			perr = fmt.Errorf("%s: could not be measured: %w", p.name, perr)
		}
		figures, err = append(figures, got...), errors.Join(err, perr)
		fmt.Fprintf(os.Stderr, "%s: took %v\n", p.name, time.Since(began).Round(time.Second))
	}
	return figures, err
}

// loadAverage is how busy the machine was over the last minute (proc(5)): what
// else runs on it is in the figures too.
func loadAverage(context.Context) string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

// partTime is how long one part may take.
const partTime = 10 * time.Minute

// inPlace says where an error happened.
func inPlace(place string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", place, err)
}
