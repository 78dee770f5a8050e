// Package lease is the hand for the leases of DHCP servers: it gives back those
// that no plan has, as their client would (RFC 2131, 4.4.6; RFC 8415, 18.2.7).
// A server keeps the address of a deleted port for its old client until the
// lease runs out, and refuses it to the port that has it now.
package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"neutrino/host"
	"neutrino/reconcile"
)

// Options say where the servers' files and namespaces are.
type Options struct {
	// Root is the directory below which every directory with a file "leases" is
	// one server's: "/var/lib/neutron/dhcp".
	Root string
	// NetNSDir holds the named namespaces, "/run/netns" when empty.
	NetNSDir string
}

// parallel is how many servers are spoken to at a time.
const parallel = 8

// taken stands for the server of a lease whose address a plan has for another
// client: it is put by being released, before its new client is let in.
const taken = "another client's"

// Hand releases leases. What it knows of a server is what the newest plan says
// of it; of a server that the plan says nothing of, what its files and the
// namespace of its process say.
type Hand struct {
	o Options

	mu      sync.Mutex
	cache   map[string]cached
	found   map[host.LeaseKey]record
	servers map[string]map[bool]host.Lease // by directory, and whether IPv6
}

var _ reconcile.Hand[host.LeaseKey, host.Lease] = (*Hand)(nil)

// New makes a hand; it reads nothing before the first Read.
func New(o Options) *Hand {
	if o.NetNSDir == "" {
		o.NetNSDir = "/run/netns"
	}
	return &Hand{o: o, cache: map[string]cached{}, found: map[host.LeaseKey]record{}, servers: map[string]map[bool]host.Lease{}}
}

// Same reports whether a lease that was found may stay as it is.
func Same(_, want host.Lease) bool { return want.Server != taken }

// Read returns the leases that the servers have written down. A lease of IPv6
// has the MAC that its client's identifier holds; of another kind of identifier
// it has none.
func (h *Hand) Read(ctx context.Context) (map[host.LeaseKey]host.Lease, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	found, err := h.scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("lease: reading below %s: %w", h.o.Root, err)
	}
	h.found = found
	have := make(map[host.LeaseKey]host.Lease, len(found))
	for k := range found {
		have[k] = host.Lease{Why: h.why(k)}
	}
	return have, nil
}

// why is the reason of a server's leases, where the plan gives all the same.
func (h *Hand) why(k host.LeaseKey) host.Why { return h.servers[k.Dir][isSix(k.IP)].Why }

// Invalidate makes the next Read read every file again.
func (h *Hand) Invalidate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.cache)
}

// Present takes in what a plan wants and returns what of it Read has found: a
// lease that may exist and does not is not put. A lease found on an address that
// the plan has for another client is among them, to be released first.
func (h *Hand) Present(want map[host.LeaseKey]host.Lease) map[host.LeaseKey]host.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	type place struct{ dir, ip string }
	owners := make(map[place]host.Lease, len(want))
	h.servers = map[string]map[bool]host.Lease{}
	for k, v := range want {
		owners[place{k.Dir, k.IP}] = v
		h.learn(k, v)
	}
	out := map[host.LeaseKey]host.Lease{}
	for k := range h.found {
		if v, ok := want[k]; ok {
			out[k] = v
		} else if v, ok := owners[place{k.Dir, k.IP}]; ok {
			if k.MAC != "" { // else nobody can say that it is not the owner's
				v.Server = taken
			}
			out[k] = v
		}
	}
	return out
}

// learn notes how a server is reached.
func (h *Hand) learn(k host.LeaseKey, v host.Lease) {
	if h.servers[k.Dir] == nil {
		h.servers[k.Dir] = map[bool]host.Lease{}
	}
	was, ok := h.servers[k.Dir][isSix(k.IP)]
	if ok && was.Why != v.Why {
		v.Why = host.Why{}
	}
	h.servers[k.Dir][isSix(k.IP)] = v
}

func isSix(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && a.Is6()
}

// Apply releases what is dropped, and what is put on an address of another
// client, each server's leases together. A lease that its server keeps is an
// [host.ItemError].
func (h *Hand) Apply(ctx context.Context, d reconcile.Diff[host.LeaseKey, host.Lease]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	why := map[host.LeaseKey]host.Why{}
	for k, v := range d.Drop {
		why[k] = v.Why
	}
	for k, v := range d.Put {
		if v.Server == taken {
			why[k] = v.Why
		}
	}
	byDir := map[string][]host.LeaseKey{}
	for k := range why {
		byDir[k.Dir] = append(byDir[k.Dir], k)
	}
	var mu sync.Mutex
	var errs []error
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		g.Go(func() error {
			left, err := h.release(ctx, dir, byDir[dir])
			mu.Lock()
			defer mu.Unlock()
			for _, k := range left {
				item := fmt.Sprintf("lease of %s for %s in %s", k.IP, client(k.MAC), dir)
				errs = append(errs, &host.ItemError{Item: item, Why: why[k], Err: err})
			}
			return nil
		})
	}
	_ = g.Wait() // its functions return none
	return errors.Join(errs...)
}

func client(mac string) string {
	if mac == "" {
		return "an unknown client"
	}
	return mac
}
