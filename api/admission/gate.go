// Package admission shares what requests use up between those who send them:
// processor time by fair queues, memory by budgets that are asked before it is
// spent. It knows no request: a flow is whatever its caller says, a project or an
// address.
package admission

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Refusal says that a flow gets nothing more now, and when to ask again. It is
// the flow's own doing when Own is set (HTTP's 429), and the server's lack
// otherwise (503). After is 0 for what will never be let in (413).
type Refusal struct {
	Own   bool
	After time.Duration
	What  string // ran out
}

// Error says what ran out.
func (r *Refusal) Error() string {
	if r.After == 0 {
		return r.What
	}
	return fmt.Sprintf("%s: try again in %v", r.What, r.After)
}

// retryAfter is when a refused request may come again.
const retryAfter = time.Second

// Options of a [Gate].
type Options struct {
	// Seats are how many requests work at once. Share is how many of these one flow
	// may have, so that another finds a free one.
	Seats, Share int
	// Queue is how many requests of one flow may wait.
	Queue int
	// Slice is how long one request works before others that wait have their turn.
	Slice time.Duration
	// Patience is how long a request waits for its first seat.
	Patience time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Gate lets requests work, as many at once as it has seats, and shares the time
// between the flows that want it: the seat goes to the flow that has had the least
// (start-time fair queueing: Goyal, Vin and Cheng, 1996). A flow pays an estimate
// when it asks, and the difference to what it used when it gives the seat back.
//
// Kubernetes, whose API priority and fairness does the same for requests, has to
// guess a list's cost in seats, because a request keeps its seats to its end. Here
// a long request gives its seat back after each slice, so that a guess that was
// wrong costs others one slice.
type Gate struct {
	o Options

	mu     sync.Mutex
	used   int
	clock  time.Duration // the virtual time: the start of what was admitted last
	order  uint64        // of arrival
	flows  map[string]*flow
	queued []*flow // those with somebody waiting
}

// flow is what one project or address uses.
type flow struct {
	key     string
	paid    time.Duration // the virtual time at which its next request may start
	running int
	waiting []*waiter
}

// waiter is a request without a seat.
type waiter struct {
	start time.Duration
	order uint64
	ready chan struct{}
}

// NewGate makes a gate.
func NewGate(o Options) *Gate {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Gate{o: o, flows: map[string]*flow{}}
}

// Pass is one request at the gate. It belongs to one goroutine.
type Pass struct {
	gate  *Gate
	key   string
	since time.Time // it has its seat
	paid  time.Duration
	seats int
}

// Pass makes the pass of a request of the flow, without a seat.
func (g *Gate) Pass(flow string) *Pass { return &Pass{gate: g, key: flow} }

// Enter takes the first seat, for work that is expected to take the estimate. It
// waits until the flow's turn has come, but gives a *[Refusal] when too many of the
// flow wait already, or when it takes too long.
func (p *Pass) Enter(ctx context.Context, estimate time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, p.gate.o.Patience)
	defer cancel()
	err := p.take(limited, estimate, p.gate.o.Queue)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &Refusal{What: "the server has more to do than it can", After: retryAfter}
	}
	return err
}

// Again takes a seat for more of the same request.
func (p *Pass) Again(ctx context.Context) error { return p.take(ctx, p.gate.o.Slice, -1) }

// take waits for a seat unless so many wait already; -1 is no limit.
func (p *Pass) take(ctx context.Context, estimate time.Duration, queue int) error {
	g := p.gate
	estimate = min(estimate, g.o.Slice)
	g.mu.Lock()
	f := g.flow(p.key)
	start := max(g.clock, f.paid)
	if len(f.waiting) == 0 && f.running < g.o.Share && g.used < g.o.Seats && g.first(start) {
		g.seat(f, start)
		f.paid = start + estimate
		g.mu.Unlock()
		p.sit(estimate)
		return nil
	}
	if queue >= 0 && len(f.waiting) >= queue {
		g.forget(f)
		g.mu.Unlock()
		return &Refusal{Own: true, After: retryAfter, What: fmt.Sprintf("%d requests of the same project or address wait already", queue)}
	}
	g.order++
	w := &waiter{start: start, order: g.order, ready: make(chan struct{})}
	f.paid = start + estimate
	if len(f.waiting) == 0 {
		g.queued = append(g.queued, f)
	}
	f.waiting = append(f.waiting, w)
	g.mu.Unlock()
	select {
	case <-w.ready:
		p.sit(estimate)
		return nil
	case <-ctx.Done():
		if g.leaves(f, w) {
			return context.Cause(ctx)
		}
		p.sit(estimate) // the seat came at the same moment
		p.Leave()
		return context.Cause(ctx)
	}
}

func (p *Pass) sit(estimate time.Duration) {
	p.since, p.paid, p.seats = p.gate.o.Now(), estimate, p.seats+1
}

// first reports whether nobody who can have a seat is due before the start.
func (g *Gate) first(start time.Duration) bool {
	next := g.next()
	return next == nil || start < next.waiting[0].start
}

// flow is the flow of the key.
func (g *Gate) flow(key string) *flow {
	f := g.flows[key]
	if f == nil {
		f = &flow{key: key}
		g.flows[key] = f
	}
	return f
}

// forget drops a flow that does nothing and owes nothing.
func (g *Gate) forget(f *flow) {
	if f.running == 0 && len(f.waiting) == 0 && f.paid <= g.clock {
		delete(g.flows, f.key)
	}
}

// seat gives a seat to the flow's request with that start.
func (g *Gate) seat(f *flow, start time.Duration) {
	g.used++
	f.running++
	g.clock = max(g.clock, start)
}

// next is the flow whose first request is due: the smallest start of those that
// may have another seat, the older of two.
func (g *Gate) next() *flow {
	var best *flow
	for _, f := range g.queued {
		if f.running >= g.o.Share {
			continue
		}
		if best == nil {
			best = f
			continue
		}
		a, b := f.waiting[0], best.waiting[0]
		if a.start < b.start || a.start == b.start && a.order < b.order {
			best = f
		}
	}
	return best
}

// fill gives free seats to those who wait.
func (g *Gate) fill() {
	for g.used < g.o.Seats {
		f := g.next()
		if f == nil {
			return
		}
		w := f.waiting[0]
		f.waiting[0], f.waiting = nil, f.waiting[1:]
		if len(f.waiting) == 0 {
			g.unqueue(f)
		}
		g.seat(f, w.start)
		close(w.ready)
	}
}

func (g *Gate) unqueue(f *flow) {
	for i := range g.queued {
		if g.queued[i] == f {
			g.queued = append(g.queued[:i], g.queued[i+1:]...)
			return
		}
	}
}

// leaves takes a request out of its queue, unless it has its seat.
func (g *Gate) leaves(f *flow, w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range f.waiting {
		if f.waiting[i] == w {
			f.waiting = append(f.waiting[:i], f.waiting[i+1:]...)
			if len(f.waiting) == 0 {
				g.unqueue(f)
			}
			g.forget(f)
			return true
		}
	}
	return false
}

// Leave gives all seats back and pays what was used beyond the estimate. It does
// nothing without a seat.
func (p *Pass) Leave() {
	if p.seats == 0 {
		return
	}
	g := p.gate
	used := g.o.Now().Sub(p.since) * time.Duration(p.seats)
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.flow(p.key)
	f.paid += used - p.paid
	f.running -= p.seats
	g.used -= p.seats
	p.seats, p.paid = 0, 0
	g.fill()
	if g.used == 0 {
		clear(g.flows) // nobody works and nobody waits: what was used does not matter any more
		return
	}
	g.forget(f)
	g.tidy()
}

// manyFlows is how many flows are kept before those that owe nothing are looked for.
const manyFlows = 4096

// tidy forgets flows whose debt is over.
func (g *Gate) tidy() {
	if len(g.flows) < manyFlows {
		return
	}
	for _, f := range g.flows {
		g.forget(f)
	}
}

// Extra takes up to so many seats more, if they are free and nobody is due, and
// says how many it got. Leave gives them back.
func (p *Pass) Extra(most int) int {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.seats == 0 {
		return 0
	}
	f, got := g.flow(p.key), 0
	for got < most && g.used < g.o.Seats && f.running < g.o.Share && g.next() == nil {
		g.seat(f, g.clock)
		got++
	}
	p.seats += got
	return got
}

// Over reports whether the request has worked for a slice.
func (p *Pass) Over() bool { return p.seats > 0 && p.gate.o.Now().Sub(p.since) >= p.gate.o.Slice }

// Pause gives the seats back and takes one again when the flow's turn comes; with
// nobody waiting that is at once.
func (p *Pass) Pause(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	p.Leave()
	return p.Again(ctx)
}

// Waiting is how many requests wait, for measurements.
func (g *Gate) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, f := range g.queued {
		n += len(f.waiting)
	}
	return n
}
