package store

import (
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"

	"neutrino"
	"neutrino/store/engine"
)

// Tx is one attempt of an [DB.Update]: it reads the newest snapshot and its own
// writes, and collects the conditions under which they may be committed. It is
// used by one goroutine.
type Tx struct {
	snap    *Snapshot
	db      *DB
	attempt int

	writes   map[*tableSpec]map[string]*row
	written  []write // each row once, in the order of first writing
	claimed  map[string]claimWrite
	order    []string // keys of claimed, in the order of first writing
	compares map[string]engine.Compare
	none     []string // prefixes that must hold no claim in the end
	limits   []limit
	reserved map[string]bool
	grown    map[string]int // claims more than in the snapshot, by [parent]
	cause    string
}

type write struct {
	table *tableSpec
	id    string
}

// claimWrite is a claim that the transaction made, or released (held false).
type claimWrite struct {
	owner string
	held  bool
}

func newTx(db *DB, snap *Snapshot, attempt int) *Tx {
	return &Tx{
		snap: snap, db: db, attempt: attempt,
		writes:  map[*tableSpec]map[string]*row{},
		claimed: map[string]claimWrite{}, compares: map[string]engine.Compare{},
		reserved: map[string]bool{}, grown: map[string]int{},
	}
}

// maxCause is how many bytes of a cause are kept.
const maxCause = 128

// Because says what the transaction is made for, a request's id: watchers find
// it beside what changed ([Batch.Cause]), so that logs of hosts can name it.
func (tx *Tx) Because(cause string) { tx.cause = cause[:min(len(cause), maxCause)] }

// Revision is that of the snapshot underneath.
func (tx *Tx) Revision() Revision { return tx.snap.rev }

// Attempt is how often the transaction lost a race: 0 at first. An allocator
// that may choose freely can choose more widely when it is not 0.
func (tx *Tx) Attempt() int { return tx.attempt }

// Full reports whether the transaction holds half of what one may hold: who has
// more to do than fits does the rest in another.
func (tx *Tx) Full() bool {
	return max(len(tx.compares), len(tx.written)+len(tx.order)) > engine.MaxOps/2
}

// Put writes a row, as a whole. v must not be changed before the transaction
// ends. It adds no condition: read the row with [Get] where that matters.
func Put[T any](tx *Tx, t *Table[T], v *T) { tx.put(t.spec, string(t.spec.id(v)), v) }

// Delete removes a row; nothing happens when there is none.
func Delete[T any](tx *Tx, t *Table[T], id neutrino.ID) { tx.put(t.spec, string(id), nil) }

// Exists reports whether there is a row with the ID. The transaction holds only
// if that is still so when it commits, while the row itself may change.
func Exists[T any](tx *Tx, t *Table[T], id neutrino.ID) bool {
	found := tx.row(t.spec, string(id))
	if _, own := tx.writes[t.spec][string(id)]; !own {
		test := engine.Absent
		if found != nil {
			test = engine.Present
		}
		tx.require(engine.Compare{Test: test, Key: rowKey(t.spec, string(id))})
	}
	return found.there()
}

// Claim takes a key for an owner, together with the transaction. It is false
// when the key is held, in the snapshot or by this transaction. When another
// transaction takes the key first, this one is tried again.
func (tx *Tx) Claim(key, owner string) bool {
	if _, held := tx.Holder(key); held {
		return false
	}
	tx.reserve(key)
	tx.claim(key, owner)
	return true
}

// ClaimFree is Claim for a key that the caller may choose among many: it is
// also false when another transaction of this process is about to take the key,
// so that allocators beside each other do not wait for one another.
func (tx *Tx) ClaimFree(key, owner string) bool {
	if _, held := tx.Holder(key); held {
		return false
	}
	if !tx.reserved[key] {
		if !tx.db.reservations.tryAdd(key) {
			return false
		}
		tx.reserved[key] = true
	}
	tx.claim(key, owner)
	return true
}

func (tx *Tx) reserve(key string) {
	if !tx.reserved[key] {
		tx.db.reservations.add(key)
		tx.reserved[key] = true
	}
}

func (tx *Tx) claim(key, owner string) {
	// The key is not held: it is not in the snapshot, or was released here.
	if _, released := tx.claimed[key]; !released {
		tx.require(engine.Compare{Test: engine.Absent, Key: claimKey(key)})
	}
	tx.setClaim(key, claimWrite{owner, true})
}

// Release gives a claim up; nothing happens when it is not held. The
// transaction holds only if nobody else released it first.
func (tx *Tx) Release(key string) {
	if _, held := tx.Holder(key); !held {
		return
	}
	if c, held := tx.snap.claim(key); held {
		tx.require(engine.Compare{Test: engine.ModRevision, Key: claimKey(key), Rev: c.mod})
	}
	tx.setClaim(key, claimWrite{})
}

func (tx *Tx) setClaim(key string, w claimWrite) {
	if _, again := tx.claimed[key]; !again {
		tx.order = append(tx.order, key)
	}
	// Only what is not held is claimed, and only what is held is released.
	tx.grown[parent(key)] += 2*boolInt(w.held) - 1
	tx.claimed[key] = w
}

// Holder is the owner of a claim. It adds no condition.
func (tx *Tx) Holder(key string) (string, bool) {
	if w, own := tx.claimed[key]; own {
		return w.owner, w.held
	}
	return tx.snap.Holder(key)
}

// RequireNone makes the transaction hold only if no claim under the prefix
// remains after it: those that it releases itself do not count. If one remains
// already in the snapshot, Update answers a Conflict.
func (tx *Tx) RequireNone(claimPrefix string) { tx.none = append(tx.none, claimPrefix) }

func (tx *Tx) put(t *tableSpec, id string, v any) {
	rows := tx.writes[t]
	if rows == nil {
		rows = map[string]*row{}
		tx.writes[t] = rows
	}
	if _, again := rows[id]; !again {
		tx.written = append(tx.written, write{t, id})
	}
	w := &row{id: id, val: v}
	if base := tx.snap.row(t, id); base != nil {
		w.mod = base.mod
	}
	rows[id] = w
}

// require adds a condition. One that names the revision says more than one that
// names only presence, and replaces it.
func (tx *Tx) require(c engine.Compare) {
	if have, ok := tx.compares[c.Key]; !ok || have.Test != engine.ModRevision {
		tx.compares[c.Key] = c
	}
}

func (tx *Tx) row(t *tableSpec, id string) *row {
	if r, own := tx.writes[t][id]; own {
		return r
	}
	return tx.snap.row(t, id)
}

func (tx *Tx) observe(t *tableSpec, id string) {
	if _, own := tx.writes[t][id]; own {
		return
	}
	c := engine.Compare{Test: engine.Absent, Key: rowKey(t, id)}
	if r := tx.snap.row(t, id); r != nil {
		c.Test, c.Rev = engine.ModRevision, r.mod
	}
	tx.require(c)
}

func (tx *Tx) all(t *tableSpec) iter.Seq[*row] {
	return tx.merge(t, tx.snap.all(t), func(any) bool { return true })
}

func (tx *Tx) by(ix *indexSpec, key string) iter.Seq[*row] {
	var buf []string
	return tx.merge(ix.table, tx.snap.by(ix, key), func(v any) bool {
		buf = ix.keys(v, buf[:0])
		return slices.Contains(buf, key)
	})
}

// merge yields rows of the snapshot with the transaction's own in their place,
// by ID. It shows what was written when the iteration began.
func (tx *Tx) merge(t *tableSpec, base iter.Seq[*row], match func(any) bool) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		written := maps.Clone(tx.writes[t])
		var own []*row
		for _, r := range written {
			if r.there() && match(r.val) {
				own = append(own, r)
			}
		}
		slices.SortFunc(own, func(a, b *row) int { return strings.Compare(a.id, b.id) })
		for r := range base {
			if _, replaced := written[r.id]; replaced {
				continue
			}
			for len(own) > 0 && own[0].id < r.id {
				if !yield(own[0]) {
					return
				}
				own = own[1:]
			}
			if !yield(r) {
				return
			}
		}
		for _, r := range own {
			if !yield(r) {
				return
			}
		}
	}
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

// commands are the conditions and the changes in the engine's terms.
func (tx *Tx) commands() ([]engine.Compare, []engine.Op, error) {
	compares, err := tx.conditions()
	if err != nil {
		return nil, nil, err
	}
	var ops []engine.Op
	for _, w := range tx.written {
		r := tx.writes[w.table][w.id]
		if !r.there() {
			if tx.snap.row(w.table, w.id) != nil {
				ops = append(ops, engine.Delete(rowKey(w.table, w.id)))
			}
			continue
		}
		ops = append(ops, engine.Put(rowKey(w.table, w.id), w.table.coder.Append(nil, r.val)))
	}
	for _, key := range tx.order {
		w := tx.claimed[key]
		if w.held {
			ops = append(ops, engine.Put(claimKey(key), []byte(w.owner)))
		} else if _, held := tx.snap.claim(key); held {
			ops = append(ops, engine.Delete(claimKey(key)))
		}
	}
	if tx.cause != "" && len(ops) > 0 {
		ops = append(ops, engine.Put(causeKey, []byte(tx.cause)))
	}
	return compares, ops, nil
}

func (tx *Tx) conditions() ([]engine.Compare, error) {
	compares := make([]engine.Compare, 0, len(tx.compares)+len(tx.none))
	for _, c := range tx.compares {
		compares = append(compares, c)
	}
	sort.Slice(compares, func(i, j int) bool { return compares[i].Key < compares[j].Key })
	for _, prefix := range tx.none {
		for key, owner := range tx.claims(prefix) {
			return nil, neutrino.Errorf(neutrino.Conflict, "Conflict", "%s is in use by %s.", key, owner)
		}
		c := engine.RangeEmpty(claimKey(prefix))
		for range tx.snap.claims(prefix) {
			// All of these are released here; none may have come since.
			c.Rev = tx.snap.rev
			break
		}
		compares = append(compares, c)
	}
	return compares, nil
}
