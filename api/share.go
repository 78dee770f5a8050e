package api

import (
	"strconv"

	"neutrino"
	"neutrino/api/openapi"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/quota"
	"neutrino/intent/rbac"
	"neutrino/intent/work"
	"neutrino/store"
)

// targetProject is the other name of a policy's target_tenant.
const targetProject = "target_project"

func rbacPolicies() *kind[neutrino.RBACPolicy] {
	return kind[neutrino.RBACPolicy]{
		names: names{"rbac_policy", "rbac_policies", "rbac-policies", "RbacPolicyNotFound", "RBAC policy of type None with ID %s not found"},
		table: store.RBACPolicies,
		indexes: []filterIndex[neutrino.RBACPolicy]{
			{"object_id", store.RBACPoliciesByObject},
			{"target_tenant", store.RBACPoliciesByTarget},
			{"project_id", store.RBACPoliciesByProject},
		},
		visible: work.VisibleRBACPolicy,
		reach: func(v view) []keyed[neutrino.RBACPolicy] {
			return []keyed[neutrino.RBACPolicy]{{store.RBACPoliciesByProject, []string{v.caller.ProjectID}}}
		},
		create: from(quota.Of(quota.RBACPolicy), intent.CreateRBACPolicy), update: rbac.Update, remove: rbac.Delete,
		aliases: map[string]string{targetProject: "target_tenant"},
	}.ready()
}

// fact is a flag of an object that follows from other rows: an attribute, a
// filter and what rules ask for, all in one.
type fact[T any] func(view, *T) bool

func (f fact[T]) column(name string) column[T] {
	return column[T]{name: name, form: openapi.Of("boolean"), write: func(b []byte, v view, row *T) []byte { return strconv.AppendBool(b, f(v, row)) }}
}

func (f fact[T]) rule(v view, row *T) (string, bool) { return yes(f(v, row)) }

func (f fact[T]) filter(q *query[T], values []string) error {
	wanted := map[bool]bool{}
	for _, value := range values {
		var on bool
		if err := wire.DecodeBool(&on, value); err != nil {
			return err
		}
		wanted[on] = true
	}
	q.match = append(q.match, func(v view, row *T) bool { return wanted[f(v, row)] })
	return nil
}

// sharedBy is whether an object is shared with the caller (api.md section 7,
// T15).
func sharedBy[T any](id func(*T) neutrino.ID) fact[T] {
	return func(v view, row *T) bool { return work.Shares(v.caller, v.Reader, id(row)) }
}

// ownOrGiven reaches what the caller's project owns and what it is given.
func ownOrGiven[T any](owned *store.Index[T], objectType string) func(view) []keyed[T] {
	return func(v view) []keyed[T] {
		return []keyed[T]{{owned, []string{v.caller.ProjectID}}, {nil, work.Given(v.caller, v.Reader, objectType)}}
	}
}

// seenNetworks are the networks that the caller's project owns or is given, by
// id.
func seenNetworks(v view) []string {
	ids := work.Given(v.caller, v.Reader, rbac.Network)
	for n := range store.By(v.Reader, store.NetworksByProject, v.caller.ProjectID) {
		ids = append(ids, string(n.ID))
	}
	return ids
}
