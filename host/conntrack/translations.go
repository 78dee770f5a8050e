package conntrack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"neutrino/host"
	"neutrino/host/inside"
	"neutrino/reconcile"
)

// Options say where the namespaces are.
type Options struct {
	// NetNSDir holds the named namespaces, "/run/netns" when empty.
	NetNSDir string
}

// namespaces is how many namespaces' tables are read at a time.
const namespaces = 4

// Translations is the hand for what the NAT of named namespaces has tracked:
// it removes the entries that the present rules would not have made. As with
// [Hand], a namespace is as planned when each of its entries agrees: a fresh
// hand dumps each table once to see that, and so does the first Read after
// [Translations.Invalidate].
type Translations struct {
	dir string

	mu       sync.Mutex
	enforced map[string]host.Translation
	stale    bool                        // the tables may hold anything
	planned  map[string]host.Translation // the plan's, by namespace
}

var _ reconcile.Hand[string, host.Translation] = (*Translations)(nil)

// NewTranslations makes a hand that has enforced nothing yet.
func NewTranslations(o Options) *Translations {
	if o.NetNSDir == "" {
		o.NetNSDir = "/run/netns"
	}
	return &Translations{dir: o.NetNSDir, enforced: map[string]host.Translation{}, stale: true}
}

// SameTranslation reports whether two translations admit the same.
func SameTranslation(a, b host.Translation) bool { return a.DNAT == b.DNAT && a.SNAT == b.SNAT }

// Expect takes in a new plan's translations.
func (h *Translations) Expect(s *host.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.planned = s.Translations
}

// Read returns the namespaces that hold what they were last seen or made to hold.
func (h *Translations) Read(ctx context.Context) (map[string]host.Translation, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stale {
		h.look(ctx)
		h.stale = ctx.Err() != nil
	}
	return maps.Clone(h.enforced), nil
}

// look takes each planned namespace without an entry to remove for enforced.
// What cannot be looked at is to be enforced, and Apply says why it cannot.
func (h *Translations) look(ctx context.Context) {
	names := slices.Sorted(maps.Keys(h.planned))
	agree := make([]bool, len(names))
	var g errgroup.Group
	g.SetLimit(namespaces)
	for i, ns := range names {
		g.Go(func() error {
			entries, err := h.disagreeing(ctx, ns, h.planned[ns])
			agree[i] = err == nil && len(entries) == 0
			return nil
		})
	}
	_ = g.Wait() // its functions return none
	for i, ns := range names {
		if agree[i] {
			h.enforced[ns] = h.planned[ns]
		}
	}
}

// Events is nil: entries come and go with the traffic.
func (h *Translations) Events() <-chan struct{} { return nil }

// Invalidate makes the next Read look at every table again. A namespace that it
// finds wrong, or that is in no plan, is to be enforced again.
func (h *Translations) Invalidate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stale = true
	for ns, t := range h.enforced {
		t.DNAT = unknown
		h.enforced[ns] = t
	}
}

// Apply dumps the table of each changed namespace once and deletes the entries
// that disagree. In a namespace that is dropped and still there, no NAT may be
// left. A failure concerns its own namespace.
func (h *Translations) Apply(ctx context.Context, d reconcile.Diff[string, host.Translation]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	work := maps.Clone(d.Put)
	if work == nil {
		work = map[string]host.Translation{}
	}
	for ns, t := range d.Drop {
		work[ns] = host.Translation{Why: t.Why}
	}
	names := slices.Sorted(maps.Keys(work))
	failed := make([]error, len(names))
	var g errgroup.Group
	g.SetLimit(namespaces)
	for i, ns := range names {
		g.Go(func() error {
			failed[i] = h.enforce(ctx, ns, work[ns])
			return nil
		})
	}
	_ = g.Wait() // its functions return none
	var errs []error
	for i, ns := range names {
		_, put := d.Put[ns]
		var absent *host.Absent
		switch err := failed[i]; {
		case !put && (err == nil || errors.As(err, &absent)):
			delete(h.enforced, ns)
		case err != nil:
			errs = append(errs, &host.ItemError{Item: "tracked NAT of " + ns, Why: work[ns].Why, Err: err})
		default:
			h.enforced[ns] = work[ns]
		}
	}
	return errors.Join(errs...)
}

// enforce deletes what disagrees in one namespace.
func (h *Translations) enforce(ctx context.Context, ns string, t host.Translation) error {
	entries, err := h.disagreeing(ctx, ns, t)
	if err != nil || len(entries) == 0 {
		return err // better a connection too many than all of a router's cut
	}
	return inside.Namespace(h.path(ns), func() error { return removeAll(ctx, entries) })
}

// disagreeing dumps the entries of one namespace that the rules would not have
// made.
func (h *Translations) disagreeing(ctx context.Context, ns string, t host.Translation) (entries []entry, err error) {
	n, err := parseNAT(t)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(h.path(ns)); errors.Is(err, os.ErrNotExist) {
		return nil, &host.Absent{What: "namespace " + ns}
	}
	err = inside.Namespace(h.path(ns), func() error {
		if entries, err = dump(ctx, func(uint16) bool { return true }, n.disagrees); err != nil {
			err = fmt.Errorf("reading the connection table: %w", err)
		}
		return err
	})
	return entries, err
}

func (h *Translations) path(ns string) string { return filepath.Join(h.dir, ns) }

// removeAll deletes entries over one socket.
func removeAll(ctx context.Context, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	s, err := open()
	if err != nil {
		return err
	}
	defer s.close()
	var errs []error
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.remove(e); err != nil {
			errs = append(errs, fmt.Errorf("deleting %v: %w", e.tuple, err))
		}
	}
	return errors.Join(errs...)
}
