// Package departure knows of the rows that hosts no longer have whether somebody
// asked for that. The store says what is; that something is not there proves
// nothing, because a damaged store lacks rows too. A proof is a committed
// transaction with a request behind it, or a row that names another host.
package departure

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"neutrino"
	"neutrino/store"
	"neutrino/view"
	"neutrino/view/fuse"
)

// most is how many departures are remembered, over all hosts.
const most = 1 << 17

// Log remembers departures: all since it follows the store, and, once somebody
// asks for older ones, what the store's history still has.
type Log struct {
	db *store.DB

	mu      sync.Mutex
	gone    map[key]entry
	queue   []entry // the oldest first
	counter int
	seen    store.Revision
	wake    chan struct{} // closed when seen grows
	pastTo  store.Revision
	past    bool // the history up to pastTo has been read
	reading sync.Mutex
}

// key names a row, or what departs without one.
type key struct{ table, id string }

// entry is a departure and the request behind it, "" for none.
type entry struct {
	key    key
	cause  string
	number int
}

// NewLog is a log of nothing.
func NewLog(db *store.DB) *Log {
	return &Log{db: db, gone: map[key]entry{}, wake: make(chan struct{})}
}

// Restart begins anew: batches come from the revision on.
func (l *Log) Restart(from store.Revision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone, l.queue, l.past, l.pastTo = map[key]entry{}, nil, false, from-1
	l.saw(from - 1)
}

// Note takes in what a revision changed.
func (l *Log) Note(b store.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range b.Changes {
		l.change(c, b.Cause)
	}
	l.saw(b.Revision)
}

func (l *Log) saw(rev store.Revision) {
	l.seen = max(l.seen, rev)
	close(l.wake)
	l.wake = make(chan struct{})
}

// change notes one row's departure, or its return.
func (l *Log) change(c store.Change, cause string) {
	k := key{c.Table, c.ID}
	switch c.Table {
	case store.Ports.Name():
		old, _ := c.Old.(*neutrino.Port)
		new, _ := c.New.(*neutrino.Port)
		l.port(k, old, new, cause)
	case store.FloatingIPs.Name():
		old, _ := c.Old.(*neutrino.FloatingIP)
		new, _ := c.New.(*neutrino.FloatingIP)
		switch {
		case new != nil && new.RouterID != "":
			delete(l.gone, k)
			if old != nil && old.RouterID != "" && old.RouterID != new.RouterID {
				l.record(k, cause)
			}
		case old == nil || old.RouterID != "":
			l.record(k, cause)
		}
	default:
		if c.New != nil {
			delete(l.gone, k)
			return
		}
		l.record(k, cause)
	}
}

// port notes that a port is bound no longer, and that its addresses left groups.
func (l *Log) port(k key, old, new *neutrino.Port, cause string) {
	_, known := l.gone[k]
	switch {
	case new != nil && boundTo(new) != "":
		delete(l.gone, k)
	case old != nil && boundTo(old) != "", !known:
		l.record(k, cause)
	}
	if old == nil {
		return
	}
	was, is := memberships(old), memberships(new)
	for m := range was {
		if !is[m] {
			l.record(key{fuse.KindMember, m}, cause)
		}
	}
	for m := range is {
		delete(l.gone, key{fuse.KindMember, m})
	}
}

// memberships are the addresses that a port brings into groups.
func memberships(p *neutrino.Port) map[string]bool {
	all := map[string]bool{}
	if p == nil {
		return all
	}
	for _, g := range p.SecurityGroups {
		for _, f := range p.FixedIPs {
			if f.IPAddress.IsValid() {
				all[fuse.MemberID(g, netip.PrefixFrom(f.IPAddress, f.IPAddress.BitLen()))] = true
			}
		}
		for _, pair := range p.AllowedAddressPairs {
			if pair.IPAddress.IsValid() {
				all[fuse.MemberID(g, pair.IPAddress.Masked())] = true
			}
		}
	}
	return all
}

func (l *Log) record(k key, cause string) {
	l.counter++
	e := entry{k, cause, l.counter}
	l.gone[k] = e
	l.queue = append(l.queue, e)
	if len(l.queue) <= 2*most {
		return
	}
	for _, e := range l.queue[:most] {
		if l.gone[e.key].number == e.number {
			delete(l.gone, e.key)
		}
	}
	l.queue = slices.Clone(l.queue[most:])
}

// find is the request that a row's departure came from.
func (l *Log) find(table, id string) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.gone[key{table, id}]
	if e.cause == "" {
		return "", false
	}
	return "request " + e.cause, true
}

// await waits until everything up to the revision is noted.
func (l *Log) await(ctx context.Context, rev store.Revision) error {
	for {
		l.mu.Lock()
		seen, wake := l.seen, l.wake
		l.mu.Unlock()
		if seen >= rev {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Confirm says which of the rows that a host still has are gone for good, and
// why. Of the others nothing is known: they may be lost.
func (l *Log) Confirm(ctx context.Context, host string, keys []view.Key) (map[view.Key]string, error) {
	snap := l.db.Snapshot()
	if err := l.await(ctx, snap.Revision()); err != nil {
		return nil, err
	}
	out := map[view.Key]string{}
	open := l.confirm(asking{l, snap, host}, keys, out)
	if len(open) == 0 {
		return out, nil
	}
	if err := l.readPast(ctx); err != nil {
		return out, fmt.Errorf("feed: what is gone since before the start: %w", err)
	}
	l.confirm(asking{l, snap, host}, open, out)
	return out, nil
}

func (l *Log) confirm(a asking, keys []view.Key, out map[view.Key]string) (open []view.Key) {
	for _, k := range keys {
		if why, ok := a.about(k); ok {
			out[k] = why
		} else {
			open = append(open, k)
		}
	}
	return open
}

// readPast reads the history that the store has from before the log began, once.
// What the log has seen itself counts more.
func (l *Log) readPast(ctx context.Context) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	l.mu.Lock()
	done, to := l.past, l.pastTo
	l.mu.Unlock()
	if done {
		return nil
	}
	before := NewLog(l.db)
	for b, err := range l.db.Past(ctx, to) {
		if err != nil {
			return err
		}
		before.Note(b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, e := range before.gone {
		if _, newer := l.gone[k]; !newer {
			l.record(k, e.cause)
		}
	}
	l.past = l.pastTo == to
	return nil
}
