package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// clock is a time that only the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newTestGate(seats, share int) (*Gate, *clock) {
	c := &clock{t: time.Unix(0, 0)}
	return NewGate(Options{Seats: seats, Share: share, Queue: 100, Slice: time.Millisecond, Patience: time.Minute, Now: c.now}), c
}

// until waits for a condition of the gate.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// line is a queue of requests whose order of entry is noted.
type line struct {
	t       *testing.T
	g       *Gate
	mu      sync.Mutex
	entered []string
	leave   chan struct{} // one for each that may go on
	wait    sync.WaitGroup
}

// asks lets a request wait, and returns when it does.
func (l *line) asks(flow string, estimate time.Duration) {
	l.t.Helper()
	before := l.g.Waiting()
	l.wait.Go(func() {
		p := l.g.Pass(flow)
		if err := p.Enter(context.Background(), estimate); err != nil {
			l.t.Error(err)
			return
		}
		l.mu.Lock()
		l.entered = append(l.entered, flow)
		l.mu.Unlock()
		<-l.leave
		p.Leave()
	})
	until(l.t, "the request waits", func() bool { return l.g.Waiting() == before+1 })
}

func (l *line) order() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entered)
}

// A project that has 64 long requests waiting holds up another's one by the slice
// that is being worked on: before, all 64 came first.
func TestOneRequestIsNotBehindAnothersQueue(t *testing.T) {
	g, c := newTestGate(1, 1)
	first := g.Pass("crowd")
	if err := first.Enter(context.Background(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	l := &line{t: t, g: g, leave: make(chan struct{})}
	for range 64 {
		l.asks("crowd", time.Millisecond)
	}
	l.asks("other", 100*time.Microsecond)
	c.pass(time.Millisecond)
	first.Leave()
	until(t, "somebody enters", func() bool { return len(l.order()) == 1 })
	if got := l.order()[0]; got != "other" {
		t.Errorf("%s came first", got)
	}
	close(l.leave)
	l.wait.Wait()
}

// Two projects that want all they can get have the same time, however many
// requests each sends and however wrong the estimates are.
func TestTimeIsSharedAlike(t *testing.T) {
	g, c := newTestGate(1, 1)
	ctx, stop := context.WithCancel(context.Background())
	type entry struct {
		flow string
		pass *Pass
	}
	entered := make(chan entry)
	var wait sync.WaitGroup
	start := g.Pass("start")
	if err := start.Enter(ctx, 0); err != nil {
		t.Fatal(err)
	}
	ask := func(flow string, guess time.Duration) {
		wait.Go(func() {
			p := g.Pass(flow)
			if p.Enter(ctx, guess) == nil {
				entered <- entry{flow, p}
			}
		})
	}
	guesses := map[string]time.Duration{"crowd": 10 * time.Microsecond, "other": time.Millisecond}
	for range 20 {
		ask("crowd", guesses["crowd"])
	}
	ask("other", guesses["other"])
	until(t, "all wait", func() bool { return g.Waiting() == 21 })
	start.Leave()
	had := map[string]time.Duration{}
	for range 400 {
		e := <-entered
		c.pass(time.Millisecond)
		had[e.flow] += time.Millisecond
		ask(e.flow, guesses[e.flow]) // its next one is there before this one goes
		until(t, "the next waits", func() bool { return g.Waiting() == 21 })
		e.pass.Leave()
	}
	last := <-entered
	stop()
	last.pass.Leave()
	go func() {
		for e := range entered {
			e.pass.Leave()
		}
	}()
	wait.Wait()
	close(entered)
	if had["other"] < had["crowd"]*8/10 {
		t.Errorf("20 requests had %v, one had %v", had["crowd"], had["other"])
	}
}

// One project finds no more than its share, though nobody else is there, and what
// is left is another's at once.
func TestAFlowHasItsShareOfTheSeats(t *testing.T) {
	g, _ := newTestGate(3, 2)
	ctx := context.Background()
	one, two, other := g.Pass("crowd"), g.Pass("crowd"), g.Pass("other")
	for _, p := range []*Pass{one, two} {
		if err := p.Enter(ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := one.Extra(5); n != 0 {
		t.Errorf("%d seats beyond the share", n)
	}
	l := &line{t: t, g: g, leave: make(chan struct{})}
	l.asks("crowd", 0)
	if err := other.Enter(ctx, 0); err != nil {
		t.Fatal(err)
	}
	other.Leave()
	two.Leave()
	until(t, "the third has its seat", func() bool { return len(l.order()) == 1 })
	close(l.leave)
	l.wait.Wait()
	if n := one.Extra(5); n != 1 {
		t.Errorf("%d seats where one is free of the share", n)
	}
	one.Leave()
	if len(g.flows) != 0 || g.used != 0 {
		t.Errorf("%d flows and %d seats are left", len(g.flows), g.used)
	}
}

// A queue has an end for each flow, and who finds it full is told to come again.
func TestAFullQueueRefusesItsOwnFlow(t *testing.T) {
	g, _ := newTestGate(2, 1)
	g.o.Queue = 3
	p := g.Pass("crowd")
	if err := p.Enter(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	l := &line{t: t, g: g, leave: make(chan struct{})}
	for range 3 {
		l.asks("crowd", 0)
	}
	var r *Refusal
	if err := g.Pass("crowd").Enter(context.Background(), 0); !errors.As(err, &r) || !r.Own || r.After <= 0 {
		t.Errorf("a fourth that waits got %v", err)
	}
	other := g.Pass("other")
	if err := other.Enter(context.Background(), 0); err != nil {
		t.Errorf("another flow got %v", err)
	}
	other.Leave()
	close(l.leave)
	p.Leave()
	l.wait.Wait()
}

// Who leaves while waiting leaves nothing behind.
func TestWhoGoesLeavesNothing(t *testing.T) {
	g, _ := newTestGate(1, 1)
	p := g.Pass("a")
	if err := p.Enter(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error)
	go func() { gone <- g.Pass("b").Enter(ctx, 0) }()
	until(t, "it waits", func() bool { return g.Waiting() == 1 })
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("it got %v", err)
	}
	g.o.Patience = time.Millisecond
	var r *Refusal
	if err := g.Pass("b").Enter(context.Background(), 0); !errors.As(err, &r) || r.Own {
		t.Errorf("who waited too long got %v", err)
	}
	if err := p.Pause(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a pause for a client that has gone: %v", err)
	}
	p.Leave()
	p.Leave()
	if len(g.flows) != 0 || g.used != 0 || len(g.queued) != 0 {
		t.Errorf("%d flows, %d seats, %d queues are left", len(g.flows), g.used, len(g.queued))
	}
}

// Never more work than there are seats, whatever comes and goes.
func TestSeatsAreNeverExceeded(t *testing.T) {
	g := NewGate(Options{Seats: 3, Share: 2, Queue: 1000, Slice: 10 * time.Microsecond, Patience: time.Minute})
	var mu sync.Mutex
	working, most := 0, 0
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		working += n
		most = max(most, working)
	}
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			for j := range 200 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+(i*j)%7)*time.Millisecond)
				p := g.Pass(fmt.Sprint(i % 5))
				if p.Enter(ctx, time.Duration(j)) == nil {
					extra := p.Extra(2)
					count(1 + extra)
					count(-1 - extra)
					if p.Pause(ctx) == nil {
						count(1)
						count(-1)
					}
					p.Leave()
				}
				cancel()
			}
		})
	}
	wait.Wait()
	if most > 3 {
		t.Errorf("%d worked at once", most)
	}
	if g.used != 0 || len(g.flows) != 0 || len(g.queued) != 0 {
		t.Errorf("%d seats, %d flows, %d queues are left", g.used, len(g.flows), len(g.queued))
	}
}
