// Package nova is the station that tells Nova what has become of its instances'
// ports: it sends what the store says Nova has not acknowledged, until it has.
package nova

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"neutrino"
	"neutrino/store"
)

// The bounds of what waits for Nova. Nova waits for a port for minutes
// (vif_plugging_timeout), and looks itself at what it knows of the ports of each
// of its instances in turn (heal_instance_info_cache_interval, one instance in a
// minute on each host): after a day nothing is learned from an event any more.
// Of one port three events wait at most, and one for each host it may move to,
// so that a cloud reaches the number only by deleting ports.
const (
	maxAge     = 24 * time.Hour
	maxWaiting = 100_000
)

// maxBatch is how many events one message has at most: Nova reads the instance
// of each before it answers.
const maxBatch = 200

// After a failure it is tried again, first after firstPause, then after twice
// the time, at most longestPause: a small part of what Nova waits for a port.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
)

// Outcome is what became of an event, for figures.
type Outcome string

// The outcomes. An event that failed is sent again.
const (
	Sent    Outcome = "sent"    // Nova took it
	Refused Outcome = "refused" // Nova knows no such server, or has no use for the event
	Failed  Outcome = "failed"  // Nova, or Keystone, did not take it
	Dropped Outcome = "dropped" // it waited for too long, or too many do
)

// Notifier tells Nova.
type Notifier struct {
	db     *store.DB
	opts   Options
	settle Settle
	client *client
	log    *slog.Logger
	now    func() time.Time
}

// Settle strikes out events that need not be sent again, by their IDs, each with
// the revision at which it was written down: one that was said anew stays.
type Settle func(ctx context.Context, done map[neutrino.ID]store.Revision) error

// New makes a notifier for what the store has; [Notifier.Run] runs it. It asks
// nobody yet: Nova and Keystone may be down.
func New(db *store.DB, o Options, settle Settle) (*Notifier, error) {
	c, err := newClient(&o)
	if err != nil {
		return nil, err
	}
	return &Notifier{db: db, opts: o, settle: settle, client: c, log: slog.Default(), now: time.Now}, nil
}

// Run sends what waits until the context ends, and then returns nil. Nothing
// else waits for it: who makes an event writes it into the store and goes on.
func (n *Notifier) Run(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() { ended <- n.watch(ctx, wake) }()
	pause := time.Duration(0)
	for {
		switch err := n.drain(ctx); {
		case ctx.Err() != nil:
			<-ended
			return nil
		case err != nil:
			pause = min(max(2*pause, firstPause), longestPause)
			n.log.Warn("nova: not told of ports, trying again", "error", err, "in", pause,
				"waiting", store.Len(n.db.Snapshot(), store.ServerEvents))
			if err := sleep(ctx, pause); err != nil {
				<-ended
				return nil
			}
			continue
		}
		pause = 0
		select {
		case <-wake:
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("nova: %w", err)
		}
	}
}

// watch wakes the sender when there is something new to say.
func (n *Notifier) watch(ctx context.Context, wake chan<- struct{}) error {
	for {
		from := n.db.Snapshot().Revision() + 1
		signal(wake) // what came before the watch began is found by looking
		err := n.follow(ctx, from, wake)
		if ctx.Err() != nil || !errors.Is(err, store.ErrListAgain) {
			return err
		}
	}
}

func (n *Notifier) follow(ctx context.Context, from store.Revision, wake chan<- struct{}) error {
	for b, err := range n.db.Watch(ctx, from) {
		if err != nil {
			return err
		}
		for _, c := range b.Changes {
			if e, ok := c.New.(*neutrino.ServerEvent); ok && e != nil {
				signal(wake)
			}
		}
	}
	return ctx.Err()
}

func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// drain sends until nothing waits. What came while a message was under way goes
// with the next.
func (n *Notifier) drain(ctx context.Context) error {
	for {
		snap := n.db.Snapshot()
		q := waiting(snap)
		if len(q) == 0 {
			return nil
		}
		q, err := n.drop(ctx, q)
		if err != nil {
			return err
		}
		for len(q) > 0 {
			var batch []event
			if batch, q = q.batch(n.db.Snapshot()); len(batch) == 0 {
				break
			}
			if err := n.deliver(ctx, batch); err != nil {
				return err
			}
			if err := sleep(ctx, n.opts.Interval); err != nil {
				return err
			}
		}
	}
}

// drop gives up what is too old, and the oldest where too much waits.
func (n *Notifier) drop(ctx context.Context, q queue) (queue, error) {
	keep, gone := q.bounded(n.now())
	for len(gone) > 0 {
		some := gone[:min(len(gone), maxBatch)]
		gone = gone[len(some):]
		done := map[neutrino.ID]store.Revision{}
		for _, e := range some {
			n.outcome(e, Dropped)
			done[e.ID()] = e.written
		}
		n.log.Error("nova: events given up: they waited for too long, or too many do", "events", len(some),
			"oldest", some[0].At, "port", some[0].PortID)
		if err := n.settle(ctx, done); err != nil {
			return nil, fmt.Errorf("strike out old events: %w", err)
		}
	}
	return keep, nil
}

// deliver sends events and strikes out those that Nova acknowledged. A message
// that Nova refuses as a whole is halved, until what it refuses is one event.
func (n *Notifier) deliver(ctx context.Context, batch []event) error {
	codes, err := n.client.send(ctx, batch)
	var no *refusal
	switch {
	case errors.As(err, &no) && len(batch) > 1:
		half := len(batch) / 2
		return errors.Join(n.deliver(ctx, batch[:half]), n.deliver(ctx, batch[half:]))
	case errors.As(err, &no):
		codes = []int{no.status}
	case err != nil:
		for _, e := range batch {
			n.outcome(e, Failed)
		}
		return err
	}
	done, missed := map[neutrino.ID]store.Revision{}, 0
	for i, e := range batch {
		o := outcomeOf(codes[i])
		n.outcome(e, o)
		n.say(e, codes[i])
		if o == Failed {
			missed++
			continue
		}
		done[e.ID()] = e.written
	}
	if err := n.settle(ctx, done); err != nil {
		return fmt.Errorf("strike out %d events that Nova has acknowledged: %w", len(done), err)
	}
	if missed > 0 {
		return fmt.Errorf("Nova did not take %d of %d events", missed, len(batch))
	}
	return nil
}

// outcomeOf reads the code that Nova gives an event (api-ref "Create External
// Events"): 404 is a server that it does not know, 422 one without a host, and
// 400 an event that it cannot read, now or later.
func outcomeOf(code int) Outcome {
	switch {
	case code == 200:
		return Sent
	case code >= 400 && code < 500:
		return Refused
	}
	return Failed
}

func (n *Notifier) say(e event, code int) {
	level := slog.LevelDebug
	switch {
	case code == 404 || code == 422:
		level = slog.LevelInfo
	case code != 200:
		level = slog.LevelWarn
	}
	n.log.Log(context.Background(), level, "nova: event", "name", e.Name, "port", e.PortID, "server", e.ServerID,
		"code", code, "waited", n.now().Sub(e.At).Round(time.Second))
}

func (n *Notifier) outcome(e event, o Outcome) {
	if n.opts.Observe != nil {
		n.opts.Observe(e.Name, o)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
