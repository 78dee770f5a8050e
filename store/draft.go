package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"neutrino/store/engine"
	"neutrino/store/tree"
)

// draft is a snapshot in the making. It shares what it does not change with
// the snapshot it began as. Rows go into their tables as they come, and into
// the indexes at the end, index by index and in order: that way many changes
// together look at the same nodes.
type draft struct {
	Snapshot
	edits  []*edit // by table, nil for one that is as it was
	claims []claimChange
}

// edit is a table that is being changed.
type edit struct {
	spec     *tableSpec
	rows     *tableRows
	places   [][]placing // by index
	old, new any         // values to read packed rows into, one after the other
}

// placing is a row to put into an index under a key, or to take out. Of two with
// one place in the index, the later counts.
type placing struct {
	key  string
	row  *row
	at   int
	gone bool
}

func (a placing) compare(b placing) int {
	if c := strings.Compare(a.key, b.key); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(a.row.id, b.row.id), cmp.Compare(a.at, b.at))
}

// same reports whether both have one place in the index.
func (a placing) same(b placing) bool { return a.key == b.key && a.row.id == b.row.id }

// claimChange is a claim that is made or given up, since a revision.
type claimChange struct {
	key   string
	owner []byte
	mod   Revision
	gone  bool
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
		edits:    make([]*edit, len(s.tables)),
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
	rows := 0
	for _, c := range b.Changes {
		if strings.HasPrefix(c.Key, tablePrefix) {
			rows++
		}
	}
	a.changes, d.claims = make([]changed, 0, rows), slices.Grow(d.claims, len(b.Changes)-rows)
	for _, c := range b.Changes {
		if key, ok := strings.CutPrefix(c.Key, claimPrefix); ok {
			d.claims = append(d.claims, claimChange{key, c.Value, b.Revision, c.Deleted})
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
		change, err := d.edit(spec, rows).take(id, engine.KV{Value: c.Value, Mod: b.Revision})
		if err != nil {
			return a, fmt.Errorf("%w (key %s, revision %d)", err, c.Key, b.Revision)
		}
		a.changes = append(a.changes, change)
	}
	d.rev = b.Revision
	return a, nil
}

// edit is the table to change; there is room for so many changes.
func (d *draft) edit(spec *tableSpec, many int) *edit {
	e := d.edits[spec.number]
	if e == nil {
		e = &edit{
			spec: spec, rows: d.tables[spec.number].edit(), places: make([][]placing, len(spec.indexes)),
			old: spec.scratch(), new: spec.scratch(),
		}
		for _, ix := range spec.indexes {
			if ix.total {
				e.places[ix.number] = make([]placing, 0, many)
			}
		}
		d.edits[spec.number], d.tables[spec.number] = e, e.rows
	}
	return e
}

// take puts a row into the table or, where it has no code, takes it out.
func (e *edit) take(id string, kv engine.KV) (changed, error) {
	c := changed{table: e.spec}
	var val any
	var err error
	if kv.Value != nil {
		if c.new, val, err = e.spec.newRow(string(kv.Value), e.new); err != nil {
			return c, err
		}
		c.new.mod = kv.Mod
		c.old, _ = e.rows.rows.Set(c.new.id, c.new)
	} else {
		c.old, _ = e.rows.rows.Delete(id, "")
	}
	e.place(c, e.spec.valueIn(c.old, e.old), val)
	return c, nil
}

// place notes what a change means to the indexes; old and new are the values of
// its rows.
func (e *edit) place(c changed, old, new any) {
	var was, is [8]string
	for _, ix := range e.spec.indexes {
		before, after := was[:0], is[:0]
		if c.old != nil {
			before = ix.keys(old, before)
		}
		if c.new != nil {
			after = ix.keys(new, after)
		}
		places := e.places[ix.number]
		for _, key := range before {
			// What is put in again replaces what was there.
			if !slices.Contains(after, key) {
				places = append(places, placing{key, c.old, len(places), true})
			}
		}
		for _, key := range after {
			places = append(places, placing{key, c.new, len(places), false})
		}
		e.places[ix.number] = places
	}
}

// finish puts the rows into the indexes and is the snapshot.
func (d *draft) finish() *Snapshot {
	if len(d.claims) > 0 {
		d.claim()
	}
	var puts []tree.Put[*row]
	for _, e := range d.edits {
		if e != nil {
			puts = e.index(puts)
		}
	}
	s := d.Snapshot
	return &s
}

// claim brings the claims up to what was changed.
func (d *draft) claim() {
	slices.SortFunc(d.claims, func(a, b claimChange) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		return cmp.Compare(a.mod, b.mod)
	})
	d.claimed = d.claimed.Edit()
	puts, values := make([]tree.Put[struct{}], 0, len(d.claims)), make([]byte, 0, 24*len(d.claims))
	for i, c := range d.claims {
		switch {
		case i+1 < len(d.claims) && d.claims[i+1].key == c.key: // the last one counts
		case c.gone:
			d.claimed.Drop(c.key)
		default:
			from := len(values)
			values = appendClaim(values, c.key, c.owner, c.mod)
			puts = append(puts, tree.Put[struct{}]{Key: c.key, Value: values[from:]})
		}
	}
	d.claimed.PutAll(puts)
}

// index brings the indexes up to what was changed. It uses the puts' memory, and
// gives it back.
func (e *edit) index(puts []tree.Put[*row]) []tree.Put[*row] {
	for i, places := range e.places {
		slices.SortFunc(places, placing.compare)
		rows := e.rows.indexes[i]
		puts = slices.Grow(puts[:0], len(places))
		for at, p := range places {
			switch {
			case at+1 < len(places) && places[at+1].same(p): // the last one counts
			case p.gone:
				rows.Delete(p.key, p.row.id)
			default:
				puts = append(puts, tree.Put[*row]{Key: p.key, Ref: p.row})
			}
		}
		rows.PutAll(puts)
	}
	clear(puts)
	return puts
}
