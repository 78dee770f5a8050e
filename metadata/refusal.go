package metadata

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"neutrino"
	"neutrino/host"
)

// errNobody is the answer to an address that no instance of the scope has.
var errNobody = errors.New("no instance has the address here")

// Refusal says that somebody asked by an address of an instance who is not that
// instance.
type Refusal struct {
	Port   neutrino.ID // whose address it is
	Reason string
}

// Error is the reason.
func (r *Refusal) Error() string { return r.Reason }

// refusalPeriod is how long after the last one refusals stay a finding, and
// maxRefusals of how many addresses they are counted.
const (
	refusalPeriod = 10 * time.Minute
	maxRefusals   = 256
)

// refusals counts those who asked by an address that is not theirs.
type refusals struct {
	mu  sync.Mutex
	all map[Refusal]refused
}

type refused struct {
	times int
	last  time.Time
}

// add counts a refusal, and reports whether the findings have changed.
func (r *refusals) add(why Refusal, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
	have, known := r.all[why]
	if !known && len(r.all) >= maxRefusals {
		return false
	}
	if r.all == nil {
		r.all = map[Refusal]refused{}
	}
	have.times++
	have.last = now
	r.all[why] = have
	return !known
}

func (r *refusals) sweep(now time.Time) {
	maps.DeleteFunc(r.all, func(_ Refusal, v refused) bool { return now.Sub(v.last) > refusalPeriod })
}

// findings are the refusals of the last minutes. How often a refusal happened is
// left to the log: a reason that changes with each request would be a report
// with each request.
func (r *refusals) findings(now time.Time) []host.Finding {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
	var out []host.Finding
	for why := range r.all {
		out = append(out, host.Finding{Object: neutrino.PortObject(why.Port), Reason: why.Reason})
	}
	slices.SortFunc(out, func(a, b host.Finding) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

// count is how often a refusal happened in the last minutes.
func (r *refusals) count(why Refusal) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[why].times
}

// reject says and counts it when who was not found is an impostor.
func (h *handler) reject(s source, err error) {
	var why *Refusal
	if !errors.As(err, &why) {
		return
	}
	if h.refusals.add(*why, time.Now()) {
		h.changed()
	}
	h.warn("refused a request in another instance's name", "scope", s.scope, "client", s.client, "reason", why.Reason, "times", h.refusals.count(*why))
}
