package nova

import (
	"cmp"
	"slices"
	"time"

	"neutrino"
	"neutrino/store"
)

// event is one that waits, with the revision at which it was written down.
type event struct {
	*neutrino.ServerEvent
	written store.Revision
}

// queue is what waits, in the order in which it was written down.
type queue []event

func waiting(snap *store.Snapshot) queue {
	var q queue
	for e := range store.All(snap, store.ServerEvents) {
		q = append(q, event{e, store.ModRevision(snap, store.ServerEvents, e.ID())})
	}
	slices.SortStableFunc(q, func(a, b event) int { return cmp.Compare(a.written, b.written) })
	return q
}

// bounded parts what may wait longer from what may not.
func (q queue) bounded(now time.Time) (keep, gone queue) {
	spare := len(q) - maxWaiting
	for i, e := range q {
		if i < spare || now.Sub(e.At) > maxAge {
			gone = append(gone, e)
		} else {
			keep = append(keep, e)
		}
	}
	return keep, gone
}

// batch is what the next message has: of each port the first event alone, since
// Nova may take one event of a message and not another, and of a port they have
// to arrive in order. What was said anew, or struck out, since the queue was
// made is left out.
func (q queue) batch(snap *store.Snapshot) (batch []event, rest queue) {
	ports := map[neutrino.ID]bool{}
	for i, e := range q {
		switch {
		case len(batch) == maxBatch:
			return batch, append(rest, q[i:]...)
		case store.ModRevision(snap, store.ServerEvents, e.ID()) != e.written:
		case ports[e.PortID]:
			rest = append(rest, e)
		default:
			ports[e.PortID] = true
			batch = append(batch, e)
		}
	}
	return batch, rest
}
