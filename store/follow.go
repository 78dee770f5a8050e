package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tidwall/btree"

	"neutrino/store/engine"
)

// The keys in the engine: /t/<table>/<id> for rows, /c/<key> for claims. All
// begin with a slash, so that one watch sees every revision.
const (
	allKeys     = "/"
	tablePrefix = "/t/"
	claimPrefix = "/c/"
)

// reconnect is how long to wait after the engine's watch failed.
const reconnect = 200 * time.Millisecond

func rowKey(t *tableSpec, id string) string { return tablePrefix + t.name + "/" + id }
func claimKey(key string) string            { return claimPrefix + key }

// draft is a snapshot in the making. It shares what it does not change with
// the snapshot it began as.
type draft struct {
	Snapshot
	owned       []bool // tables that are already copied
	claimsOwned bool
}

func draftOf(s *Snapshot) *draft {
	d := &draft{Snapshot: *s, owned: make([]bool, len(s.tables))}
	d.tables = append([]*tableRows(nil), s.tables...)
	return d
}

func emptySnapshot() *Snapshot {
	s := &Snapshot{claimed: btree.NewMap[string, claim](0)}
	for _, spec := range schema.tables {
		s.tables = append(s.tables, newTableRows(spec))
	}
	return s
}

// apply does one change and says what it meant to a row, false for a claim.
func (d *draft) apply(c engine.Change, rev Revision) (Change, bool, error) {
	if key, ok := strings.CutPrefix(c.Key, claimPrefix); ok {
		d.applyClaim(key, c, rev)
		return Change{}, false, nil
	}
	spec, id := rowOf(c.Key)
	if spec == nil {
		return Change{}, false, nil
	}
	r := &row{id: id, mod: rev}
	if !c.Deleted {
		v, err := spec.decode(c.Value)
		if err != nil {
			return Change{}, false, fmt.Errorf("%w (key %s, revision %d)", err, c.Key, rev)
		}
		r.val = v
	}
	if !d.owned[spec.number] {
		d.tables[spec.number] = d.tables[spec.number].clone()
		d.owned[spec.number] = true
	}
	change := Change{Table: spec.name, ID: id, New: r.val, Revision: rev}
	if old := d.tables[spec.number].set(spec, r); old != nil {
		change.Old = old.val
	}
	return change, true, nil
}

func (d *draft) applyClaim(key string, c engine.Change, rev Revision) {
	if !d.claimsOwned {
		d.claimed = d.claimed.IsoCopy()
		d.claimsOwned = true
	}
	if c.Deleted {
		d.claimed.Delete(key)
		return
	}
	d.claimed.Set(key, claim{string(c.Value), rev})
}

// rowOf finds the table of a key; nil for a key of something else.
func rowOf(key string) (*tableSpec, string) {
	rest, ok := strings.CutPrefix(key, tablePrefix)
	if !ok {
		return nil, ""
	}
	name, id, _ := strings.Cut(rest, "/")
	for _, spec := range schema.tables {
		if spec.name == name {
			return spec, id
		}
	}
	return nil, ""
}

// load reads everything afresh.
func load(ctx context.Context, e engine.Engine) (*Snapshot, error) {
	kvs, rev, err := e.Range(ctx, allKeys, 0)
	if err != nil {
		return nil, fmt.Errorf("store: load: %w", err)
	}
	d := draftOf(emptySnapshot())
	for _, kv := range kvs {
		if _, _, err := d.apply(engine.Change{Key: kv.Key, Value: kv.Value}, kv.Mod); err != nil {
			return nil, fmt.Errorf("store: load: %w", err)
		}
	}
	s := d.Snapshot
	s.rev = rev
	return &s, nil
}

// follow applies the engine's changes until ctx ends or the engine is closed.
func (db *DB) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := db.watchEngine(ctx)
		if errors.Is(err, engine.ErrCompacted) {
			slog.Warn("store: too far behind the engine, loading again", "revision", db.Snapshot().rev)
			err = db.reload(ctx)
		}
		switch {
		case err == nil:
		case errors.Is(err, engine.ErrClosed):
			return
		case ctx.Err() == nil:
			slog.Error("store: follow the engine", "error", err, "revision", db.Snapshot().rev)
			_ = pause(ctx, reconnect)
		}
	}
}

func (db *DB) watchEngine(ctx context.Context) error {
	for batches, err := range db.engine.Watch(ctx, allKeys, db.Snapshot().rev+1) {
		if err != nil {
			return err
		}
		if err := db.applyAll(batches); err != nil {
			return err
		}
	}
	return nil
}

// applyAll applies what came together and publishes it once.
func (db *DB) applyAll(batches []engine.Batch) error {
	d := draftOf(db.Snapshot())
	out := make([]Batch, 0, len(batches))
	for _, b := range batches {
		applied := Batch{Revision: b.Revision, Changes: make([]Change, 0, len(b.Changes))}
		for _, c := range b.Changes {
			change, isRow, err := d.apply(c, b.Revision)
			if err != nil {
				return err
			}
			if isRow {
				applied.Changes = append(applied.Changes, change)
			}
		}
		d.rev = b.Revision
		out = append(out, applied)
	}
	s := d.Snapshot
	db.current.Store(&s)
	db.log.add(out)
	return nil
}

// reload replaces the state after the engine forgot changes that were not seen.
func (db *DB) reload(ctx context.Context) error {
	s, err := load(ctx, db.engine)
	if err != nil {
		return err
	}
	db.current.Store(s)
	db.log.reset(s.rev)
	return nil
}
