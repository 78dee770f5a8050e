package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"neutrino/store/engine"
	"neutrino/store/tree"
)

// chunk is a row of the log.
type chunk struct {
	id      int64
	changes []byte
}

// changeLog is chunks that were read, in the order of the log, and what is in them
// by the beginnings of the keys.
type changeLog struct {
	chunks []chunk
	parts  []*part
	index  *index // made on the way, where it is wanted
	sum    uint64 // of the sums of the chunks
}

// part is the changes of keys that begin alike.
type part struct {
	head   string
	refs   []ref // in the order of the keys and, of a key, of the revisions
	living []ref // the last of each key that is not deleted
	dead   []dead
	leases map[string]engine.LeaseID
	places *tree.Builder[struct{}]
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
// reads a part of it. The index, which is of the newest revision, is made on the
// way where it is given.
func readLog(ctx context.Context, conns []*sql.Conn, rev int64, x *index) (*changeLog, error) {
	pieces, err := ranges(ctx, conns[0], (rev+1)<<seqBits)
	if err != nil {
		return nil, err
	}
	var next atomic.Int64
	var readers errgroup.Group
	for _, c := range conns {
		readers.Go(func() error {
			for i := next.Add(1) - 1; int(i) < len(pieces); i = next.Add(1) - 1 {
				if err := guarded(func() error { return pieces[i].read(ctx, c) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := readers.Wait(); err != nil {
		return nil, err
	}
	n := 0
	for _, p := range pieces {
		n += len(p.chunks)
	}
	l := &changeLog{chunks: make([]chunk, 0, n), index: x}
	for _, p := range pieces {
		l.chunks = append(l.chunks, p.chunks...)
		l.sum += p.sum
	}
	return l, l.inOrder()
}

// guarded reads what may be mapped into memory: there a disk that fails is a fault,
// which would end the program.
func guarded(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch p := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // runtime/debug.SetPanicOnFault
			err = fmt.Errorf("%w: the file cannot be read: %v", engine.ErrUnavailable, p)
		default:
			panic(p)
		}
	}()
	return read()
}

// span is some revisions of the log.
type span struct {
	from, to int64 // numbers of chunks
	chunks   []chunk
	sum      uint64 // of their sums
}

// spans is how many are read, one after the other by whoever is free: nobody
// knows how much is in each.
const spans = 1024

// ranges divides the log, up to a chunk, into spans of as many revisions each.
func ranges(ctx context.Context, c *sql.Conn, end int64) ([]*span, error) {
	var first sql.NullInt64
	if err := c.QueryRowContext(ctx, `SELECT min(id) FROM log`).Scan(&first); err != nil {
		return nil, err
	}
	each := max((end-first.Int64)>>seqBits/spans, 1) << seqBits
	var list []*span
	for from := first.Int64 >> seqBits << seqBits; from < end; from += each {
		list = append(list, &span{from: from, to: min(from+each, end)})
	}
	return list, nil
}

func (s *span) read(ctx context.Context, c *sql.Conn) error {
	rows, err := c.QueryContext(ctx, `SELECT id, changes FROM log WHERE id >= ? AND id < ? ORDER BY id`, s.from, s.to)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		// The driver makes new bytes for each blob; copying them would take as long
		// as reading them. TestBlobsAreNotUsedAgain holds the driver to it.
		var blob sql.RawBytes
		if err := rows.Scan(&id, &blob); err != nil {
			return err
		}
		changes, sum, err := unseal(id, blob)
		if err != nil {
			return err
		}
		s.sum += sum
		s.chunks = append(s.chunks, chunk{id, changes})
	}
	return rows.Err()
}

// keyHead is how much of the beginnings of keys tells groups of them apart that
// are sorted beside each other: "/c/mac".
const keyHead = 6

// chunksOfPiece is how many chunks are taken apart at once.
const chunksOfPiece = 512

// inOrder takes the chunks apart and sorts what is in them. All processors take
// part.
func (l *changeLog) inOrder() error {
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
		return err
	}
	sizes := map[string]int{}
	for _, piece := range pieces {
		for head, refs := range piece {
			sizes[head] += len(refs)
		}
	}
	for head, size := range sizes {
		l.parts = append(l.parts, &part{head: head, refs: make([]ref, 0, size)})
	}
	slices.SortFunc(l.parts, func(a, b *part) int { return strings.Compare(a.head, b.head) })
	next := make(chan *part, len(l.parts))
	for _, p := range l.parts {
		next <- p
	}
	close(next)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() error {
			var sorter tree.Sorter
			for p := range next {
				for _, piece := range pieces {
					p.refs = append(p.refs, piece[p.head]...)
				}
				l.sort(p, &sorter)
				l.settle(p)
			}
			return nil
		})
	}
	_ = workers.Wait() // none of these fails
	if l.index != nil {
		l.index.take(l.parts)
	}
	return nil
}

// apart finds the changes in some of the chunks, by the beginnings of their keys.
func (l *changeLog) apart(from, to int) (map[string][]ref, error) {
	refs := map[string][]ref{}
	for i := from; i < to; i++ {
		err := changesOf(l.chunks[i].changes, func(at int, c change) {
			head := c.Key[:min(keyHead, len(c.Key))]
			of, known := refs[head]
			if !known {
				of = make([]ref, 0, to-from)
				head = strings.Clone(head)
			}
			refs[head] = append(of, ref{uint32(i), uint32(at)})
		})
		if err != nil {
			return nil, fmt.Errorf("chunk %d: %w", l.chunks[i].id, err)
		}
	}
	return refs, nil
}

// sort brings changes, which are in the order of the log, into that of the keys.
func (l *changeLog) sort(p *part, sorter *tree.Sorter) {
	unsorted := p.refs
	p.refs = make([]ref, len(unsorted))
	for i, at := range sorter.Order(len(unsorted), func(i uint32) string { return l.key(unsorted[i]) }) {
		p.refs[i] = unsorted[at]
	}
}

// settle finds out which of the changes count.
func (l *changeLog) settle(p *part) {
	p.living = make([]ref, 0, len(p.refs))
	if l.index != nil {
		p.leases, p.places = map[string]engine.LeaseID{}, l.index.places.Into()
	}
	var value []byte
	key := ""
	for i, r := range p.refs {
		if i == 0 {
			key = l.key(r)
		}
		at, next, last := place{key, l.chunks[r.chunk].id}, "", true
		if i+1 < len(p.refs) {
			next = l.key(p.refs[i+1])
			last = next != key
		}
		deleted := l.chunks[r.chunk].changes[r.at]&flagDeleted != 0
		if !last {
			p.dead = append(p.dead, dead{l.mod(p.refs[i+1]), at.copy()})
		}
		if deleted {
			p.dead = append(p.dead, dead{l.mod(r), at.copy()})
		} else if last {
			p.living = append(p.living, r)
			if p.places != nil {
				value = appendChunk(value[:0], at.chunk)
				p.places.Add(key, value, struct{}{})
				if lease := l.change(r).lease; lease != 0 {
					p.leases[key] = lease
				}
			}
		}
		key = next
	}
}

func (l *changeLog) mod(r ref) int64 { return l.chunks[r.chunk].id >> seqBits }

// list is the living keys.
func (l *changeLog) list() engine.List {
	n := 0
	for _, p := range l.parts {
		n += len(p.living)
	}
	living := make([]ref, 0, n)
	for _, p := range l.parts {
		living = append(living, p.living...)
	}
	return engine.NewList(n, func(i int) engine.KV {
		c := l.change(living[i])
		return engine.KV{Key: c.Key, Value: c.Value, Mod: l.mod(living[i])}
	})
}

// take makes the index of the parts of a whole log.
func (x *index) take(parts []*part) {
	b := x.places.Into()
	for _, p := range parts {
		b.Append(p.places)
		for key, lease := range p.leases {
			x.setLease(key, lease)
		}
		x.dead = append(x.dead, p.dead...)
	}
	slices.SortStableFunc(x.dead, func(a, b dead) int { return int(a.since - b.since) })
	x.places = b.Tree()
}

// closeAll gives connections back.
func closeAll(conns []*sql.Conn) error {
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
