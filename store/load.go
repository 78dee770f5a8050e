package store

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"neutrino/store/engine"
	"neutrino/store/identity"
	"neutrino/store/tree"
)

func newClaims() *tree.Map { return tree.NewMap() }

// load reads everything afresh. The engine gives the keys in order, so that the
// rows of a table and the claims lie together and every tree is built in one
// pass; all processors take part.
func load(ctx context.Context, e engine.Engine) (*Snapshot, error) {
	list, rev, err := e.Range(ctx, allKeys, 0)
	if err != nil {
		return nil, fmt.Errorf("store: load: %w", err)
	}
	s := emptySnapshot()
	s.rev = rev
	for kv := range list.Under(identity.Key).All() {
		if kv.Key != identity.Key {
			continue
		}
		if s.name, err = identity.Decode(kv.Value); err != nil {
			return nil, fmt.Errorf("store: load: %w", err)
		}
	}
	var claims errgroup.Group
	claims.Go(func() error {
		s.claimed = loadClaims(list.Under(claimPrefix))
		return nil
	})
	for _, spec := range schema.tables {
		l := loading{spec: spec, keys: list.Under(tablePrefix + spec.name + "/")}
		if s.tables[spec.number], err = l.run(); err != nil {
			return nil, fmt.Errorf("store: load: %w", err)
		}
		if n := l.newer.Load(); n > 0 {
			slog.Warn("store: A NEWER PROGRAM WROTE THIS STORE: rows have fields that this one does not know. They are kept, and not acted on; start the newer program again",
				"table", spec.name, "rows", n)
		}
	}
	_ = claims.Wait() // does not fail
	return s, nil
}

// loading is a table that is being read.
type loading struct {
	spec  *tableSpec
	keys  engine.List
	rows  []*row
	found []found // by index
	newer atomic.Int64
	mu    sync.Mutex
}

// found is what an index will have. Nearly all rows have one key in it, or none.
type found struct {
	key   []string // of each row with one key
	count []uint8  // how many keys each row has, several for more
	more  []placed // the keys of rows with several
}

// several is the count of a row with more than one key.
const several = 2

// placed is a row, by its position, with one of its keys.
type placed struct {
	key string
	row int
}

// piece is how many rows a processor takes at once.
const piece = 4096

// run reads the rows, and then builds the trees beside each other.
func (l *loading) run() (*tableRows, error) {
	n := l.keys.Len()
	l.rows, l.found = make([]*row, n), make([]found, len(l.spec.indexes))
	for i := range l.found {
		l.found[i] = found{key: make([]string, n), count: make([]uint8, n)}
	}
	pieces := make([]int, (n+piece-1)/piece)
	for i := range pieces {
		pieces[i] = i * piece
	}
	if err := share(pieces, func(from int, into *reading) error { return l.read(from, into) }); err != nil {
		return nil, err
	}
	t := newTableRows(l.spec)
	trees := append(slices.Clone(l.spec.indexes), nil) // nil is the table itself
	return t, share(trees, func(ix *indexSpec, r *reading) error {
		if ix != nil {
			t.indexes[ix.number] = l.index(ix, &r.sorter)
			return nil
		}
		b := t.rows.Into()
		for _, r := range l.rows {
			b.Add(r.id, nil, r)
		}
		t.rows = b.Tree()
		return nil
	})
}

// reading is what one processor uses again and again.
type reading struct {
	value  any // to read packed rows into
	keys   []keyTexts
	sorter tree.Sorter
}

// keyTexts brings the texts of an index's keys together: sorting looks at them
// often, and they are parts of rows that lie far apart.
type keyTexts struct {
	known map[string]string // of an index where many rows have the same key
	room  []byte
}

// mostKnown is how many keys an index can have for each to be kept once.
const mostKnown = 1 << 12

// of is the text, where it is close to others.
func (k *keyTexts) of(key string) string {
	if known, ok := k.known[key]; ok {
		return known
	}
	if cap(k.room)-len(k.room) < len(key) {
		k.room = make([]byte, 0, max(1<<16, len(key)))
	}
	from := len(k.room)
	k.room = append(k.room, key...)
	near := unsafe.String(unsafe.SliceData(k.room[from:]), len(key))
	switch {
	case k.known == nil:
	case len(k.known) < mostKnown:
		k.known[near] = near
	default:
		k.known = nil // they are all different
	}
	return near
}

// share lets all processors work on a list.
func share[W any](list []W, do func(W, *reading) error) error {
	next := make(chan W, len(list))
	for _, w := range list {
		next <- w
	}
	close(next)
	var workers errgroup.Group
	for range min(runtime.GOMAXPROCS(0), len(list)) {
		workers.Go(func() error {
			var own reading
			for w := range next {
				if err := do(w, &own); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return workers.Wait()
}

// read reads a piece of the rows, with their keys in every index.
func (l *loading) read(from int, own *reading) error {
	if own.keys == nil {
		own.value, own.keys = l.spec.scratch(), make([]keyTexts, len(l.found))
		for i := range own.keys {
			own.keys[i].known = map[string]string{}
		}
	}
	var buf [8]string
	for at := from; at < min(from+piece, len(l.rows)); at++ {
		kv := l.keys.At(at)
		// The row's code stays a part of what was read: a copy of all of them would
		// take as long as reading them.
		r, val, err := l.spec.newRow(unsafe.String(unsafe.SliceData(kv.Value), len(kv.Value)), own.value)
		if err != nil {
			return fmt.Errorf("%w (key %s, revision %d)", err, kv.Key, kv.Mod)
		}
		r.mod, l.rows[at] = kv.Mod, r
		if l.spec.newer(r) != "" {
			l.newer.Add(1)
		}
		for i, ix := range l.spec.indexes {
			keys := ix.keys(val, buf[:0])
			for n := range keys {
				keys[n] = own.keys[i].of(keys[n])
			}
			l.find(&l.found[i], keys, at)
		}
	}
	return nil
}

// find notes the keys of a row in an index.
func (l *loading) find(f *found, keys []string, at int) {
	switch len(keys) {
	case 0:
	case 1:
		f.key[at], f.count[at] = keys[0], 1
	default:
		f.count[at] = several
		l.mu.Lock()
		defer l.mu.Unlock()
		for n, key := range keys {
			if !slices.Contains(keys[:n], key) {
				f.more = append(f.more, placed{key, at})
			}
		}
	}
}

// index builds an index. Rows with the same key stay in the order of their IDs.
func (l *loading) index(ix *indexSpec, sorter *tree.Sorter) *rows {
	f := l.found[ix.number]
	l.found[ix.number] = found{}
	b := tree.NewIndex(idOf).Into()
	if !slices.ContainsFunc(f.count, func(n uint8) bool { return n != 1 }) {
		for _, at := range sorter.Order(len(f.key), func(i uint32) string { return f.key[i] }) {
			b.Add(f.key[at], nil, l.rows[at])
		}
		return b.Tree()
	}
	ones := 0
	for _, n := range f.count {
		if n == 1 {
			ones++
		}
	}
	all := slices.Grow(f.more, ones)
	for at, n := range f.count {
		if n == 1 {
			all = append(all, placed{f.key[at], at})
		}
	}
	slices.SortFunc(all, func(a, b placed) int { return a.row - b.row })
	for _, at := range sorter.Order(len(all), func(i uint32) string { return all[i].key }) {
		b.Add(all[at].key, nil, l.rows[all[at].row])
	}
	return b.Tree()
}

func loadClaims(list engine.List) *tree.Map {
	b := newClaims().Into()
	var value []byte
	for kv := range list.All() {
		key := kv.Key[len(claimPrefix):]
		value = appendClaim(value[:0], key, kv.Value, kv.Mod)
		b.Add(key, value, struct{}{})
	}
	return b.Tree()
}
