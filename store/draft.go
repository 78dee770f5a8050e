package store

import (
	"fmt"
	"slices"
	"strings"

	"neutrino/store/coding"
	"neutrino/store/engine"
)

// draft is a snapshot in the making. It shares what it does not change with
// the snapshot it began as. Rows go into their tables as they come, and into
// the indexes at the end, index by index and in order: that way many changes
// together look at the same nodes.
type draft struct {
	Snapshot
	texts    *coding.Texts
	owned    []bool          // tables that are already copied
	replaced [][]replacement // by table
	claims   []claimChange
}

// replacement is a row that takes the place of another; either may be nil.
type replacement struct{ old, new *row }

// claimChange is a claim that is made or, without owner, given up.
type claimChange struct {
	claim
	gone bool
}

func draftOf(s *Snapshot, texts *coding.Texts) *draft {
	return &draft{
		Snapshot: Snapshot{rev: s.rev, tables: slices.Clone(s.tables), claimed: s.claimed}, texts: texts,
		owned: make([]bool, len(s.tables)), replaced: make([][]replacement, len(s.tables)),
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
func (d *draft) take(b engine.Batch) (Batch, error) {
	applied := Batch{Revision: b.Revision, Changes: make([]Change, 0, len(b.Changes))}
	for _, c := range b.Changes {
		if key, ok := strings.CutPrefix(c.Key, claimPrefix); ok {
			change := claimChange{claim: claim{key: key, mod: b.Revision}, gone: c.Deleted}
			if owner, ok := ownerInKey(key, c.Value); ok {
				change.owner = owner
			} else if !c.Deleted {
				change.owner = d.texts.Of(c.Value)
			}
			d.claims = append(d.claims, change)
			continue
		}
		if c.Key == causeKey {
			applied.Cause = string(c.Value)
			continue
		}
		spec, id := rowOf(c.Key)
		if spec == nil {
			continue
		}
		r, err := d.takeRow(spec, id, c)
		if err != nil {
			return applied, fmt.Errorf("%w (key %s, revision %d)", err, c.Key, b.Revision)
		}
		change := Change{Table: spec.name, ID: id, Revision: b.Revision}
		if r.old != nil {
			change.Old = r.old.val
		}
		if r.new != nil {
			r.new.mod, change.New, change.ID = b.Revision, r.new.val, r.new.id
		}
		applied.Changes = append(applied.Changes, change)
	}
	d.rev = b.Revision
	return applied, nil
}

// takeRow puts a row into its table, or takes it out.
func (d *draft) takeRow(spec *tableSpec, id string, c engine.Change) (replacement, error) {
	var r replacement
	if !c.Deleted {
		d.texts.Learn(id)
		val, err := spec.coder.Read(c.Value, d.texts)
		if err != nil {
			return r, err
		}
		r.new = &row{id: string(spec.id(val)), val: val}
	}
	t := spec.number
	if !d.owned[t] {
		d.tables[t], d.owned[t] = d.tables[t].edit(), true
	}
	var old entry
	if r.new != nil {
		old, _ = d.tables[t].rows.Set(entry{r.new.id, r.new})
	} else {
		old, _ = d.tables[t].rows.Delete(entry{key: id})
	}
	r.old = old.row
	if r.old != nil || r.new != nil {
		d.replaced[t] = append(d.replaced[t], r)
	}
	return r, nil
}

// finish puts the rows into the indexes and is the snapshot.
func (d *draft) finish() *Snapshot {
	if len(d.claims) > 0 {
		d.claimed = d.claimed.Edit()
		slices.SortStableFunc(d.claims, func(a, b claimChange) int { return compareClaims(a.claim, b.claim) })
		for _, c := range d.claims {
			if c.gone {
				d.claimed.Delete(c.claim)
			} else {
				d.claimed.Set(c.claim)
			}
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

// placing is an entry to put into an index, or to take out.
type placing struct {
	entry
	gone bool
}

// reindex brings an index up to what was replaced.
func (t *tableRows) reindex(ix *indexSpec, list []replacement) {
	var was, is [8]string
	places := make([]placing, 0, len(list))
	for _, r := range list {
		before, after := keysOf(ix, r.old, was[:0]), keysOf(ix, r.new, is[:0])
		for _, key := range before {
			// What is put in again replaces what was there.
			if !slices.Contains(after, key) {
				places = append(places, placing{entry{key, r.old}, true})
			}
		}
		for _, key := range after {
			places = append(places, placing{entry: entry{key, r.new}})
		}
	}
	slices.SortStableFunc(places, func(a, b placing) int { return a.compare(b.entry) })
	rows := t.indexes[ix.number]
	for _, p := range places {
		if p.gone {
			rows.Delete(p.entry)
		} else {
			rows.Set(p.entry)
		}
	}
}
