// Package link is the hand on the kernel's network namespaces, veth pairs,
// addresses, routes and settings: rtnetlink(7), ip-netns(8), sysctl(8). It
// runs no other program.
package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"neutrino/host"
)

// Options say what is ours and where namespaces have their names.
type Options struct {
	// RunDir holds the names of namespaces, "/run/netns" when empty (ip-netns(8)).
	RunDir string
	// Prefixes begin the names of namespaces of ours; without any, none is ours.
	Prefixes []string
	// AliasPrefix is the first word of the alias of every device of ours,
	// "neutrino" when empty.
	AliasPrefix string
	// Logger gets what goes wrong while watching, [slog.Default] when nil.
	Logger *slog.Logger
}

// Hands are the hands on links, addresses, routes, namespaces and settings.
// They share what was last read of each namespace. While [Hands.Run] watches,
// they answer from that; without it they read the kernel every time. All
// methods may be called at the same time.
type Hands struct {
	options Options
	events  chan struct{}
	kick    chan struct{}
	tell    *announcer

	mu       sync.Mutex
	watching *watcher // nil without Run
	listed   bool     // places are the namespaces that there are
	places   map[string]*place
	hollow   map[string]bool         // names of ours that hold no namespace
	sysctls  map[host.SysctlKey]bool // settings that plans have named
}

// New is the hands; nothing is read before it is asked for.
func New(o Options) *Hands {
	if o.RunDir == "" {
		o.RunDir = "/run/netns"
	}
	if o.AliasPrefix == "" {
		o.AliasPrefix = "neutrino"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	h := &Hands{options: o, events: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		places: map[string]*place{}, sysctls: map[host.SysctlKey]bool{}}
	h.tell = newAnnouncer(h.path, o.Logger)
	return h
}

// Events gets a value, without pressing, when somebody else changed a
// namespace, device, address or route of ours. What the hands write themselves
// raises none. It works while [Hands.Run] does.
func (h *Hands) Events() <-chan struct{} { return h.events }

// Invalidate makes the next Read come from the kernel.
func (h *Hands) Invalidate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stale()
}

func (h *Hands) stale() {
	h.listed = false
	for _, p := range h.places {
		p.fresh = false
	}
}

// Close lets go of every namespace that the hands keep open, and announces no
// address any more.
func (h *Hands) Close() {
	h.tell.close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, p := range h.places {
		p.close()
		delete(h.places, name)
	}
	h.listed = false
}

// ours reports whether a namespace's name is one of ours.
func (h *Hands) ours(namespace string) bool {
	return slices.ContainsFunc(h.options.Prefixes, func(p string) bool { return strings.HasPrefix(namespace, p) })
}

func (h *Hands) path(namespace string) string { return filepath.Join(h.options.RunDir, namespace) }

// refresh brings what is known up to date: the list of namespaces, then what
// is in those that changed. The lock is held.
func (h *Hands) refresh(ctx context.Context) error {
	if h.watching == nil {
		h.stale()
	}
	if !h.listed {
		if err := h.list(); err != nil {
			return err
		}
		h.listed = true
	}
	for _, p := range h.places {
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.fresh {
			continue
		}
		if err := h.scan(p); err != nil {
			return err
		}
	}
	return nil
}

// list opens namespaces of ours that are new and closes those that are gone or
// are another namespace now.
func (h *Hands) list() error {
	entries, err := os.ReadDir(h.options.RunDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("link: list namespaces: %w", err)
	}
	there := map[string]bool{"": true}
	for _, e := range entries {
		if h.ours(e.Name()) {
			there[e.Name()] = true
		}
	}
	for name, p := range h.places {
		if !there[name] || !p.current(h.path(name)) {
			p.close()
			delete(h.places, name)
		}
	}
	h.hollow = map[string]bool{}
	for name := range there {
		if h.places[name] != nil {
			continue
		}
		p, err := h.open(name)
		if errors.Is(err, errNoNamespace) || errors.Is(err, os.ErrNotExist) {
			h.hollow[name] = true
			continue
		}
		if err != nil {
			return err
		}
		h.places[name] = p
	}
	return nil
}

// settle reads again what an Apply touched, so that the kernel's own message
// about it is no news.
func (h *Hands) settle(ctx context.Context, touched map[string]bool) error {
	for name := range touched {
		if p := h.places[name]; p != nil {
			p.fresh = false
		}
	}
	return h.refresh(ctx)
}

// place is a place of ours or the absence of it.
func (h *Hands) place(namespace string) (*place, error) {
	if p := h.places[namespace]; p != nil {
		return p, nil
	}
	return nil, &host.Absent{What: "namespace " + namespace}
}
