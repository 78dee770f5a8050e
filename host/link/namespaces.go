package link

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"

	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/reconcile"
)

type namespaces struct{ *Hands }

// Namespaces is the hand on the named network namespaces of ours.
func (h *Hands) Namespaces() reconcile.Hand[string, host.Namespace] { return namespaces{h} }

// Read returns the namespaces whose name has a prefix of ours. One whose lo is
// down, and a name that holds no namespace, has Error.
func (h namespaces) Read(ctx context.Context) (map[string]host.Namespace, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refresh(ctx); err != nil {
		return nil, err
	}
	out := map[string]host.Namespace{}
	for name := range h.hollow {
		out[name] = host.Namespace{Error: errNoNamespace.Error()}
	}
	for name, p := range h.places {
		switch {
		case name == "":
		case !p.facts.loUp:
			out[name] = host.Namespace{Error: "lo is down"}
		default:
			out[name] = host.Namespace{}
		}
	}
	return out, nil
}

// Apply makes and removes namespaces. Processes that run in one that is
// removed keep it alive without its name; they belong to their own hand.
func (h namespaces) Apply(ctx context.Context, d reconcile.Diff[string, host.Namespace]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refresh(ctx); err != nil {
		return err
	}
	var bad []error
	for _, name := range keysOf(d.Drop) {
		if err := h.remove(name); err != nil {
			bad = append(bad, &host.ItemError{Item: "namespace " + name, Why: d.Drop[name].Why, Err: err})
		}
	}
	for _, name := range keysOf(d.Put) {
		if err := h.ensure(name); err != nil {
			bad = append(bad, &host.ItemError{Item: "namespace " + name, Why: d.Put[name].Why, Err: err})
		}
	}
	h.listed = false
	return errors.Join(append(bad, h.refresh(ctx))...)
}

func (h *Hands) ensure(name string) error {
	if !h.ours(name) {
		return fmt.Errorf("the name has no prefix of ours (%v)", h.options.Prefixes)
	}
	p := h.places[name]
	if p == nil {
		return h.create(name)
	}
	p.fresh = false
	return up(p.nl, "lo")
}

func (h *Hands) remove(name string) error {
	if !h.ours(name) {
		return nil
	}
	if p := h.places[name]; p != nil {
		p.close()
		delete(h.places, name)
	}
	path := h.path(name)
	// A hollow name is no mount point, and one that somebody removed is nothing.
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
