package iptables

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"neutrino/host"
	"neutrino/reconcile"
)

// Chains is the hand for the content of our chains.
type Chains struct{ e *Engine }

// Read returns our chains in every namespace, rules in normal form, or as they
// were last applied when the kernel holds the same.
func (c *Chains) Read(ctx context.Context) (map[host.ChainKey]host.Chain, error) {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	if err := c.e.load(ctx); err != nil {
		return nil, err
	}
	have := map[host.ChainKey]host.Chain{}
	for p, im := range c.e.images {
		for tn, t := range im.tables {
			for name, rules := range t.chains {
				have[host.ChainKey{NetNS: p.ns, Family: p.family, Table: tn, Chain: name}] = host.Chain{Rules: rules}
			}
		}
	}
	return have, nil
}

// Apply writes the chains, one batch for each namespace and family, several of
// them at a time. A chain of which less than half changes is changed in place:
// its other rules keep their counters. A chain
// that is refused is an [host.ItemError]; it keeps what it held, and a new one
// in the filter table drops everything, so that what jumps to it is not let through.
func (c *Chains) Apply(ctx context.Context, d reconcile.Diff[host.ChainKey, host.Chain]) error {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	if err := c.e.detect(ctx); err != nil {
		return err
	}
	puts, drops := byPlace(d.Put), byPlace(d.Drop)
	errs := each(ctx, c.e, puts, func(p place) []error {
		return c.place(ctx, chainWork{p: p, keys: puts[p], items: d.Put}, c.put)
	})
	errs = append(errs, each(ctx, c.e, drops, func(p place) []error {
		return c.place(ctx, chainWork{p: p, keys: drops[p], items: d.Drop}, c.drop)
	})...)
	return errors.Join(errs...)
}

// Events signals that somebody else changed rules.
func (c *Chains) Events() <-chan struct{} { return c.e.events }

// Invalidate makes the next Read ask the kernel.
func (c *Chains) Invalidate() { c.e.Invalidate() }

type chainWork struct {
	p     place
	im    *image
	keys  []host.ChainKey
	items map[host.ChainKey]host.Chain
	edits map[int][]string // commands that change a chain in place, by the index of its key
}

func byPlace(items map[host.ChainKey]host.Chain) map[place][]host.ChainKey {
	out := map[place][]host.ChainKey{}
	for k := range items {
		p := place{k.NetNS, k.Family}
		out[p] = append(out[p], k)
	}
	for _, keys := range out {
		slices.SortFunc(keys, func(a, b host.ChainKey) int {
			return cmp.Or(strings.Compare(a.Table, b.Table), strings.Compare(a.Chain, b.Chain))
		})
	}
	return out
}

func (c *Chains) place(ctx context.Context, w chainWork, do func(context.Context, chainWork) (*job, error)) []error {
	item := func(k host.ChainKey) host.ItemError {
		return host.ItemError{Item: chainItem(k), Why: w.items[k].Why}
	}
	im, err := c.e.image(ctx, w.p)
	if isAbsent(err) {
		return spread(w.keys, item, err)
	} else if err != nil {
		return []error{err}
	}
	w.im = im
	j, err := do(ctx, w)
	if err != nil {
		err = fmt.Errorf("iptables: writing %v: %w", w.p, err)
	}
	return c.e.collect(w.p, j.errors(func(i int) host.ItemError { return item(w.keys[i]) }), err)
}

// put applies a place's chains. One that cannot be changed in place is written
// as a whole.
func (c *Chains) put(ctx context.Context, w chainWork) (*job, error) {
	j := &job{failed: map[int]error{}}
	w.edits = map[int][]string{}
	var items []int
	for i, k := range w.keys {
		if err := c.e.check(k, w.items[k]); err != nil {
			j.failed[i] = err
			continue
		}
		chains := w.im.table(k.Table).chains
		held, exists := chains[k.Chain]
		want := c.e.normal(w.items[k].Rules)
		if exists && c.e.normal(held) == want {
			chains[k.Chain] = w.items[k].Rules // same rules, other spelling
			continue
		}
		items = append(items, i)
		if exists {
			w.edits[i] = c.e.edit(k.Chain, c.e.normal(held), w.items[k].Rules)
		}
	}
	j.render = func(items []int) *batch { return c.render(w, items) }
	j.apply = func(ctx context.Context, text string) error { return c.e.restore(ctx, w.p, text) }
	err := j.run(ctx, items)
	if again := w.whole(j); err == nil && len(again) > 0 {
		err = j.run(ctx, again)
	}
	if err == nil && len(j.failed) > 0 {
		if b := c.render(w, nil); len(b.lines) > 0 && len(j.done) == 0 {
			err = j.apply(ctx, b.text())
		}
	}
	for _, i := range j.done {
		k := w.keys[i]
		w.im.table(k.Table).chains[k.Chain] = w.items[k].Rules
	}
	return j, err
}

// whole takes the edits away from the failed chains that had some, and returns
// those chains: somebody may have changed what an edit rests on.
func (w chainWork) whole(j *job) []int {
	var again []int
	for i := range w.keys {
		if j.failed[i] != nil && w.edits[i] != nil {
			again = append(again, i)
			delete(j.failed, i)
			delete(w.edits, i)
		}
	}
	return again
}

// render edits the items' chains, or declares them, which empties them, and
// fills them. A chain of the same diff that is not among the items and does not
// exist yet is declared closed: others may jump to it.
func (c *Chains) render(w chainWork, items []int) *batch {
	in := make([]bool, len(w.keys))
	for _, i := range items {
		in[i] = true
	}
	byTable := map[string][]int{}
	for i, k := range w.keys {
		if _, exists := w.im.table(k.Table).chains[k.Chain]; in[i] || !exists {
			byTable[k.Table] = append(byTable[k.Table], i)
		}
	}
	tables := slices.Collect(maps.Keys(byTable))
	sortTables(tables)
	b := &batch{}
	for _, t := range tables {
		b.add(-1, "*"+t)
		for _, i := range byTable[t] {
			if w.edits[i] == nil {
				b.add(i, ":"+w.keys[i].Chain+" - [0:0]")
			}
		}
		for _, i := range byTable[t] {
			switch {
			case in[i]:
				c.fill(b, w, i)
			case t == "filter":
				b.add(-1, "-A "+w.keys[i].Chain+" -j DROP")
			}
		}
		b.add(-1, "COMMIT")
	}
	return b
}

// fill adds the commands that give a chain its rules.
func (c *Chains) fill(b *batch, w chainWork, i int) {
	k := w.keys[i]
	if w.edits[i] != nil {
		for _, command := range w.edits[i] {
			b.add(i, command)
		}
		return
	}
	for _, rule := range rulesOf(w.items[k].Rules) {
		b.add(i, "-A "+k.Chain+" "+c.e.wire(rule))
	}
}

// drop empties all of a place's chains first, so that they no longer refer to
// each other, and deletes them in the same batch.
func (c *Chains) drop(ctx context.Context, w chainWork) (*job, error) {
	j := &job{failed: map[int]error{}}
	var items []int
	for i, k := range w.keys {
		if _, ok := w.im.table(k.Table).chains[k.Chain]; ok && c.e.ours(k.Chain) {
			items = append(items, i)
		}
	}
	j.render = func(items []int) *batch {
		byTable := map[string][]int{}
		for _, i := range items {
			byTable[w.keys[i].Table] = append(byTable[w.keys[i].Table], i)
		}
		tables := slices.Collect(maps.Keys(byTable))
		sortTables(tables)
		b := &batch{}
		for _, t := range tables {
			b.add(-1, "*"+t)
			for _, i := range byTable[t] {
				b.add(i, ":"+w.keys[i].Chain+" - [0:0]")
			}
			for _, i := range byTable[t] {
				b.add(i, "-X "+w.keys[i].Chain)
			}
			b.add(-1, "COMMIT")
		}
		return b
	}
	j.apply = func(ctx context.Context, text string) error { return c.e.restore(ctx, w.p, text) }
	err := j.run(ctx, items)
	for _, i := range j.done {
		delete(w.im.table(w.keys[i].Table).chains, w.keys[i].Chain)
	}
	return j, err
}

// check refuses what would reach beyond its chain.
func (e *Engine) check(k host.ChainKey, c host.Chain) error {
	if !e.ours(k.Chain) {
		return fmt.Errorf("%s is no chain of ours", k.Chain)
	}
	if len(k.Chain) > 28 {
		return fmt.Errorf("a chain's name has at most 28 characters, %s has %d", k.Chain, len(k.Chain))
	}
	if strings.ContainsAny(k.Chain+k.Table, " \t\n\r\x00") || strings.ContainsAny(c.Rules, "\r\x00") {
		return errors.New("control characters in a name or rule")
	}
	return nil
}
