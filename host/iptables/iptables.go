// Package iptables is the hand for netfilter's classic rules and their address
// sets: chains, hooks in built-in chains and ipsets. It runs one
// iptables-restore for each namespace, family and batch, and reads back with
// iptables-save.
package iptables

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"neutrino/host"
)

// Options say what is ours.
type Options struct {
	// Prefixes begin the names of our chains, with their dash: "neutron-openvswi-".
	Prefixes []string
	// Chains are the whole names of our chains that carry no prefix:
	// "neutron-filter-top", "neutron-postrouting-bottom".
	Chains []string
	// Namespaces lists the named namespaces to look after besides the agent's own.
	// Nil means none.
	Namespaces func() []string
	// NetNSDir holds the named namespaces, "/run/netns" when empty.
	NetNSDir string
}

// Engine runs the tools and keeps what it last read and applied, for the three
// hands that share it.
type Engine struct {
	o      Options
	events chan struct{}
	watch  *watcher

	mu      sync.Mutex // held through every read and apply
	backend string     // "nf_tables" or "legacy", "" until detected
	names   map[string]int
	images  map[place]*image
	sets    map[string]map[string]host.Set // by namespace
	ids     map[string]uint64              // inode of each namespace as last seen
	applied map[host.HookKey]appliedHook   // by the rule's normal form

	placesMu sync.Mutex // guards images and applied while several places are written

	dirtyMu   sync.Mutex
	dirty     map[string]bool // namespaces whose image is no longer true
	dirtyAll  bool
	dirtySets bool
}

// place is one namespace and family: what one iptables-restore can reach.
type place struct {
	ns     string
	family int
}

func (p place) String() string {
	if p.ns == "" {
		return fmt.Sprintf("IPv%d", p.family)
	}
	return fmt.Sprintf("IPv%d in %s", p.family, p.ns)
}

// New makes an engine; nothing is read or run before the first Read.
func New(o Options) *Engine {
	if o.NetNSDir == "" {
		o.NetNSDir = "/run/netns"
	}
	if o.Namespaces == nil {
		o.Namespaces = func() []string { return nil }
	}
	e := &Engine{
		o: o, events: make(chan struct{}, 1), images: map[place]*image{},
		sets: map[string]map[string]host.Set{}, ids: map[string]uint64{}, applied: map[host.HookKey]appliedHook{}, dirty: map[string]bool{},
	}
	e.watch = newWatcher(o.NetNSDir, e.foreign)
	return e
}

// Chains is the hand for the content of our chains.
func (e *Engine) Chains() *Chains { return &Chains{e} }

// Hooks is the hand for our rules in built-in chains.
func (e *Engine) Hooks() *Hooks { return &Hooks{e} }

// Sets is the hand for our ipsets.
func (e *Engine) Sets() *Sets { return &Sets{e} }

// Events signals that somebody else changed netfilter rules. It works with the
// nft back-end; legacy tables announce nothing, there only an audit helps.
func (e *Engine) Events() <-chan struct{} { return e.events }

// Invalidate makes the next Read ask the kernel.
func (e *Engine) Invalidate() {
	e.dirtyMu.Lock()
	e.dirtyAll = true
	e.dirtyMu.Unlock()
}

// Recheck makes the next Read ask the kernel for the sets alone: it announces
// no change of them.
func (e *Engine) Recheck() {
	e.dirtyMu.Lock()
	e.dirtySets = true
	e.dirtyMu.Unlock()
}

// Close ends the watching of events. An engine needs it only when it is given
// up before its process ends.
func (e *Engine) Close() { e.watch.close() }

// foreign is told by the watcher that a namespace was written by somebody else.
func (e *Engine) foreign(ns string) {
	e.spoil(ns)
	select {
	case e.events <- struct{}{}:
	default:
	}
}

func (e *Engine) spoil(ns string) {
	e.dirtyMu.Lock()
	e.dirty[ns] = true
	e.dirtyMu.Unlock()
}

// forget drops what is known to be no longer true. It runs before the kernel is
// read, so a change that comes while reading counts for the next time.
func (e *Engine) forget() {
	e.dirtyMu.Lock()
	all, dirty, silent := e.dirtyAll, e.dirty, e.dirtySets
	e.dirtyAll, e.dirty, e.dirtySets = false, map[string]bool{}, false
	e.dirtyMu.Unlock()
	if all {
		clear(e.images)
		clear(e.sets)
		return
	}
	maps.DeleteFunc(e.images, func(p place, _ *image) bool { return dirty[p.ns] })
	maps.DeleteFunc(e.sets, func(ns string, sets map[string]host.Set) bool { return dirty[ns] || silent && len(sets) > 0 })
}

// namespaces lists the namespaces that exist now, the own one first. What was
// known of one that was made anew under its name is forgotten.
func (e *Engine) namespaces() []string {
	all := []string{""}
	for _, ns := range e.o.Namespaces() {
		var st unix.Stat_t
		if ns == "" || slices.Contains(all, ns) || unix.Stat(filepath.Join(e.o.NetNSDir, ns), &st) != nil {
			continue
		}
		if e.ids[ns] != st.Ino {
			e.ids[ns] = st.Ino
			delete(e.images, place{ns, 4})
			delete(e.images, place{ns, 6})
			delete(e.sets, ns)
			e.watch.drop(ns)
		}
		all = append(all, ns)
	}
	return all
}

// load makes sure that every namespace's rules are known.
func (e *Engine) load(ctx context.Context) error {
	e.forget()
	if err := e.detect(ctx); err != nil {
		return err
	}
	all := e.namespaces()
	maps.DeleteFunc(e.images, func(p place, _ *image) bool { return !slices.Contains(all, p.ns) })
	e.watch.keep(all)
	var missing []place
	for _, ns := range all {
		for _, family := range []int{4, 6} {
			if e.images[place{ns, family}] == nil {
				missing = append(missing, place{ns, family})
			}
		}
	}
	return e.readAll(ctx, missing)
}

// parallel is how many tools run at a time.
const parallel = 4

// readAll reads places, a few at a time: each costs a process.
func (e *Engine) readAll(ctx context.Context, places []place) error {
	found := make([]*image, len(places))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, p := range places {
		g.Go(func() error {
			im, err := e.readPlace(gctx, p)
			if err != nil && !e.exists(p.ns) {
				return nil // went away meanwhile
			}
			found[i] = im
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, p := range places {
		if found[i] != nil {
			e.images[p] = found[i]
		}
	}
	return nil
}

func (e *Engine) readPlace(ctx context.Context, p place) (*image, error) {
	if err := e.refuseMix(ctx, p); err != nil {
		return nil, err
	}
	out, err := e.run(ctx, p.ns, "", tool(p.family, "save"))
	if err != nil {
		return nil, fmt.Errorf("iptables: reading %v: %w", p, err)
	}
	return e.parseSave(out), nil
}

// image is what a place holds, as far as it concerns us.
func (e *Engine) image(ctx context.Context, p place) (*image, error) {
	e.placesMu.Lock()
	defer e.placesMu.Unlock()
	if im := e.images[p]; im != nil {
		return im, nil
	}
	if !e.exists(p.ns) {
		return nil, &host.Absent{What: "namespace " + p.ns}
	}
	if err := e.readAll(ctx, []place{p}); err != nil {
		return nil, err
	}
	if e.images[p] == nil {
		return nil, &host.Absent{What: "namespace " + p.ns}
	}
	return e.images[p], nil
}

// each works on places, a few at a time. What is not known of them is read first.
func each[V any](ctx context.Context, e *Engine, places map[place]V, f func(p place) []error) []error {
	var missing []place
	for p := range places {
		if e.images[p] == nil && e.exists(p.ns) {
			missing = append(missing, p)
		}
	}
	if err := e.readAll(ctx, missing); err != nil {
		return []error{err}
	}
	var mu sync.Mutex
	var errs []error
	var g errgroup.Group
	g.SetLimit(parallel)
	for p := range places {
		g.Go(func() error {
			failed := f(p)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, failed...)
			return nil
		})
	}
	_ = g.Wait() // its functions return none
	return errs
}

// ours says whether a chain is ours by its name.
func (e *Engine) ours(chain string) bool {
	for _, p := range e.o.Prefixes {
		if strings.HasPrefix(chain, p) {
			return true
		}
	}
	return slices.Contains(e.o.Chains, chain)
}

func tool(family int, verb string) string {
	if family == 6 {
		return "ip6tables-" + verb
	}
	return "iptables-" + verb
}
