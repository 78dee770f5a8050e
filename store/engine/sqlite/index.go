package sqlite

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"neutrino/store/engine"
	"neutrino/store/tree"
)

// place is a living key and the chunk that has its last change. A chunk's
// number is its revision with the position in the revision below.
type place struct {
	key   string
	chunk int64
}

// copy is the place with a key of its own, which is no part of a chunk.
func (p place) copy() place { return place{strings.Clone(p.key), p.chunk} }

// appendChunk writes a chunk's number as a value of the tree of places.
func appendChunk(b []byte, chunk int64) []byte { return binary.AppendUvarint(b, uint64(chunk)) }

func chunkOf(value []byte) int64 {
	n, _ := binary.Uvarint(value)
	return int64(n)
}

// index says where each living key is. Only the writer uses it: nothing of the
// file has to be searched for a transaction's conditions, and the file has no
// index whose pages new keys would be spread over.
type index struct {
	places *tree.Map                 // the key's chunk
	leases map[string]engine.LeaseID // of the keys that have one
	// dead are changes that no longer count since a revision, in the order of
	// these revisions.
	dead []dead
	undo []undo // of the changes since the last commit

	puts   []tree.Put[struct{}] // of the last apply, to be used again
	values []byte
}

func newIndex() *index {
	return &index{places: tree.NewMap(), leases: map[string]engine.LeaseID{}}
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
	value, _ := x.places.Get(key)
	return chunkOf(value) >> seqBits
}

// later reports whether a key under the prefix was changed after the revision.
func (x *index) later(prefix string, rev int64) bool {
	if !x.places.Begins(prefix) {
		return false
	}
	later := false
	x.under(prefix, func(_ []byte, chunk int64) bool {
		later = chunk>>seqBits > rev
		return !later
	})
	return later
}

// under visits the living keys that begin with the prefix, until visit is false.
func (x *index) under(prefix string, visit func(key []byte, chunk int64) bool) {
	x.places.Ascend(prefix, "", func(e tree.Entry[struct{}]) bool {
		return bytes.HasPrefix(e.Key, []byte(prefix)) && visit(e.Key, chunkOf(e.Value))
	})
}

// placed is a change that is in a chunk.
type placed struct {
	change
	chunk int64
}

// apply notes the changes of a revision, each of another key.
func (x *index) apply(list []placed) {
	slices.SortFunc(list, func(a, b placed) int { return strings.Compare(a.Key, b.Key) })
	x.puts, x.values = x.puts[:0], x.values[:0]
	for _, p := range list {
		if p.Deleted {
			old, was := x.places.Drop(p.Key)
			x.dead = append(x.dead, dead{p.chunk >> seqBits, place{p.Key, p.chunk}})
			x.replaced(p, old, was)
			continue
		}
		from := len(x.values)
		x.values = appendChunk(x.values, p.chunk)
		x.puts = append(x.puts, tree.Put[struct{}]{Key: p.Key, Value: x.values[from:len(x.values):len(x.values)]})
	}
	x.places.PutAll(x.puts)
	at := 0
	for _, p := range list {
		if !p.Deleted {
			x.replaced(p, x.puts[at].OldValue, x.puts[at].Replaced)
			at++
		}
	}
}

// replaced notes what a change took the place of.
func (x *index) replaced(p placed, old []byte, was bool) {
	x.undo = append(x.undo, undo{p.Key, chunkOf(old), x.leases[p.Key]})
	if was {
		x.dead = append(x.dead, dead{p.chunk >> seqBits, place{p.Key, chunkOf(old)}})
	}
	x.setLease(p.Key, p.lease)
}

func (x *index) setLease(key string, lease engine.LeaseID) {
	if lease != 0 {
		x.leases[strings.Clone(key)] = lease
	} else if len(x.leases) > 0 {
		delete(x.leases, key)
	}
}

// committed makes what was applied final.
func (x *index) committed() { x.undo = x.undo[:0] }

// rolledBack makes the index what it was at the last commit.
func (x *index) rolledBack(rev int64) {
	for _, u := range slices.Backward(x.undo) {
		if u.chunk == 0 {
			x.places.Drop(u.key)
		} else {
			x.places.Put(u.key, appendChunk(nil, u.chunk))
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
