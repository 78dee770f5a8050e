package failover

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"neutrino"
	"neutrino/intent"
	"neutrino/intent/liveness"
	"neutrino/store"
	"neutrino/store/engine"
	"neutrino/store/engine/sqlite"
)

// sick is an engine that stops writing when the test says so.
type sick struct {
	engine.Engine
	fails atomic.Bool
	mu    sync.Mutex
	hangs chan struct{} // commits wait until it is closed; nil for none
}

func (s *sick) Txn(ctx context.Context, compares []engine.Compare, then []engine.Op) (int64, bool, error) {
	s.mu.Lock()
	hangs := s.hangs
	s.mu.Unlock()
	if hangs != nil {
		select {
		case <-hangs:
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
	if s.fails.Load() {
		return 0, false, fmt.Errorf("%w: disk full", engine.ErrUnavailable)
	}
	return s.Engine.Txn(ctx, compares, then)
}

// illnesses are the ways in which a store cannot write.
var illnesses = map[string]func(*sick) (heal func()){
	"fails": func(s *sick) func() {
		s.fails.Store(true)
		return func() { s.fails.Store(false) }
	},
	"hangs": func(s *sick) func() {
		c := make(chan struct{})
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hangs = c
		return func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.hangs = nil
			close(c)
		}
	},
}

var operator = intent.Caller{ProjectID: "ops", Admin: true}

// world is a server's mover on a store that can fall ill, in a bubble of time.
type world struct {
	*testing.T
	engine *sick
	db     *store.DB
	svc    *intent.Service
	mover  *Mover
	wall   atomic.Int64 // what somebody has added to the wall clock, ns
	stop   func()

	mu   sync.Mutex
	mute map[string]bool
}

func in(t *testing.T, story func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		inner, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlite.Memory})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, engine: &sick{Engine: inner}, mute: map[string]bool{}}
		if w.db, err = store.Open(t.Context(), w.engine); err != nil {
			t.Fatal(err)
		}
		w.start()
		defer func() {
			w.stop()
			if err := w.db.Close(); err != nil {
				t.Error(err)
			}
			if err := inner.Close(); err != nil {
				t.Error(err)
			}
		}()
		story(w)
	})
}

// start starts a server on the store.
func (w *world) start() {
	c := intent.DefaultConfig()
	c.Quotas = nil
	source := intent.SystemSource()
	source.Now = func() time.Time { return time.Now().Add(time.Duration(w.wall.Load())) }
	w.svc = intent.NewWith(w.db, c, source)
	w.mover = New(w.svc, Options{Interval: time.Second, Most: 10})
	ctx, stop := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- w.mover.Run(ctx) }()
	w.stop = func() {
		stop()
		if err := <-done; err != nil {
			w.Error(err)
		}
	}
}

func (w *world) do(f func(*intent.Tx) error) {
	w.Helper()
	if err := w.svc.Do(w.Context(), operator, f); err != nil {
		w.Fatal(err)
	}
}

func host(i int) string { return fmt.Sprintf("net%02d", i) }

// hosts registers network hosts, whose agents then beat as the feed does: the word
// counts at once, what it writes may wait.
func (w *world) hosts(first, last int) {
	w.Helper()
	for i := first; i <= last; i++ {
		name, beats := host(i), make(chan struct{}, 1)
		w.do(func(tx *intent.Tx) error {
			return intent.Register(tx, neutrino.Registration{
				Host: name, TunnelIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), TunnelTypes: []string{"gre"},
				Services: []string{neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentL3},
			})
		})
		go func() {
			for {
				select {
				case <-time.After(neutrino.AgentReportTime):
				case <-w.Context().Done():
					return
				}
				if w.silent(name) {
					continue
				}
				w.svc.Judge().Heard(name)
				select {
				case beats <- struct{}{}:
				default:
				}
			}
		}()
		go func() {
			for {
				select {
				case <-beats:
				case <-w.Context().Done():
					return
				}
				for w.svc.Do(w.Context(), operator, func(tx *intent.Tx) error { return intent.Heartbeat(tx, name) }) != nil && w.Context().Err() == nil {
					select { // not Sleep: a bubble ends with nobody asleep in it
					case <-time.After(time.Second):
					case <-w.Context().Done():
					}
				}
			}
		}()
	}
}

func (w *world) silent(host string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mute[host]
}

func (w *world) silence(hosts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range hosts {
		w.mute[h] = true
	}
}

// work makes routers, each on a network of its own that has DHCP.
func (w *world) work(n int) {
	w.Helper()
	for range n {
		w.do(func(tx *intent.Tx) error {
			network, err := intent.CreateNetwork(tx, neutrino.Network{}, nil)
			if err != nil {
				return err
			}
			subnet, err := intent.CreateSubnet(tx, neutrino.Subnet{
				NetworkID: network.ID, CIDR: netip.MustParsePrefix("10.0.0.0/24"), IPVersion: 4, EnableDHCP: true}, nil)
			if err != nil {
				return err
			}
			router, err := intent.CreateRouter(tx, neutrino.Router{}, nil)
			if err == nil {
				_, err = intent.AddRouterInterface(tx, router.ID, subnet.ID, "")
			}
			return err
		})
	}
}

// places is where every router and network's DHCP service is.
func (w *world) places() map[neutrino.ID]string {
	at := map[neutrino.ID]string{}
	snap := w.db.Snapshot()
	for b := range store.All(snap, store.RouterBindings) {
		at[b.RouterID] = b.Host
	}
	for b := range store.All(snap, store.DHCPBindings) {
		at[b.NetworkID] = b.Host
	}
	return at
}

func moves(was, now map[neutrino.ID]string) (n int) {
	for id, host := range now {
		if was[id] != host {
			n++
		}
	}
	return n
}

// stays wants nothing to move for a time.
func (w *world) stays(d time.Duration, when string) {
	w.Helper()
	was := w.places()
	for range d / time.Second {
		time.Sleep(time.Second)
		if n := moves(was, w.places()); n > 0 {
			w.Fatalf("%s: %d of %d moved", when, n, len(was))
		}
	}
}

// Row 4 of issue 10.
func TestAStoreThatCannotWriteMovesNothing(t *testing.T) {
	for name, ill := range illnesses {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.hosts(1, 10)
				w.work(60)
				w.stays(3*time.Minute, "all is well")
				if err := w.mover.Ready(t.Context()); err != nil {
					t.Errorf("not ready: %v", err)
				}
				heal := ill(w.engine)
				w.stays(15*time.Second, "the store falls ill") // a probe each 10 s, which may take 2
				if err := w.mover.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot write") {
					t.Errorf("ready: %v", err)
				}
				w.stays(5*time.Minute, "the store is ill")
				for i := range 10 {
					if s := w.svc.Judge().State(host(i + 1)); s != liveness.Alive {
						t.Errorf("%s is %v", host(i+1), s)
					}
				}
				heal()
				w.stays(2*time.Second, "the store writes again")
				if err := w.mover.Ready(t.Context()); err != nil {
					t.Errorf("not ready: %v", err)
				}
				w.stays(10*time.Minute, "the store is well")
			})
		})
	}
}

// A host that dies meanwhile is replaced when the agents had a down time.
func TestADeathWhileTheStoreCannotWriteIsNoticedAfterwards(t *testing.T) {
	for name, ill := range illnesses {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.hosts(1, 3)
				w.work(3)
				w.stays(2*time.Minute, "all is well")
				heal := ill(w.engine)
				w.silence(host(1))
				w.stays(5*time.Minute, "the store is ill")
				heal()
				w.stays(neutrino.AgentDownTime, "in the down time after")
				w.gone(host(1), 3*time.Second)
			})
		})
	}
}

// gone wants the host to have no work soon.
func (w *world) gone(host string, limit time.Duration) {
	w.Helper()
	left := 0
	for range limit/time.Second + 1 {
		left = 0
		for _, at := range w.places() {
			if at == host {
				left++
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(time.Second)
	}
	w.Errorf("%s has %d things after %v", host, left, limit)
}

// Row 5 of issue 10.
func TestAClockThatIsSetMovesNothingAndHidesNoDeath(t *testing.T) {
	for name, by := range map[string]time.Duration{"2 minutes forward": 2 * time.Minute, "1 hour back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.hosts(1, 10)
				w.work(10)
				w.stays(2*time.Minute, "all is well")
				w.wall.Store(int64(by))
				w.stays(10*time.Minute, "the clock was set "+name)
				w.svc.Judge().Heard(host(1))
				w.silence(host(1))
				w.stays(neutrino.AgentDownTime-time.Second, "in the down time")
				w.gone(host(1), 3*time.Second)
			})
		})
	}
}

func TestMovesArePacedAndSpread(t *testing.T) {
	in(t, func(w *world) {
		w.hosts(1, 1)
		w.work(60)
		w.hosts(2, 10)
		w.stays(2*time.Minute, "all is well")
		w.svc.Judge().Heard(host(1))
		w.silence(host(1))
		time.Sleep(neutrino.AgentDownTime + time.Second/2) // between two looks
		last, seconds := w.places(), 0
		for moved := 0; moved < 120; seconds++ {
			time.Sleep(time.Second)
			now := w.places()
			n := moves(last, now)
			if n > 10 || seconds > 14 {
				t.Fatalf("after %d s and %d: %d moved in a second", seconds, moved, n)
			}
			moved, last = moved+n, now
		}
		snap := w.db.Snapshot()
		least, most := 60, 0
		for i := 2; i <= 10; i++ {
			n := store.Count(snap, store.RouterBindingsByHost, host(i))
			least, most = min(least, n), max(most, n)
		}
		if store.Count(snap, store.RouterBindingsByHost, host(1)) != 0 || most-least > 1 {
			t.Errorf("the hosts have from %d to %d routers", least, most)
		}
	})
}

func TestAHostThatComesBackKeepsWhatItHas(t *testing.T) {
	in(t, func(w *world) {
		w.hosts(1, 1)
		w.work(60)
		w.hosts(2, 3)
		w.stays(2*time.Minute, "all is well")
		w.svc.Judge().Heard(host(1))
		w.silence(host(1))
		was := w.places()
		time.Sleep(neutrino.AgentDownTime + 3*time.Second)
		w.svc.Judge().Heard(host(1))
		w.mu.Lock()
		clear(w.mute)
		w.mu.Unlock()
		synctest.Wait()
		if n := moves(was, w.places()); n == 0 || n > 40 {
			t.Errorf("%d of 120 moved in three seconds", n)
		}
		w.stays(10*time.Minute, "it is back")
	})
}

// A server starts, and its agents come late; one never does.
func TestAServerThatStartsWaitsForItsAgents(t *testing.T) {
	in(t, func(w *world) {
		w.hosts(1, 10)
		w.work(30)
		w.stays(2*time.Minute, "all is well")
		w.stop()
		time.Sleep(time.Hour)
		w.silence(host(1))
		w.start()
		w.stays(neutrino.AgentDownTime, "the server has started")
		w.gone(host(1), 3*time.Second)
		if was, now := w.places(), w.places(); !maps.Equal(was, now) {
			t.Error("the others moved too")
		}
	})
}

// A crowd of dead hosts is said in /readyz, and moves nothing.
func TestACrowdOfDeadHostsKeepsItsWork(t *testing.T) {
	in(t, func(w *world) {
		w.hosts(1, 9)
		w.work(18)
		w.stays(2*time.Minute, "all is well")
		w.silence(host(1), host(2), host(3), host(4), host(5))
		w.stays(10*time.Minute, "5 of 9 are dead")
		if notes := w.mover.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "5 of 9 hosts are silent") {
			t.Errorf("the notes are %q", notes)
		}
		if err := w.mover.Ready(t.Context()); err != nil {
			t.Errorf("not ready: %v", err)
		}
		// An operator knows better.
		w.do(func(tx *intent.Tx) error {
			for a := range store.By(tx.Tx, store.AgentsByHost, host(1)) {
				if err := intent.DeleteAgent(tx, a.ID); err != nil {
					return err
				}
			}
			return nil
		})
		w.gone(host(1), 3*time.Second)
	})
}

// An idle server writes seldom.
func TestAnIdleServerWritesOnceInTenSeconds(t *testing.T) {
	in(t, func(w *world) {
		time.Sleep(time.Minute)
		before := w.db.Snapshot().Revision()
		time.Sleep(time.Hour)
		if n := w.db.Snapshot().Revision() - before; n < 350 || n > 361 {
			t.Errorf("it wrote %d times in an hour", n)
		}
	})
}
