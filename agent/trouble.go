package agent

import (
	"cmp"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"neutrino"
	"neutrino/host"
	"neutrino/reconcile"
)

// Trouble is one object that is not as the plan says, why, and since when.
type Trouble struct {
	Object string    `json:"object"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	kind   neutrino.PendingKind
	logged bool
	loss   bool // it came under a plan that had been in force without it
}

// trouble is what a pass left open: what the plan refused and what reconciling
// could not do; and what was found around the host.
func trouble(s *host.State, res reconcile.Result, found []host.Finding) []Trouble {
	var all []Trouble
	for _, r := range s.Refused {
		all = append(all, Trouble{Object: r.Object, Reason: r.Reason})
	}
	for _, p := range res.Problems {
		t := Trouble{Object: cmp.Or(p.Object, neutrino.HostObject), Reason: p.Err.Error()}
		var absent *host.Absent
		if errors.As(p.Err, &absent) {
			t.kind = neutrino.Waiting
		}
		all = append(all, t)
	}
	for _, f := range found {
		all = append(all, Trouble{Object: f.Object, Reason: f.Reason, kind: neutrino.Noticed})
	}
	return all
}

type troubleKey struct{ object, reason string }

// Repair is what somebody else changed on a surface, and the agent put right.
type Repair struct {
	Object  string    `json:"object"`
	Surface string    `json:"surface"`
	Items   int       `json:"items"`
	At      time.Time `json:"at"`
}

// maxRepairs is how many repairs are remembered.
const maxRepairs = 32

// tracker remembers since when there is which trouble, and logs each once. It
// remembers the last repairs too.
type tracker struct {
	current map[troubleKey]Trouble
	repairs []Repair
}

// repair takes in what a pass wrote although the plan was the one of the pass
// before: where there was no trouble, somebody else had changed the host.
func (t *tracker) repair(now time.Time, writes []reconcile.Write) {
	troubled := map[string]bool{}
	for k, tr := range t.current {
		if !tr.loss && tr.kind != neutrino.Noticed { // what was lost under this plan is being repaired
			troubled[k.object] = true
		}
	}
	if troubled[neutrino.HostObject] {
		return // a surface failed, so nobody knows who is behind
	}
	for _, w := range writes {
		r := Repair{Object: cmp.Or(w.Object, neutrino.HostObject), Surface: w.Surface, Items: w.Items, At: now}
		if troubled[r.Object] {
			continue
		}
		slog.Warn("agent: changed by others, repaired", "object", r.Object, "surface", r.Surface, "items", r.Items)
		t.repairs = append(t.repairs, r)
	}
	t.repairs = t.repairs[max(0, len(t.repairs)-maxRepairs):]
}

// planAge says whether a pass had the plan of the pass before.
type planAge int

const (
	newPlan planAge = iota
	samePlan
)

// update takes in what a pass left open and reports whether that is new. To
// wait for others is logged only where the object was as planned before, with
// the same plan: then it is a loss, and no beginning.
func (t *tracker) update(now time.Time, all []Trouble, plan planAge) (changed bool) {
	next := map[troubleKey]Trouble{}
	before := map[string]bool{}
	for k, tr := range t.current {
		if tr.kind != neutrino.Noticed {
			before[k.object] = true
		}
	}
	var fresh []Trouble
	for _, tr := range all {
		k := troubleKey{tr.Object, tr.Reason}
		if _, twice := next[k]; twice {
			continue
		}
		if old, known := t.current[k]; known {
			tr.Since, tr.logged, tr.loss = old.Since, old.logged, old.loss
		} else {
			tr.Since = now
			tr.loss = plan == samePlan && !before[tr.Object] && tr.kind != neutrino.Noticed
			tr.logged = tr.kind != neutrino.Waiting || tr.loss
			fresh = append(fresh, tr)
		}
		next[k] = tr
	}
	changed = len(fresh) > 0 || len(next) != len(t.current)
	gone := goneObjects(t.current, next)
	t.current = next
	logFresh(fresh)
	for _, o := range gone {
		slog.Info("agent: as planned again", "object", o)
	}
	return changed
}

// goneObjects are those of which something was logged before, with nothing now.
func goneObjects(before, now map[troubleKey]Trouble) []string {
	left := map[string]bool{}
	for k := range now {
		left[k.object] = true
	}
	gone := map[string]bool{}
	for k, tr := range before {
		if !left[k.object] && tr.logged {
			gone[k.object] = true
		}
	}
	return slices.Sorted(maps.Keys(gone))
}

// logFresh writes one line for each reason: a broken surface concerns many
// objects with one reason.
func logFresh(fresh []Trouble) {
	byReason := map[string][]Trouble{}
	for _, tr := range fresh {
		if tr.logged {
			byReason[tr.Reason] = append(byReason[tr.Reason], tr)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		list := byReason[reason]
		first := slices.MinFunc(list, func(a, b Trouble) int { return cmp.Compare(a.Object, b.Object) })
		what := "agent: not as planned"
		if first.kind == neutrino.Noticed {
			what = "agent: noticed"
		}
		slog.Warn(what, "object", first.Object, "objects", len(list), "reason", reason)
	}
}

// list is the present trouble that is chosen, sorted.
func (t *tracker) list(choose func(Trouble) bool) []Trouble {
	var out []Trouble
	for _, tr := range t.current {
		if choose(tr) {
			out = append(out, tr)
		}
	}
	slices.SortFunc(out, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

// open reports whether something remains to be done on the host.
func (t *tracker) open() bool {
	for _, tr := range t.current {
		if tr.kind != neutrino.Noticed {
			return true
		}
	}
	return false
}

// of are those of a kind.
func of(kind neutrino.PendingKind) func(Trouble) bool {
	return func(t Trouble) bool { return t.kind == kind }
}

func (t *tracker) pending() []neutrino.Pending {
	var out []neutrino.Pending
	for _, tr := range t.list(func(Trouble) bool { return true }) {
		out = append(out, neutrino.Pending{Object: tr.Object, Reason: tr.Reason, Kind: tr.kind})
	}
	return out
}

func sameReport(a, b neutrino.Report) bool {
	return a.Host == b.Host && a.Revision == b.Revision && a.Life == b.Life && slices.Equal(a.Pending, b.Pending)
}
