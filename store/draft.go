package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"neutrino/store/engine"
)

// draft is a snapshot in the making. It shares what it does not change with
// the snapshot it began as. Rows go into their tables as they come, and into
// the indexes at the end, index by index and in order: that way many changes
// together look at the same nodes.
type draft struct {
	Snapshot
	owned    []bool          // tables that are already copied
	replaced [][]replacement // by table
	claims   []claimChange
}

// replacement is a row that takes the place of another; either may be nil. The
// values are those of the rows, also where these are packed.
type replacement struct {
	table          *tableSpec
	old, new       *row
	oldVal, newVal any
}

// claimChange is a claim that is made or given up.
type claimChange struct {
	key  string
	now  engine.KV
	gone bool
}

// applied is what one revision changed; its rows are read when somebody asks.
type applied struct {
	rev     Revision
	cause   string
	changes []changed
}

// changed is a change of one row, either of which may be nil.
type changed struct {
	table    *tableSpec
	old, new *row
}

func draftOf(s *Snapshot) *draft {
	return &draft{
		Snapshot: Snapshot{rev: s.rev, tables: slices.Clone(s.tables), claimed: s.claimed},
		owned:    make([]bool, len(s.tables)), replaced: make([][]replacement, len(s.tables)),
	}
}

func emptySnapshot() *Snapshot {
	s := &Snapshot{claimed: newClaims()}
	for _, spec := range schema.tables {
		s.tables = append(s.tables, newTableRows(spec))
	}
	return s
}

// take applies one revision and says what it meant to rows.
func (d *draft) take(b engine.Batch) (applied, error) {
	a := applied{rev: b.Revision}
	for _, c := range b.Changes {
		if key, ok := strings.CutPrefix(c.Key, claimPrefix); ok {
			d.claims = append(d.claims, claimChange{key, engine.KV{Value: c.Value, Mod: b.Revision}, c.Deleted})
			continue
		}
		if c.Key == causeKey {
			a.cause = string(c.Value)
			continue
		}
		spec, id := rowOf(c.Key)
		if spec == nil {
			continue
		}
		r, err := d.takeRow(spec, id, engine.KV{Key: c.Key, Value: c.Value, Mod: b.Revision})
		if err != nil {
			return a, fmt.Errorf("%w (key %s, revision %d)", err, c.Key, b.Revision)
		}
		a.changes = append(a.changes, changed{spec, r.old, r.new})
	}
	d.rev = b.Revision
	return a, nil
}

// takeRow puts a row into its table or, where it has no code, takes it out.
func (d *draft) takeRow(spec *tableSpec, id string, kv engine.KV) (r replacement, err error) {
	r.table = spec
	t := spec.number
	if !d.owned[t] {
		d.tables[t], d.owned[t] = d.tables[t].edit(), true
	}
	if kv.Value != nil {
		if r.new, r.newVal, err = spec.newRow(kv.Value, nil); err != nil {
			return r, err
		}
		r.new.mod = kv.Mod
		r.old, _ = d.tables[t].rows.Set(r.new.id, r.new)
	} else {
		r.old, _ = d.tables[t].rows.Delete(id, "")
	}
	r.oldVal = spec.value(r.old)
	if r.old != nil || r.new != nil {
		d.replaced[t] = append(d.replaced[t], r)
	}
	return r, nil
}

// finish puts the rows into the indexes and is the snapshot.
func (d *draft) finish() *Snapshot {
	if len(d.claims) > 0 {
		d.claimed = d.claimed.Edit()
		slices.SortStableFunc(d.claims, func(a, b claimChange) int { return strings.Compare(a.key, b.key) })
		var value []byte
		for _, c := range d.claims {
			if c.gone {
				d.claimed.Drop(c.key)
				continue
			}
			value = appendClaim(value[:0], c.key, c.now)
			d.claimed.Put(c.key, value)
		}
	}
	for _, spec := range schema.tables {
		if list := d.replaced[spec.number]; len(list) > 0 {
			for _, ix := range spec.indexes {
				d.tables[spec.number].reindex(ix, list)
			}
		}
	}
	s := d.Snapshot
	return &s
}

// placing is a row to put into an index under a key, or to take out.
type placing struct {
	key  string
	row  *row
	gone bool
}

func (a placing) compare(b placing) int {
	return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.row.id, b.row.id))
}

// reindex brings an index up to what was replaced.
func (t *tableRows) reindex(ix *indexSpec, list []replacement) {
	var was, is [8]string
	places := make([]placing, 0, len(list))
	for _, r := range list {
		before, after := was[:0], is[:0]
		if r.old != nil {
			before = ix.keys(r.oldVal, before)
		}
		if r.new != nil {
			after = ix.keys(r.newVal, after)
		}
		for _, key := range before {
			// What is put in again replaces what was there.
			if !slices.Contains(after, key) {
				places = append(places, placing{key, r.old, true})
			}
		}
		for _, key := range after {
			places = append(places, placing{key, r.new, false})
		}
	}
	slices.SortStableFunc(places, placing.compare)
	rows := t.indexes[ix.number]
	for _, p := range places {
		if p.gone {
			rows.Delete(p.key, p.row.id)
		} else {
			rows.Set(p.key, p.row)
		}
	}
}
