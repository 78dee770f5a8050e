package enginetest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"neutrino/store/engine"
)

// event is one transaction of a random history, with its answer.
type event struct {
	compares []engine.Compare
	then     []engine.Op
	rev      int64
	ok       bool
	after    int64 // a revision that had been answered before it began
}

// world is a plain model: the revision of each living key.
type world map[string]int64

func (w world) holds(c engine.Compare) bool {
	switch c.Test {
	case engine.Absent:
		return w[c.Key] == 0
	case engine.Present:
		return w[c.Key] != 0
	case engine.ModRevision:
		return w[c.Key] == c.Rev
	}
	for key, mod := range w {
		if strings.HasPrefix(key, c.Key) && mod > c.Rev {
			return false
		}
	}
	return true
}

func (w world) holdsAll(cs []engine.Compare) bool {
	for _, c := range cs {
		if !w.holds(c) {
			return false
		}
	}
	return true
}

// does says what the operations come to, as a watch would tell it.
func (w world) does(ops []engine.Op) string {
	out := ""
	for _, op := range ops {
		switch {
		case !op.Delete:
			out += fmt.Sprintf("%s=%s ", op.Key, op.Value)
		case w[op.Key] != 0:
			out += op.Key + " gone "
		}
	}
	return out
}

// testHistories lets clients do random transactions and then looks whether one
// serial order explains all answers: the order of the revisions.
func testHistories(t *testing.T, open Open) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := start(t, open, 0)
	const clients = 8
	each := 150
	if testing.Short() {
		each = 30 // SQLite under the race detector is ten times slower
	}
	var newest atomic.Int64
	events := make([][]event, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(c)))
			for i := range each {
				ev := random(r, fmt.Sprintf("%d.%d", c, i), newest.Load())
				var err error
				if ev.rev, ev.ok, err = s.Txn(t.Context(), ev.compares, ev.then); err != nil {
					t.Errorf("%+v: %v", ev, err)
					return
				}
				raise(&newest, ev.rev)
				events[c] = append(events[c], ev)
			}
		})
	}
	wg.Wait()
	var all []event
	for _, evs := range events {
		all = append(all, evs...)
	}
	judge(t, all, history(t, s, newest.Load()))
}

func raise(to *atomic.Int64, rev int64) {
	for have := to.Load(); have < rev && !to.CompareAndSwap(have, rev); have = to.Load() {
	}
}

func random(r *rand.Rand, value string, newest int64) event {
	key := func() string { return fmt.Sprintf("/%c/%d", 'a'+r.IntN(2), r.IntN(4)) }
	ev := event{after: newest}
	for range r.IntN(3) {
		c := engine.Compare{Test: engine.Test(r.IntN(4)), Key: key()}
		switch c.Test {
		case engine.ModRevision:
			c.Rev = max(0, newest-r.Int64N(6))
		case engine.RangeBefore:
			c.Key, c.Rev = c.Key[:3], max(0, newest-r.Int64N(4))
		}
		ev.compares = append(ev.compares, c)
	}
	used := map[string]bool{}
	for range 1 + r.IntN(3) {
		if k := key(); !used[k] {
			used[k] = true
			ev.then = append(ev.then, engine.Op{Key: k, Value: []byte(value), Delete: r.IntN(3) == 0})
		}
	}
	return ev
}

// history is every revision as a watch tells it, by its number.
func history(t *testing.T, s suite, last int64) []string {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out := []string{""}
	for batches, err := range s.Watch(ctx, "/", 1) {
		if err != nil {
			t.Fatalf("watch after %d of %d revisions: %v", len(out)-1, last, err)
		}
		for _, b := range batches {
			if b.Revision != int64(len(out)) {
				t.Fatalf("revision %d after %d", b.Revision, len(out)-1)
			}
			text := ""
			for _, c := range b.Changes {
				if c.Deleted {
					text += c.Key + " gone "
				} else {
					text += fmt.Sprintf("%s=%s ", c.Key, c.Value)
				}
			}
			out = append(out, text)
		}
		if int64(len(out)) > last {
			break
		}
	}
	return out
}

func judge(t *testing.T, events []event, history []string) {
	worlds := replay(history)
	surely, perhaps := make([]int, len(history)), make([]int, len(history))
	for _, ev := range events {
		if ev.rev < ev.after || ev.rev >= int64(len(history)) {
			t.Errorf("%+v was answered out of time", ev)
			continue
		}
		now := worlds[ev.rev]
		if !ev.ok {
			if now.holdsAll(ev.compares) {
				t.Errorf("%+v was refused, and held", ev)
			}
			continue
		}
		// A transaction that came to nothing made no revision: it was looked at
		// in the world of the revision that it names. Of two that delete the same
		// it cannot be told which one came to nothing.
		nothing := now.holdsAll(ev.compares) && now.does(ev.then) == ""
		switch made := ev.makes(worlds, history); {
		case made && nothing:
			perhaps[ev.rev]++
		case made:
			surely[ev.rev]++
		case !nothing:
			t.Errorf("%+v does not explain %q", ev, history[ev.rev])
		}
	}
	for rev := 1; rev < len(history); rev++ {
		if surely[rev] > 1 || surely[rev]+perhaps[rev] == 0 {
			t.Errorf("revision %d (%s) was made by %d transactions", rev, history[rev], surely[rev])
		}
	}
}

// makes reports whether the transaction explains the revision that it names.
func (ev event) makes(worlds []world, history []string) bool {
	if ev.rev == ev.after {
		return false
	}
	before := worlds[ev.rev-1]
	return before.holdsAll(ev.compares) && before.does(ev.then) == history[ev.rev]
}

// replay is the world after each revision.
func replay(history []string) []world {
	worlds := []world{{}}
	for rev := 1; rev < len(history); rev++ {
		w := maps.Clone(worlds[rev-1])
		fields := strings.Fields(history[rev])
		for i, f := range fields {
			key, _, put := strings.Cut(f, "=")
			switch {
			case put:
				w[key] = int64(rev)
			case f == "gone":
				delete(w, fields[i-1])
			}
		}
		worlds = append(worlds, w)
	}
	return worlds
}
