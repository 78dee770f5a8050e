package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"neutrino/store/engine"
	"neutrino/store/tree"
)

// chunk is a row of the log.
type chunk struct {
	id      int64
	changes []byte
}

// changeLog is chunks that were read, in the order of the log, and where each
// change in them is, in the order of the keys and, of a key, of the revisions.
type changeLog struct {
	chunks []chunk
	sorted []ref
}

// ref is where a change is.
type ref struct {
	chunk uint32 // of the chunks that were read
	at    uint32 // in it
}

func (l *changeLog) change(r ref) change {
	c, _, _ := changeAt(l.chunks[r.chunk].changes, int(r.at)) // it was taken apart before
	return c
}

// key is that of a change; it is part of a chunk.
func (l *changeLog) key(r ref) string {
	key, _, _ := sized(l.chunks[r.chunk].changes[r.at+1:]) // it was taken apart before
	return text(key)
}

// readLog reads all changes that are kept, up to the revision. Each connection
// reads a part of it.
func readLog(ctx context.Context, conns []*sql.Conn, rev int64) (*changeLog, error) {
	bounds, err := parts(ctx, conns[0], len(conns), (rev+1)<<seqBits)
	if err != nil {
		return nil, err
	}
	read := make([][]chunk, len(conns))
	var group errgroup.Group
	for i, c := range conns {
		group.Go(func() (err error) {
			read[i], err = readChunks(ctx, c, bounds[i], bounds[i+1])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	l := &changeLog{chunks: slices.Concat(read...)}
	l.sorted, err = l.inOrder()
	return l, err
}

// parts divides the log into so many parts with about as many revisions each.
func parts(ctx context.Context, c *sql.Conn, n int, end int64) ([]int64, error) {
	var first sql.NullInt64
	if err := c.QueryRowContext(ctx, `SELECT min(id) FROM log`).Scan(&first); err != nil {
		return nil, err
	}
	bounds := make([]int64, n+1)
	for i := range bounds {
		bounds[i] = first.Int64 + (end-first.Int64)/int64(n)*int64(i)
	}
	bounds[n] = max(end, first.Int64)
	return bounds, nil
}

func readChunks(ctx context.Context, c *sql.Conn, from, to int64) ([]chunk, error) {
	rows, err := c.QueryContext(ctx, `SELECT id, changes FROM log WHERE id >= ? AND id < ? ORDER BY id`, from, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var chunks []chunk
	for rows.Next() {
		var id int64
		// The driver makes new bytes for each blob; copying them would take as long
		// as reading them. TestBlobsAreNotUsedAgain holds the driver to it.
		var blob sql.RawBytes
		if err := rows.Scan(&id, &blob); err != nil {
			return nil, err
		}
		chunks = append(chunks, chunk{id, blob})
	}
	return chunks, rows.Err()
}

// keyHead is how much of the beginnings of keys tells groups of them apart that
// are sorted beside each other: "/c/mac".
const keyHead = 6

// chunksOfPiece is how many chunks are taken apart at once.
const chunksOfPiece = 512

// inOrder takes the chunks apart and sorts what is in them. All processors take
// part.
func (l *changeLog) inOrder() ([]ref, error) {
	pieces := make([]map[string][]ref, (len(l.chunks)+chunksOfPiece-1)/chunksOfPiece)
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for i := range pieces {
		workers.Go(func() (err error) {
			pieces[i], err = l.apart(i*chunksOfPiece, min((i+1)*chunksOfPiece, len(l.chunks)))
			return err
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	heads, all := map[string]int{}, 0
	for _, piece := range pieces {
		for head, refs := range piece {
			heads[head], all = heads[head]+len(refs), all+len(refs)
		}
	}
	sorted, next := make([]ref, all), 0
	for _, head := range slices.Sorted(maps.Keys(heads)) {
		part := sorted[next : next : next+heads[head]]
		next += heads[head]
		workers.Go(func() error {
			for _, piece := range pieces {
				part = append(part, piece[head]...)
			}
			l.sort(part)
			return nil
		})
	}
	return sorted, workers.Wait()
}

// apart finds the changes in some of the chunks, by the beginnings of their keys.
func (l *changeLog) apart(from, to int) (map[string][]ref, error) {
	refs := map[string][]ref{}
	for i := from; i < to; i++ {
		err := changesOf(l.chunks[i].changes, func(at int, c change) {
			head := c.Key[:min(keyHead, len(c.Key))]
			refs[head] = append(refs[head], ref{uint32(i), uint32(at)})
		})
		if err != nil {
			return nil, fmt.Errorf("chunk %d: %w", l.chunks[i].id, err)
		}
	}
	return refs, nil
}

// sort brings changes, which are in the order of the log, into that of the keys.
func (l *changeLog) sort(refs []ref) {
	order := tree.Order(len(refs), func(i uint32) string { return l.key(refs[i]) })
	unsorted := slices.Clone(refs)
	for i, at := range order {
		refs[i] = unsorted[at]
	}
}

// living is the last change of each key that is not deleted.
func (l *changeLog) living() []ref {
	out := make([]ref, 0, len(l.sorted))
	for i, r := range l.sorted {
		if l.isLast(i) && l.chunks[r.chunk].changes[r.at]&flagDeleted == 0 {
			out = append(out, r)
		}
	}
	return out
}

// isLast reports whether no later change of the key follows.
func (l *changeLog) isLast(i int) bool {
	return i+1 == len(l.sorted) || l.key(l.sorted[i+1]) != l.key(l.sorted[i])
}

func (l *changeLog) mod(r ref) int64 { return l.chunks[r.chunk].id >> seqBits }

// list is the living keys.
func (l *changeLog) list() engine.List {
	living := l.living()
	return engine.NewList(len(living), func(i int) engine.KV {
		c := l.change(living[i])
		return engine.KV{Key: c.Key, Value: c.Value, Mod: l.mod(living[i])}
	})
}

// newIndex is the index of the whole log.
func (l *changeLog) newIndex() *index {
	x := newIndex()
	b := x.places.Into()
	var value []byte
	for i, r := range l.sorted {
		at := place{l.key(r), l.chunks[r.chunk].id}
		deleted, last := l.chunks[r.chunk].changes[r.at]&flagDeleted != 0, l.isLast(i)
		if !last {
			x.dead = append(x.dead, dead{l.mod(l.sorted[i+1]), at.copy()})
		}
		if deleted {
			x.dead = append(x.dead, dead{l.mod(r), at.copy()})
		} else if last {
			value = appendChunk(value[:0], at.chunk)
			b.Add(at.key, value, struct{}{})
			if lease := l.change(r).lease; lease != 0 {
				x.setLease(at.key, lease)
			}
		}
	}
	slices.SortStableFunc(x.dead, func(a, b dead) int { return int(a.since - b.since) })
	x.places = b.Tree()
	return x
}

// closeAll gives connections back.
func closeAll(conns []*sql.Conn) error {
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
