package store

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"neutrino/store/engine"
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
	}
	_ = claims.Wait() // does not fail
	return s, nil
}

// loading is a table that is being read.
type loading struct {
	spec   *tableSpec
	keys   engine.List
	rows   []*row
	only   [][]string   // the key of each row, by index, where each has one
	places [][][]placed // of each piece of the rows, by index, where it is otherwise
}

// placed is a row with one of its keys.
type placed struct {
	key string
	row *row
}

// piece is how many rows a processor takes at once.
const piece = 4096

// run reads the rows, and then builds the trees beside each other.
func (l *loading) run() (*tableRows, error) {
	l.rows = make([]*row, l.keys.Len())
	l.places = make([][][]placed, (len(l.rows)+piece-1)/piece)
	l.only = make([][]string, len(l.spec.indexes))
	for _, ix := range l.spec.indexes {
		if ix.total {
			l.only[ix.number] = make([]string, len(l.rows))
		}
	}
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for i := range l.places {
		workers.Go(func() error { return l.read(i) })
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	t := newTableRows(l.spec)
	for _, ix := range l.spec.indexes {
		workers.Go(func() error {
			t.indexes[ix.number] = l.index(ix)
			return nil
		})
	}
	workers.Go(func() error {
		b := t.rows.Into()
		for _, r := range l.rows {
			b.Add(r.id, nil, r)
		}
		t.rows = b.Tree()
		return nil
	})
	return t, workers.Wait()
}

// read reads a piece of the rows, with their keys in every index.
func (l *loading) read(i int) error {
	from, to := i*piece, min((i+1)*piece, len(l.rows))
	places := make([][]placed, len(l.spec.indexes))
	into := l.spec.scratch()
	var buf [8]string
	for at := from; at < to; at++ {
		kv := l.keys.At(at)
		r, val, err := l.spec.newRow(kv.Value, into)
		if err != nil {
			return fmt.Errorf("%w (key %s, revision %d)", err, kv.Key, kv.Mod)
		}
		r.mod, l.rows[at] = kv.Mod, r
		for _, ix := range l.spec.indexes {
			keys := ix.keys(val, buf[:0])
			if ix.total {
				l.only[ix.number][at] = keys[0]
				continue
			}
			for n, key := range keys {
				if slices.Contains(keys[:n], key) {
					continue
				}
				if places[ix.number] == nil {
					places[ix.number] = make([]placed, 0, to-at)
				}
				places[ix.number] = append(places[ix.number], placed{key, r})
			}
		}
	}
	l.places[i] = places
	return nil
}

// index builds an index. Rows with the same key stay in the order of their IDs.
func (l *loading) index(ix *indexSpec) *rows {
	b := tree.NewIndex(idOf).Into()
	if only := l.only[ix.number]; ix.total {
		l.only[ix.number] = nil
		for _, at := range tree.Order(len(only), func(i uint32) string { return only[i] }) {
			b.Add(only[at], nil, l.rows[at])
		}
		return b.Tree()
	}
	n := 0
	for _, p := range l.places {
		n += len(p[ix.number])
	}
	all := make([]placed, 0, n)
	for _, p := range l.places {
		all = append(all, p[ix.number]...)
		p[ix.number] = nil
	}
	for _, at := range tree.Order(len(all), func(i uint32) string { return all[i].key }) {
		b.Add(all[at].key, nil, all[at].row)
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
