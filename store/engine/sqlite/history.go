package sqlite

import (
	"slices"
	"sync"

	"neutrino/store/engine"
)

// recent is how many revisions watchers get without reading the database, at
// least, unless these have more than recentChanges; what is older they read.
const (
	recent        = 2048
	recentChanges = 16_384
)

// history is what was committed: the newest revision, the last batches, and a
// channel to wake those who wait for the next.
type history struct {
	mu        sync.Mutex
	rev       int64
	compacted int64
	batches   []engine.Batch // the newest ones, dense; only appended to and cut
	changes   int            // in the batches
	wake      chan struct{}
	closed    bool
	harm      error // why nothing is answered any more
}

func (h *history) init(rev, compacted int64) {
	h.rev, h.compacted, h.wake = rev, compacted, make(chan struct{})
}

func (h *history) newest() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rev
}

func (h *history) compactedTo() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.compacted
}

func (h *history) add(batches []engine.Batch, compacted int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.compacted = max(h.compacted, compacted)
	if len(batches) == 0 {
		return
	}
	h.batches = append(h.batches, batches...)
	for _, b := range batches {
		h.changes += len(b.Changes)
	}
	h.cut()
	h.rev = batches[len(batches)-1].Revision
	if !h.closed {
		close(h.wake)
		h.wake = make(chan struct{})
	}
}

// cut forgets the oldest half of the batches when they are too many.
func (h *history) cut() {
	if len(h.batches) <= 2*recent && h.changes <= 2*recentChanges {
		return
	}
	first := max(len(h.batches)-recent, 0)
	h.changes = 0
	for i, b := range slices.Backward(h.batches) {
		if i < first || h.changes+len(b.Changes) > recentChanges {
			first = i + 1
			break
		}
		h.changes += len(b.Changes)
	}
	h.batches = slices.Clone(h.batches[first:])
}

func (h *history) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.wake)
	}
}

// fail ends the watches with an error.
func (h *history) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.harm = err; !h.closed {
		close(h.wake)
		h.wake = make(chan struct{})
	}
}

// since gives the batches from a revision on. older is set when they are no
// longer in memory; without batches, wake is closed when there are some.
func (h *history) since(from int64) (batches []engine.Batch, older bool, wake <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, false, nil, engine.ErrClosed
	case h.harm != nil:
		return nil, false, nil, h.harm
	case from <= h.compacted:
		return nil, false, nil, engine.ErrCompacted
	case from > h.rev:
		return nil, false, h.wake, nil
	}
	i := int64(len(h.batches)) - (h.rev - from + 1)
	if i < 0 {
		return nil, true, nil, nil
	}
	return h.batches[i:len(h.batches):len(h.batches)], false, nil, nil
}
