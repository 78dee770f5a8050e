package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"neutrino/store/engine"
)

// sumSize is how many bytes of a chunk on the disk, its last ones, are its sum.
const sumSize = 8

// sumOf is the sum of a chunk: XXH64 of its number and its changes, so that a
// chunk in the place of another one is damage too.
func sumOf(id int64, changes []byte) uint64 {
	var number [8]byte
	binary.LittleEndian.PutUint64(number[:], uint64(id))
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(number[:]) // never fails
	_, _ = d.Write(changes)
	return d.Sum64()
}

// leaseSum is what a lease adds to the digest. Chunks have positive numbers.
func leaseSum(id, ttl int64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(ttl))
	return sumOf(-id, b[:])
}

// seal appends a chunk's sum to its changes.
func seal(id int64, changes []byte) (sealed []byte, sum uint64) {
	sum = sumOf(id, changes)
	return binary.LittleEndian.AppendUint64(changes, sum), sum
}

// unseal splits a chunk as it is on the disk. The error is [engine.ErrDamaged] and
// names the chunk's revision.
func unseal(id int64, sealed []byte) (changes []byte, sum uint64, err error) {
	if n := len(sealed) - sumSize; n >= 0 {
		changes, sum = sealed[:n:n], binary.LittleEndian.Uint64(sealed[n:])
		if sumOf(id, changes) == sum {
			return changes, sum, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: chunk %d, of revision %d, is not what was written", engine.ErrDamaged, id, id>>seqBits)
}

// head says what the whole file must contain. Every commit writes it anew.
type head struct {
	revision  int64  // the newest
	compacted int64  // history before it is forgotten
	digest    uint64 // the sum, modulo 2^64, of the sums of all chunks and leases
	open      uint64 // names the opening that was not closed; 0 after a Close
	commits   uint64 // how often the head was written
}

const headSize = 5*8 + sumSize

// headID is the number that the sum of a head has in place of a chunk's.
const headID = -1 << 62

func (h head) encode() []byte {
	b := make([]byte, 0, headSize)
	for _, n := range []uint64{uint64(h.revision), uint64(h.compacted), h.digest, h.open, h.commits} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b, _ = seal(headID, b)
	return b
}

// readHead reads the head in the connection's transaction. The error is
// [engine.ErrDamaged] when it is missing or is not what was written.
func readHead(ctx context.Context, c *sql.Conn) (h head, err error) {
	var b []byte
	err = c.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'head'`).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return h, fmt.Errorf("%w: the head of the log is missing", engine.ErrDamaged)
	}
	if err != nil {
		return h, err
	}
	fields, _, err := unseal(headID, b)
	if err != nil || len(fields) != headSize-sumSize {
		return h, fmt.Errorf("%w: the head of the log is not what was written", engine.ErrDamaged)
	}
	n := func(i int) uint64 { return binary.LittleEndian.Uint64(fields[8*i:]) }
	return head{int64(n(0)), int64(n(1)), n(2), n(3), n(4)}, nil
}

// querier is a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// leasesSum is what all leases add to the digest.
func leasesSum(ctx context.Context, c querier) (sum uint64, err error) {
	rows, err := c.QueryContext(ctx, `SELECT id, ttl FROM lease`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, ttl int64
		if err := rows.Scan(&id, &ttl); err != nil {
			return 0, fmt.Errorf("%w: a lease: %w", engine.ErrDamaged, err)
		}
		sum += leaseSum(id, ttl)
	}
	return sum, rows.Err()
}

// whole compares what was read, the sum of all chunks, with the head.
func (h head) whole(ctx context.Context, c *sql.Conn, chunks uint64) error {
	leases, err := leasesSum(ctx, c)
	if err != nil {
		return err
	}
	if chunks+leases != h.digest {
		return fmt.Errorf("%w: a chunk or a lease up to revision %d is missing, or is not of this file", engine.ErrDamaged, h.revision)
	}
	return nil
}
