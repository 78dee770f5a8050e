package sqlite

import (
	"cmp"
	"fmt"
	"slices"
)

// Compaction follows the writer in steps of so many revisions, and of not many
// more changes, so that no commit waits long for it.
const (
	compactStep    = 256
	compactChanges = 20_000
)

// compact forgets the oldest revisions when there are more than are kept: the
// changes that were replaced then, and the deletions. It returns the compacted
// revision, 0 when nothing was done.
func (e *Engine) compact(w *writing) (int64, error) {
	from := e.history.compactedTo()
	if w.rev-from < e.keep+compactStep {
		return 0, nil
	}
	// Catch up by two steps at most.
	to := min(w.rev-e.keep, from+2*compactStep)
	n := 0
	for n < len(w.index.dead) && w.index.dead[n].since <= to {
		if n >= compactChanges && w.index.dead[n].since > from+1 && w.index.dead[n].since != w.index.dead[n-1].since {
			to = w.index.dead[n].since - 1
			break
		}
		n++
	}
	if err := w.forget(w.index.dead[:n]); err != nil {
		return 0, fmt.Errorf("compact: %w", err)
	}
	w.head.compacted, w.forgotten, w.dirty = to, n, true
	return to, nil
}

// forget takes changes out of their chunks. When a deletion goes, what it
// deleted went before it or goes with it.
func (w *writing) forget(changes []dead) error {
	byChunk := slices.Clone(changes)
	slices.SortFunc(byChunk, func(a, b dead) int { return cmp.Compare(a.chunk, b.chunk) })
	for len(byChunk) > 0 {
		chunk, keys := byChunk[0].chunk, map[string]bool{}
		for len(byChunk) > 0 && byChunk[0].chunk == chunk {
			keys[byChunk[0].key] = true
			byChunk = byChunk[1:]
		}
		if err := w.shrink(chunk, keys); err != nil {
			return err
		}
	}
	return nil
}

// shrink writes what remains of a chunk.
func (w *writing) shrink(chunk int64, without map[string]bool) error {
	var sealed []byte
	if err := w.s.chunk.QueryRow(chunk).Scan(&sealed); err != nil {
		return fmt.Errorf("read chunk %d: %w", chunk, err)
	}
	old, sum, err := unseal(chunk, sealed)
	if err != nil {
		return err
	}
	w.changeSum(chunk, -sum)
	var left chunkWriter
	if err := changesOf(old, func(_ int, c change) {
		if !without[c.Key] {
			left.add(c)
		}
	}); err != nil {
		return fmt.Errorf("chunk %d: %w", chunk, err)
	}
	if len(left.chunk) == 0 {
		_, err = w.s.drop.Exec(chunk)
		return err
	}
	sealed, sum = seal(chunk, left.chunk)
	w.changeSum(chunk, sum)
	_, err = w.s.replace.Exec(sealed, chunk)
	return err
}

// changeSum notes what a chunk that was written before adds to the digest, also for
// the scrubber, who may have read it.
func (w *writing) changeSum(chunk int64, by uint64) {
	w.head.digest += by
	if chunk <= w.scrub.at {
		w.scrub.sum += by
	}
}
