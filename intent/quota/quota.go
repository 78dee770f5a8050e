// Package quota is the part of the intent station that says how many objects a
// project may have. What is counted is the rows themselves, so that nothing can
// drift; a request that makes objects names the limits that its transaction must
// keep to.
package quota

import (
	"maps"
	"math"
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// Default is the limit of a resource for a project that has none of its own.
func Default(c *work.Config, resource string) int {
	if most, ok := c.Quotas[resource]; ok {
		return most
	}
	return neutrino.NoLimit
}

// Defaults are the limits by resource of a project that has none of its own.
func Defaults(c *work.Config) map[string]int {
	limits := map[string]int{}
	for _, name := range Resources() {
		limits[name] = Default(c, name)
	}
	return limits
}

// Limits are a project's limits by resource.
func Limits(r store.Reader, c *work.Config, project string) map[string]int {
	limits := Defaults(c)
	if q, ok := store.Peek(r, store.Quotas, neutrino.ID(project)); ok {
		for name, most := range q.Limits {
			if _, known := limits[name]; known {
				limits[name] = most
			}
		}
	}
	return limits
}

// Used is how many objects of each resource a project has.
func Used(r store.Reader, project string) map[string]int {
	used := map[string]int{}
	for _, name := range Resources() {
		used[name] = find(name).count(r, project)
	}
	return used
}

// Charge lets the transaction make objects of the resources for the project if
// its quotas hold when it commits. The error is a Conflict of type OverQuota,
// here or at the commit.
func Charge(tx *work.Tx, project string, resources ...string) error {
	if project == "" {
		return nil // nobody's, as a gateway's port
	}
	tx.Refuse = refuse
	// Another limit that comes at the same moment makes this run again.
	own, changed := store.Get(tx.Tx, store.Quotas, neutrino.ID(project))
	var full []string
	for _, name := range resources {
		most := Default(tx.Config, name)
		if changed {
			if limit, ok := own.Limits[name]; ok {
				most = limit
			}
		}
		if most == neutrino.NoLimit {
			most = math.MaxInt // counted all the same, for a limit that is set meanwhile
		}
		if !find(name).atMost(tx.Tx, project, most) {
			full = append(full, name)
		}
	}
	if full != nil {
		return overQuota(full)
	}
	return nil
}

// refuse says what limits refused, in the words of the API.
func refuse(e *store.LimitError) error {
	var full []string
	for _, l := range e.Exceeded {
		full = append(full, counted(l))
	}
	return overQuota(full)
}

func overQuota(resources []string) error {
	slices.Sort(resources)
	return neutrino.Errorf(neutrino.Conflict, neutrino.OverQuota,
		"Quota exceeded for resources: ['%s'].", strings.Join(resources, "', '"))
}

// Set gives a project limits of its own; those that are not named stay. A limit
// below what the project has is refused, also when the object comes at the same
// moment, unless below allows it.
func Set(tx *work.Tx, project string, limits map[string]int, below Below) error {
	old, _ := store.Get(tx.Tx, store.Quotas, neutrino.ID(project))
	q := &neutrino.Quota{ProjectID: project, Limits: map[string]int{}}
	if old != nil {
		maps.Copy(q.Limits, old.Limits)
	}
	maps.Copy(q.Limits, limits)
	tx.Refuse = func(e *store.LimitError) error { return tooLow(e.Exceeded[0]) }
	for _, name := range Resources() {
		most, named := limits[name]
		if named && most != neutrino.NoLimit && below == RefuseBelow {
			find(name).atMost(tx.Tx, project, most) // the answer comes with the commit
		}
	}
	store.Put(tx.Tx, store.Quotas, q)
	return nil
}

func tooLow(l store.Limit) error {
	return neutrino.Errorf(neutrino.Invalid, "HTTPBadRequest",
		"Quota limit %d of %s is below what project %s has already; ask for more, or send \"force\": true.",
		l.Max, counted(l), l.Key)
}

// counted is the resource that a limit of the store counts.
func counted(l store.Limit) string {
	for _, name := range Resources() {
		if find(name).index == l.Index {
			return name
		}
	}
	return l.Index
}

// Below says whether a limit may be lower than what is there already.
type Below int

// The choices of [Set].
const (
	RefuseBelow Below = iota
	AllowBelow
)

// Reset gives a project the defaults back.
func Reset(tx *work.Tx, project string) error {
	if _, ok := store.Get(tx.Tx, store.Quotas, neutrino.ID(project)); !ok {
		return neutrino.Errorf(neutrino.NotFound, "TenantQuotaNotFound",
			"Quota for tenant %s could not be found.", project)
	}
	store.Delete(tx.Tx, store.Quotas, neutrino.ID(project))
	return nil
}
