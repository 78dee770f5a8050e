package store

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"neutrino/store/engine"
)

// claimWrite is a claim that a transaction makes, or gives up (held false).
type claimWrite struct {
	key   string // in the engine
	owner string
	was   claim // in the snapshot
	held  bool
}

// condition is that the claim is still as the transaction found it.
func (w *claimWrite) condition() engine.Compare {
	if w.was.mod == 0 {
		return engine.Compare{Test: engine.Absent, Key: w.key}
	}
	return engine.Compare{Test: engine.ModRevision, Key: w.key, Rev: w.was.mod}
}

// Claim takes a key for an owner, together with the transaction. It is false
// when the key is held, in the snapshot or by this transaction. When another
// transaction takes the key first, this one is tried again.
func (tx *Tx) Claim(key, owner string) bool {
	return tx.claim(key, owner, func(key string) bool {
		tx.db.reservations.add(key)
		return true
	})
}

// ClaimFree is Claim for a key that the caller may choose among many: it is
// also false when another transaction of this process is about to take the key,
// so that allocators beside each other do not wait for one another.
func (tx *Tx) ClaimFree(key, owner string) bool {
	return tx.claim(key, owner, tx.db.reservations.tryAdd)
}

// claim takes a key that is not held. reserve is asked for one that the
// transaction has not had yet.
func (tx *Tx) claim(key, owner string, reserve func(key string) bool) bool {
	w := tx.claimed[key]
	switch {
	case w != nil && w.held:
		return false
	case w == nil:
		if _, held := tx.snap.claim(key); held || !reserve(key) {
			return false
		}
		w = tx.note(key, claim{})
	}
	w.owner, w.held = owner, true
	tx.grown[parent(key)]++
	return true
}

// note begins to write a claim.
func (tx *Tx) note(key string, was claim) *claimWrite {
	w := &claimWrite{key: claimKey(key), was: was}
	tx.claimed[w.key[len(claimPrefix):]] = w
	tx.order = append(tx.order, w)
	return w
}

// Release gives a claim up; nothing happens when it is not held. The
// transaction holds only if nobody else released it first.
func (tx *Tx) Release(key string) {
	w := tx.claimed[key]
	if w == nil {
		was, held := tx.snap.claim(key)
		if !held {
			return
		}
		w = tx.note(key, was)
	} else if !w.held {
		return
	}
	w.owner, w.held = "", false
	tx.grown[parent(key)]--
}

// Holder is the owner of a claim. It adds no condition.
func (tx *Tx) Holder(key string) (string, bool) {
	if w := tx.claimed[key]; w != nil {
		return w.owner, w.held
	}
	return tx.snap.Holder(key)
}

// parent is a claim's key up to its last slash, that one included.
func parent(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

func (tx *Tx) countClaims(prefix string) int {
	n := tx.snap.countClaims(prefix)
	for above, more := range tx.grown {
		if strings.HasPrefix(above, prefix) {
			n += more
		}
	}
	return n
}

func (tx *Tx) claims(prefix string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		merged := map[string]string{}
		for key, owner := range tx.snap.claims(prefix) {
			merged[key] = owner
		}
		for key, w := range tx.claimed {
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			if w.held {
				merged[key] = w.owner
			} else {
				delete(merged, key)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(merged)) {
			if !yield(key, merged[key]) {
				return
			}
		}
	}
}

// reserved are the claims that the transaction has told others of: those that it
// found free.
func (tx *Tx) reserved() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, w := range tx.order {
			if w.was.mod == 0 && !yield(w.key[len(claimPrefix):]) {
				return
			}
		}
	}
}
