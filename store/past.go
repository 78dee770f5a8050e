package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"neutrino/store/engine"
)

// Past yields what is still known of the revisions up to and with the given one,
// in order. The engine forgets old ones, so they begin somewhere. Changes have no
// Old, and rows that were replaced since may be left out. An error comes last.
func (db *DB) Past(ctx context.Context, to Revision) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		next, stopped := Revision(1), false
		for next <= to && !stopped {
			err := db.past(ctx, next, to, func(b Batch) bool {
				next, stopped = b.Revision+1, !yield(b, nil)
				return !stopped
			})
			switch {
			case stopped || err == nil:
				return
			case !errors.Is(err, engine.ErrCompacted):
				yield(Batch{}, fmt.Errorf("store: read the past: %w", err))
				return
			}
			next = max(next+1, to-(to-next)*3/4) // where it begins, only the engine knows
		}
	}
}

func (db *DB) past(ctx context.Context, from, to Revision, yield func(Batch) bool) error {
	for batches, err := range db.engine.Watch(ctx, allKeys, from) {
		if err != nil {
			return err
		}
		for _, b := range batches {
			if b.Revision > to {
				return nil
			}
			out, err := pastBatch(b)
			if err != nil || !yield(out) || b.Revision == to {
				return err
			}
		}
	}
	return ctx.Err()
}

// pastBatch is an engine's batch with its rows read.
func pastBatch(b engine.Batch) (Batch, error) {
	out := Batch{Revision: b.Revision}
	for _, c := range b.Changes {
		if c.Key == causeKey {
			out.Cause = string(c.Value)
		}
		if !strings.HasPrefix(c.Key, tablePrefix) {
			continue
		}
		spec, id := rowOf(c.Key)
		if spec == nil {
			continue
		}
		change := Change{Table: spec.name, ID: id, Revision: b.Revision}
		if !c.Deleted {
			_, val, err := spec.newRow(string(c.Value), nil)
			if err != nil {
				return out, fmt.Errorf("%w (key %s, revision %d)", err, c.Key, b.Revision)
			}
			change.New = val
		}
		out.Changes = append(out.Changes, change)
	}
	return out, nil
}
