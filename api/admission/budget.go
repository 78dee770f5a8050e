package admission

import (
	"context"
	"sync"
)

// Budget is memory, in bytes, that requests take before they use it. One flow may
// have a share of it only, so that others find room.
type Budget struct {
	what         string
	limit, share int64

	mu      sync.Mutex
	used    int64
	most    int64 // that was ever used
	flows   map[string]int64
	waiting []*taker
}

// taker waits for room.
type taker struct {
	flow  string
	bytes int64
	ready chan struct{}
}

// NewBudget makes a budget of so many bytes, half of which one flow may have. What
// it is for is said to those who are refused.
func NewBudget(what string, limit int64) *Budget {
	return &Budget{what: what, limit: limit, share: limit / 2, flows: map[string]int64{}}
}

// Share is the most that one flow can ever have.
func (b *Budget) Share() int64 { return b.share }

// Try takes bytes for the flow, or gives a *[Refusal] where there is no room now.
func (b *Budget) Try(flow string, bytes int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.flows[flow]+bytes > b.share:
		return &Refusal{Own: true, After: retryAfter, What: "the project or address has its share of the memory for " + b.what}
	case b.used+bytes > b.limit:
		return &Refusal{After: retryAfter, What: "the memory for " + b.what + " is used up"}
	}
	b.take(flow, bytes)
	return nil
}

// Take takes bytes for the flow and waits until there is room. What never has room
// is refused.
func (b *Budget) Take(ctx context.Context, flow string, bytes int64) error {
	b.mu.Lock()
	if bytes > b.share {
		b.mu.Unlock()
		return &Refusal{Own: true, What: "the request needs more memory for " + b.what + " than one project or address may have: send less at once"}
	}
	if b.fits(flow, bytes) && !b.waits(flow) {
		b.take(flow, bytes)
		b.mu.Unlock()
		return nil
	}
	t := &taker{flow, bytes, make(chan struct{})}
	b.waiting = append(b.waiting, t)
	b.mu.Unlock()
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.waiting {
		if b.waiting[i] == t {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			return context.Cause(ctx)
		}
	}
	b.give(flow, bytes) // it came at the same moment
	return context.Cause(ctx)
}

func (b *Budget) fits(flow string, bytes int64) bool {
	return b.flows[flow]+bytes <= b.share && b.used+bytes <= b.limit
}

// waits reports whether somebody of the flow is before.
func (b *Budget) waits(flow string) bool {
	for _, t := range b.waiting {
		if t.flow == flow {
			return true
		}
	}
	return false
}

func (b *Budget) take(flow string, bytes int64) {
	b.flows[flow] += bytes
	b.used += bytes
	b.most = max(b.most, b.used)
}

// Give gives bytes back.
func (b *Budget) Give(flow string, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.give(flow, bytes)
}

func (b *Budget) give(flow string, bytes int64) {
	b.used -= bytes
	if b.flows[flow] -= bytes; b.flows[flow] <= 0 {
		delete(b.flows, flow)
	}
	// The oldest first; who does not fit holds up those of the same flow only.
	rest, held := b.waiting[:0], map[string]bool{}
	for _, t := range b.waiting {
		if held[t.flow] || !b.fits(t.flow, t.bytes) {
			rest, held[t.flow] = append(rest, t), true
			continue
		}
		b.take(t.flow, t.bytes)
		close(t.ready)
	}
	clear(b.waiting[len(rest):])
	b.waiting = rest
}

// Most is the largest amount that was ever taken at once, bytes.
func (b *Budget) Most() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most
}
