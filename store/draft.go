package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"neutrino/store/engine"
	"neutrino/store/identity"
	"neutrino/store/tree"
)

// draft is a snapshot in the making. It shares what it does not change with
// the snapshot it began as. Rows go into their tables as they come, and into
// the indexes at the end, index by index and in order: that way many changes
// together look at the same nodes.
type draft struct {
	Snapshot
	*scratch
}

// scratch is what a draft works with. The next one uses its memory again.
type scratch struct {
	edits     []*edit // by table
	holds     []claimChange
	puts      []tree.Put[*row]
	claimPuts []tree.Put[struct{}]
	values    []byte
}

func newScratch() *scratch {
	s := &scratch{}
	for _, spec := range schema.tables {
		s.edits = append(s.edits, &edit{
			spec: spec, places: make([][]placing, len(spec.indexes)), old: spec.scratch(), new: spec.scratch(),
		})
	}
	return s
}

// mostKept is for how many changes memory is kept: an exceptional revision does
// not keep its own for ever.
const mostKept = 1 << 14

// kept is the list without what is in it.
func kept[E any](list []E) []E {
	if cap(list) > mostKept {
		return nil
	}
	clear(list)
	return list[:0]
}

// edit is a table that is being changed.
type edit struct {
	spec     *tableSpec
	rows     *tableRows  // nil while it is as it was
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

func draftOf(s *Snapshot, with *scratch) *draft {
	return &draft{Snapshot{rev: s.rev, name: s.name, tables: slices.Clone(s.tables), claimed: s.claimed}, with}
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
	a.changes, d.holds = make([]changed, 0, rows), slices.Grow(d.holds, len(b.Changes)-rows)
	for _, c := range b.Changes {
		if key, ok := strings.CutPrefix(c.Key, claimPrefix); ok {
			d.holds = append(d.holds, claimChange{key, c.Value, b.Revision, c.Deleted})
			continue
		}
		switch c.Key {
		case causeKey:
			a.cause = string(c.Value)
			continue
		case identity.Key:
			var err error
			if d.name, err = identity.Decode(c.Value); err != nil {
				return a, fmt.Errorf("store: %w (revision %d)", err, b.Revision)
			}
			continue
		}
		spec, id := rowOf(c.Key)
		if spec == nil {
			continue
		}
		change, err := d.edit(spec).take(id, engine.KV{Value: c.Value, Mod: b.Revision})
		if err != nil {
			return a, fmt.Errorf("%w (key %s, revision %d)", err, c.Key, b.Revision)
		}
		a.changes = append(a.changes, change)
	}
	d.rev = b.Revision
	return a, nil
}

// edit is the table to change.
func (d *draft) edit(spec *tableSpec) *edit {
	e := d.edits[spec.number]
	if e.rows == nil {
		e.rows = d.tables[spec.number].edit()
		d.tables[spec.number] = e.rows
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
	if len(d.holds) > 0 {
		d.claim()
	}
	for _, e := range d.edits {
		if e.rows != nil {
			d.index(e)
		}
	}
	s := d.Snapshot
	return &s
}

// drop forgets what was to be changed.
func (d *draft) drop() {
	d.holds = kept(d.holds)
	for _, e := range d.edits {
		e.rows = nil
		for i := range e.places {
			e.places[i] = kept(e.places[i])
		}
	}
}

// claim brings the claims up to what was changed.
func (d *draft) claim() {
	slices.SortFunc(d.holds, func(a, b claimChange) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		return cmp.Compare(a.mod, b.mod)
	})
	d.claimed = d.claimed.Edit()
	for i, c := range d.holds {
		switch {
		case i+1 < len(d.holds) && d.holds[i+1].key == c.key: // the last one counts
		case c.gone:
			d.claimed.Drop(c.key)
		default:
			from := len(d.values)
			d.values = appendClaim(d.values, c.key, c.owner, c.mod)
			d.claimPuts = append(d.claimPuts, tree.Put[struct{}]{Key: c.key, Value: d.values[from:]})
		}
	}
	d.claimed.PutAll(d.claimPuts)
	d.holds, d.claimPuts, d.values = kept(d.holds), kept(d.claimPuts), kept(d.values)
}

// index brings the indexes of a table up to what was changed.
func (d *draft) index(e *edit) {
	for i, places := range e.places {
		slices.SortFunc(places, placing.compare)
		rows := e.rows.indexes[i]
		for at, p := range places {
			switch {
			case at+1 < len(places) && places[at+1].same(p): // the last one counts
			case p.gone:
				rows.Delete(p.key, p.row.id)
			default:
				d.puts = append(d.puts, tree.Put[*row]{Key: p.key, Ref: p.row})
			}
		}
		rows.PutAll(d.puts)
		d.puts, e.places[i] = kept(d.puts), kept(places)
	}
	e.rows = nil
}
