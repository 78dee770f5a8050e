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
// [Hand], what is "there" is what it has enforced in its lifetime: a fresh one
// dumps each table once, and deletes nothing when all agree.
type Translations struct {
	dir string

	mu       sync.Mutex
	enforced map[string]host.Translation
}

var _ reconcile.Hand[string, host.Translation] = (*Translations)(nil)

// NewTranslations makes a hand that has enforced nothing yet.
func NewTranslations(o Options) *Translations {
	if o.NetNSDir == "" {
		o.NetNSDir = "/run/netns"
	}
	return &Translations{dir: o.NetNSDir, enforced: map[string]host.Translation{}}
}

// SameTranslation reports whether two translations admit the same.
func SameTranslation(a, b host.Translation) bool { return a.DNAT == b.DNAT && a.SNAT == b.SNAT }

// Read returns what this hand has enforced, by namespace.
func (h *Translations) Read(context.Context) (map[string]host.Translation, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.enforced), nil
}

// Events is nil: entries come and go with the traffic.
func (h *Translations) Events() <-chan struct{} { return nil }

// Invalidate makes the hand enforce every namespace again.
func (h *Translations) Invalidate() {
	h.mu.Lock()
	defer h.mu.Unlock()
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
	n, err := parseNAT(t)
	if err != nil {
		return err // better a connection too many than all of a router's cut
	}
	path := filepath.Join(h.dir, ns)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return &host.Absent{What: "namespace " + ns}
	}
	return inside.Namespace(path, func() error {
		entries, err := dump(ctx, func(uint16) bool { return true }, n.disagrees)
		if err != nil {
			return fmt.Errorf("reading the connection table: %w", err)
		}
		return removeAll(ctx, entries)
	})
}

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
