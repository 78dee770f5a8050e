package store

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"neutrino/store/engine"
)

// The keys in the engine: /t/<table>/<id> for rows, /c/<key> for claims, /w for
// why the last revision came to be, /p for [DB.Probe], and [identity.Key]. All begin with a slash, so that one watch sees every revision.
const (
	allKeys     = "/"
	tablePrefix = "/t/"
	claimPrefix = "/c/"
	causeKey    = "/w"
)

// reconnect is how long to wait after the engine's watch failed.
const reconnect = 200 * time.Millisecond

func rowKey(t *tableSpec, id string) string { return tablePrefix + t.name + "/" + id }
func claimKey(key string) string            { return claimPrefix + key }

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
	d := draftOf(db.Snapshot(), db.scratch)
	defer d.drop() // where a row cannot be read
	out := make([]applied, 0, len(batches))
	for _, b := range batches {
		a, err := d.take(b)
		if err != nil {
			return err
		}
		out = append(out, a)
	}
	db.current.Store(d.finish())
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
