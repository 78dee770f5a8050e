// Package engine is the lower half of the store station: the one interface to
// whatever keeps keys and values durably and in order. Engines are
// interchangeable; enginetest says what each must do.
package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// Engine keeps keys with their values. Each successful change makes one
// revision; revisions are dense (1, 2, 3, …) and ordered as the changes are.
// All methods may be called concurrently.
type Engine interface {
	// Txn does all of then if all of the compares hold, as one revision, and
	// returns after that is durable. rev is the new revision, or the revision at
	// which the compares were looked at when ok is false or then changes nothing.
	// After an error it is unknown whether the change was made, except for
	// ErrUnavailable and ErrInvalid, which promise that it was not.
	Txn(ctx context.Context, compares []Compare, then []Op) (rev int64, ok bool, err error)
	// Range gives the keys that begin with the prefix, in order, as they were at
	// the revision (0: newest), and the revision that was read. The error is
	// ErrCompacted when that revision is no longer kept.
	Range(ctx context.Context, prefix string, at int64) (list List, rev int64, err error)
	// Watch yields the changes under the prefix from the given revision on (that
	// one included), in order and without gaps; what is ready at once comes as
	// one slice. It ends after an error: ErrCompacted when the reader is too far
	// behind and must list again, ErrClosed, or that of ctx. A slow reader holds
	// nobody up.
	Watch(ctx context.Context, prefix string, from int64) iter.Seq2[[]Batch, error]
	// Grant makes a lease. Keys put with it are deleted, as one revision, when
	// it has not been kept alive for ttl, or is revoked.
	Grant(ctx context.Context, ttl time.Duration) (LeaseID, error)
	// KeepAlive gives a lease its full ttl again; ErrNoLease when it has expired.
	KeepAlive(ctx context.Context, id LeaseID) error
	// Revoke ends a lease and deletes its keys; ErrNoLease when it has expired.
	Revoke(ctx context.Context, id LeaseID) error
	// Close ends all watches and refuses further calls. What was answered stays.
	Close() error
}

// What an engine answers when it cannot do as asked; match with errors.Is.
var (
	ErrCompacted   = errors.New("revision is compacted: list again")
	ErrClosed      = errors.New("store is closed")
	ErrNoLease     = errors.New("no such lease")
	ErrUnavailable = errors.New("store is unavailable, nothing was written")
	ErrInvalid     = errors.New("invalid transaction")
	// ErrDamaged is what a store answers, whatever it is asked, once it has found
	// that its file is not what it wrote.
	ErrDamaged = errors.New("the store is damaged")
)

// LeaseID names a lease; 0 is no lease.
type LeaseID int64

// Batch is what one revision changed, in the order of its operations.
type Batch struct {
	Revision int64
	Changes  []Change
}

// Change is one key's new value; Value is nil and Deleted set when it is gone.
type Change struct {
	Key     string
	Value   []byte
	Deleted bool
}

// Test is the kind of a [Compare].
type Test int

// The tests that a transaction can ask for.
const (
	Absent      Test = iota // the key does not exist
	Present                 // the key exists
	ModRevision             // the key's last change is of exactly Rev
	RangeBefore             // no key under the prefix Key was changed after Rev; with Rev 0, none exists
)

// Compare is one condition of a transaction.
type Compare struct {
	Test Test
	Key  string // the key, or the prefix for RangeBefore
	Rev  int64
}

// RangeEmpty is the condition that no key begins with the prefix.
func RangeEmpty(prefix string) Compare { return Compare{Test: RangeBefore, Key: prefix} }

// Op is one change of a transaction. Value must not be changed afterwards.
type Op struct {
	Key    string
	Value  []byte
	Lease  LeaseID // what the key's life depends on, 0 for nothing
	Delete bool
}

// Put is the operation that sets a key.
func Put(key string, value []byte) Op { return Op{Key: key, Value: value} }

// Delete is the operation that removes a key; nothing happens when it is absent.
func Delete(key string) Op { return Op{Key: key, Delete: true} }

// Limits that every engine enforces, so that no transaction works with one
// engine only. etcd's own defaults are 128 operations, to be raised with
// --max-txn-ops, and 1.5 MiB.
const (
	MaxOps   = 10_000
	MaxValue = 1 << 20 // bytes
	MaxKey   = 1 << 10 // bytes
)

// Check refuses a transaction that no engine can do: too many operations, a
// key named twice, a key or a value that is too long. The error is ErrInvalid.
func Check(compares []Compare, then []Op) error {
	if len(compares) > MaxOps || len(then) > MaxOps {
		return fmt.Errorf("%w: more than %d operations", ErrInvalid, MaxOps)
	}
	for _, c := range compares {
		if len(c.Key) == 0 || len(c.Key) > MaxKey {
			return fmt.Errorf("%w: a key of %d bytes", ErrInvalid, len(c.Key))
		}
	}
	seen := make(map[string]bool, len(then))
	for _, op := range then {
		switch {
		case len(op.Key) == 0 || len(op.Key) > MaxKey:
			return fmt.Errorf("%w: a key of %d bytes", ErrInvalid, len(op.Key))
		case len(op.Value) > MaxValue:
			return fmt.Errorf("%w: value of %q has %d bytes", ErrInvalid, op.Key, len(op.Value))
		case seen[op.Key]:
			return fmt.Errorf("%w: key %q is changed twice", ErrInvalid, op.Key)
		}
		seen[op.Key] = true
	}
	return nil
}

// PrefixEnd is the first key after all those that begin with the prefix, "" if
// there is none.
func PrefixEnd(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// Under keeps those changes of a batch whose key begins with the prefix.
func Under(b Batch, prefix string) Batch {
	all := true
	for _, c := range b.Changes {
		all = all && strings.HasPrefix(c.Key, prefix)
	}
	if all {
		return b
	}
	out := Batch{Revision: b.Revision}
	for _, c := range b.Changes {
		if strings.HasPrefix(c.Key, prefix) {
			out.Changes = append(out.Changes, c)
		}
	}
	return out
}
