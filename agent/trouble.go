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
	// waiting is set for what others have to make first.
	waiting bool
}

// trouble is what a pass left open: what the plan refused and what reconciling
// could not do. Each object and reason stands once.
func trouble(s *host.State, res reconcile.Result) []Trouble {
	var all []Trouble
	for _, r := range s.Refused {
		all = append(all, Trouble{Object: r.Object, Reason: r.Reason})
	}
	for _, p := range res.Problems {
		var absent *host.Absent
		all = append(all, Trouble{
			Object: cmp.Or(p.Object, neutrino.HostObject), Reason: p.Err.Error(), waiting: errors.As(p.Err, &absent),
		})
	}
	return all
}

type troubleKey struct{ object, reason string }

// tracker remembers since when there is which trouble, and logs each once.
type tracker struct {
	current map[troubleKey]Trouble
}

// update takes in what a pass left open and reports whether that is new.
func (t *tracker) update(now time.Time, all []Trouble) (changed bool) {
	next := map[troubleKey]Trouble{}
	var fresh []Trouble
	for _, tr := range all {
		k := troubleKey{tr.Object, tr.Reason}
		if _, twice := next[k]; twice {
			continue
		}
		if old, known := t.current[k]; known {
			tr.Since = old.Since
		} else {
			tr.Since = now
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

// goneObjects are those with errors, not mere waiting, before and nothing now.
func goneObjects(before, now map[troubleKey]Trouble) []string {
	left := map[string]bool{}
	for k := range now {
		left[k.object] = true
	}
	gone := map[string]bool{}
	for k, tr := range before {
		if !left[k.object] && !tr.waiting {
			gone[k.object] = true
		}
	}
	return slices.Sorted(maps.Keys(gone))
}

// logFresh writes one line for each reason: a broken surface concerns many
// objects with one reason.
func logFresh(fresh []Trouble) {
	objects := map[string][]string{}
	for _, tr := range fresh {
		if !tr.waiting {
			objects[tr.Reason] = append(objects[tr.Reason], tr.Object)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(objects)) {
		list := objects[reason]
		slices.Sort(list)
		slog.Warn("agent: not as planned", "object", list[0], "objects", len(list), "reason", reason)
	}
}

// list is the present trouble, sorted; waiting chooses which kind.
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

func (t *tracker) pending() []neutrino.Pending {
	var out []neutrino.Pending
	for _, tr := range t.list(func(Trouble) bool { return true }) {
		out = append(out, neutrino.Pending{Object: tr.Object, Reason: tr.Reason})
	}
	return out
}

func sameReport(a, b neutrino.Report) bool {
	return a.Host == b.Host && a.Revision == b.Revision && slices.Equal(a.Pending, b.Pending)
}
