// Package conntrack is the hand for the kernel's connection table: it removes
// the entries of a port's zone that the port's rules no longer admit.
package conntrack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"neutrino/host"
	"neutrino/reconcile"
)

// Hand enforces zones in the agent's own network namespace. The table holds
// no rules, so a zone is as planned when each of its entries is admitted: a
// fresh hand dumps the table once to see that, and so does the first Read after
// [Hand.Invalidate]. Between them a zone is what this hand has enforced.
type Hand struct {
	mu       sync.Mutex
	enforced map[uint16]host.Zone
	stale    bool                 // the table may hold anything
	planned  map[uint16]host.Zone // the plan's zones
	sets     map[string]string    // members of the plan's ipsets, by name
}

var _ reconcile.Hand[uint16, host.Zone] = (*Hand)(nil)

// New makes a hand that has enforced nothing yet.
func New() *Hand { return &Hand{enforced: map[uint16]host.Zone{}, stale: true} }

// unknown marks a zone that was enforced once and may hold anything now.
const unknown = "unknown"

// Same reports whether two zones may hold the same.
func Same(a, b host.Zone) bool {
	return a.Allow == b.Allow && a.Sets == b.Sets && a.Addresses == b.Addresses
}

// Expect takes in a new plan: its zones, and the ipsets that their lines name.
func (h *Hand) Expect(s *host.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.planned, h.sets = s.Zones, map[string]string{}
	for k, set := range s.Sets {
		if k.NetNS == "" {
			h.sets[k.Name] = set.Members
		}
	}
}

// Read returns the zones that hold what they were last seen or made to hold.
func (h *Hand) Read(ctx context.Context) (map[uint16]host.Zone, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stale {
		if err := h.look(ctx); err != nil {
			return nil, err
		}
	}
	return maps.Clone(h.enforced), nil
}

// look takes each planned zone without an entry to remove for enforced.
func (h *Hand) look(ctx context.Context) error {
	rules, sets := map[uint16]policy{}, memberSets{members: h.sets, parsed: map[string]*memberSet{}}
	for id, z := range h.planned {
		if p, err := parsePolicy(z, sets); err == nil { // else Apply says so
			rules[id] = p
		}
	}
	if len(rules) > 0 {
		entries, err := dump(ctx, func(zone uint16) bool { _, ok := rules[zone]; return ok })
		if err != nil {
			return fmt.Errorf("conntrack: reading the table: %w", err)
		}
		for _, e := range doomed(entries, rules) {
			delete(rules, e.zone)
		}
	}
	for id := range rules {
		h.enforced[id] = h.planned[id]
	}
	h.stale = false
	return nil
}

// Events is nil: entries come and go with the traffic, and the rules decide
// about new ones.
func (h *Hand) Events() <-chan struct{} { return nil }

// Invalidate makes the next Read look at the table again. A zone that it finds
// wrong, or that is in no plan, is to be enforced again.
func (h *Hand) Invalidate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stale = true
	for id, z := range h.enforced {
		z.Allow = unknown
		h.enforced[id] = z
	}
}

// Apply dumps the table once and deletes what the put zones do not admit, and
// everything in the dropped zones. It writes nothing when there is no such entry.
func (h *Hand) Apply(ctx context.Context, d reconcile.Diff[uint16, host.Zone]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	rules, sets := map[uint16]policy{}, memberSets{members: h.sets, parsed: map[string]*memberSet{}}
	for id := range d.Drop {
		rules[id] = policy{}
	}
	for id, z := range d.Put {
		p, err := parsePolicy(z, sets)
		if err != nil {
			errs = append(errs, zoneError(id, z, err))
			continue
		}
		rules[id] = p
	}
	if len(rules) == 0 {
		return errors.Join(errs...)
	}
	entries, err := dump(ctx, func(zone uint16) bool { _, ok := rules[zone]; return ok })
	if err != nil {
		return fmt.Errorf("conntrack: reading the table: %w", err)
	}
	failed, err := h.remove(ctx, doomed(entries, rules))
	if err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	for id := range rules {
		z, put := d.Put[id]
		switch {
		case failed[id] != nil && put:
			errs = append(errs, zoneError(id, z, failed[id]))
		case failed[id] != nil:
			errs = append(errs, zoneError(id, d.Drop[id], failed[id]))
		case put:
			h.enforced[id] = z
		default:
			delete(h.enforced, id)
		}
	}
	return errors.Join(errs...)
}

func zoneError(id uint16, z host.Zone, err error) error {
	return &host.ItemError{Item: fmt.Sprintf("conntrack zone %d", id), Why: z.Why, Err: err}
}

// remove deletes entries; failures are by zone.
func (h *Hand) remove(ctx context.Context, entries []entry) (map[uint16]error, error) {
	failed := map[uint16]error{}
	if len(entries) == 0 {
		return failed, nil
	}
	s, err := open()
	if err != nil {
		return nil, err
	}
	defer s.close()
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.remove(e); err != nil {
			failed[e.zone] = fmt.Errorf("deleting %v: %w", e.tuple, err)
		}
	}
	return failed, nil
}

// doomed picks the entries that their zone's policy does not admit. An entry
// that a helper expected lives as long as its master.
func doomed(entries []entry, rules map[uint16]policy) []entry {
	type id struct {
		zone  uint16
		tuple tuple
	}
	known := make(map[id]int, len(entries))
	for i, e := range entries {
		known[id{e.zone, e.tuple}] = i
	}
	verdicts := make([]int8, len(entries)) // 0 open, 1 stays, -1 goes
	var stays func(i, depth int) bool
	stays = func(i, depth int) bool {
		if verdicts[i] == 0 {
			e := entries[i]
			p := rules[e.zone]
			ok := p.admits(e.tuple)
			if !ok && e.expected && !p.empty() && depth < 8 {
				m, found := known[id{e.zone, e.master}]
				ok = found && stays(m, depth+1)
			}
			verdicts[i] = -1
			if ok {
				verdicts[i] = 1
			}
		}
		return verdicts[i] > 0
	}
	var out []entry
	for i, e := range entries {
		if !stays(i, 0) {
			out = append(out, e)
		}
	}
	return out
}

// lines splits text into its lines, none for "".
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
