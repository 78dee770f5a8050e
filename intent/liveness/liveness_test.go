package liveness

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const downTime = 75 * time.Second

// world is a judge of a number of hosts, in a bubble whose time the test moves.
type world struct {
	*testing.T
	*Judge
	hosts []Host
	mute  map[string]bool
}

// in runs a story with n hosts that are in use. They beat every 30 s, each at its
// own moment.
func in(t *testing.T, n int, story func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, Judge: New(downTime, Monotonic()), mute: map[string]bool{}}
		for i := range n {
			w.hosts = append(w.hosts, Host{name(i), true})
		}
		story(w)
	})
}

func name(i int) string { return fmt.Sprintf("h%03d", i) }

// pass lets time pass, as the server's loops see it, and returns the hosts that
// could move in it.
func (w *world) pass(d time.Duration) (moved []string) {
	for range d / time.Second {
		time.Sleep(time.Second)
		w.Tick()
		for i, h := range w.hosts {
			if at := w.Now() / time.Second; !w.mute[h.Name] && (at+time.Duration(i*7))%30 == 0 {
				w.Heard(h.Name)
			}
		}
		for _, h := range w.Verdict(w.hosts).Movable() {
			if !slices.Contains(moved, h) {
				moved = append(moved, h)
			}
		}
	}
	return moved
}

// silence makes the first n hosts silent.
func (w *world) silence(n int) {
	for i := range n {
		w.mute[name(i)] = true
	}
}

func (w *world) none(moved []string, when string) {
	w.Helper()
	if len(moved) > 0 {
		w.Errorf("%s: %d hosts' work moves: %v", when, len(moved), moved)
	}
}

func TestASilentHostIsDeadAfterTheDownTime(t *testing.T) {
	in(t, 4, func(w *world) {
		w.none(w.pass(5*time.Minute), "all beat")
		w.Heard(name(0))
		w.silence(1)
		w.none(w.pass(75*time.Second), "within the down time")
		if got := w.pass(2 * time.Second); !slices.Equal(got, []string{name(0)}) {
			t.Errorf("dead after the down time: %v", got)
		}
		if w.State(name(0)) != Dead || w.State(name(1)) != Alive {
			t.Errorf("%v, %v", w.State(name(0)), w.State(name(1)))
		}
		w.mute = map[string]bool{}
		w.Heard(name(0))
		w.none(w.pass(5*time.Minute), "it was heard again")
	})
}

// The server starts, and some agents take long to connect; one never comes.
func TestUnknownIsNotDead(t *testing.T) {
	in(t, 4, func(w *world) {
		w.silence(4)
		w.none(w.pass(30*time.Second), "nobody is here yet")
		if w.State(name(1)) != Unknown {
			t.Errorf("it is %v", w.State(name(1)))
		}
		w.mute = map[string]bool{name(3): true}
		w.none(w.pass(45*time.Second), "all but one come late")
		if got := w.pass(3 * time.Second); !slices.Equal(got, []string{name(3)}) {
			t.Errorf("moved %v, want the one that never came", got)
		}
	})
}

// What took long between the making of the judge and the first possible
// connection is nobody's silence.
func TestTheDownTimeBeginsWhenHostsCanConnect(t *testing.T) {
	in(t, 4, func(w *world) {
		w.silence(1)
		time.Sleep(10 * time.Minute) // a big store is loaded
		w.Begin()
		w.none(w.pass(75*time.Second), "the agents had no time to connect")
	})
}

// Row 4 of issue 10.
func TestNothingMovesWhileTheStoreCannotWrite(t *testing.T) {
	in(t, 9, func(w *world) {
		w.pass(2 * time.Minute)
		w.WriteFailed("disk full")
		if err := w.Writing(); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("%v", err)
		}
		w.silence(3)
		w.none(w.pass(10*time.Minute), "the store cannot write")
		w.WriteWorked()
		if w.Writing() != nil {
			t.Error("it writes again, and that is not known")
		}
		w.none(w.pass(75*time.Second), "in the down time after")
		if got := w.pass(2 * time.Second); len(got) != 3 {
			t.Errorf("after it %v move, want the 3 that are silent still", got)
		}
	})
}

// The process, or its machine, stands still and goes on: what the agents said
// meanwhile is not read yet.
func TestNothingMovesRightAfterTheServerStoodStill(t *testing.T) {
	in(t, 9, func(w *world) {
		w.pass(2 * time.Minute)
		time.Sleep(10 * time.Minute)
		w.Tick()
		if v := w.Verdict(w.hosts); len(v.Movable()) > 0 || !strings.Contains(v.Held, "stood still") {
			t.Errorf("%+v", v)
		}
		w.none(w.pass(5*time.Minute), "it goes on")
	})
}

func TestACrowdOfDeadHostsMovesNothing(t *testing.T) {
	for _, c := range []struct {
		hosts, silent int
		held          bool
	}{
		{100, 54, false}, {100, 55, true}, {100, 56, true}, {100, 100, true},
		{2, 1, false}, {2, 2, true}, {3, 1, false}, {3, 2, true}, {9, 4, false}, {9, 5, true},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.silent, c.hosts), func(t *testing.T) {
			in(t, c.hosts, func(w *world) {
				w.pass(2 * time.Minute)
				w.silence(c.silent)
				moved := w.pass(10 * time.Minute)
				if c.held && len(moved) > 0 || !c.held && len(moved) != c.silent {
					t.Errorf("%d hosts' work moves", len(moved))
				}
				if v := w.Verdict(w.hosts); len(v.Dead) != c.silent || (v.Held != "") != c.held {
					t.Errorf("%d dead, held for %q", len(v.Dead), v.Held)
				}
				if !c.held {
					return
				}
				if v := w.Verdict(w.hosts); !strings.Contains(v.Held, fmt.Sprintf("%d of %d hosts are silent", c.silent, c.hosts)) {
					t.Errorf("held for %q", v.Held)
				}
				// They come back one after the other: below the share nothing moves either
				// before the others had time to.
				for i := range c.silent {
					delete(w.mute, name(i))
					w.Heard(name(i))
					w.none(w.pass(time.Second), "they come back")
				}
				w.none(w.pass(10*time.Minute), "all are back")
			})
		})
	}
}

// Hosts that nothing is bound to and that nobody hears are of the past: they make
// no crowd.
func TestHostsOfThePastAreNotCounted(t *testing.T) {
	in(t, 10, func(w *world) {
		for i := range 7 {
			w.hosts[i].InUse = false
		}
		w.silence(8)
		w.pass(downTime)
		if got := w.pass(2 * time.Minute); !slices.Equal(got, []string{name(7)}) {
			t.Errorf("moved %v", got)
		}
	})
}

// An agent that comes and goes is alive as long as it comes.
func TestAFlappingHostIsAlive(t *testing.T) {
	in(t, 4, func(w *world) {
		w.pass(2 * time.Minute)
		w.silence(1)
		for range 30 {
			w.none(w.pass(70*time.Second), "it flaps")
			w.Heard(name(0))
		}
	})
}

func TestWhatWasSaidLongAgoIsNoNews(t *testing.T) {
	in(t, 4, func(w *world) {
		w.pass(2 * time.Minute)
		w.silence(1)
		began := w.Now()
		w.pass(10 * time.Minute) // a commit hangs
		w.HeardAt(name(0), began)
		if w.State(name(0)) != Dead {
			t.Error("an old word made it alive")
		}
		w.HeardAt(name(1), 0)
		if w.State(name(1)) != Alive {
			t.Error("an old word made it dead")
		}
	})
}

func TestHostsThatAreNoMoreAreForgotten(t *testing.T) {
	in(t, 2, func(w *world) {
		for i := range 1000 {
			w.Heard(fmt.Sprint("made-up-", i))
		}
		w.pass(2 * time.Minute)
		if len(w.heard) != 2 {
			t.Errorf("%d are remembered", len(w.heard))
		}
	})
}
