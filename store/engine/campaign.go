package engine

import (
	"context"
	"fmt"
)

// Campaign waits until the key can be created with the value and does so under
// the lease: its holder is the one leader for that key until the lease ends.
// It returns the revision at which leadership began, which the leader can name
// in a ModRevision compare so that nothing is written after it was lost.
func Campaign(ctx context.Context, e Engine, lease LeaseID, op Op) (int64, error) {
	op.Lease = lease
	for {
		rev, ok, err := e.Txn(ctx, []Compare{{Test: Absent, Key: op.Key}}, []Op{op})
		if err != nil {
			return 0, fmt.Errorf("campaign for %q: %w", op.Key, err)
		}
		if ok {
			return rev, nil
		}
		if err := waitDeleted(ctx, e, op.Key, rev+1); err != nil {
			return 0, fmt.Errorf("campaign for %q: %w", op.Key, err)
		}
	}
}

func waitDeleted(ctx context.Context, e Engine, key string, from int64) error {
	for batches, err := range e.Watch(ctx, key, from) {
		if err != nil {
			return err
		}
		for _, b := range batches {
			for _, c := range b.Changes {
				if c.Key == key && c.Deleted {
					return nil
				}
			}
		}
	}
	return ctx.Err()
}
