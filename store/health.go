package store

import (
	"context"
	"fmt"
	"iter"
)

// Check asks the engine for a key: the error says why the store cannot serve.
func (db *DB) Check(ctx context.Context) error {
	if _, _, err := db.engine.Range(ctx, causeKey, 0); err != nil {
		return fmt.Errorf("store: read from the engine: %w", err)
	}
	return nil
}

// Lengths yields each table's name and its number of rows.
func (s *Snapshot) Lengths() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for _, spec := range schema.tables {
			if !yield(spec.name, s.length(spec)) {
				return
			}
		}
	}
}
