// Package process is the hand for daemons that outlive the agent: it starts
// them in their namespace, tells them to load again, and stops them.
package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/reconcile"
)

// Options say where our daemons are.
type Options struct {
	// Root is the directory below which every directory with a pid file is one
	// daemon of ours: "/var/lib/neutron/dhcp".
	Root string
	// NetNSDir holds the named namespaces, "/run/netns" when empty.
	NetNSDir string
	// StartTimeout is how long a daemon may take to write its pid file, 10 s when 0.
	StartTimeout time.Duration
	// StopTimeout is how long a daemon may take to end after SIGTERM, 5 s when 0.
	StopTimeout time.Duration
}

const (
	pidName    = "pid"
	loadedName = "loaded"
	// temporary begins the names of files that last for a moment: the file hand,
	// which looks after the same directories, does not announce those.
	temporary = ".neutrino-"
	// settle is how long a daemon is watched after SIGHUP. One that ends later is
	// noticed too, as any other that ends.
	settle = 20 * time.Millisecond
	// parallel is how many daemons are started or stopped at a time.
	parallel = 8
)

// Hand keeps daemons. A process is ours when the pid file in its directory
// names it and one of its arguments is a path in that directory, so a process
// that only got the number of a dead one is never mistaken for it.
type Hand struct {
	o      Options
	events chan struct{}

	mu    sync.Mutex
	have  map[string]host.Process // nil when not known
	names map[inode]string        // the namespaces when have was read
	dirty bool
	watch *watcher

	dirtyMu sync.Mutex
}

var _ reconcile.Hand[string, host.Process] = (*Hand)(nil)

// New makes a hand; it does nothing before the first Read.
func New(o Options) *Hand {
	if o.NetNSDir == "" {
		o.NetNSDir = "/run/netns"
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 10 * time.Second
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 5 * time.Second
	}
	childrenHear()
	h := &Hand{o: o, events: make(chan struct{}, 1)}
	h.watch = newWatcher(h.ended)
	return h
}

// childrenHear makes this process start its children with default signals. Go
// leaves SIGHUP and SIGINT ignored when it finds them so, as under nohup(1), and
// execve(2) hands that on; a signal with a handler is reset by it. Nobody reads
// the channel, so the signals still do nothing to this process.
func childrenHear() {
	for _, s := range []os.Signal{unix.SIGHUP, unix.SIGINT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// Same reports whether two processes need no change. How to reload is no
// property of a running process.
func Same(a, b host.Process) bool {
	return a.NetNS == b.NetNS && a.Argv == b.Argv && a.Loaded == b.Loaded
}

// Events signals that a daemon of ours has ended.
func (h *Hand) Events() <-chan struct{} { return h.events }

// Invalidate makes the next Read look at the running processes again.
func (h *Hand) Invalidate() {
	h.dirtyMu.Lock()
	h.dirty = true
	h.dirtyMu.Unlock()
}

// Close ends the watching. The daemons go on.
func (h *Hand) Close() { h.watch.close() }

func (h *Hand) ended() {
	h.Invalidate()
	select {
	case h.events <- struct{}{}:
	default:
	}
}

// forget drops what is known when something made it doubtful, before looking.
func (h *Hand) forget() {
	h.dirtyMu.Lock()
	defer h.dirtyMu.Unlock()
	if h.dirty {
		h.dirty, h.have = false, nil
	}
}

// Read returns the daemons of ours that run.
func (h *Hand) Read(ctx context.Context) (map[string]host.Process, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget()
	// A daemon goes on in a namespace that was deleted under it, and says nothing.
	if names := h.namespaces(); h.have == nil || !maps.Equal(names, h.names) {
		h.names = names
		have, err := h.scan(ctx)
		if err != nil {
			return nil, fmt.Errorf("process: %w", err)
		}
		h.have = have
	}
	return maps.Clone(h.have), nil
}

// scan finds the pid files and looks at their processes.
func (h *Hand) scan(ctx context.Context) (map[string]host.Process, error) {
	have := map[string]host.Process{}
	pids := map[int]bool{}
	err := filepath.WalkDir(h.o.Root, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() || d.Name() != pidName {
			return ctx.Err()
		}
		dir := filepath.Dir(path)
		if pid, argv := running(dir); pid > 0 {
			have[dir] = host.Process{NetNS: namespaceOf(pid, h.names), Argv: argv, Loaded: loaded(dir)}
			pids[pid] = true
			h.watch.add(pid)
		}
		return nil
	})
	h.watch.keep(pids)
	return have, err
}

// Apply starts, reloads and stops daemons, several at a time. A failure
// concerns its own daemon only.
func (h *Hand) Apply(ctx context.Context, d reconcile.Diff[string, host.Process]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	errs := h.each(d.Put, func(dir string, p host.Process) error { return h.put(ctx, dir, p) })
	errs = append(errs, h.each(d.Drop, func(dir string, _ host.Process) error { return h.drop(ctx, dir) })...)
	h.have = nil
	return errors.Join(errs...)
}

func (h *Hand) each(items map[string]host.Process, f func(dir string, p host.Process) error) []error {
	var mu sync.Mutex
	var errs []error
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, dir := range slices.Sorted(maps.Keys(items)) {
		p := items[dir]
		g.Go(func() error {
			if err := f(dir, p); err != nil {
				mu.Lock()
				errs = append(errs, &host.ItemError{Item: "process " + dir, Why: p.Why, Err: err})
				mu.Unlock()
			}
			return nil
		})
	}
	g.Wait() //nolint:errcheck // its functions return none
	return errs
}

// put makes a daemon run as wanted, with the least that does it.
func (h *Hand) put(ctx context.Context, dir string, p host.Process) error {
	if err := h.check(dir, p); err != nil {
		return err
	}
	pid, argv := running(dir)
	if pid == 0 {
		return h.start(ctx, dir, p)
	}
	same := argv == p.Argv && namespaceOf(pid, h.namespaces()) == p.NetNS
	if same && loaded(dir) == p.Loaded {
		return nil
	}
	if same && p.Reload == host.ReloadHUP {
		return h.reload(ctx, dir, p)
	}
	if err := h.stop(ctx, dir, pid); err != nil {
		return err
	}
	return h.start(ctx, dir, p)
}

func (h *Hand) check(dir string, p host.Process) error {
	if filepath.Clean(dir) != dir || !strings.HasPrefix(dir, filepath.Clean(h.o.Root)+"/") {
		return fmt.Errorf("not below our directory %s", h.o.Root)
	}
	if p.Argv == "" {
		return errors.New("no arguments")
	}
	if !names(p.Argv, dir) {
		return fmt.Errorf("no argument names a file in %s: it could not be found again", dir)
	}
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return &host.Absent{What: "directory " + dir}
	}
	return nil
}

// reload sends SIGHUP. A daemon that does not survive it is started again:
// dnsmasq 2.90 may abort, and it has read its files then anyway.
func (h *Hand) reload(ctx context.Context, dir string, p host.Process) error {
	gone, err := h.hangup(ctx, dir)
	if err != nil {
		return err
	}
	if gone {
		return h.start(ctx, dir, p)
	}
	return stamp(dir, p.Loaded)
}

// drop stops a daemon and removes what it and we left in its directory.
func (h *Hand) drop(ctx context.Context, dir string) error {
	if pid, _ := running(dir); pid > 0 {
		if err := h.stop(ctx, dir, pid); err != nil {
			return err
		}
	}
	for _, name := range []string{pidName, loadedName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// loaded is the stamp of what the daemon of a directory has read.
func loaded(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, loadedName))
	if err != nil {
		return ""
	}
	return string(b)
}

// stamp notes what a daemon has read. When the note is lost the daemon is told
// once more, which does no harm.
func stamp(dir, text string) error {
	path := filepath.Join(dir, loadedName)
	next := filepath.Join(dir, temporary+loadedName)
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil {
		os.Remove(next)
		return err
	}
	return os.Rename(next, path)
}
