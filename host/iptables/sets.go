package iptables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"neutrino/host"
	"neutrino/reconcile"
)

// Sets is the hand for our ipsets: those whose names begin with NIPv4 or NIPv6.
type Sets struct{ e *Engine }

const (
	swapSuffix  = "-n"  // of a set that is being filled to take another's place
	smallChange = 5     // from here on a set is filled anew and swapped in
	defaultMax  = 65536 // elements that a set holds unless told otherwise
)

// Read returns our sets. A swap set that a crash left behind is among them.
func (s *Sets) Read(ctx context.Context) (map[host.SetKey]host.Set, error) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	s.e.forget()
	all := s.e.namespaces()
	maps.DeleteFunc(s.e.sets, func(ns string, _ map[string]host.Set) bool { return !slices.Contains(all, ns) })
	if err := s.load(ctx, all); err != nil {
		return nil, err
	}
	have := map[host.SetKey]host.Set{}
	for ns, sets := range s.e.sets {
		for name, set := range sets {
			have[host.SetKey{NetNS: ns, Name: name}] = set
		}
	}
	return have, nil
}

// Events is nil: the kernel announces no change of a set.
func (s *Sets) Events() <-chan struct{} { return nil }

// Invalidate makes the next Read ask the kernel.
func (s *Sets) Invalidate() { s.e.Invalidate() }

func (s *Sets) load(ctx context.Context, namespaces []string) error {
	found := make([]map[string]host.Set, len(namespaces))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, ns := range namespaces {
		if s.e.sets[ns] != nil {
			continue
		}
		g.Go(func() error {
			out, err := s.e.run(gctx, ns, "", "ipset", "save")
			if err != nil && !s.e.exists(ns) {
				return nil
			} else if err != nil {
				return fmt.Errorf("iptables: reading sets: %w", err)
			}
			found[i] = parseSets(out)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, ns := range namespaces {
		if found[i] != nil {
			s.e.sets[ns] = found[i]
		}
	}
	return nil
}

func ourSet(name string) bool {
	return strings.HasPrefix(name, "NIPv4") || strings.HasPrefix(name, "NIPv6")
}

// parseSets takes the output of ipset save apart.
func parseSets(text string) map[string]host.Set {
	sets, members := map[string]host.Set{}, map[string][]string{}
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(line)
		if len(f) < 3 || !ourSet(f[1]) {
			continue
		}
		switch f[0] {
		case "create":
			set := host.Set{Family: "inet"}
			if i := slices.Index(f, "family"); i > 0 && i+1 < len(f) {
				set.Family = f[i+1]
			}
			if f[2] != "hash:net" {
				set.Family = f[2] // of another type: never equal to what is wanted
			}
			sets[f[1]] = set
		case "add":
			members[f[1]] = append(members[f[1]], f[2])
		}
	}
	for name, list := range members {
		if set, ok := sets[name]; ok {
			set.Members = NormaliseMembers(strings.Join(list, "\n"))
			sets[name] = set
		}
	}
	return sets
}

// NormaliseMembers is the one spelling of a set's members, as ipset save prints
// them: sorted, host bits cleared, single addresses without length, and /0 as
// two /1, because a hash:net cannot hold it (CVE-2015-3221). What is no prefix
// is kept as it is.
func NormaliseMembers(members string) string {
	var out []string
	for m := range strings.FieldsSeq(members) {
		form := prefixForm(m)
		switch form {
		case "0.0.0.0/0":
			out = append(out, "0.0.0.0/1", "128.0.0.0/1")
			continue
		case "::/0":
			out = append(out, "::/1", "8000::/1")
			continue
		}
		if p, err := netip.ParsePrefix(form); err == nil && p.IsSingleIP() {
			form = p.Addr().String()
		}
		out = append(out, form)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "\n")
}

// SameSet reports whether two sets hold the same, in whatever spelling.
func SameSet(a, b host.Set) bool {
	return a.Family == b.Family && (a.Members == b.Members || NormaliseMembers(a.Members) == NormaliseMembers(b.Members))
}

// Apply fills and destroys sets, one ipset restore for each namespace. Few
// changes are made in place; many go into a second set that is swapped in, so
// no packet ever meets a half-filled one.
func (s *Sets) Apply(ctx context.Context, d reconcile.Diff[host.SetKey, host.Set]) error {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	var errs []error
	for ns, names := range byNamespace(d.Put) {
		errs = append(errs, s.namespace(ctx, setWork{ns: ns, names: names, items: d.Put, render: s.putLines})...)
	}
	for ns, names := range byNamespace(d.Drop) {
		errs = append(errs, s.namespace(ctx, setWork{ns: ns, names: names, items: d.Drop, drop: true, render: dropLines})...)
	}
	return errors.Join(errs...)
}

type setWork struct {
	ns     string
	names  []string
	items  map[host.SetKey]host.Set
	drop   bool
	render func(have map[string]host.Set, name string, want host.Set) ([]string, error)
}

func (w setWork) item(name string) host.Set { return w.items[host.SetKey{NetNS: w.ns, Name: name}] }

func (w setWork) text(name string) string {
	if w.ns == "" {
		return "set " + name
	}
	return "set " + name + " in " + w.ns
}

func byNamespace(items map[host.SetKey]host.Set) map[string][]string {
	out := map[string][]string{}
	for k := range items {
		out[k.NetNS] = append(out[k.NetNS], k.Name)
	}
	for _, names := range out {
		slices.Sort(names)
	}
	return out
}

func (s *Sets) namespace(ctx context.Context, w setWork) []error {
	item := func(name string) host.ItemError {
		return host.ItemError{Item: w.text(name), Why: w.item(name).Why}
	}
	if !s.e.exists(w.ns) {
		return spread(w.names, item, &host.Absent{What: "namespace " + w.ns})
	}
	if err := s.load(ctx, []string{w.ns}); err != nil {
		return []error{err}
	}
	have := s.e.sets[w.ns]
	if have == nil {
		return spread(w.names, item, &host.Absent{What: "namespace " + w.ns})
	}
	j := &job{failed: map[int]error{}}
	lines, items := make([][]string, len(w.names)), []int{}
	for i, name := range w.names {
		var err error
		lines[i], err = w.render(have, name, w.item(name))
		if err != nil {
			j.failed[i] = err
			continue
		}
		items = append(items, i)
	}
	j.render = func(items []int) *batch {
		b := &batch{}
		for _, i := range items {
			for _, l := range lines[i] {
				b.add(i, l)
			}
		}
		return b
	}
	j.apply = func(ctx context.Context, text string) error { return s.restore(ctx, w.ns, text) }
	err := j.run(ctx, items)
	return s.finish(w, j, err)
}

// finish notes what a namespace's sets hold now, and collects the errors.
func (s *Sets) finish(w setWork, j *job, err error) []error {
	var errs []error
	for _, i := range j.done {
		want := w.item(w.names[i])
		delete(s.e.sets[w.ns], w.names[i]+swapSuffix)
		delete(s.e.sets[w.ns], w.names[i])
		if !w.drop {
			s.e.sets[w.ns][w.names[i]] = host.Set{Family: want.Family, Members: want.Members}
		}
	}
	for i, cause := range j.failed {
		errs = append(errs, &host.ItemError{
			Item: w.text(w.names[i]), Why: w.item(w.names[i]).Why, Err: cause,
		})
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("iptables: sets: %w", err))
	}
	if len(errs) > 0 {
		delete(s.e.sets, w.ns)
	}
	return errs
}

// restore feeds a batch to ipset restore. A set that a rule has just stopped
// using counts as used until the kernel has freed the rule, which it does a
// little later: that is waited for.
func (s *Sets) restore(ctx context.Context, ns, text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	deadline := time.Now().Add(time.Second)
	for {
		_, err := s.e.run(ctx, ns, text, "ipset", "restore", "-exist")
		var r *refused
		if !errors.As(err, &r) || !strings.Contains(r.stderr, "in use") || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
