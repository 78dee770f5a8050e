package iptables

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"neutrino/host"
	"neutrino/reconcile"
)

// Hooks is the hand for our rules in built-in chains: those whose target is a
// chain of ours. Rules of others keep their place.
type Hooks struct{ e *Engine }

// hookChain is one built-in chain.
type hookChain struct{ table, chain string }

// Read returns our hooks. Their Order is the one last applied while the kernel
// agrees with it; a fresh hand knows only their sequence, and counts from zero
// in each built-in chain. A plan that numbers the same way differs in nothing.
func (h *Hooks) Read(ctx context.Context) (map[host.HookKey]host.Hook, error) {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	if err := h.e.load(ctx); err != nil {
		return nil, err
	}
	have := map[host.HookKey]host.Hook{}
	for p, im := range h.e.images {
		for tn, t := range im.tables {
			for chain := range t.builtin {
				h.e.readHooks(p, im, hookChain{tn, chain}, have)
			}
		}
	}
	return have, nil
}

func (e *Engine) readHooks(p place, im *image, hc hookChain, have map[host.HookKey]host.Hook) {
	var keys []host.HookKey
	known, last := true, 0
	for _, raw := range im.table(hc.table).builtin[hc.chain] {
		rule := normalise(raw, e.names)
		if !e.ours(target(rule)) {
			continue
		}
		k := host.HookKey{NetNS: p.ns, Family: p.family, Table: hc.table, Chain: hc.chain, Rule: rule}
		was, ok := e.applied[k]
		known = known && ok && was.order >= last && !slices.Contains(keys, k)
		last = was.order
		keys = append(keys, k)
	}
	for i, k := range keys {
		was, spelled := e.applied[k], k
		if was.rule != "" {
			spelled.Rule = was.rule
		}
		switch {
		case slices.Contains(keys[:i], k): // twice in the chain: never equal to what is wanted
			have[spelled] = host.Hook{Order: -len(keys)}
		case known:
			have[spelled] = host.Hook{Order: was.order}
		default:
			have[spelled] = host.Hook{Order: i}
		}
	}
}

// appliedHook is a hook as its plan spells and orders it.
type appliedHook struct {
	rule  string
	order int
}

// wasApplied is how a hook was applied, by its normal form.
func (e *Engine) wasApplied(k host.HookKey) (appliedHook, bool) {
	e.placesMu.Lock()
	defer e.placesMu.Unlock()
	was, ok := e.applied[k]
	return was, ok
}

// normalHook is a hook's key with its rule in normal form.
func (e *Engine) normalHook(k host.HookKey) host.HookKey {
	k.Rule = normalise(k.Rule, e.names)
	return k
}

// target is the chain that a rule jumps or goes to.
func target(rule string) string {
	words := tokens(rule)
	for i := len(words) - 2; i >= 0; i-- {
		if w := words[i].text; !words[i].quoted && (w == "-j" || w == "-g") {
			return words[i+1].text
		}
	}
	return ""
}

// Apply inserts what is missing at the top of its built-in chain, in Order
// among ours, and deletes what is dropped. A hook that is where it belongs,
// even below rules of others, is left alone.
func (h *Hooks) Apply(ctx context.Context, d reconcile.Diff[host.HookKey, host.Hook]) error {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	if err := h.e.detect(ctx); err != nil {
		return err
	}
	places := map[place]bool{}
	for k := range d.Put {
		places[place{k.NetNS, k.Family}] = true
	}
	for k := range d.Drop {
		places[place{k.NetNS, k.Family}] = true
	}
	return errors.Join(each(ctx, h.e, places, func(p place) []error { return h.place(ctx, p, d) })...)
}

// Events signals that somebody else changed rules.
func (h *Hooks) Events() <-chan struct{} { return h.e.events }

// Invalidate makes the next Read ask the kernel.
func (h *Hooks) Invalidate() { h.e.Invalidate() }

func (h *Hooks) place(ctx context.Context, p place, d reconcile.Diff[host.HookKey, host.Hook]) []error {
	keys := hookKeys(p, d)
	why := func(k host.HookKey) host.ItemError {
		v, ok := d.Put[k]
		if !ok {
			v = d.Drop[k]
		}
		return host.ItemError{Item: hookItem(k), Why: v.Why}
	}
	im, err := h.e.image(ctx, p)
	if isAbsent(err) {
		return spread(keys, why, err)
	} else if err != nil {
		return []error{err}
	}
	j, err := h.write(ctx, hookWork{p, im, keys, d})
	if err != nil {
		err = fmt.Errorf("iptables: hooks of %v: %w", p, err)
	}
	h.e.placesMu.Lock()
	defer h.e.placesMu.Unlock()
	for _, i := range j.done {
		if v, put := d.Put[keys[i]]; put {
			h.e.applied[h.e.normalHook(keys[i])] = appliedHook{keys[i].Rule, v.Order}
		} else {
			delete(h.e.applied, h.e.normalHook(keys[i]))
		}
	}
	return h.e.collect(p, j.errors(func(i int) host.ItemError { return why(keys[i]) }), err)
}

type hookWork struct {
	p    place
	im   *image
	keys []host.HookKey
	d    reconcile.Diff[host.HookKey, host.Hook]
}

// write applies a place's hooks in one batch.
func (h *Hooks) write(ctx context.Context, w hookWork) (*job, error) {
	j := &job{failed: map[int]error{}}
	var sane []int
	for i, k := range w.keys {
		if strings.ContainsAny(k.Rule+k.Chain+k.Table, "\n\r\x00") || !h.e.ours(target(normalise(k.Rule, h.e.names))) {
			j.failed[i] = errors.New("the rule does not jump to a chain of ours")
			continue
		}
		sane = append(sane, i)
	}
	var after map[hookChain][]string
	j.render = func(items []int) *batch {
		var b *batch
		b, after = h.e.renderHooks(w, items)
		return b
	}
	j.apply = func(ctx context.Context, text string) error {
		if !strings.Contains(text, "\nCOMMIT\n") {
			return nil // everything is in its place
		}
		err := h.e.restore(ctx, w.p, text)
		if err == nil {
			for hc, rules := range after {
				w.im.table(hc.table).builtin[hc.chain] = rules
			}
		}
		return err
	}
	return j, j.run(ctx, sane)
}

func hookKeys(p place, d reconcile.Diff[host.HookKey, host.Hook]) []host.HookKey {
	var keys []host.HookKey
	for _, k := range slices.Concat(slices.Collect(maps.Keys(d.Put)), slices.Collect(maps.Keys(d.Drop))) {
		if k.NetNS == p.ns && k.Family == p.family {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b host.HookKey) int {
		return cmp.Or(strings.Compare(a.Table, b.Table), strings.Compare(a.Chain, b.Chain),
			d.Put[a].Order-d.Put[b].Order, strings.Compare(a.Rule, b.Rule))
	})
	return keys
}

// renderHooks makes the batch for some of the keys and says what the built-in
// chains hold afterwards.
func (e *Engine) renderHooks(w hookWork, items []int) (*batch, map[hookChain][]string) {
	keys := w.keys
	groups := map[hookChain][]int{}
	for _, i := range items {
		hc := hookChain{keys[i].Table, keys[i].Chain}
		groups[hc] = append(groups[hc], i)
	}
	after, lines := map[hookChain][]string{}, map[string]*batch{}
	var tables []string
	for _, hc := range slices.SortedFunc(maps.Keys(groups), func(a, b hookChain) int {
		return cmp.Or(strings.Compare(a.table, b.table), strings.Compare(a.chain, b.chain))
	}) {
		if lines[hc.table] == nil {
			lines[hc.table] = &batch{}
			tables = append(tables, hc.table)
		}
		ed := &edit{e: e, chain: hc.chain, out: lines[hc.table], rules: slices.Clone(w.im.table(hc.table).builtin[hc.chain])}
		for _, i := range groups[hc] {
			if _, put := w.d.Put[keys[i]]; put {
				ed.want = append(ed.want, wantedHook{i, keys[i].Rule, w.d.Put[keys[i]].Order})
			} else {
				ed.remove(normalise(keys[i].Rule, e.names), i)
			}
		}
		if len(ed.want) > 0 {
			ed.addPresent(keys[ed.want[0].owner])
			ed.arrange()
		}
		after[hc] = ed.rules
	}
	sortTables(tables)
	all := &batch{}
	for _, t := range tables {
		if len(lines[t].lines) == 0 {
			continue
		}
		all.add(-1, "*"+t)
		for i, l := range lines[t].lines {
			all.add(lines[t].owner[i], l)
		}
		all.add(-1, "COMMIT")
	}
	return all, after
}

// edit changes one built-in chain; rules is its content as the commands so far
// leave it.
type edit struct {
	e     *Engine
	chain string
	rules []string
	want  []wantedHook
	out   *batch
}

type wantedHook struct {
	owner int // index of the item, -1 for a hook that is not in the diff
	rule  string
	order int
}

func (ed *edit) remove(rule string, owner int) {
	ed.rules = slices.DeleteFunc(ed.rules, func(raw string) bool {
		if normalise(raw, ed.e.names) != rule {
			return false
		}
		ed.out.add(owner, "-D "+ed.chain+" "+raw)
		return true
	})
}

func (ed *edit) insert(at int, w wantedHook) {
	ed.out.add(w.owner, fmt.Sprintf("-I %s %s %s", ed.chain, strconv.Itoa(at+1), ed.e.wire(w.rule)))
	ed.rules = slices.Insert(ed.rules, at, w.rule)
}

// addPresent puts the hooks that are in the chain and not in the diff among the
// wanted ones, with the order that they have.
func (ed *edit) addPresent(like host.HookKey) {
	n := 0
	for _, raw := range ed.rules {
		rule := normalise(raw, ed.e.names)
		if !ed.e.ours(target(rule)) {
			continue
		}
		like.Rule = rule
		order := n
		if was, known := ed.e.wasApplied(like); known {
			order = was.order
		}
		n++
		if !slices.ContainsFunc(ed.want, func(w wantedHook) bool { return normalise(w.rule, ed.e.names) == rule }) {
			ed.want = append(ed.want, wantedHook{-1, raw, order})
		}
	}
	slices.SortStableFunc(ed.want, func(a, b wantedHook) int {
		return cmp.Or(a.order-b.order, strings.Compare(a.rule, b.rule))
	})
}

// arrange makes our hooks stand in the wanted order. When those that are there
// are in order, only what is missing is inserted, next to its neighbour.
func (ed *edit) arrange() {
	if !ed.ordered() {
		for _, w := range ed.want {
			ed.remove(normalise(w.rule, ed.e.names), w.owner)
		}
	}
	at := 0
	first := slices.IndexFunc(ed.want, func(w wantedHook) bool { return ed.find(w) >= 0 })
	if first > 0 {
		at = ed.find(ed.want[first])
	}
	for _, w := range ed.want {
		if i := ed.find(w); i >= 0 {
			at = i + 1
			continue
		}
		ed.insert(at, w)
		at++
	}
}

func (ed *edit) find(w wantedHook) int {
	rule := normalise(w.rule, ed.e.names)
	return slices.IndexFunc(ed.rules, func(raw string) bool { return normalise(raw, ed.e.names) == rule })
}

// ordered reports whether the wanted hooks that are present are there once and
// in the wanted order.
func (ed *edit) ordered() bool {
	last := -1
	for _, w := range ed.want {
		i := ed.find(w)
		if i < 0 {
			continue
		}
		if i < last {
			return false
		}
		last = i
		rule := normalise(w.rule, ed.e.names)
		if slices.ContainsFunc(ed.rules[i+1:], func(raw string) bool { return normalise(raw, ed.e.names) == rule }) {
			return false
		}
	}
	return true
}
