package store

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"neutrino/store/coding"
	"neutrino/store/engine"
	"neutrino/store/tree"
)

func newClaims() *tree.Tree[claim] { return tree.New(compareClaims) }

// load reads everything afresh. The engine gives the keys in order, so that the
// rows of a table and the claims lie together and every tree is built in one
// pass; all processors take part.
func load(ctx context.Context, e engine.Engine, texts *coding.Texts) (*Snapshot, error) {
	kvs, rev, err := e.Range(ctx, allKeys, 0)
	if err != nil {
		return nil, fmt.Errorf("store: load: %w", err)
	}
	s := emptySnapshot()
	s.rev = rev
	for _, spec := range schema.tables {
		rows, err := decode(spec, under(kvs, tablePrefix+spec.name+"/"), texts)
		if err != nil {
			return nil, fmt.Errorf("store: load: %w", err)
		}
		s.tables[spec.number] = build(spec, rows)
	}
	s.claimed = s.loadClaims(under(kvs, claimPrefix))
	return s, nil
}

// under are the pairs whose keys begin with the prefix, of pairs in order.
func under(kvs []engine.KV, prefix string) []engine.KV {
	find := func(key string) int {
		i, _ := slices.BinarySearchFunc(kvs, key, func(kv engine.KV, key string) int { return strings.Compare(kv.Key, key) })
		return i
	}
	return kvs[find(prefix):find(engine.PrefixEnd(prefix))]
}

// piece is how many pairs a processor takes at once.
const piece = 4096

// inPieces calls f for each part of n items; worker says which of the
// processors is at it.
func inPieces(n int, f func(worker, from, to int) error) error {
	workers := runtime.GOMAXPROCS(0)
	var group errgroup.Group
	next := make(chan int)
	for w := range workers {
		group.Go(func() error {
			var failed error
			for from := range next {
				if failed == nil {
					failed = f(w, from, min(from+piece, n))
				}
			}
			return failed
		})
	}
	for from := 0; from < n; from += piece {
		next <- from
	}
	close(next)
	return group.Wait()
}

// decode makes the rows of a table. texts goes on to be used afterwards.
func decode(spec *tableSpec, kvs []engine.KV, texts *coding.Texts) ([]*row, error) {
	rows := make([]*row, len(kvs))
	known := make([]*coding.Texts, runtime.GOMAXPROCS(0))
	known[0] = texts
	err := inPieces(len(kvs), func(worker, from, to int) error {
		if known[worker] == nil {
			known[worker] = coding.NewTexts()
		}
		for i, kv := range kvs[from:to] {
			known[worker].Learn(kv.Key[len(tablePrefix)+len(spec.name)+1:])
			val, err := spec.coder.Read(kv.Value, known[worker])
			if err != nil {
				return fmt.Errorf("%w (key %s, revision %d)", err, kv.Key, kv.Mod)
			}
			rows[from+i] = &row{id: string(spec.id(val)), mod: kv.Mod, val: val}
		}
		return nil
	})
	return rows, err
}

// build makes a table of rows that are in the order of their IDs.
func build(spec *tableSpec, rows []*row) *tableRows {
	entries := make([]entry, len(rows))
	for i, r := range rows {
		entries[i] = entry{r.id, r}
	}
	t := newTableRows(spec)
	t.rows = tree.Build(entry.compareKeys, entries)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, ix := range spec.indexes {
		group.Go(func() error {
			t.indexes[ix.number] = buildIndex(ix, rows)
			return nil
		})
	}
	_ = group.Wait() // none fails
	return t
}

func buildIndex(ix *indexSpec, rows []*row) *tree.Tree[entry] {
	var buf [8]string
	entries := make([]entry, 0, len(rows))
	for _, r := range rows {
		for i, key := range ix.keys(r.val, buf[:0]) {
			if !slices.Contains(buf[:i], key) {
				entries = append(entries, entry{key, r})
			}
		}
	}
	tree.Sort(entries, func(e *entry) string { return e.key }) // those with the same key stay in the order of the IDs
	return tree.Build(entry.compare, entries)
}

// loadClaims makes the claims. An owner is an object nearly always: then its ID
// is the text that the object's row has already.
func (s *Snapshot) loadClaims(kvs []engine.KV) *tree.Tree[claim] {
	rows := 0
	for _, t := range s.tables {
		rows += t.rows.Len()
	}
	ids := make(map[string]string, rows)
	for _, t := range s.tables {
		t.rows.Scan(func(e entry) bool {
			ids[e.key] = e.key
			return true
		})
	}
	claims := make([]claim, len(kvs))
	_ = inPieces(len(kvs), func(_, from, to int) error { // none fails
		for i, kv := range kvs[from:to] {
			owner, known := ownerInKey(kv.Key, kv.Value)
			if !known {
				owner, known = ids[string(kv.Value)]
			}
			if !known {
				owner = string(kv.Value)
			}
			claims[from+i] = claim{kv.Key[len(claimPrefix):], owner, kv.Mod}
		}
		return nil
	})
	return tree.Build(compareClaims, claims)
}

// ownerInKey is the owner of a claim whose key ends with it: then it takes no
// memory of its own.
func ownerInKey(key string, owner []byte) (string, bool) {
	at := len(key) - len(owner)
	if at < 0 || key[at:] != string(owner) {
		return "", false
	}
	return key[at:], true
}
