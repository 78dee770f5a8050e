package auth

import (
	"regexp"
	"slices"
	"strings"
)

// check is one compiled demand.
//
// fold gives what is left of it for one caller: a verdict when it depends on the
// caller only. allows decides what fold left, with the attributes of a target.
type check interface {
	fold(j *Judge) check
	allows(t Target) bool
}

// verdict is a demand that always or never holds.
type verdict bool

func (v verdict) fold(*Judge) check  { return v }
func (v verdict) allows(Target) bool { return bool(v) }

type (
	allOf    []check
	anyOf    []check
	negation struct{ of check }
)

func (l allOf) fold(j *Judge) check {
	return foldList(j, l, true, func(l []check) check { return allOf(l) })
}
func (l anyOf) fold(j *Judge) check {
	return foldList(j, l, false, func(l []check) check { return anyOf(l) })
}

// foldList drops the parts that are neutral and stops at one that decides alone.
func foldList(j *Judge, list []check, neutral verdict, join func([]check) check) check {
	var left []check
	for _, c := range list {
		c = c.fold(j)
		if v, ok := c.(verdict); !ok {
			left = append(left, c)
		} else if v != neutral {
			return v
		}
	}
	switch len(left) {
	case 0:
		return neutral
	case 1:
		return left[0]
	}
	return join(left)
}

func (l allOf) allows(t Target) bool {
	for _, c := range l {
		if !c.allows(t) {
			return false
		}
	}
	return true
}

func (l anyOf) allows(t Target) bool {
	for _, c := range l {
		if c.allows(t) {
			return true
		}
	}
	return false
}

func (n negation) fold(j *Judge) check {
	c := n.of.fold(j)
	if v, ok := c.(verdict); ok {
		return !v
	}
	return negation{c}
}

func (n negation) allows(t Target) bool { return !n.of.allows(t) }

// reference is "rule:name". rule is its number in the policy, set when all rules
// are there.
type reference struct {
	name string
	rule int
}

func (r reference) fold(j *Judge) check { return j.folded(r.rule) }
func (r reference) allows(Target) bool  { return false } // fold leaves none

// holds is a value that the caller must have: role:member.
type holds struct{ kind, value string }

func (h holds) fold(j *Judge) check {
	values, _ := credentials(&j.who, h.kind)
	return verdict(slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, h.value) }))
}
func (h holds) allows(Target) bool { return false }

// credential is what the caller brings, compared with a text about the target:
// project_id:%(project_id)s.
type credential struct {
	kind string
	text template
}

// fold puts the caller's values in. A value that the caller lacks equals nothing,
// not even the empty project of gateway ports.
func (c credential) fold(j *Judge) check {
	values, _ := credentials(&j.who, c.kind)
	if slices.Contains(values, "") {
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	}
	return same{values: values, text: c.text}.fold(j)
}
func (c credential) allows(Target) bool { return false }

// same holds when the text about the target equals one of the values.
type same struct {
	values  []string
	text    template
	boolean bool // the literals True and False, in any case
}

func (s same) fold(*Judge) check {
	if len(s.values) == 0 {
		return verdict(false)
	}
	if text, ok := s.text.constant(); ok {
		return verdict(slices.Contains(s.values, text))
	}
	if attr, ok := s.text.attribute(); ok && len(s.values) == 1 {
		return equals{attr, s.values[0], s.boolean}
	}
	return s
}

func (s same) allows(t Target) bool {
	var text strings.Builder
	for i, attr := range s.text.attrs {
		value, ok := t.Attr(attr)
		if !ok {
			return false
		}
		text.WriteString(s.text.texts[i])
		text.WriteString(value)
	}
	text.WriteString(s.text.texts[len(s.text.attrs)])
	return slices.Contains(s.values, text.String())
}

// equals is the commonest form of same: one attribute, one value.
type equals struct {
	attr, value string
	boolean     bool
}

func (e equals) fold(*Judge) check { return e }
func (e equals) allows(t Target) bool {
	value, ok := t.Attr(e.attr)
	return ok && (value == e.value || e.boolean && strings.EqualFold(value, e.value))
}

// absent is None:%(attribute)s: the target does not have it.
type absent string

func (a absent) fold(*Judge) check { return a }
func (a absent) allows(t Target) bool {
	_, ok := t.Attr(string(a))
	return !ok
}

// field is an attribute's value, whoever asks. parent is the attribute of the
// network above, which Neutron asks when the target itself has none:
// field:networks:shared=True for a port.
type field struct {
	attr, parent string
	value        string
	boolean      bool
	pattern      *regexp.Regexp
}

func (f field) fold(*Judge) check { return f }
func (f field) allows(t Target) bool {
	value, ok := t.Attr(f.attr)
	if !ok && f.parent != "" {
		value, ok = t.Attr(f.parent)
	}
	switch {
	case !ok:
		return false
	case f.pattern != nil:
		return f.pattern.MatchString(value)
	}
	return value == f.value || f.boolean && strings.EqualFold(value, f.value)
}

// credentialNames are the kinds that a policy may compare, as oslo.context calls
// them; the short ones are its older names.
const credentialNames = "user_id (user), project_id (tenant_id, project, tenant), domain_id (domain), system_scope, " +
	"roles, service_roles (service_role), is_admin"

func isCredential(kind string) bool {
	_, ok := credentials(&Identity{}, kind)
	return ok
}

// credentials are the caller's values of a kind. Not ok is a kind that does not
// exist.
func credentials(who *Identity, kind string) (values []string, ok bool) {
	switch kind {
	case "role", "roles":
		return who.Roles, true
	case "service_role", "service_roles":
		return who.ServiceRoles, true
	case "user_id", "user":
		return []string{who.UserID}, true
	case "project_id", "tenant_id", "project", "tenant":
		return []string{who.ProjectID}, true
	case "domain_id", "domain":
		return []string{who.DomainID}, true
	case "system_scope", "system":
		if who.System {
			return []string{"all"}, true
		}
		return nil, true
	}
	return nil, false
}
