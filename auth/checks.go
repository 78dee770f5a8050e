package auth

import (
	"slices"
	"sync"
	"time"
)

// The bounds of what is checked for one source: so many passwords at once, so many
// a second after that, and so many that wait.
const (
	checksBurst  = 8
	checksRate   = 4
	checksQueued = 16
)

// mostGuessers is how many sources are known before those that are quiet are
// forgotten.
const mostGuessers = 10_000

// checks shares the time that bcrypt takes between the sources of passwords. Each
// has its turn after the others. Of one source the newest comes first, and the
// oldest is refused when too many wait: who guesses keeps out their own older
// guesses, and a right password of the same address has its turn among them.
type checks struct {
	slots int
	now   func() time.Time
	after func(time.Duration, func())

	mu      sync.Mutex
	running int
	waking  bool // somebody looks again later
	turn    uint64
	sources map[string]*guesser
}

// guesser is a source of passwords.
type guesser struct {
	left    float64 // checks that it may have now
	at      time.Time
	served  uint64 // the turn in which it was served last
	waiting []chan error
}

func newChecks(slots int) *checks {
	return &checks{
		slots: slots, now: time.Now, sources: map[string]*guesser{},
		after: func(d time.Duration, f func()) { time.AfterFunc(d, f) },
	}
}

// run does a check when the source's turn has come. A *[Busy] says that there are
// too many before it. A right password costs its source nothing.
func (c *checks) run(source string, check func() error) error {
	if err := <-c.enter(source); err != nil {
		return err
	}
	err := check()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if g := c.sources[source]; err == nil && g != nil {
		g.left++
	}
	c.next()
	return err
}

// enter queues a check. What it gives says when it may run, or that it may not.
func (c *checks) enter(source string) <-chan error {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.sources[source]
	if g == nil {
		c.tidy()
		g = &guesser{left: checksBurst, at: c.now()}
		c.sources[source] = g
	}
	turn := make(chan error, 1)
	g.waiting = append(g.waiting, turn)
	if len(g.waiting) > checksQueued {
		g.waiting[0] <- &Busy{After: checksQueued / checksRate * time.Second}
		g.waiting = slices.Delete(g.waiting, 0, 1)
	}
	c.next()
	return turn
}

// next starts what may run.
func (c *checks) next() {
	for c.running < c.slots {
		var best *guesser
		for _, g := range c.sources {
			c.refill(g)
			if len(g.waiting) > 0 && g.left >= 1 && (best == nil || g.served < best.served) {
				best = g
			}
		}
		if best == nil {
			c.wake()
			return
		}
		last := len(best.waiting) - 1
		best.waiting[last] <- nil
		best.waiting = best.waiting[:last]
		best.left--
		c.turn++
		best.served = c.turn
		c.running++
	}
}

func (c *checks) refill(g *guesser) {
	now := c.now()
	g.left = min(checksBurst, g.left+checksRate*now.Sub(g.at).Seconds())
	g.at = now
}

// wake looks again when a source that waits may have its next check.
func (c *checks) wake() {
	soonest := time.Duration(-1)
	for _, g := range c.sources {
		if len(g.waiting) > 0 {
			d := time.Duration((1 - g.left) / checksRate * float64(time.Second))
			if soonest < 0 || d < soonest {
				soonest = d
			}
		}
	}
	if soonest >= 0 && !c.waking {
		c.waking = true
		c.after(soonest+time.Millisecond, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.waking = false
			c.next()
		})
	}
}

// tidy forgets sources that have been quiet.
func (c *checks) tidy() {
	if len(c.sources) < mostGuessers {
		return
	}
	for source, g := range c.sources {
		if c.refill(g); len(g.waiting) == 0 && g.left >= checksBurst {
			delete(c.sources, source)
		}
	}
}
