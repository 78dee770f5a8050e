package sqlite

import (
	"maps"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"neutrino/store/engine"
	"neutrino/store/tree"
)

// place is a living key and the chunk that has its last change. A chunk's
// number is its revision with the position in the revision below.
type place struct {
	key   string
	chunk int64
}

func comparePlaces(a, b place) int { return strings.Compare(a.key, b.key) }

// index says where each living key is. Only the writer uses it: nothing of the
// file has to be searched for a transaction's conditions, and the file has no
// index whose pages new keys would be spread over.
type index struct {
	places *tree.Tree[place]
	leases map[string]engine.LeaseID // of the keys that have one
	// dead are changes that no longer count since a revision, in the order of
	// these revisions.
	dead []dead
	undo []undo // of the changes since the last commit
}

// dead is a change to forget when the revision is compacted: one that another
// replaced then, or a deletion that was made then.
type dead struct {
	since int64
	place
}

// undo is what a key was before a change.
type undo struct {
	key   string
	chunk int64 // 0 for a key that was not there
	lease engine.LeaseID
}

// mod is the revision of a key's last change, 0 when it does not exist.
func (x *index) mod(key string) int64 {
	p, _ := x.places.Get(place{key: key})
	return p.chunk >> seqBits
}

// later reports whether a key under the prefix was changed after the revision.
func (x *index) later(prefix string, rev int64) bool {
	later := false
	x.places.Ascend(place{key: prefix}, func(p place) bool {
		if !strings.HasPrefix(p.key, prefix) {
			return false
		}
		later = p.chunk>>seqBits > rev
		return !later
	})
	return later
}

// apply notes a change that is in the chunk.
func (x *index) apply(c change, chunk int64) {
	var old place
	var was bool
	if c.Deleted {
		old, was = x.places.Delete(place{key: c.Key})
		x.dead = append(x.dead, dead{chunk >> seqBits, place{c.Key, chunk}})
	} else {
		old, was = x.places.Set(place{c.Key, chunk})
	}
	x.undo = append(x.undo, undo{c.Key, old.chunk, x.leases[c.Key]})
	if was {
		x.dead = append(x.dead, dead{chunk >> seqBits, old})
	}
	x.setLease(c.Key, c.lease)
}

func (x *index) setLease(key string, lease engine.LeaseID) {
	if lease == 0 {
		delete(x.leases, key)
	} else {
		x.leases[key] = lease
	}
}

// committed makes what was applied final.
func (x *index) committed() { x.undo = x.undo[:0] }

// rolledBack makes the index what it was at the last commit.
func (x *index) rolledBack(rev int64) {
	for _, u := range slices.Backward(x.undo) {
		if u.chunk == 0 {
			x.places.Delete(place{key: u.key})
		} else {
			x.places.Set(place{u.key, u.chunk})
		}
		x.setLease(u.key, u.lease)
	}
	for len(x.dead) > 0 && x.dead[len(x.dead)-1].since > rev {
		x.dead = x.dead[:len(x.dead)-1]
	}
	x.undo = x.undo[:0]
}

// keysOf are the keys of a lease, in order.
func (x *index) keysOf(id engine.LeaseID) []string {
	var keys []string
	for key, lease := range x.leases {
		if lease == id {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// found is a change that was read from the log, with its chunk.
type found struct {
	change
	chunk int64
}

// inOrder sorts changes, which come in the order of the log, by key, and those
// of a key by revision. All processors take part: keys that begin alike go
// together.
func inOrder(pieces [][]found) []found {
	const begin = 6 // "/c/mac"
	sizes, all := map[string]int{}, 0
	for _, piece := range pieces {
		for _, f := range piece {
			sizes[f.Key[:min(begin, len(f.Key))]]++
		}
		all += len(piece)
	}
	sorted, parts, next := make([]found, all), map[string][]found{}, 0
	for _, head := range slices.Sorted(maps.Keys(sizes)) {
		parts[head] = sorted[next : next : next+sizes[head]]
		next += sizes[head]
	}
	for _, piece := range pieces {
		for _, f := range piece {
			head := f.Key[:min(begin, len(f.Key))]
			parts[head] = append(parts[head], f)
		}
	}
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for _, part := range parts {
		workers.Go(func() error {
			tree.Sort(part, func(f *found) string { return f.Key })
			return nil
		})
	}
	_ = workers.Wait() // none fails
	return sorted
}

// newest keeps of changes in order the last of each key, without deletions.
func newest(sorted []found) []found {
	living := sorted[:0]
	for i, f := range sorted {
		if !f.Deleted && (i+1 == len(sorted) || sorted[i+1].Key != f.Key) {
			living = append(living, f)
		}
	}
	return living
}

// newIndex is the index of a whole log, whose changes are in order.
func newIndex(sorted []found) *index {
	x := &index{leases: map[string]engine.LeaseID{}}
	var places []place
	for i, f := range sorted {
		last := i+1 == len(sorted) || sorted[i+1].Key != f.Key
		if !last {
			x.dead = append(x.dead, dead{sorted[i+1].chunk >> seqBits, place{f.Key, f.chunk}})
		}
		if f.Deleted {
			x.dead = append(x.dead, dead{f.chunk >> seqBits, place{f.Key, f.chunk}})
		} else if last {
			places = append(places, place{f.Key, f.chunk})
			x.setLease(f.Key, f.lease)
		}
	}
	slices.SortStableFunc(x.dead, func(a, b dead) int { return int(a.since - b.since) })
	x.places = tree.Build(comparePlaces, places)
	return x
}
