package api

import (
	"fmt"
	"slices"
	"strings"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/auth"
	"neutrino/intent"
)

// route is one request that the API answers, with the policy's rule that
// decides on it. A path names what varies in braces.
type route struct {
	method, path string
	rule         string // empty for what needs no permission
}

// unruled are the routes that no rule of the policy decides on. A server that
// has one does not start: in Neutron such a route was open to everybody
// (failures.md, S22).
func unruled(p *auth.Policy, resources []resource) error {
	all := quotaRoutes()
	for _, res := range resources {
		all = append(all, res.routes()...)
	}
	var bad []string
	for _, r := range all {
		if !p.Has(r.rule) {
			bad = append(bad, fmt.Sprintf("%s %s (rule %q)", r.method, r.path, r.rule))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("api: the policy has no rule for %s", strings.Join(bad, ", "))
}

// target is what a rule of the policy looks at: one object of a kind, as it is
// or as a request would make it.
type target[T any] struct {
	kind *kind[T]
	view view
	row  *T
}

// Attr is an attribute of the object, or one of the object above it, like
// "network:project_id".
func (t target[T]) Attr(name string) (string, bool) {
	if f := t.kind.related[name]; f != nil {
		return f(t.view, t.row)
	}
	a := t.kind.attrs.ByName[name]
	if a == nil {
		return "", false
	}
	s := wire.Text(a.Of(t.row))
	return s, s != "" || !a.Null
}

// mine is a target that belongs to the project: what is worked out for a caller
// is the caller's.
type mine string

// Attr knows the project only.
func (m mine) Attr(name string) (string, bool) { return string(m), name == "project_id" }

// related looks an attribute up that a noun does not hold itself.
type related[T any] map[string]func(view, *T) (string, bool)

// yes spells a fact as rules do.
func yes(fact bool) (string, bool) {
	if fact {
		return "true", true
	}
	return "false", true
}

// ofNetwork adds what rules ask about the network that an object is on.
func ofNetwork[T any](network func(*T) neutrino.ID) related[T] {
	find := func(v view, row *T, of func(view, *neutrino.Network) (string, bool)) (string, bool) {
		n, ok := v.network(network(row))
		if !ok {
			return "", false
		}
		return of(v, n)
	}
	shared := func(v view, row *T) (string, bool) { return find(v, row, networkShared().rule) }
	external := func(v view, row *T) (string, bool) { return find(v, row, isExternal().rule) }
	return related[T]{
		"network:project_id": func(v view, row *T) (string, bool) {
			return find(v, row, func(_ view, n *neutrino.Network) (string, bool) { return n.ProjectID, true })
		},
		"network:shared": shared, "shared": shared,
		"network:router:external": external, "router:external": external,
	}
}

// ruleName is what the kind is called in rules.
func (k *kind[T]) ruleName() string {
	if k.rule != "" {
		return k.rule
	}
	return k.one
}

// permit refuses what the policy does not let the caller do with an object that
// it sees: 403, or 404 where it may not even get it (api.md section 1.9).
func (k *kind[T]) permit(v view, rule string, row *T) error {
	t := target[T]{k, v, row}
	switch {
	case v.judge.Allows(rule, t):
		return nil
	case !v.judge.Allows("get_"+k.ruleName(), t):
		return noResource()
	}
	return forbidden("rule:" + rule)
}

// permitCreate refuses a new object that the policy does not let the caller
// make, or not with these attributes.
func (k *kind[T]) permitCreate(v view, req *request[T]) error {
	if k.above != nil {
		if err := k.above(v, &req.noun); err != nil {
			return err
		}
	}
	rule := "create_" + k.ruleName()
	t := target[T]{k, v, &req.noun}
	if !v.judge.Allows(rule, t) {
		return forbidden("rule:" + rule)
	}
	return k.permitAttributes(v, t, req)
}

// permitAttributes refuses attributes that the policy does not let the caller
// set. A POST with the default is no setting, a PUT always is (api.md section
// 1.9): else an attribute could be reset to its default (failures.md, S14).
func (k *kind[T]) permitAttributes(v view, t target[T], req *request[T]) error {
	rule := req.verb.prefix() + k.ruleName()
	check := func(own string) error {
		if v.judge.Has(own) && !v.judge.Allows(own, t) {
			return forbidden("(rule:" + rule + " and rule:" + own + ")")
		}
		return nil
	}
	for i, a := range k.attrs.List {
		if !req.set[a.Name] || req.verb == post && a.IsUnset(&req.noun) {
			continue
		}
		if err := check(k.rules[req.verb][i]); err != nil {
			return err
		}
		for _, inner := range req.inner {
			if part, ok := strings.CutPrefix(inner, a.Name); !ok || part[0] != ':' {
				continue
			}
			if err := check(rule + ":" + inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// innerNames are the attributes inside an attribute that a client named, as
// rules call them: "fixed_ips:ip_address".
func innerNames(name string, raw any) []string {
	var out []string
	add := func(o wire.Object) {
		for key := range o {
			if full := name + ":" + key; !slices.Contains(out, full) {
				out = append(out, full)
			}
		}
	}
	switch v := raw.(type) {
	case wire.Object:
		add(v)
	case []any:
		for _, item := range v {
			if o, ok := item.(wire.Object); ok {
				add(o)
			}
		}
	}
	slices.Sort(out)
	return out
}

// shows reports whether the object has the attribute and the caller may see it.
func (k *kind[T]) shows(v view, col *column[T], row *T) bool {
	if col.has != nil && !col.has(v, row) {
		return false
	}
	if col.rule == "" {
		return true
	}
	if allowed, known := v.judge.Decided(col.rule); known {
		return allowed
	}
	return v.judge.Allows(col.rule, target[T]{k, v, row})
}

// guard notes which attributes the policy decides on.
func (k *kind[T]) guard(p *auth.Policy) {
	for i := range k.columns {
		if rule := "get_" + k.ruleName() + ":" + k.columns[i].name; p.Has(rule) {
			k.columns[i].rule = rule
		}
	}
}

// routes are the requests that the kind answers.
func (k *kind[T]) routes() []route {
	name, base := k.ruleName(), "/v2.0/"+k.path
	item := base + "/{" + k.one + "_id}"
	out := []route{{"GET", base, "get_" + name}, {"GET", item, "get_" + name}}
	if k.create != nil {
		out = append(out, route{"POST", base, "create_" + name})
	}
	if k.update != nil {
		out = append(out, route{"PUT", item, "update_" + name})
	}
	if k.remove != nil {
		out = append(out, route{"DELETE", item, "delete_" + name})
	}
	for path, m := range k.members {
		for _, r := range m.routes {
			out = append(out, route{r.method, item + "/" + path + r.path, r.rule})
		}
	}
	slices.SortFunc(out, func(a, b route) int { return strings.Compare(a.path+" "+a.method, b.path+" "+b.method) })
	return out
}

// caller is how intent sees who asks.
func callerOf(who auth.Identity, judge *auth.Judge, requestID string) intent.Caller {
	isService := func(role string) bool { return role == serviceRole }
	return intent.Caller{
		ProjectID: who.ProjectID, UserID: who.UserID, Roles: who.Roles, RequestID: requestID,
		Admin:   judge.Allows(adminRule, nil),
		Service: slices.ContainsFunc(who.Roles, isService) || slices.ContainsFunc(who.ServiceRoles, isService),
	}
}

// adminRule is the rule that says who administers the cloud.
const adminRule = "context_is_admin"

// serviceRole is the role of the other services of a cloud.
const serviceRole = "service"
