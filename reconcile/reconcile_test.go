package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"neutrino/reconcile"
)

// item is what the test's surfaces hold: a value and the object it is for.
type item struct{ value, object string }

type objectError struct {
	object string
	err    error
}

func (e objectError) Error() string  { return e.err.Error() }
func (e objectError) Object() string { return e.object }

// surface is a whole small kernel surface that writes into a common log.
type surface struct {
	name string
	have map[string]item
	log  *[]string
	bad  map[string]error // by key: this item fails
	dead error            // the surface cannot be read
}

func (s *surface) Read(context.Context) (map[string]item, error) { return s.have, s.dead }

func (s *surface) Apply(_ context.Context, d reconcile.Diff[string, item]) error {
	var errs []error
	for k, v := range d.Put {
		if err := s.bad[k]; err != nil {
			errs = append(errs, objectError{v.object, err})
			continue
		}
		s.have[k] = v
		*s.log = append(*s.log, "put "+s.name+" "+k)
	}
	for k := range d.Drop {
		delete(s.have, k)
		*s.log = append(*s.log, "drop "+s.name+" "+k)
	}
	return errors.Join(errs...)
}

type state struct{ chains, tags map[string]item }

type world struct {
	chains, tags *surface
	log          []string
}

func newWorld() *world {
	w := &world{}
	w.chains = &surface{name: "chain", have: map[string]item{}, log: &w.log, bad: map[string]error{}}
	w.tags = &surface{name: "tag", have: map[string]item{}, log: &w.log, bad: map[string]error{}}
	return w
}

func (w *world) sync(want state) reconcile.Result {
	same := func(a, b item) bool { return a.value == b.value }
	object := func(i item) string { return i.object }
	return reconcile.Sync(context.Background(), []reconcile.Step[state]{
		&reconcile.Part[state, string, item]{Name: "chains", Hand: w.chains, Want: func(s state) map[string]item { return s.chains }, Same: same, Object: object},
		&reconcile.Part[state, string, item]{Name: "tags", Hand: w.tags, Want: func(s state) map[string]item { return s.tags }, Same: same, Object: object},
	}, want)
}

func ports(names ...string) state {
	s := state{map[string]item{}, map[string]item{}}
	for _, n := range names {
		s.chains[n], s.tags[n] = item{"rules", "port/" + n}, item{"1", "port/" + n}
	}
	return s
}

// Puts go forward and drops go backward: a port is filtered before it is on
// its VLAN, and off its VLAN before its filter goes.
func TestPutsForwardDropsBackward(t *testing.T) {
	w := newWorld()
	w.sync(ports("a"))
	w.sync(ports())
	if got := strings.Join(w.log, ", "); got != "put chain a, put tag a, drop tag a, drop chain a" {
		t.Errorf("order: %s", got)
	}
}

// What is as wanted already is not written again.
func TestSecondSyncWritesNothing(t *testing.T) {
	w := newWorld()
	w.sync(ports("a", "b"))
	w.log = nil
	if r := w.sync(ports("a", "b")); r.Puts+r.Drops != 0 || len(w.log) != 0 {
		t.Errorf("second sync: %+v, %v", r, w.log)
	}
}

// A port that cannot be filtered is never wired; the others do not notice.
func TestFailedObjectIsHeldBackAlone(t *testing.T) {
	w := newWorld()
	w.chains.bad["a"] = errors.New("no such match")
	r := w.sync(ports("a", "b"))
	if _, wired := w.tags.have["a"]; wired {
		t.Error("port a got its tag without its chain")
	}
	if _, wired := w.tags.have["b"]; !wired {
		t.Error("port b was not wired")
	}
	if len(r.Problems) != 1 || r.Problems[0].Object != "port/a" || r.Problems[0].Err.Error() != "chains: no such match" {
		t.Errorf("problems: %v", r.Problems)
	}
}

// Of a surface that cannot be read nothing is known: every object with an item
// on it is a problem and is held back, and nothing is taken away meanwhile.
func TestUnreadableSurfaceHoldsItsObjectsBack(t *testing.T) {
	w := newWorld()
	w.sync(ports("old"))
	w.chains.dead = errors.New("connection refused")
	r := w.sync(ports("a"))
	objects := map[string]bool{}
	for _, p := range r.Problems {
		objects[p.Object] = strings.Contains(p.Err.Error(), "chains: read: connection refused")
	}
	if !maps.Equal(objects, map[string]bool{"": true, "port/a": true}) {
		t.Errorf("problems: %v", r.Problems)
	}
	if _, wired := w.tags.have["a"]; wired {
		t.Error("port a got its tag though its chain is unknown")
	}
	if _, kept := w.tags.have["old"]; !kept {
		t.Error("port old was taken away while a surface was broken")
	}
}

// From any state to any other, whatever was there before.
func TestAnyStateToAnyOther(t *testing.T) {
	states := []state{ports(), ports("a"), ports("a", "b"), ports("b", "c")}
	for i, from := range states {
		for j, to := range states {
			t.Run(fmt.Sprintf("%d to %d", i, j), func(t *testing.T) {
				w := newWorld()
				w.sync(from)
				w.sync(to)
				if !maps.Equal(w.tags.have, to.tags) || !maps.Equal(w.chains.have, to.chains) {
					t.Errorf("have %v %v", w.tags.have, w.chains.have)
				}
			})
		}
	}
}
