package agent

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"neutrino"
	"neutrino/feed"
	"neutrino/view"
	"neutrino/view/fuse"
)

// answerTime is how long an answer about what is held may take before it is said
// that the fuse has blown: what somebody asked to end is confirmed at once.
const answerTime = 5 * time.Second

// guard is the fuse of a host. Its fields are the loop's own, but for released.
type guard struct {
	begun    bool
	state    fuse.State
	held     []view.Key
	waiting  []fuse.Waiting
	serving  int
	decided  *view.Host // the view that the state comes from
	gone     int        // proofs that it comes from
	answered bool       // the server knows nothing of what is held
	said     bool       // it is logged and reported
	heard    time.Time  // when the server answered last
	first    time.Time  // when the first view came

	mu       sync.Mutex
	released map[view.Key]bool // by a person, not yet acted on
}

// inForce is what of a view to act on, and remembers it as accepted.
func (a *Agent) inForce(v feed.View, now time.Time) *view.Host {
	g := &a.guard
	if !g.begun {
		g.begun, g.first = true, now
		g.state.InForce, g.state.Since = a.deps.Source.InForce()
	}
	if v.Accepted {
		// A person has seen what this view ends, and meant it.
		g.state, g.decided = fuse.State{}, nil
	}
	gone, all := a.deps.Source.Answer()
	if all || g.heard.IsZero() {
		g.heard = now
	}
	if !all {
		gone = nil // half an answer could end a network before its ports
	}
	released := g.takeReleased()
	if v.Host == g.decided && len(gone) == g.gone && len(released) == 0 {
		g.answered = all
		g.say(v, now)
		return g.state.InForce
	}
	held := g.held
	out := fuse.Step(g.state, fuse.Input{Next: v.Host, Gone: gone, Released: released, Now: now, Settings: a.config.Fuse})
	if len(released) > 0 {
		slog.Warn("agent: a person released what the fuse held", "objects", len(released))
	}
	g.state, g.held, g.waiting, g.serving = out.State, out.Held, out.Waiting, out.Serving
	g.decided, g.gone = v.Host, 0
	if len(out.Held) > 0 && len(held) == 0 {
		g.heard = now // the question is a new one
	}
	a.deps.Source.Ask(out.Ask)
	_, g.answered = a.deps.Source.Answer() // at once where the question is the one of before
	a.deps.Source.Accept(v, out.InForce, out.Since)
	g.say(v, now)
	return out.InForce
}

// undecided reports whether an agent that has just started should wait for the answer
// about what it would hold. A host that was rebooted has nothing of it in force yet: a
// router that went to another host meanwhile would speak again, for as long as the
// question takes. Without a server, or without an answer, the host is built.
func (g *guard) undecided(v feed.View, now time.Time) bool {
	return len(g.held) > 0 && !g.answered && !v.Stored && now.Sub(g.first) < answerTime
}

func (g *guard) takeReleased() map[view.Key]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.released
	g.released = nil
	return r
}

// say logs once that something is held, when the server does not know that
// somebody asked for its end, and once that it is over.
func (g *guard) say(v feed.View, now time.Time) {
	switch {
	case len(g.held) == 0:
		if g.said {
			slog.Info("agent: the fuse holds nothing any more", "revision", v.Revision)
		}
		g.said = false
	case !g.said && (g.answered || now.Sub(g.heard) >= answerTime):
		g.said = true
		slog.Error("agent: THE FUSE HOLDS: the view lacks much of what serves here, and nobody is known to have asked for that. It stays in force. "+
			"Look at the server and its store; if it is right, run: neutrino agent release",
			"revision", v.Revision, "held", len(g.held), "served", g.serving, "objects", namesOf(g.held, maxNames))
	}
}

// maxNames is how many objects a line of the log names.
const maxNames = 20

func namesOf(keys []view.Key, most int) string {
	var all []string
	for _, k := range keys[:min(most, len(keys))] {
		all = append(all, objectOf(k))
	}
	if n := len(keys) - len(all); n > 0 {
		all = append(all, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(all, ", ")
}

// objectOf names what a key is about, as reports do.
func objectOf(k view.Key) string {
	id := neutrino.ID(k.ID)
	switch k.Kind {
	case view.KindPort, view.KindNeighbour, view.KindStandby:
		return neutrino.PortObject(id)
	case fuse.KindDHCP:
		return neutrino.NetworkObject(id)
	}
	return k.Kind + "/" + k.ID
}

// what of an object is held.
func whatOf(k view.Key) string {
	switch k.Kind {
	case fuse.KindDHCP:
		return "its DHCP service"
	case view.KindNeighbour:
		return "the way to it on another host"
	}
	return "it"
}

// maxReported is how many objects that are held a report names.
const maxReported = 24

// trouble is what the fuse reports: what it holds is noticed, and what waits for
// that is not in force.
func (g *guard) trouble() []Trouble {
	var all []Trouble
	if g.said {
		all = append(all, Trouble{Object: neutrino.HostObject, kind: neutrino.Noticed, Reason: g.summary()})
		for _, k := range g.held[:min(maxReported, len(g.held))] {
			all = append(all, Trouble{Object: objectOf(k), kind: neutrino.Noticed,
				Reason: "the fuse holds " + whatOf(k) + ": the server's view lacks it, and nobody is known to have asked for that"})
		}
	}
	for _, w := range g.waiting {
		all = append(all, Trouble{Object: objectOf(w.Key), Reason: w.Reason})
	}
	return all
}

func (g *guard) summary() string {
	return fmt.Sprintf("the fuse holds %s that the server's view lacks, and nobody is known to have asked for that; "+
		"neutrino agent release on the host lists and ends them", countKinds(g.held))
}

// countKinds is "3 ports, 1 router".
func countKinds(keys []view.Key) string {
	count := map[string]int{}
	for _, k := range keys {
		count[k.Kind]++
	}
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		word := kind
		if kind == fuse.KindDHCP {
			word = "DHCP service"
		}
		if count[kind] > 1 {
			word += "s"
		}
		all = append(all, fmt.Sprintf("%d %s", count[kind], word))
	}
	return strings.Join(all, ", ")
}

// HeldStatus is what the fuse of a host holds.
type HeldStatus struct {
	// Since is when a view came that lacks it.
	Since time.Time `json:"since"`
	// Served is how many objects served before that view.
	Served int `json:"served"`
	// Asked is set while the server has not said yet whether somebody asked for the
	// end of what is held.
	Asked   bool         `json:"asked"`
	Objects []HeldObject `json:"objects"`
	// Waiting is new and needs what a held object has.
	Waiting []HeldObject `json:"waiting,omitempty"`
	// Release is the command that ends what is held.
	Release string `json:"release"`
}

// HeldObject is one object of a [HeldStatus], and why it is there.
type HeldObject struct {
	Object string `json:"object"`
	Reason string `json:"reason"`
}

// status is what the guard shows, nil while it holds nothing.
func (g *guard) status() *HeldStatus {
	if len(g.held) == 0 {
		return nil
	}
	s := &HeldStatus{Since: g.state.Since, Served: g.serving, Asked: !g.answered, Release: "neutrino agent release --yes"}
	for _, k := range g.held {
		s.Objects = append(s.Objects, HeldObject{objectOf(k), "the view lacks " + whatOf(k)})
	}
	for _, w := range g.waiting {
		s.Waiting = append(s.Waiting, HeldObject{objectOf(w.Key), w.Reason})
	}
	return s
}

// release answers POST /release?objects=N: a person gives up the N objects that
// are held now. With another number nothing happens: it is not what was looked at.
func (a *Agent) release(w http.ResponseWriter, r *http.Request) {
	a.shared.mu.Lock()
	held := a.shared.held
	a.shared.mu.Unlock()
	n, err := strconv.Atoi(r.FormValue("objects"))
	switch {
	case err != nil || n != len(held):
		http.Error(w, fmt.Sprintf("the fuse holds %d objects now; look at them again", len(held)), http.StatusConflict)
		return
	case n == 0:
		http.Error(w, "the fuse holds nothing", http.StatusConflict)
		return
	}
	a.guard.mu.Lock()
	a.guard.released = map[view.Key]bool{}
	for _, k := range held {
		a.guard.released[k] = true
	}
	a.guard.mu.Unlock()
	select {
	case a.events <- struct{}{}:
	default:
	}
	fmt.Fprintf(w, "%d objects are released\n", n)
}
